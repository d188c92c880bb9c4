package endpoint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

func TestLogin(t *testing.T) {
	w := newWorld(t)
	role := w.role(tenancy.Default, acl.Role{Name: "Agents"})
	policy := w.policy(tenancy.Default, "extra", "")
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "Clients", Type: "aws-iam", MaxTokenTTL: 90 * time.Minute, Scope: tenancy.Default}))(t)
	for _, r := range []authmethod.BindingRule{
		{BindType: "role", BindName: "agents"},
		{BindType: "role", BindName: "${entity_name}", Selector: `account_id == "1"`}, // does not exist: skipped
		{BindType: "policy", BindName: "extra"},
		{BindType: "policy", BindName: "nosuch"},
		{BindType: "service", BindName: "${entity_tags.service}"},
		{BindType: "service", BindName: "${entity_tags.service}"},
		{BindType: "service", BindName: "never", Selector: `account_id == "2"`},
		{BindType: "node", BindName: "${entity_name}"},
		{BindType: "templated-policy", BindName: "builtin/workload-identity", BindVars: &authmethod.BindVars{Name: "${entity_name}"}},
	} {
		r.AuthMethod = "clients"
		w.rule(r)
	}
	token := must(w.logins.Login(ctx, LoginRequest{
		Scope: tenancy.Default, AuthMethod: "CLIENTS", BearerToken: "entity_name=Task entity_tags.service=WEB account_id=1",
		Meta: map[string]string{"b": `"x"`, "a/1": "arn:aws:ecs"},
	}))(t)
	end := w.clock.Add(90 * time.Minute)
	want := acl.Token{
		AccessorID: token.AccessorID, SecretID: token.SecretID,
		Description:         `token created via login: {"a/1":"arn:aws:ecs","b":"\"x\""}`,
		Policies:            []acl.Link{{ID: policy.ID, Name: "extra"}},
		Roles:               []acl.Link{{ID: role.ID, Name: "Agents"}},
		ServiceIdentities:   []acl.ServiceIdentity{{ServiceName: "web"}},
		NodeIdentities:      []acl.NodeIdentity{{NodeName: "task", Datacenter: "dc1"}},
		TemplatedPolicies:   []acl.TemplatedPolicy{{TemplateID: acl.ReservedUUIDPrefix + "07", TemplateName: "builtin/workload-identity", TemplateVariables: &acl.TemplateVariables{Name: "Task"}}},
		Local:               true,
		AuthMethod:          "Clients",
		AuthMethodNamespace: "default",
		ExpirationTime:      &end,
		CreateTime:          w.clock,
		Scope:               tenancy.Default,
		CreateIndex:         token.CreateIndex,
		ModifyIndex:         token.CreateIndex,
	}
	want.SetHash()
	if got, want := asJSON(t, token), asJSON(t, want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	self, _, err := w.tokens.Self(ctx, token.SecretID, Read{})
	if got, want := asJSON(t, must(self, err)(t)), asJSON(t, want); got != want {
		t.Errorf("stored %s\nwant   %s", got, want)
	}
	if !uuid.Valid(token.AccessorID) || !uuid.Valid(token.SecretID.Reveal()) {
		t.Errorf("ids %s and %s", token.AccessorID, token.SecretID.Reveal())
	}
	if !w.resolve(token.SecretID).Allowed(tenancy.Default, acl.ServiceWrite, "web") {
		t.Error("the token does not work")
	}
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "clients", Type: "aws-iam", TokenLocality: "global", Scope: tenancy.Default}))(t)
	token = must(w.logins.Login(ctx, LoginRequest{
		Scope: tenancy.Default, AuthMethod: "clients", BearerToken: "entity_name=task entity_tags.service=web", Meta: map[string]string{},
	}))(t)
	if token.Local || token.ExpirationTime != nil || token.Description != "token created via login" {
		t.Errorf("token of the changed method: %s", asJSON(t, token))
	}
}

