package acl

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestServiceIdentityAmountsToAPolicy(t *testing.T) {
	p := ServiceIdentity{ServiceName: "web", Datacenters: []string{"dc1"}}.SynthesizedPolicy(tenancy.Default)
	const rules = `service "web" {
  policy = "write"
}
service "web-sidecar-proxy" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
`
	if p.Rules != rules {
		t.Errorf("rules are\n%s", p.Rules)
	}
	if p.Description != `synthetic policy for service identity "web"` || p.Name != "synthetic-policy-"+p.ID || len(p.Hash) != 32 {
		t.Errorf("policy is %+v", p)
	}
	if !p.AppliesIn("dc1") || p.AppliesIn("dc2") {
		t.Error("the datacenter limit is not kept")
	}
	everywhere := ServiceIdentity{ServiceName: "web"}.SynthesizedPolicy(tenancy.Default)
	if !everywhere.AppliesIn("dc2") || everywhere.ID == p.ID {
		t.Error("without a limit it is not another policy that counts everywhere")
	}
}

func TestServiceIdentityCountsInItsScopeOnly(t *testing.T) {
	team := in(t, "p", "team")
	p := ServiceIdentity{ServiceName: "web"}.SynthesizedPolicy(team)
	if want := "partition \"p\" {\n  namespace \"team\" {\n    service \"web\" {\n      policy = \"write\"\n    }\n"; !strings.HasPrefix(p.Rules, want) {
		t.Errorf("rules are\n%s", p.Rules)
	}
	if p.Description != `synthetic policy for service identity "p/team/web"` {
		t.Errorf("description is %s", p.Description)
	}
	a := Compile([]Grant{grant(t, team, p.Rules)}, nil, Defaults{})
	for _, c := range []struct {
		name    string
		s       tenancy.Scope
		allowed bool
	}{
		{"its own scope", team, true}, {"another namespace", in(t, "p", ""), false}, {"another partition", in(t, "", "team"), false},
	} {
		if got := a.Allowed(c.s, ServiceWrite, "web-sidecar-proxy"); got != c.allowed {
			t.Errorf("service:write in %s: %v", c.name, got)
		}
		if got := a.Allowed(c.s, NodeRead, "n"); got != c.allowed {
			t.Errorf("node:read in %s: %v", c.name, got)
		}
	}
	if !a.Allowed(team, Permission{Resource: Intention, Access: Read}, "web") {
		t.Error("its intentions cannot be read")
	}
}

func TestNodeIdentityReachesAllNamespacesOfItsPartition(t *testing.T) {
	p := NodeIdentity{NodeName: "n1", Datacenter: "dc1"}.SynthesizedPolicy(in(t, "p", ""))
	if !slices.Equal(p.Datacenters, []string{"dc1"}) || p.Description != `synthetic policy for node identity "p/default/n1"` {
		t.Errorf("policy is %+v", p)
	}
	a := Compile([]Grant{grant(t, p.Scope, p.Rules)}, nil, Defaults{})
	for _, c := range []struct {
		name string
		got  bool
		want bool
	}{
		{"write its node", a.Allowed(in(t, "p", ""), NodeWrite, "n1"), true},
		{"read another node", a.Allowed(in(t, "p", ""), NodeRead, "n2"), false},
		{"read services of any namespace", a.Allowed(in(t, "p", "team"), ServiceRead, "web"), true},
		{"write services", a.Allowed(in(t, "p", ""), ServiceWrite, "web"), false},
		{"its name in another partition", a.Allowed(tenancy.Default, NodeWrite, "n1"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.name, c.got)
		}
	}
}

// Every template is good in every scope, and gives nothing that a policy of the
// scope could not.
func TestTemplatesAmountToPoliciesInEveryScope(t *testing.T) {
	for _, template := range Templates() {
		for _, s := range []tenancy.Scope{tenancy.Default, in(t, "p", ""), in(t, "", "team"), in(t, "p", "team")} {
			p, err := TemplatedPolicy{TemplateName: template.TemplateName, TemplateVariables: &TemplateVariables{Name: "x"}}.SynthesizedPolicy(s)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := ParseRules(p.Rules)
			if err == nil {
				err = rules.Check(s)
			}
			if err != nil || len(rules.rules) == 0 {
				t.Errorf("%s in %s: %v\n%s", template.TemplateName, s, err, p.Rules)
			}
		}
	}
}

