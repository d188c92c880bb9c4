package endpoint

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// operation is one that needs a permission in s.
type operation struct {
	name  string
	write bool
	run   func(who acl.Caller, s tenancy.Scope) error
}

func (w *world) operations() []operation {
	templates, id := &Templates{w.Backend}, someID
	return []operation{
		{"create a token", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.tokens.Create(ctx, who, TokenWrite{Token: acl.Token{Scope: s}})
			return err
		}},
		{"update a token", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.tokens.Update(ctx, who, id, TokenWrite{Token: acl.Token{Scope: s}})
			return err
		}},
		{"clone a token", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.tokens.Clone(ctx, who, id, TokenWrite{Token: acl.Token{Scope: s}})
			return err
		}},
		{"delete a token", true, func(who acl.Caller, s tenancy.Scope) error { return w.tokens.Delete(ctx, who, s, id) }},
		{"read a token", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.tokens.Read(ctx, who, TokenRead{Scope: s, AccessorID: id})
			return err
		}},
		{"list tokens", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.tokens.List(ctx, who, TokenList{Scope: s})
			return err
		}},
		{"create a policy", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.policies.Create(ctx, who, acl.Policy{Name: "p", Scope: s})
			return err
		}},
		{"update a policy", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.policies.Update(ctx, who, id, acl.Policy{Name: "p", Scope: s})
			return err
		}},
		{"delete a policy", true, func(who acl.Caller, s tenancy.Scope) error { return w.policies.Delete(ctx, who, s, id) }},
		{"read a policy", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.policies.Read(ctx, who, PolicyRead{Scope: s, ID: id})
			return err
		}},
		{"list policies", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.policies.List(ctx, who, PolicyList{Scope: s})
			return err
		}},
		{"create a role", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.roles.Create(ctx, who, acl.Role{Name: "r", Scope: s})
			return err
		}},
		{"update a role", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.roles.Update(ctx, who, id, acl.Role{Name: "r", Scope: s})
			return err
		}},
		{"delete a role", true, func(who acl.Caller, s tenancy.Scope) error { return w.roles.Delete(ctx, who, s, id) }},
		{"read a role", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.roles.Read(ctx, who, RoleRead{Scope: s, Name: "r"})
			return err
		}},
		{"list roles", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.roles.List(ctx, who, RoleList{Scope: s})
			return err
		}},
		{"set an auth method", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.methods.Set(ctx, who, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: s})
			return err
		}},
		{"read an auth method", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.methods.Read(ctx, who, AuthMethodRead{Scope: s, Name: "m"})
			return err
		}},
		{"list auth methods", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.methods.List(ctx, who, AuthMethodList{Scope: s})
			return err
		}},
		{"delete an auth method", true, func(who acl.Caller, s tenancy.Scope) error { return w.methods.Delete(ctx, who, s, "x") }},
		{"create a binding rule", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.rules.Create(ctx, who, authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "a", Scope: s})
			return err
		}},
		{"update a binding rule", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.rules.Update(ctx, who, id, authmethod.BindingRule{Scope: s})
			return err
		}},
		{"delete a binding rule", true, func(who acl.Caller, s tenancy.Scope) error { return w.rules.Delete(ctx, who, s, id) }},
		{"read a binding rule", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.rules.Read(ctx, who, BindingRuleRead{Scope: s, ID: id})
			return err
		}},
		{"list binding rules", false, func(who acl.Caller, s tenancy.Scope) error {
			_, _, err := w.rules.List(ctx, who, BindingRuleList{Scope: s})
			return err
		}},
		{"explain a login", true, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.logins.Explain(ctx, who, LoginExplain{LoginRequest: LoginRequest{Scope: s}})
			return err
		}},
		{"look up a refused login", false, func(who acl.Caller, s tenancy.Scope) error {
			_, err := w.logins.Refused(ctx, who, s, id)
			return err
		}},
		{"list templates", false, func(who acl.Caller, s tenancy.Scope) error {
			_, err := templates.List(ctx, who, s)
			return err
		}},
		{"read a template", false, func(who acl.Caller, s tenancy.Scope) error {
			_, err := templates.Read(ctx, who, s, "builtin/dns")
			return err
		}},
		{"preview a template", false, func(who acl.Caller, s tenancy.Scope) error {
			_, err := templates.Preview(ctx, who, s, "builtin/dns", nil)
			return err
		}},
	}
}

