package cli

import (
	"flag"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// listFlag is a flag that may be given several times.
type listFlag []string

func (l *listFlag) String() string     { return strings.Join(*l, ",") }
func (l *listFlag) Set(v string) error { *l = append(*l, v); return nil }

// pairsFlag is a repeatable flag whose values are a key and a value with a
// separator between them; the last value of a key wins.
type pairsFlag struct {
	sep   string
	pairs map[string]string
}

func (p *pairsFlag) String() string {
	keys := slices.Sorted(maps.Keys(p.pairs))
	for i, k := range keys {
		keys[i] = k + p.sep + p.pairs[k]
	}
	return strings.Join(keys, ",")
}

// Set takes the first separator, so that a value may hold others.
func (p *pairsFlag) Set(arg string) error {
	key, value, ok := strings.Cut(arg, p.sep)
	if !ok {
		return complain("Missing %q value in argument: %s", p.sep, arg)
	}
	if p.pairs == nil {
		p.pairs = map[string]string{}
	}
	p.pairs[key] = value
	return nil
}

// given reports whether any of the flags was on the command line.
func given(fs *flag.FlagSet, names ...string) bool {
	found := false
	fs.Visit(func(f *flag.Flag) { found = found || slices.Contains(names, f.Name) })
	return found
}

// load returns what a value stands for: the content of a file for "@file",
// standard input for "-", otherwise itself.
func load(env *Env, value string) (string, error) {
	switch {
	case value == "-":
		return loadFile(env, value)
	case strings.HasPrefix(value, "@"):
		return loadFile(env, value[1:])
	}
	return value, nil
}

// loadFile returns the content of the file at path, or standard input for "-".
func loadFile(env *Env, path string) (string, error) {
	if path == "-" {
		data, err := io.ReadAll(env.In)
		if err != nil {
			return "", complain("Failed to read stdin: %w", err)
		}
		return string(data), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", complain("Failed to read file: %w", err)
	}
	return string(data), nil
}
