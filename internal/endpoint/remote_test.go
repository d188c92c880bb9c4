package endpoint

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// compiled returns what a client agent makes of an answer.
func compiled(t *testing.T, a *ResolveAnswer) *acl.Authorizer {
	t.Helper()
	data, err := json.Marshal(a) // it travels
	if err != nil {
		t.Fatal(err)
	}
	var got ResolveAnswer
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	grants := func(in []ResolvedGrant) (out []acl.Grant) {
		for _, g := range in {
			rules, err := acl.ParseRules(g.Rules)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, acl.Grant{Rules: rules, Scope: g.Scope})
		}
		return out
	}
	return acl.Compile(grants(got.Grants), grants(got.DefaultGrants), acl.Defaults{})
}

func TestAnAgentDecidesAsTheServerDoes(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	policy := w.policy(team, "p", `key_prefix "app/" { policy = "write" } key "app/secret" { policy = "deny" }`)
	given := w.policy(tenancy.Default, "given", `namespace "team" { key_prefix "" { policy = "read" } }`)
	elsewhere := must(w.policies.Create(ctx, w.root, acl.Policy{Name: "elsewhere", Scope: team, Datacenters: []string{"dc2"},
		Rules: `key_prefix "" { policy = "write" }`}))(t)
	role := w.role(team, acl.Role{Name: "r", ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}})
	must(w.spaces.Set(ctx, w.root, "team", tenancy.Namespace{Name: "team", Partition: "default",
		ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: given.ID}}}}))(t)
	token := w.token(team, acl.Token{
		Policies: []acl.Link{{ID: policy.ID}, {ID: elsewhere.ID}},
		Roles:    []acl.Link{{ID: role.ID}},
	})
	answer := must(w.Resolver.Describe(ctx, ResolveRequest{Secret: token.SecretID}))(t)
	if answer.AccessorID != token.AccessorID || answer.Scope != team || answer.Index < token.ModifyIndex {
		t.Errorf("answer %+v", answer)
	}
	ours, theirs := w.resolve(token.SecretID).Authorizer, compiled(t, answer)
	allowed := 0
	for _, scope := range []tenancy.Scope{team, tenancy.Default} {
		for _, segment := range []string{"app/x", "app/secret", "other", "web", "web-sidecar-proxy", ""} {
			for _, p := range []acl.Permission{
				{Resource: acl.Key, Access: acl.Read}, {Resource: acl.Key, Access: acl.Write},
				{Resource: acl.Service, Access: acl.Read}, {Resource: acl.Service, Access: acl.Write},
				{Resource: acl.Node, Access: acl.Write}, acl.ACLRead,
			} {
				want := ours.Allowed(scope, p, segment)
				if got := theirs.Allowed(scope, p, segment); got != want {
					t.Errorf("%v on %q in %v: the agent says %v", p, segment, scope, got)
				}
				if want {
					allowed++
				}
			}
		}
	}
	if allowed < 5 {
		t.Errorf("only %d of the questions are allowed: nothing was compared", allowed)
	}
}

func TestWhoAnAgentIsToldOf(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Resolver.Describe(ctx, ResolveRequest{Secret: "nobody's"}); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("an unknown secret: %v", err)
	}
	anonymous := must(w.Resolver.Describe(ctx, ResolveRequest{}))(t)
	if anonymous.AccessorID != acl.AnonymousAccessor {
		t.Errorf("no secret: %+v", anonymous)
	}
	login := w.login(t)
	answer := must(w.Resolver.Describe(ctx, ResolveRequest{Secret: login.SecretID}))(t)
	if answer.ExpirationTime == nil || !answer.ExpirationTime.Equal(*login.ExpirationTime) || len(answer.Grants) != 1 {
		t.Errorf("a login: %+v", answer)
	}
	w.clock = *login.ExpirationTime
	if _, err := w.Resolver.Describe(ctx, ResolveRequest{Secret: login.SecretID}); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("an expired token: %v", err)
	}
	w.Resolver.Applied = func() uint64 { return 1 << 40 }
	if got := must(w.Resolver.Describe(ctx, ResolveRequest{}))(t); got.Index != 1<<40 {
		t.Errorf("index %d", got.Index)
	}
	w.Resolver.Enabled = false
	if _, err := w.Resolver.Describe(ctx, ResolveRequest{}); !errors.Is(err, acl.ErrDisabled) {
		t.Errorf("without ACLs: %v", err)
	}

	empty := newEmptyResolver()
	if got := must(empty.Describe(ctx, ResolveRequest{}))(t); got.AccessorID != acl.AnonymousAccessor || len(got.Grants) != 0 {
		t.Errorf("before there is an anonymous token: %+v", got)
	}
	if _, err := empty.Describe(ctx, ResolveRequest{Secret: "x"}); err == nil || !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("before the bootstrap: %v", err)
	}
}

func newEmptyResolver() *Resolver {
	return &Resolver{Store: state.New(), Enabled: true}
}
