package endpoint

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/wire"
)

var (
	keyRead  = acl.Permission{Resource: acl.Key, Access: acl.Read}
	keyWrite = acl.Permission{Resource: acl.Key, Access: acl.Write}
)

func TestResolveCollectsWhatATokenIsLinkedTo(t *testing.T) {
	w := newWorld(t)
	here := tenancy.Default
	there := w.in("default", "team")
	direct := w.policy(here, "direct", `key "direct" { policy = "write" }`)
	viaRole := w.policy(here, "via-role", `key "role" { policy = "write" }`)
	elsewhere := must(w.policies.Create(ctx, w.root, acl.Policy{
		Name: "elsewhere", Rules: `key_prefix "" { policy = "write" }`, Datacenters: []string{"dc2"}, Scope: here,
	}))(t)
	role := w.role(here, acl.Role{
		Name: "r", Policies: []acl.Link{{Name: "via-role"}}, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "api"}},
	})
	token := w.token(here, acl.Token{
		Policies:          []acl.Link{{ID: direct.ID}, {Name: "ELSEWHERE"}},
		Roles:             []acl.Link{{Name: "R"}},
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}, {ServiceName: "far", Datacenters: []string{"dc2"}}},
		NodeIdentities:    []acl.NodeIdentity{{NodeName: "n1", Datacenter: "dc1"}, {NodeName: "n2", Datacenter: "dc2"}},
		TemplatedPolicies: []acl.TemplatedPolicy{{TemplateName: "builtin/workload-identity", TemplateVariables: &acl.TemplateVariables{Name: "job"}}},
	})
	if len(role.Policies) != 1 || role.Policies[0].ID != viaRole.ID || elsewhere.ID == "" {
		t.Fatalf("role links to %v", role.Policies)
	}
	who := w.resolve(token.SecretID)
	identityWrite := acl.Permission{Resource: acl.Identity, Access: acl.Write}
	for _, c := range []struct {
		name    string
		scope   tenancy.Scope
		p       acl.Permission
		segment string
		want    bool
	}{
		{"a linked policy counts", here, keyWrite, "direct", true},
		{"a policy of a role counts", here, keyWrite, "role", true},
		{"a policy for another datacenter does not", here, keyRead, "other", false},
		{"a service identity grants its service", here, acl.ServiceWrite, "web", true},
		{"and its sidecar proxy", here, acl.ServiceWrite, "web-sidecar-proxy", true},
		{"a service identity for another datacenter does not count", here, acl.ServiceWrite, "far", false},
		{"a role's service identity counts", here, acl.ServiceWrite, "api", true},
		{"a node identity grants its node", here, acl.NodeWrite, "n1", true},
		{"one for another datacenter does not count", here, acl.NodeWrite, "n2", false},
		{"a templated policy counts", here, identityWrite, "job", true},
		{"nothing reaches another namespace", there, keyWrite, "direct", false},
		{"a service identity does not either", there, acl.ServiceWrite, "web", false},
		{"what no rule says is denied", here, keyRead, "x", false},
	} {
		if got := who.Allowed(c.scope, c.p, c.segment); got != c.want {
			t.Errorf("%s: %s on %q in %s is %v", c.name, c.p, c.segment, c.scope, got)
		}
	}
}

func TestCVE_2020_12797_ResolveFollowsEveryChange(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", `key "a" { policy = "read" }`)
	r := w.role(tenancy.Default, acl.Role{Name: "r"})
	token := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}, Roles: []acl.Link{{ID: r.ID}}})
	check := func(when, key string, want bool) {
		t.Helper()
		for range 2 { // cold and warm
			if got := w.resolve(token.SecretID).Allowed(tenancy.Default, keyRead, key); got != want {
				t.Fatalf("%s: key %q readable: %v", when, key, got)
			}
		}
	}
	check("at first", "a", true)
	update := *p
	update.Rules = `key "b" { policy = "read" }`
	must(w.policies.Update(ctx, w.root, p.ID, update))(t)
	check("after the rules changed", "a", false)
	check("after the rules changed", "b", true)
	q := w.policy(tenancy.Default, "q", `key "c" { policy = "read" }`)
	check("before the role links", "c", false)
	linked := *r
	linked.Policies = []acl.Link{{ID: q.ID}}
	must(w.roles.Update(ctx, w.root, r.ID, linked))(t)
	check("after the role links", "c", true)
	if err := w.policies.Delete(ctx, w.root, tenancy.Default, p.ID); err != nil {
		t.Fatal(err)
	}
	check("after the policy is gone", "b", false)
	if err := w.roles.Delete(ctx, w.root, tenancy.Default, r.ID); err != nil {
		t.Fatal(err)
	}
	check("after the role is gone", "c", false)
	must(w.tokens.Update(ctx, w.root, token.AccessorID, TokenWrite{Token: acl.Token{
		Policies: []acl.Link{{ID: q.ID}}, Scope: tenancy.Default,
	}}))(t)
	check("after the token changed", "c", true)
	if err := w.tokens.Delete(ctx, w.root, tenancy.Default, token.AccessorID); err != nil {
		t.Fatal(err)
	}
	_, err := w.Resolver.Resolve(ctx, token.SecretID)
	wantError(t, err, errs.Denied, "ACL not found")
}

