package acl

import (
	"reflect"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// wantError fails unless err is of kind Invalid and has the text, "" meaning no error.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("refused: %v", err)
	case text != "" && err == nil:
		t.Errorf("accepted, want %s", text)
	case text != "" && (err.Error() != text || errs.KindOf(err) != errs.Invalid):
		t.Errorf("got %v: %v\nwant %s", errs.KindOf(err), err, text)
	}
}

func TestPolicyValidate(t *testing.T) {
	const chars = "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed"
	const prefix = "Invalid Policy: invalid Name. Names cannot be prefixed with '/' or 'builtin/'"
	for _, c := range []struct {
		name   string
		policy Policy
		want   string
	}{
		{"a good one", Policy{Name: "Team-1/p_1", Rules: `acl = "read"`}, ""},
		{"without rules", Policy{Name: "a"}, ""},
		{"without a name", Policy{}, "Invalid Policy: no Name is set"},
		{"a name of 128", Policy{Name: strings.Repeat("a", 128)}, ""},
		{"a name of 129", Policy{Name: strings.Repeat("a", 129)}, "Invalid Policy: invalid Name. Length must be greater than 0 and less than 128"},
		{"a space in the name", Policy{Name: "a b"}, chars},
		{"two slashes in the name", Policy{Name: "a/b/c"}, chars},
		{"a slash in front", Policy{Name: "/a"}, prefix},
		{"a name kept for built-in policies", Policy{Name: "builtin/a"}, prefix},
		{"the name of a built-in policy for another", Policy{Name: GlobalReadOnlyName}, prefix},
		{"a built-in policy", Policy{ID: GlobalReadOnlyID, Name: GlobalReadOnlyName}, ""},
		{"a built-in policy with another name", Policy{ID: GlobalReadOnlyID, Name: "builtin/x"}, prefix},
		{"rules that do not parse", Policy{Name: "a", Rules: "acl"}, "Failed to parse ACL rules: At 1:4: expected '{' or '=' after acl got: EOF"},
		{"rules that belong elsewhere", Policy{Name: "a", Rules: `operator = "read"`, Scope: tenancy.Scope{Partition: "p", Namespace: "default"}},
			`Invalid Policy rules: At 1:1: operator rules are not allowed in partition "p"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.policy.Partition == "" {
				c.policy.Scope = tenancy.Default
			}
			_, err := c.policy.Validate()
			wantError(t, err, c.want)
		})
	}
}

func TestRoleValidate(t *testing.T) {
	const chars = "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"
	for _, c := range []struct {
		name string
		role Role
		want string
	}{
		{"without links", Role{Name: "Role-1_a"}, ""},
		{"without a name", Role{}, "Invalid Role: no Name is set"},
		{"a slash in the name", Role{Name: "a/b"}, chars},
		{"a name of 256", Role{Name: strings.Repeat("a", 256)}, ""},
		{"a name of 257", Role{Name: strings.Repeat("a", 257)}, chars},
		{"a service identity without name", Role{Name: "r", ServiceIdentities: []ServiceIdentity{{}}}, "Service identity is missing the service name field on this role"},
		{"a node identity without name", Role{Name: "r", NodeIdentities: []NodeIdentity{{Datacenter: "dc1"}}}, "Node identity is missing the node name field on this role"},
		{"a template without name", Role{Name: "r", TemplatedPolicies: []TemplatedPolicy{{}}}, "templated policy is missing the template name field on this role"},
		{"an unknown template", Role{Name: "r", TemplatedPolicies: []TemplatedPolicy{{TemplateName: "x"}}}, "templated policy with an invalid templated name: x for this role"},
		{"bad variables", Role{Name: "r", TemplatedPolicies: []TemplatedPolicy{{TemplateName: "builtin/workload-identity"}}}, "encountered role with invalid templated policy: 1 error occurred:\n\t* name is required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.role.Scope = tenancy.Default
			wantError(t, c.role.Validate(), c.want)
		})
	}
}

func TestTokenCheckIdentities(t *testing.T) {
	const nodeChars = "Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed"
	dc1 := []string{"dc1"}
	for _, c := range []struct {
		name  string
		token Token
		want  string
	}{
		{"nothing at all", Token{}, ""},
		{"a service identity", Token{ServiceIdentities: []ServiceIdentity{{ServiceName: "a"}}, Local: true}, ""},
		{"a service identity without name", Token{ServiceIdentities: []ServiceIdentity{{}}}, "Service identity is missing the service name field on this token"},
		{"a service identity with a bad name", Token{ServiceIdentities: []ServiceIdentity{{ServiceName: "Bad"}}}, `Service identity "Bad" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"datacenters on a local token", Token{Local: true, ServiceIdentities: []ServiceIdentity{{ServiceName: "a", Datacenters: dc1}}}, `Service identity "a" cannot specify a list of datacenters on a local token`},
		{"a node identity", Token{NodeIdentities: []NodeIdentity{{NodeName: "n", Datacenter: "dc1"}}}, ""},
		{"a node identity without datacenter", Token{NodeIdentities: []NodeIdentity{{NodeName: "n"}}}, "Node identity is missing the datacenter field on this token"},
		{"a node identity without name", Token{NodeIdentities: []NodeIdentity{{Datacenter: "dc1"}}}, "Node identity is missing the node name field on this token"},
		{"a node identity with a bad name", Token{NodeIdentities: []NodeIdentity{{NodeName: "-n", Datacenter: "dc1"}}}, nodeChars},
		{"a node identity outside the default namespace", Token{Scope: in(t, "p", "team"), NodeIdentities: []NodeIdentity{{NodeName: "n", Datacenter: "dc1"}}}, `Node identity "n" is only allowed in the default namespace, not in "team"`},
		{"a template without name", Token{TemplatedPolicies: []TemplatedPolicy{{}}}, "templated policy is missing the template name field on this token"},
		{"an unknown template", Token{TemplatedPolicies: []TemplatedPolicy{{TemplateName: "x"}}}, `no such ACL templated policy with Name "x"`},
		{"bad variables", Token{TemplatedPolicies: []TemplatedPolicy{{TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: "A"}}}},
			`validation error for templated policy "builtin/service": service identity "A" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{"variables that the template does not use", Token{TemplatedPolicies: []TemplatedPolicy{{TemplateName: "builtin/dns", TemplateVariables: &TemplateVariables{Name: "A"}}}}, ""},
		{"a template's datacenters on a local token", Token{Local: true, TemplatedPolicies: []TemplatedPolicy{{TemplateName: "builtin/dns", Datacenters: dc1}}}, `templated policy "builtin/dns" cannot specify a list of datacenters on a local token`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.token.Namespace == "" {
				c.token.Scope = tenancy.Default
			}
			wantError(t, c.token.CheckIdentities(), c.want)
		})
	}
}

func TestCheckIdentitiesMergesWhatIsThereTwice(t *testing.T) {
	api := &TemplateVariables{Name: "api"}
	given := []ServiceIdentity{{"web", nil}, {"db", []string{"dc2"}}, {"web", []string{"dc1"}}, {"db", []string{"dc1", "dc2"}}}
	token := Token{
		Scope:             tenancy.Default,
		ServiceIdentities: given,
		NodeIdentities:    []NodeIdentity{{"n", "dc1"}, {"n", "dc2"}, {"n", "dc1"}},
		TemplatedPolicies: []TemplatedPolicy{
			{TemplateName: "builtin/service", TemplateVariables: api, Datacenters: []string{"dc1"}},
			{TemplateName: "builtin/dns"},
			{TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: "api"}, Datacenters: []string{"dc2"}},
			{TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: "other"}},
		},
	}
	if err := token.CheckIdentities(); err != nil {
		t.Fatal(err)
	}
	want := Token{
		Scope:             tenancy.Default,
		ServiceIdentities: []ServiceIdentity{{"web", []string{"dc1"}}, {"db", []string{"dc2", "dc1"}}},
		NodeIdentities:    []NodeIdentity{{"n", "dc1"}, {"n", "dc2"}},
		TemplatedPolicies: []TemplatedPolicy{
			{TemplateID: ReservedUUIDPrefix + "03", TemplateName: "builtin/service", TemplateVariables: api, Datacenters: []string{"dc1", "dc2"}},
			{TemplateID: ReservedUUIDPrefix + "05", TemplateName: "builtin/dns"},
			{TemplateID: ReservedUUIDPrefix + "03", TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: "other"}},
		},
	}
	if !reflect.DeepEqual(token, want) {
		t.Errorf("got\n%+v\nwant\n%+v", token, want)
	}
	if given[0].Datacenters != nil {
		t.Error("the list that was given has changed")
	}
}

func TestValidateTokenID(t *testing.T) {
	for _, c := range []struct{ name, field, id, want string }{
		{"a UUID", "AccessorID", "6f0c12ab-0000-4111-8222-0123456789ab", ""},
		{"in capitals", "SecretID", "6F0C12AB-0000-4111-8222-0123456789AB", ""},
		{"nothing", "AccessorID", "", "Invalid Token: AccessorID - not a valid UUID"},
		{"a word", "SecretID", "anonymous", "Invalid Token: SecretID - not a valid UUID"},
		{"a digit too few", "AccessorID", "6f0c12ab-0000-4111-8222-0123456789a", "Invalid Token: AccessorID - not a valid UUID"},
		{"no hexadecimal digit", "AccessorID", "6f0c12ab-0000-4111-8222-0123456789ag", "Invalid Token: AccessorID - not a valid UUID"},
		{"hyphens elsewhere", "AccessorID", "6f0c12ab0-000-4111-8222-0123456789ab", "Invalid Token: AccessorID - not a valid UUID"},
		{"a reserved one", "AccessorID", AnonymousAccessor, `Invalid Token: AccessorID - UUIDs with the prefix "00000000-0000-0000-0000-0000000000" are reserved`},
		{"the next that is not reserved", "AccessorID", "00000000-0000-0000-0000-000000000100", ""},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, ValidateTokenID(c.field, c.id), c.want) })
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name                        string
		service, node, role, policy bool
	}{
		{"web", true, true, true, true},
		{"web-1_a", true, true, true, true},
		{"Web", false, false, true, true},
		{"-web", false, false, true, true},
		{"web_", false, false, true, true},
		{"a/b", false, false, false, true},
		{"builtin/global-read-only", false, false, false, false},
		{"a/b/c", false, false, false, false},
		{"/a", false, false, false, false},
		{"", false, false, false, false},
		{"wéb", false, false, false, false},
		{"web\n", false, false, false, false},
		{strings.Repeat("a", 129), true, true, true, false},
		{strings.Repeat("a", 256), true, true, true, false},
		{strings.Repeat("a", 257), false, false, false, false},
	} {
		if ValidServiceName(c.name) != c.service || ValidNodeName(c.name) != c.node || ValidRoleName(c.name) != c.role || (checkPolicyName(c.name) == nil) != c.policy {
			t.Errorf("%q: service %v, node %v, role %v, policy %v", c.name, ValidServiceName(c.name), ValidNodeName(c.name), ValidRoleName(c.name), checkPolicyName(c.name))
		}
	}
}
