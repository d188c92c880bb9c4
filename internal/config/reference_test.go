package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const introduction = `# Configuration of an agent

` + "`consul agent`" + ` reads files, directories and flags; ` + "`consul validate`" + ` checks files without starting anything.

- Files are HCL or JSON, by their extension; ` + "`-config-format`" + ` forces one. From a directory the .hcl and .json files
  are read in the order of their names, without those of directories inside it.
- The order is: what ` + "`-dev`" + ` sets, files and directories as the command line names them, flags, ` + "`-hcl`" + ` fragments.
- The later value of a string, number, bool or duration wins. Lists are appended, those of flags first. Maps and blocks
  are merged key by key.
- Unknown keys, keys given twice and values of the wrong type are errors that name the key. A file may be 1 MiB large.
- Durations are written as in Go: ` + "`300ms`, `1.5h`, `2h45m`" + `.
- Addresses may be templates: ` + "`{{ GetPrivateIP }}` and `{{ GetInterfaceIP \"eth0\" }}`" + `.
- SIGHUP and ` + "`consul reload`" + ` read the same sources again.

This page is made from the table in internal/config by ` + "`go test ./internal/config -run Reference -update`" + `.

## Settings

| key | flag | type | default | meaning |
| --- | --- | --- | --- | --- |
`

// TestReferencePage keeps docs/configuration.md in step with the table.
func TestReferencePage(t *testing.T) {
	var page strings.Builder
	page.WriteString(introduction)
	var without, old []string
	for i := range fields {
		f := &fields[i]
		switch {
		case f.now == "-":
			old = append(old, fmt.Sprintf("| `%s` | nothing |", f.key))
		case f.now != "":
			old = append(old, fmt.Sprintf("| `%s` | `%s` |", f.key, f.now))
		case f.effect != acts:
			without = append(without, fmt.Sprintf("`%s` (%s)", f.key, f.kind))
		default:
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", f.key, code("-", f.flag), f.kind, defaultOf(f), strings.ReplaceAll(f.note, "`", ""))
		}
	}
	page.WriteString("\n## Accepted, without effect yet\n\nThe agent checks their types and names in its log those that are set.\n\n")
	page.WriteString(strings.Join(without, ",\n") + ".\n")
	page.WriteString("\n## Deprecated\n\nThese still work, with a warning.\n\n| key | use instead |\n| --- | --- |\n" + strings.Join(old, "\n") + "\n")

	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if mustRead(t, path) != page.String() {
		t.Errorf("%s differs from the table; run this test with -update", path)
	}
}

func defaultOf(f *field) string {
	if f.defNote != "" {
		return f.defNote
	}
	return code("", f.def)
}

func code(prefix, s string) string {
	if s == "" {
		return ""
	}
	return "`" + prefix + s + "`"
}
