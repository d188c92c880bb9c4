package endpoint

import (
	"math/rand/v2"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestExplainNamesWhereARuleComesFrom(t *testing.T) {
	w := newWorld(t)
	e := &Authorizes{w.Backend}
	team := w.in("default", "team")
	base := w.policy(tenancy.Default, "base", `namespace "team" { node_prefix "" { policy = "read" } }`)
	must(w.spaces.Set(ctx, w.root, "team", tenancy.Namespace{Name: "team", Partition: "default",
		ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: base.ID}}}}))(t)
	keys := w.policy(team, "keys", "key_prefix \"\" {\n  policy = \"read\"\n}")
	role := w.role(team, acl.Role{Name: "ops", Policies: []acl.Link{{ID: keys.ID}}, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "api"}}})
	token := w.token(team, acl.Token{
		Policies: []acl.Link{{ID: keys.ID}}, Roles: []acl.Link{{ID: role.ID}}, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}},
	})
	ask := func(resource, access, segment string) *Explained {
		return must(e.Explain(ctx, w.root, ExplainRequest{Scope: team, AccessorID: token.AccessorID, Resource: resource, Access: access, Segment: segment}))(t)
	}
	for _, c := range []struct {
		resource, access, segment string
		allow                     bool
		reason, change            string
		rules                     []string // via: policy
	}{
		{"service", "write", "web", true, `partition "default" / namespace "team" / service "web" of service identity "web" grants write`, "", []string{`the token: service identity "web"`}},
		{"service", "write", "api", true, `partition "default" / namespace "team" / service "api" of service identity "api" grants write`, "", []string{`role "ops": service identity "api"`}},
		{"key", "write", "a", false, `key_prefix "" of policy "keys" grants read, which does not include write`,
			`a policy of the token has to say: namespace "team" { key "a" { policy = "write" } }`, []string{`the token: policy "keys"`, `role "ops": policy "keys"`}},
		{"node", "read", "n", true, "", "", []string{`the token: service identity "web"`, `role "ops": service identity "api"`}},
		{"session", "read", "n", false, "no rule speaks about it, and the default policy is to deny",
			`a policy of the token has to say: namespace "team" { session "n" { policy = "read" } }`, nil},
		{"acl", "read", "", false, "no rule speaks about acl, which the default policy never allows", `a policy of the token has to say: namespace "team" { acl = "read" }`, nil},
		{"service", "list", "web", false, "there is no permission service:list", "", nil},
	} {
		got := ask(c.resource, c.access, c.segment)
		var rules []string
		for _, r := range got.Rules {
			rules = append(rules, r.Via+": "+r.Policy)
		}
		if got.Allow != c.allow || c.reason != "" && got.Reason != c.reason || got.Change != c.change || asJSON(t, rules) != asJSON(t, c.rules) {
			t.Errorf("%s:%s on %q: %s", c.resource, c.access, c.segment, asJSON(t, got))
		}
	}
	bare := w.token(team, acl.Token{})
	got := must(e.Explain(ctx, w.resolve(bare.SecretID), ExplainRequest{Scope: team, Resource: "node", Access: "read", Segment: "n"}))(t)
	if !got.Allow || got.AccessorID != bare.AccessorID || got.Rules[0].Via != `the defaults of namespace "team"` || got.Rules[0].PolicyID != base.ID {
		t.Errorf("one's own token: %s", asJSON(t, got))
	}
}

