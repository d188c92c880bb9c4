package endpoint

import (
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestBindingRuleCreateRefuses(t *testing.T) {
	w := newWorld(t)
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}))(t)
	const invalid = `Invalid Binding Rule: invalid BindName or BindVars: failed to validate bindType `
	for _, c := range []struct {
		name string
		r    authmethod.BindingRule
		want string
	}{
		{"an ID", authmethod.BindingRule{ID: someID, AuthMethod: "m"}, "BindingRule ID in URL and payload do not match"},
		{"no auth method", authmethod.BindingRule{BindType: "service", BindName: "a"}, "Invalid Binding Rule: no AuthMethod is set"},
		{"an unknown auth method", authmethod.BindingRule{AuthMethod: "nosuch", BindType: "service", BindName: "a"}, `cannot find auth method with name "nosuch"`},
		{"no bind type", authmethod.BindingRule{AuthMethod: "m", BindName: "a"}, "Invalid Binding Rule: no BindType is set"},
		{"an unknown bind type", authmethod.BindingRule{AuthMethod: "m", BindType: "bogus", BindName: "a"},
			`Invalid Binding Rule: invalid BindName or BindVars: invalid Binding Rule: unknown BindType "bogus"`},
		{"no bind name", authmethod.BindingRule{AuthMethod: "m", BindType: "service"}, "Invalid Binding Rule: no BindName is set"},
		{"an unknown variable", authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "${nosuch}"},
			invalid + `"service": error interpreting template: 1:3: unknown variable accessed: nosuch`},
		{"a name that cannot exist", authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "bad name"},
			invalid + `"service": invalid bind name: "bad name"`},
		{"a selector with an unknown field", authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "a", Selector: `nosuch == "x"`},
			`invalid Binding Rule: Selector is invalid: Selector "nosuch" is not valid`},
		{"variables for another bind type", authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "a", BindVars: &authmethod.BindVars{}},
			"invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy."},
		{"an unknown template", authmethod.BindingRule{AuthMethod: "m", BindType: "templated-policy", BindName: "builtin/nosuch"},
			invalid + `"templated-policy": Bind name for templated-policy bind type does not match existing template name: builtin/nosuch`},
		{"a template without its variable", authmethod.BindingRule{AuthMethod: "m", BindType: "templated-policy", BindName: "builtin/service"},
			invalid + `"templated-policy": templated policy failed validation: validation error for templated policy: "builtin/service": ` +
				`service identity "" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Scope = tenancy.Default
			_, err := w.rules.Create(ctx, w.root, c.r)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
}

func TestBindingRuleUpdateReadListDelete(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"m", "n"} {
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: name, Type: "aws-iam", Scope: tenancy.Default}))(t)
	}
	r := w.rule(authmethod.BindingRule{AuthMethod: "M", BindType: "service", BindName: "a", Description: "d"})
	if r.AuthMethod != "m" {
		t.Errorf("auth method %q, want the spelling of the method", r.AuthMethod)
	}
	w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "templated-policy", BindName: "builtin/service", BindVars: &authmethod.BindVars{Name: "${entity_name}"}})
	w.rule(authmethod.BindingRule{AuthMethod: "n", BindType: "role", BindName: "b"})
	for _, c := range []struct {
		name, id string
		r        authmethod.BindingRule
		want     string
	}{
		{"another ID in the body", r.ID, authmethod.BindingRule{ID: someID}, "BindingRule ID in URL and payload do not match"},
		{"what is no UUID", "x", authmethod.BindingRule{}, "Binding Rule ID invalid UUID"},
		{"an unknown rule", someID, authmethod.BindingRule{}, "cannot find binding rule " + someID},
		{"another auth method", r.ID, authmethod.BindingRule{AuthMethod: "n"}, "the AuthMethod field of an Binding Rule is immutable"},
		{"no bind type", r.ID, authmethod.BindingRule{BindName: "a"}, "Invalid Binding Rule: no BindType is set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Scope = tenancy.Default
			_, err := w.rules.Update(ctx, w.root, c.id, c.r)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	got := must(w.rules.Update(ctx, w.root, strings.ToUpper(r.ID), authmethod.BindingRule{BindType: "node", BindName: "b", Scope: tenancy.Default}))(t)
	if got.ID != r.ID || got.AuthMethod != "m" || got.BindType != "node" || got.Description != "" {
		t.Errorf("updated %+v", got)
	}
	for method, n := range map[string]int{"": 3, "M": 2, "n": 1, "x": 0} {
		list, _, err := w.rules.List(ctx, w.root, BindingRuleList{Scope: tenancy.Default, AuthMethod: method})
		sorted := slices.IsSortedFunc(list, func(a, b authmethod.BindingRule) int { return strings.Compare(a.ID, b.ID) })
		if err != nil || list == nil || len(list) != n || !sorted {
			t.Errorf("rules of %q: %+v, %v", method, list, err)
		}
	}
	read := func(id string) (*authmethod.BindingRule, error) {
		got, _, err := w.rules.Read(ctx, w.root, BindingRuleRead{Scope: tenancy.Default, ID: id})
		return got, err
	}
	if must(read(strings.ToUpper(r.ID)))(t).ID != r.ID {
		t.Error("another rule was read")
	}
	_, err := read(someID)
	wantError(t, err, errs.NotFound, "Requested binding rule does not exist: ACL not found")
	_, err = read("x")
	wantError(t, err, errs.Invalid, "failed acl binding rule lookup: index error: UUID must be 36 characters")
	wantError(t, w.rules.Delete(ctx, w.root, tenancy.Default, someID), errs.NotFound, "Cannot find binding rule to delete")
	wantError(t, w.rules.Delete(ctx, w.root, tenancy.Default, r.ID), errs.Internal, "")
	_, err = read(r.ID)
	wantError(t, err, errs.NotFound, "Requested binding rule does not exist: ACL not found")
}