func denied(err error) bool {
	return errs.KindOf(err) == errs.Denied && strings.HasPrefix(err.Error(), "Permission denied: ")
}

// Each operation is tried by whoever may and by whoever may not. What it then
// finds or not is not the question here.
func TestOperationsNeedTheirPermission(t *testing.T) {
	w := newWorld(t)
	team, twin, abroad := w.in("default", "team"), w.in("default", "twin"), w.in("p", "team")
	const write, read = `acl = "write"`, `acl = "read"`
	for _, c := range []struct {
		name            string
		who             acl.Caller
		mayRead, mayAll bool
	}{
		{"no token", w.resolve(""), false, false},
		{"a token without policies", w.resolve(w.token(team, acl.Token{}).SecretID), false, false},
		{"a token with every other right", w.caller(team, `key_prefix "" { policy = "write" } service_prefix "" { policy = "write" }`), false, false},
		{"a token that may read", w.caller(team, read), true, false},
		{"a token that may write", w.caller(team, write), true, true},
		{"a token of another namespace", w.caller(twin, write), false, false},
		{"a token of a namespace of the same name in another partition", w.caller(abroad, write), false, false},
		{"a token of the default namespace", w.caller(tenancy.Default, write), false, false},
		{"a token of the default namespace with a rule for this one", w.caller(tenancy.Default, `namespace "team" { acl = "write" }`), true, true},
	} {
		for _, op := range w.operations() {
			may := c.mayAll || c.mayRead && !op.write
			if err := op.run(c.who, team); denied(err) == may {
				t.Errorf("%s, %s: %v", op.name, c.name, err)
			}
		}
	}
}

func TestOperationsWithoutACLs(t *testing.T) {
	w := newWorld(t)
	w.Resolver.Enabled = false
	who := w.resolve("")
	for _, op := range w.operations() {
		wantError(t, op.run(who, tenancy.Default), errs.Unauthorized, "ACL support disabled")
	}
	_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default})
	wantError(t, err, errs.Unauthorized, "ACL support disabled")
	wantError(t, w.logins.Logout(ctx, who, "x"), errs.Unauthorized, "ACL support disabled")
	_, _, err = w.tokens.Self(ctx, w.root.Token.SecretID, Read{})
	wantError(t, err, errs.Unauthorized, "ACL support disabled")
	_, err = (&Bootstraps{Backend: w.Backend}).Bootstrap(ctx, "")
	wantError(t, err, errs.Unauthorized, "ACL support disabled")
	_, err = (&Authorizes{w.Backend}).Authorize(ctx, who, tenancy.Default, nil)
	wantError(t, err, errs.Unauthorized, "ACL support disabled")
}

func TestWritesIntoWhatDoesNotExist(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		scope tenancy.Scope
		want  string
	}{
		{tenancy.Scope{Partition: "default", Namespace: "luke"}, `Namespace "luke" does not exist`},
		{tenancy.Scope{Partition: "leia", Namespace: "default"}, `Partition "leia" does not exist`},
	} {
		for _, op := range w.operations() {
			switch op.name {
			case "create a token", "create a policy", "create a role", "set an auth method", "create a binding rule":
				wantError(t, op.run(w.root, c.scope), errs.Invalid, c.want)
			}
		}
	}
}