func TestResolveOfOtherSecrets(t *testing.T) {
	w := newWorld(t)
	if who := w.resolve(""); !who.Anonymous() {
		t.Error("no secret is not the anonymous token")
	}
	if who := w.resolve(acl.AnonymousSecret); !who.Anonymous() {
		t.Error("the anonymous secret is not the anonymous token")
	}
	for _, secret := range []logging.Secret{"x", logging.Hidden, acl.AnonymousAccessor, logging.Secret(w.root.AccessorID)} {
		_, err := w.Resolver.Resolve(ctx, secret)
		if !errors.Is(err, acl.ErrNotFound) {
			t.Errorf("secret %q resolves: %v", secret.Reveal(), err)
		}
	}
	w.Resolver.Recovery = func() logging.Secret { return "break-glass" }
	who := w.resolve("break-glass")
	for _, c := range []struct {
		p       acl.Permission
		segment string
		want    bool
	}{
		{acl.AgentWrite, "n1", true}, {acl.AgentRead, "n2", false},
		{acl.NodeRead, "anything", true}, {acl.NodeWrite, "n1", false}, {acl.ACLRead, "", false},
	} {
		if got := who.Allowed(tenancy.Default, c.p, c.segment); got != c.want {
			t.Errorf("recovery token: %s on %q is %v", c.p, c.segment, got)
		}
	}
	_, _, err := w.tokens.Read(ctx, who, TokenRead{Scope: tenancy.Default, AccessorID: w.root.AccessorID})
	wantError(t, err, errs.Denied, "Permission denied: token with AccessorID 'agent-recovery:n1' lacks permission 'acl:read'")
	w.Resolver.Recovery = func() logging.Secret { return "" }
	if who := w.resolve(""); !who.Anonymous() {
		t.Error("an unset recovery token matches no secret")
	}
}

func TestResolveBeforeBootstrap(t *testing.T) {
	w := emptyWorld(t)
	_, err := w.Resolver.Resolve(ctx, "x")
	wantError(t, err, errs.Denied, "ACL system must be bootstrapped before making any requests that require authorization: ACL not found")
	if who := w.resolve(""); !who.Anonymous() {
		t.Error("no secret is not the anonymous token")
	}
	w.propose(fsm.TokenDelete{Scope: tenancy.Default, AccessorID: acl.AnonymousAccessor})
	if who := w.resolve(""); !who.Anonymous() || who.Allowed(tenancy.Default, keyRead, "") {
		t.Error("a missing anonymous token is not one without rights")
	}
}

func TestResolveTreatsExpiredAsUnknown(t *testing.T) {
	w := newWorld(t)
	token := must(w.tokens.Create(ctx, w.root, TokenWrite{
		Token: acl.Token{Scope: tenancy.Default}, ExpirationTTL: wire.OptionalDuration(time.Minute),
	}))(t)
	w.resolve(token.SecretID)
	w.clock = w.clock.Add(time.Minute)
	_, err := w.Resolver.Resolve(ctx, token.SecretID)
	wantError(t, err, errs.Denied, "ACL not found")
	_, _, err = w.tokens.Self(ctx, token.SecretID, Read{})
	wantError(t, err, errs.Denied, "token does not exist: ACL not found")
}

func TestResolveWithoutACLs(t *testing.T) {
	w := newWorld(t)
	w.Resolver.Enabled = false
	if who := w.resolve("whatever"); !who.Allowed(tenancy.Default, acl.ACLWrite, "") {
		t.Error("somebody may not do something although ACLs are off")
	}
}

