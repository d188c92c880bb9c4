package acl

import (
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

// in returns the scope of a partition and namespace, default where empty.
func in(t testing.TB, partition, namespace string) tenancy.Scope {
	t.Helper()
	s, err := tenancy.Parse(partition, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// grant parses and checks rules of a policy that lives in s.
func grant(t testing.TB, s tenancy.Scope, rules string) Grant {
	t.Helper()
	r, err := ParseRules(rules)
	if err == nil {
		err = r.Check(s)
	}
	if err != nil {
		t.Fatalf("%s: %v", rules, err)
	}
	return Grant{Rules: r, Scope: s}
}

// may compiles policies of the default scope under default deny and returns a
// function that asks about permissions as the API words them: "service:read".
func may(t testing.TB, policies ...string) func(permission, segment string) bool {
	t.Helper()
	var own []Grant
	for _, p := range policies {
		own = append(own, grant(t, tenancy.Default, p))
	}
	a := Compile(own, nil, Defaults{})
	return func(permission, segment string) bool { return a.Allowed(tenancy.Default, want(t, permission), segment) }
}

func want(t testing.TB, permission string) Permission {
	t.Helper()
	for r := range numResources {
		for a := Read; a <= Write; a++ {
			p := Permission{Resource: r, Access: a}
			if p.String() == permission {
				return p
			}
		}
		if r.String()+":write-prefix" == permission {
			return Permission{Resource: r, Access: Write, WritePrefix: true}
		}
	}
	t.Fatalf("no permission %q", permission)
	return Permission{}
}

type question struct {
	permission, segment string
	allowed             bool
}

// Rows are those of acl.md section 10.3.
func TestRulesDecide(t *testing.T) {
	for _, c := range []struct {
		name     string
		policies []string
		asked    []question
	}{
		{"an exact deny beats the prefix that allows", []string{`key "foo" { policy = "deny" } key_prefix "fo" { policy = "write" }`},
			[]question{{"key:read", "foo", false}, {"key:write", "foobar", true}, {"key:read", "fo", true}, {"key:read", "f", false}}},
		{"the longest prefix decides", []string{`key_prefix "" { policy = "write" } key_prefix "a/" { policy = "deny" } key_prefix "a/b/" { policy = "read" }`},
			[]question{{"key:write", "x", true}, {"key:read", "a/x", false}, {"key:read", "a/b/x", true}, {"key:write", "a/b/x", false}}},
		{"a more specific rule of another policy decides", []string{`service "a" { policy = "write" }`, `service_prefix "a" { policy = "deny" }`},
			[]question{{"service:write", "a", true}, {"service:read", "ab", false}}},
		{"deny beats write for the same key", []string{`key "foo" { policy = "deny" }`, `key "foo" { policy = "write" }`},
			[]question{{"key:read", "foo", false}}},
		{"deny beats write for the same key, the other way round", []string{`key "foo" { policy = "write" }`, `key "foo" { policy = "deny" }`},
			[]question{{"key:read", "foo", false}}},
		{"write beats list beats read for the same key", []string{`key_prefix "a" { policy = "read" } key_prefix "b" { policy = "list" }`, `key_prefix "a" { policy = "list" } key_prefix "b" { policy = "write" }`},
			[]question{{"key:list", "a", true}, {"key:write", "a", false}, {"key:write", "b", true}}},
		{"deny beats write on acl", []string{`acl = "write"`, `acl = "deny"`}, []question{{"acl:read", "", false}}},
		{"operator write reaches mesh and peering, not keyring or acl", []string{`operator = "write"`},
			[]question{{"mesh:write", "", true}, {"peering:write", "", true}, {"keyring:read", "", false}, {"acl:read", "", false}}},
		{"operator read reaches mesh and peering for reading", []string{`operator = "read"`},
			[]question{{"mesh:read", "", true}, {"peering:read", "", true}, {"mesh:write", "", false}, {"peering:write", "", false}}},
		{"an explicit mesh rule beats the operator's", []string{`operator = "write" mesh = "deny"`},
			[]question{{"mesh:read", "", false}, {"peering:write", "", true}}},
		{"mesh write does not reach operator", []string{`mesh = "write"`}, []question{{"operator:read", "", false}, {"mesh:write", "", true}}},
		{"acl write reaches nothing else", []string{`acl = "write"`},
			[]question{{"acl:write", "", true}, {"operator:read", "", false}, {"key:read", "a", false}, {"service:read", "a", false}}},
		{"service write implies reading its intentions", []string{`service "a" { policy = "write" }`},
			[]question{{"intention:read", "a", true}, {"intention:write", "a", false}, {"intention:read", "b", false}}},
		{"service read implies reading its intentions", []string{`service "a" { policy = "read" }`}, []question{{"intention:read", "a", true}}},
		{"service deny hides its intentions", []string{`service "a" { policy = "deny" } service_prefix "" { policy = "read" }`}, []question{{"intention:read", "a", false}}},
		{"intentions are separate from the service", []string{`service "a" { policy = "read" intentions = "write" }`},
			[]question{{"intention:write", "a", true}, {"service:read", "a", true}, {"service:write", "a", false}}},
		{"intentions can be denied to who writes the service", []string{`service "a" { policy = "write" intentions = "deny" }`}, []question{{"intention:read", "a", false}}},
		{"intentions merge separately", []string{`service "a" { policy = "deny" intentions = "write" }`, `service "a" { policy = "write" intentions = "read" }`},
			[]question{{"intention:write", "a", true}, {"service:read", "a", false}}},
		{"intentions write on all services is that on *", []string{`service_prefix "" { policy = "read" intentions = "write" }`},
			[]question{{"intention:write", "a", true}, {"intention:write", "*", true}, {"intention:read", "*", true}}},
		{"reading some intention lets read *", []string{`service "a" { policy = "write" intentions = "read" }`},
			[]question{{"intention:read", "*", true}, {"intention:write", "*", false}}},
		{"writing some intentions does not let write *", []string{`service "a" { policy = "write" intentions = "write" } service "*" { policy = "write" intentions = "write" } service_prefix "b" { policy = "write" intentions = "write" }`},
			[]question{{"intention:read", "*", true}, {"intention:write", "*", false}}},
		{"no readable intention, no *", []string{`service_prefix "" { policy = "read" intentions = "deny" }`}, []question{{"intention:read", "*", false}}},
		{"list on a prefix", []string{`key_prefix "a/" { policy = "list" }`},
			[]question{{"key:list", "a/", true}, {"key:list", "a/b/", true}, {"key:read", "a/b", true}, {"key:list", "a", false}, {"key:write", "a/b", false}}},
		{"read never implies list, write does", []string{`key_prefix "r" { policy = "read" } key_prefix "w" { policy = "write" }`},
			[]question{{"key:list", "r", false}, {"key:list", "w", true}}},
		{"a recursive write stops at a rule of less below", []string{`key_prefix "a/" { policy = "write" } key "a/x" { policy = "read" }`},
			[]question{{"key:write-prefix", "a/", false}, {"key:write-prefix", "a/y", true}, {"key:write-prefix", "a/x", false}, {"key:write-prefix", "", false}}},
		{"a recursive write needs a prefix rule", []string{`key "a" { policy = "write" }`}, []question{{"key:write", "a", true}, {"key:write-prefix", "a", false}}},
		{"a recursive write passes rules of write below", []string{`key_prefix "" { policy = "write" } key "a" { policy = "write" }`}, []question{{"key:write-prefix", "", true}}},
		{"node write is not agent write", []string{`node "n" { policy = "write" }`}, []question{{"agent:read", "n", false}, {"node:write", "n", true}}},
		{"a star is a character", []string{`service "*" { policy = "write" }`}, []question{{"service:read", "a", false}, {"service:write", "*", true}}},
		{"identity intentions are not those of services", []string{`identity "a" { policy = "write" intentions = "write" }`},
			[]question{{"identity:write", "a", true}, {"intention:read", "a", false}}},
		{"list of something else than keys does not exist", []string{`service_prefix "" { policy = "write" }`}, []question{{"service:list", "a", false}}},
		{"other resources with labels", []string{`agent "a" { policy = "read" } event_prefix "e" { policy = "write" } query "q" { policy = "read" } session "n" { policy = "write" }`},
			[]question{{"agent:read", "a", true}, {"agent:write", "a", false}, {"event:write", "ev", true}, {"query:read", "q", true}, {"query:read", "", false}, {"session:write", "n", true}}},
		{"keyring", []string{`keyring = "read"`}, []question{{"keyring:read", "", true}, {"keyring:write", "", false}}},
		{"no rules at all", nil, []question{{"service:read", "a", false}, {"key:write-prefix", "", false}, {"intention:read", "*", false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask := may(t, c.policies...)
			for _, q := range c.asked {
				if got := ask(q.permission, q.segment); got != q.allowed {
					t.Errorf("%s on %q: allowed is %v", q.permission, q.segment, got)
				}
			}
		})
	}
}

func TestDefaultPolicyAllowReachesAllButACL(t *testing.T) {
	s := tenancy.Default
	a := Compile([]Grant{grant(t, s, `key "a" { policy = "deny" } service "a" { policy = "deny" } mesh = "read"`)}, nil, Defaults{Allow: true})
	for _, q := range []question{
		{"acl:read", "", false}, {"acl:write", "", false},
		{"operator:write", "", true}, {"keyring:write", "", true}, {"peering:write", "", true}, {"mesh:write", "", false},
		{"key:write", "b", true}, {"key:read", "a", false}, {"key:write-prefix", "b", true}, {"key:write-prefix", "", false},
		{"intention:write", "b", true}, {"intention:read", "a", false}, {"intention:write", "*", true}, {"node:write", "n", true},
	} {
		if got := a.Allowed(s, want(t, q.permission), q.segment); got != q.allowed {
			t.Errorf("%s on %q: allowed is %v", q.permission, q.segment, got)
		}
	}
	granted := Compile([]Grant{grant(t, s, `acl = "read"`)}, nil, Defaults{Allow: true})
	if !granted.Allowed(s, ACLRead, "") || granted.Allowed(s, ACLWrite, "") {
		t.Error("an explicit acl rule does not decide under default allow")
	}
}

func TestNamespaceDefaultsRankBelowOwnRules(t *testing.T) {
	team := in(t, "", "team")
	own := []Grant{grant(t, team, `service "a" { policy = "read" } key_prefix "own/" { policy = "read" }`)}
	defaults := []Grant{grant(t, tenancy.Default, `namespace "team" {
		service_prefix "" { policy = "write" }
		key_prefix "" { policy = "write" }
	}
	operator = "read"`)}
	a := Compile(own, defaults, Defaults{})
	for _, q := range []question{
		{"service:read", "a", true}, {"service:write", "a", false}, // own read beats default write
		{"service:write", "b", true},
		{"key:write", "x", true}, {"key:write", "own/x", false}, {"key:write-prefix", "", false}, {"key:write-prefix", "x", true},
		{"operator:read", "", true}, {"mesh:read", "", true}, {"mesh:write", "", false},
	} {
		if got := a.Allowed(team, want(t, q.permission), q.segment); got != q.allowed {
			t.Errorf("%s on %q: allowed is %v", q.permission, q.segment, got)
		}
	}
}

// What a policy grants by default in one namespace is worth nothing in others.
func TestCVE_2021_41805_NamespaceDefaultsGiveNothingElsewhere(t *testing.T) {
	team, other := in(t, "", "team"), in(t, "", "other")
	defaults := []Grant{grant(t, tenancy.Default, `namespace "team" { acl = "write" key_prefix "" { policy = "write" } service_prefix "" { policy = "write" } }`)}
	a := Compile(nil, defaults, Defaults{})
	for _, s := range []tenancy.Scope{other, tenancy.Default, in(t, "p", "team"), in(t, "p", "")} {
		for _, permission := range []string{"acl:read", "key:read", "service:read", "operator:read", "intention:read"} {
			if a.Allowed(s, want(t, permission), "x") {
				t.Errorf("%s is allowed in %s", permission, s)
			}
		}
		if a.AnyIn(s) {
			t.Errorf("something is allowed in %s", s)
		}
	}
	if !a.Allowed(team, ACLWrite, "") || !a.AnyIn(team) {
		t.Error("nothing is allowed in the namespace itself")
	}
}

func TestAllowAllAndDenyAll(t *testing.T) {
	s := in(t, "p", "n")
	for r := range numResources {
		for _, access := range []Access{Read, Write} {
			p := Permission{Resource: r, Access: access}
			if !AllowAll().Allowed(s, p, "x") {
				t.Errorf("AllowAll denies %s", p)
			}
			if DenyAll().Allowed(s, p, "x") {
				t.Errorf("DenyAll allows %s", p)
			}
		}
	}
	if !AllowAll().AnyIn(s) || DenyAll().AnyIn(s) || !AllowAll().ManagesNamespace(s, Write) || DenyAll().ManagesNamespace(s, Read) {
		t.Error("AnyIn or ManagesNamespace do not follow")
	}
	for _, p := range []Permission{{Resource: Key}, {Resource: Key, Access: Deny}, {Resource: numResources, Access: Read}, {Resource: namespaceObject, Access: Read}, {Resource: Service, Access: List}} {
		if AllowAll().Allowed(s, p, "") {
			t.Errorf("AllowAll allows %+v, which is no permission", p)
		}
	}
}

// benchmarked is an authorizer of a token with three policies and an identity.
func benchmarked(b *testing.B) ([]Grant, *Authorizer) {
	identity := ServiceIdentity{ServiceName: "web"}.SynthesizedPolicy(tenancy.Default)
	own := []Grant{
		grant(b, tenancy.Default, ecsClientPolicy),
		grant(b, tenancy.Default, `key_prefix "app/" { policy = "write" } key_prefix "app/secret/" { policy = "deny" } key "app/secret/a" { policy = "read" }`),
		grant(b, tenancy.Default, `namespace_prefix "" { service_prefix "" { policy = "read" } } session_prefix "" { policy = "write" }`),
		grant(b, tenancy.Default, identity.Rules),
	}
	return own, Compile(own, nil, Defaults{})
}

func BenchmarkAllowed(b *testing.B) {
	_, a := benchmarked(b)
	team := in(b, "", "team")
	for _, c := range []struct {
		name    string
		scope   tenancy.Scope
		p       Permission
		segment string
	}{
		{"exact", tenancy.Default, ServiceWrite, "web"},
		{"prefix", tenancy.Default, Permission{Resource: Key, Access: Read}, "app/secret/b/c"},
		{"wider namespace block", team, ServiceRead, "web"},
		{"default", tenancy.Default, OperatorRead, ""},
		{"node", tenancy.Default, NodeRead, "ip-10-0-0-1"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Allowed(c.scope, c.p, c.segment)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	own, _ := benchmarked(b)
	b.ReportAllocs()
	for b.Loop() {
		Compile(own, nil, Defaults{})
	}
}

func BenchmarkParseRules(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRules(ecsClientPolicy); err != nil {
			b.Fatal(err)
		}
	}
}

func TestADecisionDoesNotAllocate(t *testing.T) {
	a := Compile([]Grant{grant(t, tenancy.Default, ecsClientPolicy+`namespace_prefix "" { service_prefix "" { policy = "read" } }`)}, nil, Defaults{})
	team := in(t, "", "team")
	if n := testing.AllocsPerRun(100, func() {
		a.Allowed(tenancy.Default, NodeWrite, "n")
		a.Allowed(team, NodeRead, "n")
		a.Allowed(team, ServiceWrite, "web")
		a.Allowed(team, OperatorRead, "")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
