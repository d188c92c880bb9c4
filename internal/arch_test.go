// Package internal_test holds the rule about who may import whom.
package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows lists the packages below internal/ from the bottom up. A package
// imports only packages of rows above its own in this list, never of its own row.
var rows = [][]string{
	{"errs", "wire", "atomicfile", "freeport", "logging", "telemetry", "hostinfo", "oneconn", "sleep", "uuid", "version"},
	{"tenancy", "filter", "limit"},
	{"acl", "authmethod", "catalog", "configentry", "ca", "envoy", "kv", "autopilot", "snapshot", "store"},
	{"state"},
	{"fsm", "proxycfg"},
	{"raftnode", "gossip", "event", "discover", "peer", "awsiam", "xds", "audit", "taskmeta", "check", "watch", "aclsetup", "proxy"},
	{"endpoint", "leader", "local"},
	{"httpapi", "grpcapi", "forward"},
	{"agent"},
	{"daemon"},
	{"config", "ecsconfig"},
	{"cli", "ecs"},
	{"operator", "dev"},
}

// alone are packages that import nothing of ours.
var alone = map[string]bool{"awslocal": true}

const module = "github.com/lictor/lictor/internal/"

func TestImportsPointUpwards(t *testing.T) {
	row := map[string]int{}
	for i, names := range rows {
		for _, name := range names {
			row[name] = i
		}
	}
	packages := 0
	for name, imports := range importsByPackage(t) {
		packages++
		own, known := row[name]
		if !known && !alone[name] {
			t.Errorf("package %s has no row: add it to the table", name)
			continue
		}
		for _, imported := range imports {
			switch {
			case alone[name]:
				t.Errorf("%s imports %s: it must import nothing of ours", name, imported)
			case alone[imported] && name == "dev":
			case row[imported] >= own:
				t.Errorf("%s (row %d) imports %s (row %d)", name, own, imported, row[imported])
			}
		}
	}
	if packages < 10 {
		t.Fatalf("only %d packages seen: is the walk broken?", packages)
	}
}

// docRow is a row of the table of packages.
var docRow = regexp.MustCompile("(?m)^\\| ([0-9]+) \\| ((?:`[a-z]+` )+)\\| .+ \\|$")

func TestTheDocumentsHaveTheSameRows(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	described := make([][]string, len(rows))
	for _, match := range docRow.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil || n >= len(rows) {
			t.Errorf("row %s is not in the table above", match[1])
			continue
		}
		described[n] = append(described[n], strings.Fields(strings.ReplaceAll(match[2], "`", ""))...)
	}
	for n, names := range rows {
		want, got := slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(described[n]))
		if !slices.Equal(got, want) {
			t.Errorf("row %d of docs/architecture.md has %q, not %q", n, got, want)
		}
		for _, name := range names {
			if _, err := os.Stat(name); err != nil {
				t.Errorf("row %d has a package that is not there: %v", n, err)
			}
		}
	}
}

// importsByPackage returns, for each package below internal/, which of ours
// its non-test files import.
func importsByPackage(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, _, _ := strings.Cut(filepath.ToSlash(filepath.Dir(path)), "/")
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		found[name] = append(found[name], ours(file.Imports, name)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func ours(specs []*ast.ImportSpec, self string) []string {
	var names []string
	for _, spec := range specs {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !strings.HasPrefix(path, module) {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(path, module), "/")
		if name != self {
			names = append(names, name)
		}
	}
	return names
}
