package acl

import (
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Rows are those of tenancy.md section 7.2.
func TestRulesReachTheirTenancy(t *testing.T) {
	type asked struct {
		partition, namespace string
		question
	}
	for _, c := range []struct {
		name                 string
		partition, namespace string // where the policy lives
		rules                string
		asked                []asked
	}{
		{"an unscoped rule counts in the policy's own namespace only", "", "team", `service_prefix "" { policy = "write" }`, []asked{
			{"", "team", question{"service:write", "a", true}},
			{"", "", question{"service:read", "a", false}},
			{"", "other", question{"service:read", "a", false}},
			{"p", "team", question{"service:read", "a", false}},
		}},
		{"an unscoped rule of a default policy does not reach partitions", "", "", `service_prefix "" { policy = "write" } mesh = "write" operator = "write"`, []asked{
			{"", "", question{"service:write", "a", true}},
			{"p", "", question{"service:read", "a", false}},
			{"p", "", question{"mesh:read", "", false}},
			{"p", "", question{"peering:read", "", false}},
			{"p", "n", question{"operator:write", "", true}},
		}},
		{"a partition block means its default namespace", "", "", `partition "p" { key_prefix "" { policy = "read" } mesh = "read" }`, []asked{
			{"p", "", question{"key:read", "a", true}},
			{"p", "n", question{"key:read", "a", false}},
			{"p", "n", question{"mesh:read", "", true}},
			{"", "", question{"key:read", "a", false}},
			{"", "", question{"mesh:read", "", false}},
		}},
		{"a partition block without a name means the policy's own", "p", "", `partition "" { node_prefix "" { policy = "write" } namespace_prefix "" { service_prefix "" { policy = "read" } } }`, []asked{
			{"p", "", question{"node:write", "n", true}},
			{"p", "n", question{"service:read", "a", true}},
			{"p", "n", question{"service:write", "a", false}},
			{"", "", question{"node:read", "n", false}},
			{"q", "", question{"node:read", "n", false}},
		}},
		{"the empty prefixes mean all partitions and namespaces", "", "", `partition_prefix "" { namespace_prefix "" { acl = "read" } }`, []asked{
			{"", "", question{"acl:read", "", true}},
			{"p", "n", question{"acl:read", "", true}},
			{"p", "n", question{"acl:write", "", false}},
		}},
		{"the exact namespace decides about what it mentions", "", "", `namespace_prefix "" { service_prefix "" { policy = "write" } key_prefix "" { policy = "write" } } namespace "a" { service_prefix "" { policy = "read" } }`, []asked{
			{"", "a", question{"service:write", "x", false}},
			{"", "a", question{"service:read", "x", true}},
			{"", "a", question{"key:write", "x", true}}, // falls through
			{"", "b", question{"service:write", "x", true}},
		}},
		{"what the exact namespace says about one service leaves the others to the prefix", "", "", `namespace_prefix "" { service_prefix "" { policy = "write" } } namespace "a" { service "x" { policy = "deny" } }`, []asked{
			{"", "a", question{"service:read", "x", false}},
			{"", "a", question{"service:write", "y", true}},
		}},
		{"the longest namespace prefix goes first", "", "", `namespace_prefix "team-" { acl = "write" } namespace_prefix "team-a" { acl = "deny" } namespace_prefix "" { acl = "read" }`, []asked{
			{"", "team-b", question{"acl:write", "", true}},
			{"", "team-a1", question{"acl:read", "", false}},
			{"", "x", question{"acl:write", "", false}},
			{"", "x", question{"acl:read", "", true}},
		}},
		{"the partition is chosen before the namespace", "", "", `partition_prefix "" { namespace "n" { acl = "write" } } partition "p" { namespace_prefix "" { acl = "deny" } }`, []asked{
			{"p", "n", question{"acl:read", "", false}},
			{"q", "n", question{"acl:write", "", true}},
		}},
		{"the client policy of the documents, living in its partition", "p", "", ecsClientPolicyEnt, []asked{
			{"p", "", question{"node:write", "n1", true}},
			{"p", "team", question{"node:read", "n1", true}},
			{"p", "team", question{"service:read", "web", true}},
			{"p", "team", question{"service:write", "web", false}},
			{"p", "", question{"agent:write", "n1", false}},
			{"", "", question{"node:read", "n1", false}},
			{"", "team", question{"service:read", "web", false}},
		}},
		{"nodes can be read by a rule of the namespace, and written only by one of the partition", "p", "", `node_prefix "" { policy = "write" } namespace "a" { node_prefix "" { policy = "deny" } } namespace "b" { node_prefix "" { policy = "read" } }`, []asked{
			{"p", "a", question{"node:read", "n", false}},
			{"p", "a", question{"node:write", "n", true}},
			{"p", "b", question{"node:read", "n", true}},
			{"p", "c", question{"node:read", "n", true}},
		}},
		{"an agent rule of a namespace gives nothing on agents", "", "team", `agent_prefix "" { policy = "write" }`, []asked{
			{"", "team", question{"agent:read", "n", false}},
			{"", "", question{"agent:read", "n", false}},
		}},
		{"names are compared in lower case", "", "", `partition "P" { namespace "N" { acl = "write" } }`, []asked{
			{"p", "n", question{"acl:write", "", true}},
		}},
		{"a recursive write is decided block by block", "", "", `namespace_prefix "" { key_prefix "" { policy = "write" } key "a/x" { policy = "deny" } } namespace "n" { key_prefix "a/" { policy = "write" } }`, []asked{
			{"", "n", question{"key:write-prefix", "a/", true}},
			{"", "n", question{"key:write-prefix", "", true}},
			{"", "m", question{"key:write-prefix", "a/", false}},
		}},
		{"an intention that a more specific block hides does not make * readable", "", "", `namespace_prefix "" { service "a" { policy = "read" } } namespace "n" { service_prefix "" { policy = "deny" } }`, []asked{
			{"", "n", question{"intention:read", "*", false}},
			{"", "m", question{"intention:read", "*", true}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Compile([]Grant{grant(t, in(t, c.partition, c.namespace), c.rules)}, nil, Defaults{})
			for _, q := range c.asked {
				if got := a.Allowed(in(t, q.partition, q.namespace), want(t, q.permission), q.segment); got != q.allowed {
					t.Errorf("%s on %q in %s/%s: allowed is %v", q.permission, q.segment, q.partition, q.namespace, got)
				}
			}
		})
	}
}

func TestRulesOfTwoPoliciesMergeInTheSameNamespace(t *testing.T) {
	team := in(t, "p", "team")
	a := Compile([]Grant{
		grant(t, team, `service "a" { policy = "write" } service "b" { policy = "write" }`),
		grant(t, tenancy.Default, `partition "p" { namespace "team" { service "a" { policy = "deny" } } namespace_prefix "" { service "b" { policy = "deny" } } }`),
	}, nil, Defaults{})
	if a.Allowed(team, ServiceRead, "a") {
		t.Error("write beats deny")
	}
	if !a.Allowed(team, ServiceWrite, "b") {
		t.Error("a deny for all namespaces beats the write of one")
	}
}

func TestWhatAPolicyMaySayDependsOnWhereItLives(t *testing.T) {
	const no = "Invalid Policy rules: At 1:1: "
	for _, c := range []struct {
		name                 string
		partition, namespace string
		rules                string
		want                 string // "" if it may
	}{
		{"anything in the default scope", "", "", globalRules(Write), ""},
		{"default-only kinds in blocks of the default scope", "", "", `partition "default" { namespace "default" { operator = "read" keyring = "read" event "e" { policy = "read" } query "q" { policy = "read" } node "n" { policy = "write" } } }`, ""},
		{"the client policy of the documents in its partition", "p", "", ecsClientPolicyEnt, ""},
		{"the client policy of the documents in the default partition", "", "", ecsClientPolicyEnt, ""},
		{"the client policy of the documents in another partition", "q", "", ecsClientPolicyEnt, no + `a policy in partition "q", namespace "default" cannot speak about partition "p"`},
		{"a prefix that matches its own partition", "p", "", `partition_prefix "p" { acl = "read" }`, no + `a policy in partition "p", namespace "default" cannot speak about partition_prefix "p"`},
		{"an empty block of another partition", "p", "", `partition "q" { }`, no + `a policy in partition "p", namespace "default" cannot speak about partition "q"`},
		{"namespaces of its own partition", "p", "", `namespace_prefix "" { policy = "write" acl = "write" }`, ""},
		{"its own namespace", "p", "team", `service "a" { policy = "write" } namespace "team" { acl = "write" } partition "p" { namespace "team" { policy = "read" key "k" { policy = "read" } } }`, ""},
		{"another namespace", "", "team", `namespace "other" { acl = "read" }`, no + `a policy in namespace "team" cannot speak about namespace "other"`},
		{"an empty block of another namespace", "", "team", `namespace "other" { }`, no + `a policy in namespace "team" cannot speak about namespace "other"`},
		{"all namespaces", "", "team", `namespace_prefix "" { acl = "read" }`, no + `a policy in namespace "team" cannot speak about namespace_prefix ""`},
		{"the default namespace by way of a partition block", "p", "team", `partition "p" { acl = "read" }`, `Invalid Policy rules: At 1:17: a policy in namespace "team" cannot speak about namespace "default"`},
		{"another partition from a namespace of the default one", "", "team", `partition "p" { namespace "team" { acl = "read" } }`, no + `a policy in partition "default", namespace "team" cannot speak about partition "p"`},
		{"managing its own namespace", "", "team", `namespace "team" { policy = "write" }`, no + `a policy cannot manage the namespace that it lives in`},
		{"managing its own partition", "p", "", `partition "p" { policy = "write" }`, no + `a policy cannot manage the partition that it lives in`},
		{"operator in a partition", "p", "", `operator = "read"`, no + `operator rules are not allowed in partition "p"`},
		{"keyring in a partition block", "", "", `partition "p" { keyring = "read" }`, `Invalid Policy rules: At 1:17: keyring rules are not allowed in partition "p"`},
		{"event in a block for all partitions", "", "", `partition_prefix "" { event "e" { policy = "read" } }`, `Invalid Policy rules: At 1:23: event rules are not allowed in partition_prefix ""`},
		{"query in a namespace", "", "team", `query_prefix "" { policy = "read" }`, no + `query_prefix rules are not allowed in namespace "team"`},
		{"mesh in a namespace", "", "team", `mesh = "read"`, no + `mesh rules are not allowed in namespace "team"`},
		{"peering in a partition", "p", "", `peering = "write"`, ""},
		{"node write in a namespace", "", "team", `node_prefix "" { policy = "write" }`, no + `node_prefix rules with write are not allowed in namespace "team"`},
		{"node read in a namespace", "", "team", `node_prefix "" { policy = "read" }`, ""},
		{"node write in a block for all namespaces", "", "", `namespace_prefix "" { node "n" { policy = "write" } }`, `Invalid Policy rules: At 1:23: node rules with write are not allowed in namespace_prefix ""`},
		{"agent, key, session, identity in a namespace", "p", "team", `agent "n" { policy = "write" } key "k" { policy = "write" } session "n" { policy = "write" } identity "i" { policy = "write" }`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRules(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Check(in(t, c.partition, c.namespace))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Invalid):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAnyIn(t *testing.T) {
	team := in(t, "", "team")
	for _, c := range []struct {
		name  string
		rules string
		want  bool
	}{
		{"a rule inside the namespace", `namespace "team" { key "k" { policy = "read" } }`, true},
		{"a rule inside all namespaces", `namespace_prefix "" { session_prefix "" { policy = "read" } }`, true},
		{"read on the namespace itself", `namespace "team" { policy = "read" }`, true},
		{"a deny", `namespace "team" { acl = "deny" }`, false},
		{"a rule that a more specific one hides", `namespace_prefix "" { key "k" { policy = "read" } } namespace "team" { key_prefix "" { policy = "deny" } }`, false},
		{"rules elsewhere", `operator = "write" service_prefix "" { policy = "write" } namespace "other" { acl = "write" }`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Compile([]Grant{grant(t, tenancy.Default, c.rules)}, nil, Defaults{})
			if got := a.AnyIn(team); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if !Compile(nil, nil, Defaults{Allow: true}).AnyIn(team) {
		t.Error("default allow gives nothing")
	}
}

func TestManagesFollowsPolicyOfTheBlock(t *testing.T) {
	a := Compile([]Grant{grant(t, tenancy.Default, `
		partition "p" { policy = "read" namespace_prefix "t" { policy = "write" } namespace "t1" { policy = "read" } }
		operator = "write"`)}, nil, Defaults{Allow: true})
	for _, c := range []struct {
		name string
		got  bool
		want bool
	}{
		{"a namespace of the partition's default, by the partition's rule", a.ManagesNamespace(in(t, "p", ""), Read), false},
		{"a namespace that no rule names, whatever the default", a.ManagesNamespace(in(t, "q", ""), Read), false},
		{"write a namespace of the prefix", a.ManagesNamespace(in(t, "p", "t2"), Write), true},
		{"write the namespace with a rule of its own", a.ManagesNamespace(in(t, "p", "t1"), Write), false},
		{"read the namespace with a rule of its own", a.ManagesNamespace(in(t, "p", "t1"), Read), true},
		{"the same name in another partition", a.ManagesNamespace(in(t, "", "t1"), Read), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v", c.name, c.got)
		}
	}
}
