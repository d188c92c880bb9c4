package acl

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"

	"github.com/lictor/lictor/internal/errs"
)

// leaves lists the strings of a document with the path of keys to each, and
// objects without entries.
func leaves(items []item, path string) []string {
	var all []string
	for _, it := range items {
		at := path
		for _, k := range it.keys {
			at += fmt.Sprintf("%q.", k.text)
		}
		switch {
		case it.value.kind == objectValue && len(it.value.items) == 0:
			all = append(all, at+"{}")
		case it.value.kind == objectValue:
			all = append(all, leaves(it.value.items, at)...)
		default:
			all = append(all, fmt.Sprintf("%s=%q", at, it.value.text))
		}
	}
	return all
}

// hclLeaves is leaves by the HCL library.
func hclLeaves(n ast.Node, path string) []string {
	var all []string
	switch n := n.(type) {
	case *ast.ObjectList:
		for _, it := range n.Items {
			at := path
			for _, k := range it.Keys {
				at += fmt.Sprintf("%q.", k.Token.Value())
			}
			all = append(all, hclLeaves(it.Val, at)...)
		}
	case *ast.ObjectType:
		if len(n.List.Items) == 0 {
			return []string{path + "{}"}
		}
		return hclLeaves(n.List, path)
	case *ast.ListType:
		for _, one := range n.List {
			all = append(all, hclLeaves(one, path)...)
		}
		if len(n.List) == 0 {
			return []string{path + "{}"}
		}
	case *ast.LiteralType:
		return []string{fmt.Sprintf("%s=%q", path, n.Token.Value())}
	}
	return all
}

// checkAgainstHCL fails if the HCL library does not read text as we do. What
// the library cannot read although JSON or HCL has it is left out.
func checkAgainstHCL(t *testing.T, text string) {
	t.Helper()
	items, err := parseItems(text)
	if err != nil {
		t.Fatal(err)
	}
	file, err := hcl.Parse(text)
	if err != nil {
		t.Errorf("we accept %q, HCL does not: %v", text, err)
		return
	}
	ours, theirs := leaves(items, ""), hclLeaves(file.Node, "")
	maskCode(ours)
	maskCode(theirs)
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) {
		t.Errorf("%q\nwe read  %v\nHCL reads %v", text, ours, theirs)
	}
}

// maskCode hides the texts of sentinel code, which have no effect: HCL changes
// the indentation of here-documents.
func maskCode(leaves []string) {
	for i, leaf := range leaves {
		if path, _, ok := strings.Cut(leaf, ".="); ok && strings.HasSuffix(strings.ToLower(path), `"sentinel"."code"`) {
			leaves[i] = path
		}
	}
}

// rulesCorpus is documents of all shapes; those that begin with "!" are refused.
var rulesCorpus = []string{
	"", "# nothing", ecsClientPolicy, ecsClientPolicyEnt,
	globalRules(Write), globalRules(Read),
	`key_prefix "_rexec" { policy = "write" }`,
	`acl = "read", operator = "write"`,
	`key "a/b\t\u00e9\U0001F600\101\x41" { policy = "list" /* why */ }`,
	"key = { \"a\" = { policy = \"read\" }, b-c.d { policy = \"write\" } }",
	"service \"web\" {\r\n  policy     = \"write\"\r\n  intentions = \"read\" # x\r\n}\r\n",
	"key \"a\" {\n policy = \"read\"\n sentinel {\n code = <<EOF\nmain = rule { true }\nEOF\n enforcementlevel = \"hard-mandatory\" }\n}",
	"key \"a\" {\n policy = \"read\"\n sentinel {\n code = <<-EOF\n  main = rule { true }\n  EOF\n }\n}",
	`{"service_prefix":{"":{"policy":"read","intentions":"write"}},"acl":"read","operator":"write"}`,
	`{"partition":{"p":{"mesh":"write","namespace_prefix":{"":{"service_prefix":{"":{"policy":"read"}}}}}}}`,
	`{"key_prefix":[{"a":[{"policy":"read"}]},{"b":[{"policy":"write"}]}]}`,
	"!acl = \"read\"\nacl = \"write\"", "!service {", "!{\"service\":", "!key \"${a\" {", "!{{{{{{{{{{", "!acl = 0x", "!<<EOF\n",
}

func TestParserReadsWhatHCLReads(t *testing.T) {
	for _, text := range rulesCorpus {
		if !strings.HasPrefix(text, "!") {
			checkAgainstHCL(t, text)
		}
	}
}

// FuzzParseRules checks that no input makes the parser panic, that errors are
// Invalid, and that what it accepts HCL reads the same way.
func FuzzParseRules(f *testing.F) {
	for _, text := range rulesCorpus {
		f.Add(strings.TrimPrefix(text, "!"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := ParseRules(text)
		switch {
		case err != nil && errs.KindOf(err) != errs.Invalid:
			t.Fatalf("%v is of kind %v", err, errs.KindOf(err))
		case err == nil:
			checkAgainstHCL(t, text)
		}
	})
}