// acl:write in one namespace is no way to anything outside it.
func TestAttack_NamespaceACLWriteDoesNotEscalate(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	outer := w.policy(tenancy.Default, "outer", `operator = "write"`)
	outerRole := w.role(tenancy.Default, acl.Role{Name: "outer", Policies: []acl.Link{{ID: outer.ID}}})
	who := w.caller(team, `acl = "write"`)
	const lacks = " lacks permission 'acl:write'"
	for _, link := range []acl.Link{{ID: acl.GlobalManagementID}, {Name: acl.GlobalManagementName}, {ID: acl.GlobalReadOnlyID}} {
		_, err := w.tokens.Create(ctx, who, TokenWrite{Token: acl.Token{Policies: []acl.Link{link}, Scope: team}})
		if !denied(err) || !strings.HasSuffix(err.Error(), lacks) {
			t.Errorf("token with %v: %v", link, err)
		}
		_, err = w.roles.Create(ctx, who, acl.Role{Name: "r", Policies: []acl.Link{link}, Scope: team})
		if !denied(err) {
			t.Errorf("role with %v: %v", link, err)
		}
	}
	_, err := w.tokens.Create(ctx, who, TokenWrite{Token: acl.Token{Policies: []acl.Link{{ID: outer.ID}}, Scope: team}})
	wantError(t, err, errs.Invalid, `No such ACL policy with ID "`+outer.ID+`"`)
	_, err = w.tokens.Create(ctx, who, TokenWrite{Token: acl.Token{Roles: []acl.Link{{ID: outerRole.ID}}, Scope: team}})
	wantError(t, err, errs.Invalid, `No such ACL role with ID "`+outerRole.ID+`"`)
	_, err = w.spaces.Set(ctx, who, "team", tenancy.Namespace{Partition: "default",
		ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: acl.GlobalManagementID}}}})
	if !denied(err) {
		t.Errorf("defaults of the namespace: %v", err)
	}
	admin := w.token(team, acl.Token{Policies: []acl.Link{{ID: acl.GlobalManagementID}}})
	if !w.resolve(admin.SecretID).Allowed(tenancy.Default, acl.OperatorWrite, "") {
		t.Error("whoever may cannot link to the built-in policy from another namespace")
	}
	own := w.policy(team, acl.GlobalManagementName, "")
	token := w.token(team, acl.Token{Policies: []acl.Link{{Name: acl.GlobalManagementName}}})
	if token.Policies[0].ID != own.ID {
		t.Error("a policy of the namespace does not come before the built-in one of its name")
	}
}

// The same name or ID in another namespace or partition is another thing.
func TestSameNamesInSeveralScopes(t *testing.T) {
	w := newWorld(t)
	scopes := []tenancy.Scope{tenancy.Default, w.in("default", "team"), w.in("p", "default"), w.in("p", "team")}
	for i, s := range scopes {
		text := string(rune('a' + i))
		w.policy(s, "same", `key "`+text+`" { policy = "read" }`)
		w.role(s, acl.Role{Name: "same", Description: text, Policies: []acl.Link{{Name: "same"}}})
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "same", Type: "aws-iam", Description: text, Scope: s}))(t)
	}
	for i, s := range scopes {
		text := string(rune('a' + i))
		policy, _, err := w.policies.Read(ctx, w.root, PolicyRead{Scope: s, Name: "same"})
		if !strings.Contains(must(policy, err)(t).Rules, `"`+text+`"`) {
			t.Errorf("policy of %s is %q", s, policy.Rules)
		}
		role, _, err := w.roles.Read(ctx, w.root, RoleRead{Scope: s, Name: "same"})
		if must(role, err)(t).Description != text || role.Policies[0].ID != policy.ID {
			t.Errorf("role of %s is %+v", s, role)
		}
		method, _, err := w.methods.Read(ctx, w.root, AuthMethodRead{Scope: s, Name: "same"})
		if must(method, err)(t).Description != text {
			t.Errorf("method of %s is %+v", s, method)
		}
		who := w.resolve(w.token(s, acl.Token{Roles: []acl.Link{{Name: "same"}}}).SecretID)
		for j, other := range scopes {
			if got := who.Allowed(other, keyRead, text); got != (i == j) {
				t.Errorf("a token of %s reads in %s: %v", s, other, got)
			}
		}
		_, _, err = w.policies.Read(ctx, w.root, PolicyRead{Scope: scopes[(i+1)%4], ID: policy.ID})
		wantError(t, err, errs.NotFound, "Requested policy does not exist: ACL not found")
		if err := w.policies.Delete(ctx, w.root, scopes[(i+1)%4], policy.ID); errs.KindOf(err) != errs.NotFound {
			t.Errorf("policy of %s deleted elsewhere: %v", s, err)
		}
	}
}