// Whatever step a login fails at, there are as many tokens afterwards as before.
func TestCVE_2026_46405_LoginThatFailsLeavesNoToken(t *testing.T) {
	canceled := func() (context.Context, func()) {
		c, cancel := context.WithCancel(ctx)
		return c, cancel
	}
	for _, c := range []struct {
		name   string
		method string
		bearer logging.Secret
		meta   map[string]string
		rules  []authmethod.BindingRule
		spaces []authmethod.NamespaceRule
		kind   errs.Kind
		want   string
	}{
		{name: "an unknown method", method: "x", kind: errs.Denied, want: `ACL not found: auth method "x" not found`},
		{name: "a bearer that cannot be understood", bearer: "x", kind: errs.Invalid, want: "invalid token: unexpected end of JSON input"},
		{name: "a bearer that is refused", bearer: "refused", kind: errs.Denied, want: "IAM principal is not trusted"},
		{name: "a bearer that is too long", bearer: logging.Secret(strings.Repeat("x", 64<<10+1)), kind: errs.Invalid, want: "BearerToken is longer than 65536 bytes"},
		{name: "too much meta", meta: map[string]string{"k": strings.Repeat("x", 8<<10)}, kind: errs.Invalid, want: "Meta is longer than 8192 bytes"},
		{name: "too many pairs of meta", meta: manyPairs(65), kind: errs.Invalid, want: "Meta has more than 64 pairs"},
		{name: "no binding rule", bearer: "entity_name=a", kind: errs.Denied, want: "Permission denied"},
		{name: "no rule that matches", bearer: "entity_name=a", kind: errs.Denied, want: "Permission denied",
			rules: []authmethod.BindingRule{{BindType: "service", BindName: "a", Selector: `entity_name == "b"`}}},
		{name: "only roles and policies that do not exist", bearer: "entity_name=a", kind: errs.Denied, want: "Permission denied",
			rules: []authmethod.BindingRule{{BindType: "role", BindName: "${entity_name}"}, {BindType: "policy", BindName: "nosuch"}}},
		{name: "a missing tag", bearer: "entity_name=a", kind: errs.Invalid, want: `invalid bind name: ""`,
			rules: []authmethod.BindingRule{{BindType: "service", BindName: "ok"}, {BindType: "service", BindName: "${entity_tags.service}"}}},
		{name: "a tag that is no service name", bearer: "entity_tags.service=a.b", kind: errs.Invalid, want: `invalid bind name: "a.b"`,
			rules: []authmethod.BindingRule{{BindType: "service", BindName: "${entity_tags.service}"}}},
		{name: "a template variable that is no service name", bearer: "entity_tags.service=a.b", kind: errs.Invalid,
			want:  `validation error for templated policy "builtin/service": service identity "a.b" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`,
			rules: []authmethod.BindingRule{{BindType: "templated-policy", BindName: "builtin/service", BindVars: &authmethod.BindVars{Name: "${entity_tags.service}"}}}},
		{name: "a namespace that does not exist", bearer: "entity_name=a entity_tags.ns=luke", kind: errs.Invalid, want: `Namespace "luke" does not exist`,
			rules:  []authmethod.BindingRule{{BindType: "service", BindName: "a"}},
			spaces: []authmethod.NamespaceRule{{BindNamespace: "${entity_tags.ns}"}}},
		{name: "a namespace that cannot exist", bearer: "entity_name=a entity_tags.ns=a_b", kind: errs.Invalid, want: `invalid bind namespace: "a_b"`,
			rules:  []authmethod.BindingRule{{BindType: "service", BindName: "a"}},
			spaces: []authmethod.NamespaceRule{{BindNamespace: "${entity_tags.ns}"}}},
		{name: "a node in another namespace", bearer: "entity_name=a entity_tags.ns=team", kind: errs.Invalid,
			want:   `Node identity "a" is only allowed in the default namespace, not in "team"`,
			rules:  []authmethod.BindingRule{{BindType: "node", BindName: "a"}},
			spaces: []authmethod.NamespaceRule{{BindNamespace: "${entity_tags.ns}"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.in("default", "team")
			must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", NamespaceRules: c.spaces, Scope: tenancy.Default}))(t)
			for _, r := range c.rules {
				r.AuthMethod = "m"
				w.rule(r)
			}
			before := w.countTokens()
			req := LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: c.bearer, Meta: c.meta}
			if c.method != "" {
				req.AuthMethod = c.method
			}
			_, err := w.logins.Login(ctx, req)
			wantError(t, err, c.kind, c.want)
			if n := w.countTokens(); n != before {
				t.Errorf("%d tokens, before %d", n, before)
			}
		})
	}
	for _, c := range []struct {
		name string
		step func(w *world, now func())
		want error
	}{
		{"while it is verified", func(w *world, now func()) { w.kind.during = now }, context.Canceled},
		{"while its token is stored", func(w *world, now func()) {
			w.raft.before = func(cmd fsm.Command) {
				if _, ok := cmd.(fsm.Login); ok {
					now()
				}
			}
		}, context.Canceled},
	} {
		t.Run("canceled "+c.name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			before := w.countTokens()
			ctx, cancel := canceled()
			c.step(w, cancel)
			_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=web"})
			if !errors.Is(err, c.want) {
				t.Errorf("error %v", err)
			}
			if n := w.countTokens(); n != before {
				t.Errorf("%d tokens, before %d", n, before)
			}
		})
	}
}

func manyPairs(n int) map[string]string {
	pairs := map[string]string{}
	for range n {
		pairs[uuid.New()] = ""
	}
	return pairs
}

