package acl

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestExplainNamesTheRuleThatDecides(t *testing.T) {
	team := in(t, "default", "team")
	for _, c := range []struct {
		name          string
		own, defaults []string
		allow         bool
		scope         tenancy.Scope
		permission    string
		segment       string
		by            Decider
		allowed       bool
		rules         string // "text at line grants access", overruled ones in brackets
		change        string
	}{
		{name: "an exact rule before a prefix", own: []string{"service_prefix \"\" {\n policy = \"write\"\n}\nservice \"web\" { policy = \"read\" }"},
			permission: "service:write", segment: "web", by: ByRule, rules: `service "web" at 4:1 grants read`,
			change: `a policy of the token has to say: service "web" { policy = "write" }`},
		{name: "the longest prefix", own: []string{`key_prefix "" { policy = "deny" } key_prefix "a/" { policy = "read" }`},
			permission: "key:read", segment: "a/b", by: ByRule, allowed: true, rules: `key_prefix "a/" at 1:35 grants read`},
		{name: "deny before write for the same thing", own: []string{`key "a" { policy = "write" }`, `key "a" { policy = "deny" }`},
			permission: "key:read", segment: "a", by: ByRule, rules: `key "a" at 1:1 grants deny [key "a" at 1:1 grants write]`,
			change: "the rule that denies has to go: no other rule for the same thing counts against it"},
		{name: "no rule", own: []string{`key "a" { policy = "write" }`}, permission: "node:write", segment: "n1", by: ByDefault,
			change: `a policy of the token has to say: node "n1" { policy = "write" }`},
		{name: "no rule, allowed by default", allow: true, permission: "node:write", segment: "n1", by: ByDefault, allowed: true},
		{name: "acl is never allowed by default", allow: true, permission: "acl:read", by: ByDefault,
			change: `a policy of the token has to say: acl = "read"`},
		{name: "a rule of the namespace's defaults", own: []string{`key "a" { policy = "read" }`}, defaults: []string{`namespace "team" { acl = "read" }`}, scope: team,
			permission: "acl:read", by: ByRule, allowed: true, rules: `default namespace "team" / acl at 1:20 grants read`},
		{name: "a block for several namespaces", own: []string{`namespace_prefix "te" { service_prefix "" { policy = "read" } }`}, scope: team,
			permission: "service:write", segment: "web", by: ByRule, rules: `namespace_prefix "te" / service_prefix "" at 1:25 grants read`,
			change: `a policy of the token has to say: namespace "team" { service "web" { policy = "write" } }`},
		{name: "mesh follows operator", own: []string{`operator = "deny"`}, permission: "mesh:read", by: ByRule, rules: `operator at 1:1 grants deny`,
			change: `a policy of the token has to say: mesh = "read"`},
		{name: "nodes can be read by a rule of the partition", own: []string{`node_prefix "" { policy = "read" }`}, scope: team,
			permission: "node:read", segment: "n", by: ByRule, allowed: true, rules: `node_prefix "" at 1:1 grants read`},
		{name: "intentions follow the service", own: []string{`service "web" { policy = "write" }`}, permission: "intention:write", segment: "web",
			by: ByRule, rules: `service "web" at 1:1 grants read`,
			change: `a policy of the token has to say: service "web" { policy = "write" intentions = "write" }`},
		{name: "an intention on all services", own: []string{`service "web" { policy = "read" intentions = "read" }`}, permission: "intention:read", segment: "*",
			by: ByRule, allowed: true, rules: `service "web" at 1:1 grants read`},
		{name: "a rule below a prefix", own: []string{`key_prefix "a/" { policy = "write" } key "a/b" { policy = "read" }`}, permission: "key:write-prefix", segment: "a/",
			by: ByRule, rules: `key "a/b" at 1:38 grants read`, change: `every rule below "a/" has to grant write`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var own, defaults []Grant
			for _, text := range c.own {
				own = append(own, grant(t, tenancy.Default, text))
			}
			for _, text := range c.defaults {
				defaults = append(defaults, grant(t, tenancy.Default, text))
			}
			if c.scope == (tenancy.Scope{}) {
				c.scope = tenancy.Default
			}
			got := Explain(own, defaults, Defaults{Allow: c.allow}, c.scope, want(t, c.permission), c.segment)
			if got.Allowed != c.allowed || got.By != c.by || shown(got) != c.rules || got.Change != c.change {
				t.Errorf("got %v by %s\n%s\n%s", got.Allowed, got.By, shown(got), got.Change)
			}
		})
	}
	nonsense := Explain(nil, nil, Defaults{Allow: true}, tenancy.Default, Permission{Resource: Service, Access: List}, "web")
	if nonsense.Allowed || nonsense.By != ByNothing || nonsense.Change != "" {
		t.Errorf("a permission that does not exist: %+v", nonsense)
	}
}

func shown(x Explanation) string {
	var parts []string
	for _, r := range x.Rules {
		text := r.Text + " at " + fmt.Sprintf("%d:%d", r.Line, r.Column) + " grants " + r.Access.String()
		if r.Default {
			text = "default " + text
		}
		if !r.Decides {
			text = "[" + text + "]"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// An explanation says what the authorizer does, names a rule that says so, and
// following its advice makes the answer yes.
func TestExplainAgreesWithTheAuthorizer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		own, defaults := m.grants(t)
		a := Compile(own, defaults, Defaults{Allow: m.allow})
		for range 20 {
			q := drawQuestion(t)
			got := Explain(own, defaults, Defaults{Allow: m.allow}, q.scope, q.permission, q.segment)
			if got.Allowed != a.Allowed(q.scope, q.permission, q.segment) {
				t.Fatalf("%v: explained as %v", q, got.Allowed)
			}
			decided := false
			for _, r := range got.Rules {
				decided = decided || r.Decides && grants(r.Access, q.permission.Access) == got.Allowed
			}
			if decided != (got.By == ByRule) {
				t.Fatalf("%v: by %s, rules %+v", q, got.By, got.Rules)
			}
			advice, ok := strings.CutPrefix(got.Change, "a policy of the token has to say: ")
			if got.Allowed || !ok || q.permission.WritePrefix {
				continue
			}
			rules, err := ParseRules(advice)
			if err != nil {
				t.Fatalf("%v: advice %s: %v", q, advice, err)
			}
			if !Compile(append(own, Grant{rules, tenancy.Default}), defaults, Defaults{Allow: m.allow}).Allowed(q.scope, q.permission, q.segment) {
				t.Fatalf("%v: advice %s does not help", q, advice)
			}
		}
	})
}