func TestNamespaceDefaultsCountBelowATokensOwn(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	p := w.policy(tenancy.Default, "floor", `namespace "team" {
  key_prefix "" { policy = "write" }
  service_prefix "" { policy = "read" }
}`)
	r := w.role(tenancy.Default, acl.Role{Name: "all", Policies: []acl.Link{{ID: p.ID}}})
	token := w.caller(team, `key_prefix "" { policy = "read" }`)
	for _, acls := range []*tenancy.NamespaceACLs{
		{PolicyDefaults: []tenancy.Link{{Name: "floor"}}},
		{RoleDefaults: []tenancy.Link{{ID: r.ID}}},
	} {
		n := must(w.spaces.Set(ctx, w.root, "team", tenancy.Namespace{Partition: "default", ACLs: acls}))(t)
		if got := append(n.ACLs.PolicyDefaults, n.ACLs.RoleDefaults...); len(got) != 1 || got[0].ID == "" || got[0].Name == "" {
			t.Fatalf("links of the namespace: %v", got)
		}
		who := w.resolve(token.Token.SecretID)
		if who.Allowed(team, keyWrite, "a") || !who.Allowed(team, keyRead, "a") {
			t.Error("a namespace default overrules the token's own rule")
		}
		if !who.Allowed(team, acl.ServiceRead, "web") {
			t.Error("a namespace default does not count")
		}
	}
	must(w.spaces.Set(ctx, w.root, "team", tenancy.Namespace{Partition: "default"}))(t)
	if w.resolve(token.Token.SecretID).Allowed(team, acl.ServiceRead, "web") {
		t.Error("a namespace default counts after it was taken away")
	}
}

// Resolving while policies change sees one version or the other, never an old
// one after a new one.
func TestResolveWhilePoliciesChange(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", `key "v0" { policy = "read" }`)
	token := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}})
	const versions = 50
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for last := 0; ; {
				select {
				case <-stop:
					return
				default:
				}
				who, err := w.Resolver.Resolve(ctx, token.SecretID)
				if err != nil {
					t.Error(err)
					return
				}
				seen := -1
				for v := range versions + 1 {
					if who.Allowed(tenancy.Default, keyRead, fmt.Sprintf("v%d", v)) {
						seen = v
					}
				}
				if seen < last {
					t.Errorf("version %d after version %d", seen, last)
					return
				}
				last = seen
			}
		})
	}
	for v := range versions {
		update := *p
		update.Rules = fmt.Sprintf(`key "v%d" { policy = "read" }`, v+1)
		must(w.policies.Update(ctx, w.root, p.ID, update))(t)
	}
	close(stop)
	readers.Wait()
}

func TestWarmResolveAllocatesLittle(t *testing.T) {
	w := newWorld(t)
	who := w.caller(tenancy.Default, `key "a" { policy = "read" }`)
	secret := who.Token.SecretID
	allocs := testing.AllocsPerRun(100, func() { w.resolve(secret) })
	if allocs > 12 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestTokensWithTheSameRightsShareAnAuthorizer(t *testing.T) {
	w := newWorld(t)
	a := w.policy(tenancy.Default, "a", `key "a" { policy = "read" }`)
	b := w.policy(tenancy.Default, "b", `key "b" { policy = "read" }`)
	links := []acl.Link{{ID: a.ID}, {ID: b.ID}}
	one := w.resolve(w.token(tenancy.Default, acl.Token{Policies: links}).SecretID)
	two := w.resolve(w.token(tenancy.Default, acl.Token{Policies: []acl.Link{links[1], links[0]}}).SecretID)
	other := w.resolve(w.token(tenancy.Default, acl.Token{Policies: links[:1]}).SecretID)
	if one.Authorizer != two.Authorizer || one.Authorizer == other.Authorizer {
		t.Error("authorizers are not shared by content")
	}
	twin := w.in("default", "twin")
	mine := w.token(tenancy.Default, acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}})
	theirs := w.token(twin, acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}})
	if w.resolve(mine.SecretID).Allowed(twin, acl.ServiceWrite, "web") || !w.resolve(theirs.SecretID).Allowed(twin, acl.ServiceWrite, "web") {
		t.Error("identities of the same name in two namespaces are one")
	}
}

func TestGenerationsForgetTheLeastUsed(t *testing.T) {
	g := newGenerations[int, int](32)
	for i := range 1000 {
		g.put(i, i)
		g.get(0)
	}
	if v, ok := g.get(0); !ok || v != 0 {
		t.Error("what is used all the time was forgotten")
	}
	kept := 0
	for i := range 1000 {
		if _, ok := g.get(i); ok {
			kept++
		}
	}
	if kept < 32 || kept > 160 {
		t.Errorf("%d of 1000 kept, want some more than 32", kept)
	}
}
