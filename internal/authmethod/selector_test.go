package authmethod

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

func TestSelectors(t *testing.T) {
	for _, c := range []struct {
		selector string
		want     bool
	}{
		{"", true},
		{`entity_name == "example"`, true},
		{`entity_name != "example"`, false},
		{"entity_name == `example`", true},
		{"entity_name == example", true},
		{"account_id == 123456789012", true},
		{`entity_tags["team"] == "eng"`, true},
		{`entity_tags.team == "eng"`, true},
		{`entity_tags["a.b"] == "/x/y"`, true},
		{`entity_tags["a.b"] == "x/y"`, false},
		{`"/x" in entity_tags["a.b"]`, true},
		{`entity_path == "/consul-ecs/"`, true},
		{`entity_tags["nosuch"] == ""`, false},
		{`entity_tags["nosuch"] != ""`, true},
		{`entity_tags["nosuch"] matches ".*"`, false},
		{`entity_tags["nosuch"] not matches ".*"`, true},
		{`entity_tags["empty"] == ""`, true},
		{`entity_tags["empty"] != ""`, false},
		{`"team" in entity_tags`, true},
		{`"nosuch" not in entity_tags`, true},
		{`entity_tags contains "team"`, true},
		{`entity_tags not contains "team"`, false},
		{`"amp" in entity_name`, true},
		{`entity_name contains "amp"`, true},
		{`entity_name not contains "amp"`, false},
		{`entity_name matches "^ex.*"`, true},
		{`entity_name matches "amp"`, true},
		{`entity_name not matches "^amp"`, true},
		{`entity_tags is empty`, false},
		{`entity_tags is not empty`, true},
		{`"eng" in groups`, true},
		{`"eng" in list.groups`, true},
		{`"hr" not in list.groups`, true},
		{`list.none is empty`, true},
		{`list.nosuch is empty`, true},
		{`groups is not empty`, true},
		{`list is not empty`, true},
		{`"groups" in list`, true},
		{`entity_name == "x" or entity_name == "example" and account_id == 1`, false},
		{`(entity_name == "x" or entity_name == "example") and account_id != 1`, true},
		{`not entity_name == "x" and not (account_id == 1 or account_id == 2)`, true},
		{`not not entity_name == "example"`, true},
		{`((((entity_name == "example"))))`, true},
	} {
		t.Run(c.selector, func(t *testing.T) {
			got, err := selects(c.selector, example())
			if err != nil || got != c.want {
				t.Errorf("got %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

func TestSelectorErrors(t *testing.T) {
	for _, c := range []struct{ name, selector, text string }{
		{"an unknown attribute", `nosuch == "x"`, `Selector "nosuch" is not valid`},
		{"other capitals", `Entity_name == "x"`, `Selector "Entity_name" is not valid`},
		{"too long a path", `entity_tags.a.b == "x"`, `Selector "entity_tags.a.b" is not valid`},
		{"a path into a text", `entity_name.a == "x"`, `Selector "entity_name.a" is not valid`},
		{"an index into a list", `groups.0 == "x"`, `Selector "groups.0" is not valid`},
		{"emptiness of a text", "entity_name is empty", `Invalid match operator "Is Empty" for selector "entity_name"`},
		{"emptiness of a missing key", `entity_tags["x"] is empty`, `Invalid match operator "Is Empty" for selector "entity_tags.x"`},
		{"equality of a map", `entity_tags == "x"`, `Invalid match operator "Equal" for selector "entity_tags"`},
		{"a pattern for a list", `groups matches "x"`, `Invalid match operator "Matches" for selector "groups"`},
		{"nil", "entity_name is nil", `Invalid match operator "Is Nil" for selector "entity_name"`},
		{"a quantifier", `any groups as g { g == "x" }`, "any and all are not supported"},
		{"a bad pattern", `entity_name matches "("`, "error parsing regexp: missing closing ): `(`"},
		{"a bad pattern behind an or", `entity_name == "example" or entity_name matches "("`, "error parsing regexp: missing closing ): `(`"},
		{"blanks", "  ", `1:3 (2): no match found, expected: "(", "-", "0", "\"", "` + "`" + `", "all", "any", "not", [ \t\r\n], [1-9] or [a-zA-Z]`},
		{"other signs", `entity_name == "a" && account_id == 1`, `1:20 (19): no match found, expected: "and", "or", [ \t\r\n] or EOF`},
		{"a hyphen in a bare word", "entity_name == a-b", `1:17 (16): no match found, expected: ".", "[", [ \t\r\n], [a-zA-Z0-9_/] or EOF`},
		{"a long text", strings.Repeat("a", 4097), "the expression is longer than 4096 bytes"},
		{"many parentheses", strings.Repeat("(", 40) + `entity_name == "a"` + strings.Repeat(")", 40), "the expression is nested too deeply"},
		{"many open parentheses", strings.Repeat("(", 4000), "the expression is nested too deeply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseSelector(c.selector, example())
			wantError(t, err, errs.Invalid, c.text)
		})
	}
}

// TestSelectorOfAnotherShape uses one selector for identities of another shape.
func TestSelectorOfAnotherShape(t *testing.T) {
	s, err := ParseSelector(`entity_name == "example" or "x" in entity_tags or entity_tags is not empty`, example())
	if err != nil {
		t.Fatal(err)
	}
	if s.Match(Identity{Attributes: map[string]any{"entity_name": []string{"example"}, "entity_tags": 3}}) {
		t.Error("an identity without such attributes matches")
	}
	if s.Match(Identity{}) {
		t.Error("an empty identity matches")
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add("Count", "3")
	f.Add("count", "x")
	f.Add("", "\x00")
	f.Fuzz(func(t *testing.T, key, value string) {
		var s struct{ Count int }
		if err := DecodeConfig(map[string]any{key: value, "Count": value}, &s); err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("got kind %s: %v", errs.KindOf(err), err)
		}
	})
}

func BenchmarkSelector(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := selects(`entity_tags["consul.hashicorp.com.namespace"] != ""`, example()); err != nil {
			b.Fatal(err)
		}
	}
}