func TestExplainOfAnotherTokenNeedsACLRead(t *testing.T) {
	w := newWorld(t)
	e := &Authorizes{w.Backend}
	team, twin := w.in("default", "team"), w.in("default", "twin")
	token := w.token(team, acl.Token{})
	reader, stranger := w.caller(team, `acl = "read"`), w.caller(twin, `acl = "read"`)
	unknown := "aaaaaaaa-0000-4000-8000-000000000000"
	lacks := func(who acl.Caller, in string) string {
		return "Permission denied: token with AccessorID '" + who.AccessorID + "' lacks permission 'acl:read' in namespace \"" + in + "\""
	}
	for _, c := range []struct {
		name     string
		who      acl.Caller
		in       tenancy.Scope
		accessor string
		kind     errs.Kind
		want     string
	}{
		{"a reader", reader, team, token.AccessorID, 0, ""},
		{"a reader who asks about another namespace", reader, twin, token.AccessorID, 0, ""},
		{"a reader of an unknown token", reader, team, unknown, errs.Denied, "token does not exist: ACL not found"},
		{"a stranger", stranger, team, token.AccessorID, errs.Denied, lacks(stranger, "team")},
		{"a stranger of an unknown token", stranger, team, unknown, errs.Denied, lacks(stranger, "team")},
		{"a stranger in their own namespace", stranger, twin, token.AccessorID, errs.Denied, "token does not exist: ACL not found"},
		{"no ID", reader, team, "x", errs.Invalid, "failed acl token lookup: index error: UUID must be 36 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.Explain(ctx, c.who, ExplainRequest{Scope: c.in, AccessorID: c.accessor, Resource: "key", Access: "read"})
			wantError(t, err, c.kind, c.want)
		})
	}
	for _, req := range []ExplainRequest{{Resource: "x", Access: "read"}, {Resource: "key", Access: "x"}, {}} {
		if _, err := e.Explain(ctx, reader, req); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

func TestExplainOfCallersWithoutAStoredToken(t *testing.T) {
	w := emptyWorld(t)
	e := &Authorizes{w.Backend}
	w.Resolver.Recovery = func() logging.Secret { return someID }
	recovery, err := w.Resolver.Resolve(ctx, someID)
	if err != nil {
		t.Fatal(err)
	}
	got := must(e.Explain(ctx, recovery, ExplainRequest{Scope: tenancy.Default, Resource: "agent", Access: "write", Segment: "n1"}))(t)
	if !got.Allow || got.Rules[0].Policy != "the agent's recovery token" {
		t.Errorf("recovery: %s", asJSON(t, got))
	}
	got = must(e.Explain(ctx, acl.Caller{AccessorID: acl.AnonymousAccessor}, ExplainRequest{Scope: tenancy.Default, Resource: "key", Access: "read"}))(t)
	if got.Allow || got.DecidedBy != acl.ByDefault {
		t.Errorf("nobody: %s", asJSON(t, got))
	}
}

// Whatever a token is linked to, its explanation says what its caller may do.
func TestExplainAgreesWithTheCaller(t *testing.T) {
	w := newWorld(t)
	e := &Authorizes{w.Backend}
	team := w.in("default", "team")
	base := w.policy(tenancy.Default, "base", `namespace_prefix "" { key_prefix "" { policy = "list" } service "a" { policy = "deny" } }`)
	must(w.spaces.Set(ctx, w.root, "team", tenancy.Namespace{Name: "team", Partition: "default",
		ACLs: &tenancy.NamespaceACLs{PolicyDefaults: []tenancy.Link{{ID: base.ID}}}}))(t)
	words := []string{"read", "write", "deny"}
	var policies []acl.Link
	for i := range 12 {
		rules := `key "k` + string(rune('a'+i%3)) + `" { policy = "` + words[i%3] + `" } service_prefix "` + string(rune('a'+i%2)) + `" { policy = "` + words[(i/3)%3] + `" }`
		policies = append(policies, acl.Link{ID: w.policy(team, string(rune('a'+i)), rules).ID})
	}
	role := w.role(team, acl.Role{Name: "r", Policies: policies[:2], NodeIdentities: nil, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "b"}}})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		token := acl.Token{}
		for _, p := range policies {
			if rng.IntN(4) == 0 {
				token.Policies = append(token.Policies, p)
			}
		}
		if rng.IntN(2) == 0 {
			token.Roles = []acl.Link{{ID: role.ID}}
		}
		who := w.resolve(w.token(team, token).SecretID)
		for _, resource := range []string{"key", "service", "intention", "node", "acl"} {
			for _, access := range []string{"read", "write"} {
				for _, segment := range []string{"a", "b", "ka", "kb"} {
					req := AuthorizeRequest{Resource: resource, Access: access, Segment: segment}
					got := must(e.Explain(ctx, who, ExplainRequest{Scope: team, Resource: resource, Access: access, Segment: segment}))(t)
					if answer := must(e.Authorize(ctx, who, team, []AuthorizeRequest{req}))(t); answer[0].Allow != got.Allow {
						t.Fatalf("%s", asJSON(t, got))
					}
				}
			}
		}
	}
}