// Rows are the templates of acl.md section 7.
func TestTemplatesGrant(t *testing.T) {
	for _, c := range []struct{ name, id, rules string }{
		{"builtin/service", "03", "service \"x\" write\nservice \"x-sidecar-proxy\" write\nservice_prefix \"\" read\nnode_prefix \"\" read\n"},
		{"builtin/node", "04", "node \"x\" write\nservice_prefix \"\" read\n"},
		{"builtin/dns", "05", "node_prefix \"\" read\nservice_prefix \"\" read\nquery_prefix \"\" read\n"},
		{"builtin/nomad-server", "06", "acl \"\" write\nagent_prefix \"\" read\nnode_prefix \"\" read\nservice_prefix \"\" write\n"},
		{"builtin/workload-identity", "07", "identity \"x\" write\n"},
		{"builtin/api-gateway", "08", "mesh \"\" read\nnode_prefix \"\" read\nservice_prefix \"\" read\nservice \"x\" write\n"},
		{"builtin/nomad-client", "09", "agent_prefix \"\" read\nnode_prefix \"\" read\nservice_prefix \"\" write\nkey_prefix \"\" read\n"},
	} {
		template, ok := FindTemplate(c.name)
		if !ok || template.ID != "00000000-0000-0000-0000-0000000000"+c.id || template.Description == "" {
			t.Errorf("%s: %+v", c.name, template)
		}
		if needs := strings.Contains(template.Template, placeholder); needs != (template.Schema != "") || needs && !json.Valid([]byte(template.Schema)) {
			t.Errorf("%s: schema is %q", c.name, template.Schema)
		}
		p, err := TemplatedPolicy{TemplateName: c.name, TemplateVariables: &TemplateVariables{Name: "x"}}.SynthesizedPolicy(tenancy.Default)
		if err != nil {
			t.Fatal(err)
		}
		if got := say(grant(t, tenancy.Default, p.Rules).Rules); got != c.rules {
			t.Errorf("%s grants\n%s", c.name, got)
		}
		if p.Description != "synthetic policy generated from templated policy: "+c.name {
			t.Errorf("description is %s", p.Description)
		}
	}
	names := []string{}
	for _, template := range Templates() {
		names = append(names, template.TemplateName)
	}
	if len(names) != 7 || !slices.IsSorted(names) {
		t.Errorf("templates are %v", names)
	}
}

// A workload's name may be any text: it stays inside its quotes.
func TestAttack_TemplateVariablesCannotAddRules(t *testing.T) {
	for _, name := range []string{
		"x\" { policy = \"read\" }\nacl = \"write\"\nkey \"", "\n", "\\", "\\\"", "${x}", "{{.Name}}", "# x", "\x00\x7f", "\u00e9", "a\u2028b",
	} {
		p, err := TemplatedPolicy{TemplateName: "builtin/workload-identity", TemplateVariables: &TemplateVariables{Name: name}}.SynthesizedPolicy(tenancy.Default)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRules(p.Rules)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if len(r.rules) != 1 || r.rules[0].label != name || r.rules[0].resource != Identity {
			t.Errorf("%q: rules are %s", name, say(r))
		}
	}
}

func TestTemplatedPolicyRefuses(t *testing.T) {
	for _, c := range []struct {
		name, template string
		variables      *TemplateVariables
		want           string
	}{
		{"an unknown template", "x", nil, `templated policy "x" does not exist`},
		{"no variables", "builtin/service", nil, `validation error for templated policy: "builtin/service": service identity "" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"a bad node name", "builtin/node", &TemplateVariables{Name: "N"}, `validation error for templated policy: "builtin/node": node identity "N" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"no workload", "builtin/workload-identity", &TemplateVariables{}, "validation error for templated policy: \"builtin/workload-identity\": 1 error occurred:\n\t* name is required"},
		{"a workload that is too long", "builtin/workload-identity", &TemplateVariables{Name: strings.Repeat("a", 257)}, "validation error for templated policy: \"builtin/workload-identity\": 1 error occurred:\n\t* name is longer than 256"},
	} {
		_, err := TemplatedPolicy{TemplateName: c.template, TemplateVariables: c.variables}.SynthesizedPolicy(tenancy.Default)
		if err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestAgentRecoveryRules(t *testing.T) {
	r, err := AgentRecoveryRules(`n"1`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := say(r), "agent \"n\\\"1\" write\nnode_prefix \"\" read\n"; got != want {
		t.Errorf("got %s", got)
	}
}
