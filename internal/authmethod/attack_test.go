package authmethod

import (
	"slices"
	"strings"
	"testing"
)

// hostile are values that an identity may carry in names and tags.
var hostile = []string{
	`" or entity_name == "admin`, `admin" or "" == "`, "admin`", "`admin", `admin\`, `\"admin\"`, "admin\n", "\nadmin", "admin\x00", "admin ", " admin",
	"${entity_name}", "$${entity_name}", "${", "}", "%{if true}", "{{.Name}}", "ADMIN\u200b", "\u212A", "admin/../admin", "admin//", "./admin", "a%2fdmin",
	"entity_name", "not false", "true", `") or ("" == "`, "*", ".*", strings.Repeat("a", 256), strings.Repeat("(", 1500),
}

// with returns an identity whose every value is one text.
func identityWith(value string) Identity {
	id := example()
	id.Attributes["entity_name"], id.Variables["entity_name"] = value, value
	id.Attributes["entity_tags"] = map[string]string{"team": value, "empty": "", "a.b": value}
	id.Variables["entity_tags.team"] = value
	return id
}

// A node name was put into a filter's text. Here text of an identity is never
// read as an expression, and never expanded.
func TestCVE_2021_41803_ValuesOfAnIdentityAreNoExpressions(t *testing.T) {
	for _, value := range hostile {
		id := identityWith(value)
		for _, selector := range []string{`entity_name == "admin"`, `entity_tags.team == "admin"`, `"admin" in groups`, `entity_name matches "^admin$"`, `entity_tags["a.b"] == "admin" or account_id == "0"`} {
			if match, err := selects(selector, id); err != nil || match {
				t.Errorf("%q: %s is %v, %v", value, selector, match, err)
			}
		}
		if match, err := selects("entity_name != admin", id); err != nil || !match {
			t.Errorf("%q equals admin: %v", value, err)
		}
		if got, err := interpolate("x-${entity_name}-${entity_tags.team}", id); err != nil || got != "x-"+value+"-"+value {
			t.Errorf("%q becomes %q, %v", value, got, err)
		}
	}
}

// A template of a path gave a name that meant another one once it was cleaned. Here
// a name from a tag is what the tag says, but for A to Z, or it is refused.
func TestCVE_2021_27099_NamesFromTagsAreNotCleaned(t *testing.T) {
	rules := func(kind, name string) []*BindingRule {
		return []*BindingRule{{AuthMethod: "m", BindType: kind, BindName: name}}
	}
	names := append(slices.Clone(hostile), "..", ".", "a/b", "a//b", "/a", "a/", "a.b", "-a", "a-", "_a", "\u017f", "\u0131", "Ａ", "a\u0301", "\u202eweb", "web\r", "")
	for _, name := range names {
		id := identityWith(name)
		for _, kind := range []string{BindService, BindNode, BindRole, BindPolicy} {
			bound, err := Bind(rules(kind, "${entity_tags.team}"), id, nil)
			for _, got := range slices.Concat(bound.Services, bound.Nodes, bound.Roles, bound.Policies) {
				if !strings.EqualFold(got, name) || strings.Trim(strings.ToLower(got), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
					t.Errorf("the tag %q gives the %s %q", name, kind, got)
				}
			}
			if err == nil && len(bound.Services)+len(bound.Nodes)+len(bound.Roles)+len(bound.Policies) != 1 {
				t.Errorf("the tag %q gives %+v", name, bound)
			}
		}
		if got, err := ChooseNamespace([]NamespaceRule{{BindNamespace: "${entity_tags.team}"}}, id, "own", nil); err == nil && !strings.EqualFold(got, name) {
			t.Errorf("the tag %q gives the namespace %q", name, got)
		}
	}
}
