package config

import (
	"flag"
	"fmt"
	"strings"
	"unicode"
)

// Flags registers the flags of `consul agent` on fs (spec: agent.md section 1). Parsing
// fs adds to s.
func (s *Sources) Flags(fs *flag.FlagSet) {
	s.FormatFlag(fs)
	fs.BoolVar(&s.Dev, "dev", false, "run a server in memory for development: nothing is kept, and it is ready at once")
	fs.Func("hcl", "HCL `fragment` that is read after all files. May be repeated", func(text string) error {
		s.Fragments = append(s.Fragments, text)
		return nil
	})
	fs.Var((*pathFlag)(s), "config-dir", "`directory` whose .hcl and .json files are read in the order of their names. May be repeated")
	fs.Var((*pathFlag)(s), "config-file", "`file` to read. May be repeated; later ones win")
	s.flags = values{}
	for i := range fields {
		if f := &fields[i]; f.flag != "" {
			fs.Var(&flagValue{f, s.flags}, f.flag, usage(f))
		}
	}
}

// FormatFlag registers what `consul validate` has of them.
func (s *Sources) FormatFlag(fs *flag.FlagSet) {
	fs.StringVar(&s.Format, "config-format", "", "`format` of all files, whatever their names: hcl or json")
}

// usage is the note as the other flags' usages are written, with the quoted word that
// stands for the value.
func usage(f *field) string {
	note := f.note
	if f.now != "" {
		note = "Deprecated: sets `" + f.now + "`."
	}
	if f.kind == list || f.kind == table {
		note += " May be repeated."
	}
	if f.effect != acts {
		note += " Has no effect yet."
	}
	if f.kind == boolean {
		note = strings.ReplaceAll(note, "`", "")
	}
	n := strings.IndexFunc(note, unicode.IsLetter)
	if len(note) > n+1 && unicode.IsUpper(rune(note[n+1])) {
		return strings.TrimSuffix(note, ".") // an abbreviation stays as it is
	}
	return strings.TrimSuffix(note[:n]+strings.ToLower(note[n:n+1])+note[n+1:], ".")
}

// pathFlag adds to the paths, which keep the order of the command line.
type pathFlag Sources

func (p *pathFlag) String() string { return "" }

func (p *pathFlag) Set(path string) error {
	p.Paths = append(p.Paths, path)
	return nil
}

// flagValue sets a field's value in a layer.
type flagValue struct {
	field *field
	to    values
}

// String is the default, for the usage.
func (v *flagValue) String() string {
	if v.field == nil {
		return ""
	}
	return v.field.def
}

// IsBoolFlag makes the flag usable without a value.
func (v *flagValue) IsBoolFlag() bool { return v.field != nil && v.field.kind == boolean }

func (v *flagValue) Set(s string) error {
	f := v.field
	x, err := f.parse(s)
	if err != nil {
		return fmt.Errorf("not a valid %s", f.kind)
	}
	if f.now != "" {
		f = byKey[f.now]
	}
	v.to.merge(values{f.key: {f, x}})
	return nil
}
