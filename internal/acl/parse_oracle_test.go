package acl

import (
	"encoding/json"
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

// jsonLeaves is leaves by encoding/json.
func jsonLeaves(v any, path string) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			all = append(all, jsonLeaves(one, path+fmt.Sprintf("%q.", k))...)
		}
		if len(v) == 0 && path != "" {
			return []string{path + "{}"}
		}
	case []any:
		for _, one := range v {
			if fields, ok := one.(map[string]any); ok && len(fields) == 0 {
				continue // an empty object in a list adds nothing
			}
			all = append(all, jsonLeaves(one, path)...)
		}
		if len(all) == 0 {
			return []string{path + "{}"}
		}
	default:
		return []string{fmt.Sprintf("%s=%q", path, v)}
	}
	return all
}

// checkAgainstOracles fails if encoding/json, for JSON, or the HCL library does
// not read text as we do. The library is not asked about JSON's escapes, which
// it does not know, nor about ${ in JSON, which means nothing there.
func checkAgainstOracles(t *testing.T, text string) {
	t.Helper()
	items, err := parseItems(text)
	if err != nil {
		t.Fatal(err)
	}
	ours := leaves(items, "")
	isJSON := strings.HasPrefix(strings.TrimLeft(text, space), "{")
	if isJSON {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("we accept %q, encoding/json does not: %v", text, err)
			return
		}
		compareLeaves(t, text, ours, jsonLeaves(v, ""))
	}
	if isJSON && (strings.Contains(text, `\`) || strings.Contains(text, "${")) || strings.Contains(text, "\uE123") {
		return // U+E123 is refused by the library
	}
	file, err := hcl.Parse(text)
	if err != nil {
		t.Errorf("we accept %q, HCL does not: %v", text, err)
		return
	}
	compareLeaves(t, text, ours, hclLeaves(file.Node, ""))
}

func compareLeaves(t *testing.T, text string, ours, theirs []string) {
	t.Helper()
	ours, theirs = withoutEmpty(maskCode(ours)), withoutEmpty(maskCode(theirs))
	if !slices.Equal(ours, theirs) {
		t.Errorf("%q\nwe read   %v\nthey read %v", text, ours, theirs)
	}
}

// withoutEmpty sorts leaves and drops empty objects that stand beside something else of the same
// path: in a list they add nothing.
func withoutEmpty(leaves []string) []string {
	slices.Sort(leaves)
	var kept []string
	for i, leaf := range leaves {
		path, empty := strings.CutSuffix(leaf, "{}")
		beside := func(other string) bool { return strings.HasPrefix(other, path) }
		if empty && (slices.ContainsFunc(leaves[:i], beside) || slices.ContainsFunc(leaves[i+1:], func(other string) bool { return beside(other) && other != leaf })) {
			continue
		}
		kept = append(kept, leaf)
	}
	return kept
}

// maskCode hides the texts of sentinel code, which have no effect: HCL changes
// the indentation of here-documents.
func maskCode(leaves []string) []string {
	leaves = slices.Clone(leaves)
	for i, leaf := range leaves {
		if path, _, ok := strings.Cut(leaf, ".="); ok && strings.HasSuffix(strings.ToLower(path), `"sentinel"."code"`) {
			leaves[i] = path
		}
	}
	return leaves
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
	`{"key":{"a\/b\ud83d\ude00\u0041\b":{"policy":"read"},"${x":{"policy":"deny"}}}`,
	`{"key_prefix":[{"a":[{"policy":"read"}]},{"b":[{"policy":"write"}]}]}`,
	"!acl = \"read\"\nacl = \"write\"", "!service {", "!{\"service\":", "!key \"${a\" {", "!{{{{{{{{{{", "!acl = 0x", "!<<EOF\n",
	"!key \"a\" {\n policy = \"read\"\n sentinel {\n code = <<-EOF\n x\nEOF\n }\n}",
	`{"key":[{},{}]}`, `{"key":[{},{"a":{"policy":"read"}},{}]}`,
}

func TestParserReadsWhatTheOraclesRead(t *testing.T) {
	for _, text := range rulesCorpus {
		if refused, is := strings.CutPrefix(text, "!"); is {
			if _, err := ParseRules(refused); errs.KindOf(err) != errs.Invalid {
				t.Errorf("%q: %v", refused, err)
			}
			continue
		}
		checkAgainstOracles(t, text)
	}
}

// FuzzParseRules checks that no input makes the parser panic, that errors are
// Invalid, and that what it accepts the oracles read the same way.
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
			checkAgainstOracles(t, text)
		}
	})
}