// A login never outlives its method: neither deleted nor changed while the
// login is under way.
func TestLoginWhileItsMethodChanges(t *testing.T) {
	deleted := func(w *world) {
		if err := w.methods.Delete(ctx, w.root, tenancy.Default, "m"); err != nil {
			w.t.Error(err)
		}
	}
	recreated := func(w *world) {
		deleted(w)
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}))(w.t)
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "other"})
	}
	replaced := func(w *world) {
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Description: "stricter", Scope: tenancy.Default}))(w.t)
	}
	const gone = `ACL not found: auth method "m" not found`
	const changed = `auth method "m" was changed during the login`
	for _, c := range []struct {
		name   string
		change func(*world)
		verify bool // while the login is verified, else while its token is stored
		kind   errs.Kind
		want   string
	}{
		{"deleted while it is verified", deleted, true, errs.Denied, gone},
		{"deleted while the token is stored", deleted, false, errs.Denied, gone},
		{"recreated while it is verified", recreated, true, errs.Unavailable, changed},
		{"recreated while the token is stored", recreated, false, errs.Denied, gone},
		{"replaced while it is verified", replaced, true, errs.Unavailable, changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			var once sync.Once
			if c.verify {
				w.kind.during = func() { once.Do(func() { c.change(w) }) }
			} else {
				w.raft.before = func(cmd fsm.Command) {
					if _, ok := cmd.(fsm.Login); ok {
						c.change(w)
					}
				}
			}
			_, err := w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=late"})
			wantError(t, err, c.kind, c.want)
			tokens, _, err := w.tokens.List(ctx, w.root, TokenList{Scope: tenancy.Default, ServiceName: "login-late"})
			if err != nil || len(tokens) != 0 {
				t.Errorf("tokens %v, %v", tokens, err)
			}
		})
	}
}

func TestLoginIntoNamespaces(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	w.role(tenancy.Default, acl.Role{Name: "reader"})
	theirs := w.role(team, acl.Role{Name: "reader"})
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{
		Name: "m", Type: "aws-iam", Scope: tenancy.Default,
		NamespaceRules: []authmethod.NamespaceRule{{Selector: `entity_tags["ns"] != ""`, BindNamespace: "${entity_tags.ns}"}},
	}))(t)
	w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "role", BindName: "reader"})
	w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "${entity_name}"})
	login := func(bearer logging.Secret) *acl.Token {
		t.Helper()
		return must(w.logins.Login(ctx, LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: bearer}))(t)
	}
	token := login("entity_name=web entity_tags.ns=TEAM")
	if token.Scope != team || token.AuthMethodNamespace != "default" || !slices.Equal(token.Roles, []acl.Link{{ID: theirs.ID, Name: "reader"}}) {
		t.Errorf("token %s", asJSON(t, token))
	}
	who := w.resolve(token.SecretID)
	if !who.Allowed(team, acl.ServiceWrite, "web") || who.Allowed(tenancy.Default, acl.ServiceWrite, "web") {
		t.Error("the identity does not count in the token's namespace alone")
	}
	if token := login("entity_name=web"); token.Scope != tenancy.Default {
		t.Errorf("token in %s", token.Scope)
	}
	if err := w.methods.Delete(ctx, w.root, tenancy.Default, "m"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Resolver.Resolve(ctx, token.SecretID); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("a token in another namespace outlives its method: %v", err)
	}
}

// A method of another namespace or partition is another method, and a rule
// for it reaches nothing outside.
func TestLoginWithMethodsOfTheSameName(t *testing.T) {
	w := newWorld(t)
	scopes := []tenancy.Scope{tenancy.Default, w.in("default", "team"), w.in("p", "default")}
	for i, s := range scopes {
		must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: s}))(t)
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "service", BindName: "in-" + string(rune('a'+i)), Scope: s})
		w.rule(authmethod.BindingRule{AuthMethod: "m", BindType: "policy", BindName: acl.GlobalManagementName, Scope: s})
	}
	for i, s := range scopes {
		token := must(w.logins.Login(ctx, LoginRequest{Scope: s, AuthMethod: "m", BearerToken: "entity_name=a"}))(t)
		if token.Scope != s || len(token.ServiceIdentities) != 1 || token.ServiceIdentities[0].ServiceName != "in-"+string(rune('a'+i)) {
			t.Errorf("in %s: %s", s, asJSON(t, token))
		}
		if got := w.resolve(token.SecretID).Allowed(tenancy.Default, acl.OperatorWrite, ""); got != s.IsDefault() {
			t.Errorf("in %s: a rule that names the built-in policy gives operator:write: %v", s, got)
		}
	}
}

func TestLogout(t *testing.T) {
	w := newWorld(t)
	token := w.login(t)
	logout := func(secret logging.Secret) error {
		who, err := w.Resolver.Resolve(ctx, secret)
		if err != nil {
			return err
		}
		return w.logins.Logout(ctx, who, secret)
	}
	for _, c := range []struct {
		name   string
		secret logging.Secret
		kind   errs.Kind
		want   string
	}{
		{"no token", "", errs.Unauthorized, "Supplied token does not exist"},
		{"an unknown token", "x", errs.Denied, "ACL not found"},
		{"the anonymous token", acl.AnonymousSecret, errs.Denied, "Permission denied: token wasn't created via login"},
		{"a management token", w.root.Token.SecretID, errs.Denied, "Permission denied: token wasn't created via login"},
		{"a login's token", token.SecretID, errs.Internal, ""},
		{"the same again", token.SecretID, errs.Denied, "ACL not found"},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, logout(c.secret), c.kind, c.want) })
	}
}
