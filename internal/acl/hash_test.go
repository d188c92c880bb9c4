package acl

import (
	"encoding/hex"
	"testing"
)

// The vectors were computed with another implementation of BLAKE2b-256 over the
// strings of acl.md section 12 in their order.
func TestHashes(t *testing.T) {
	const policyID, roleID = "71aa0000-0000-4000-8000-000000000001", "71aa0000-0000-4000-8000-000000000002"
	services := []ServiceIdentity{{"web", []string{"dc1"}}}
	nodes := []NodeIdentity{{"n1", "dc1"}}

	policy := Policy{ID: policyID, Name: "p1", Description: "first", Rules: `acl = "read"`, Datacenters: []string{"dc1", "dc2"}}
	policy.SetHash()
	role := Role{ID: roleID, Name: "r1", Description: "a role", Policies: []Link{{ID: policyID, Name: "p1"}}, ServiceIdentities: services, NodeIdentities: nodes}
	role.SetHash()
	token := Token{
		AccessorID: "a", SecretID: "s", Description: "agent n1", Policies: []Link{{ID: policyID}}, Roles: []Link{{ID: roleID}},
		ServiceIdentities: services, NodeIdentities: nodes,
		TemplatedPolicies: []TemplatedPolicy{{TemplateID: ReservedUUIDPrefix + "05", TemplateName: "builtin/dns"}},
	}
	token.SetHash()
	local := Token{Local: true}
	local.SetHash()
	for _, c := range []struct {
		name string
		hash []byte
		want string
	}{
		{"a policy", policy.Hash, "a735ed9fef07fa88f623c4816c7d86f5452768f19de68824099a777add799ecd"},
		{"a role", role.Hash, "9fe3278e18b5cdc59b9b71ac2ab4e572b1e191b5ca4889c9c88b309547f084a1"},
		{"a token", token.Hash, "69e031a638eeab5796e7900d20ee34be5ca60243de4bf4a065d22e48a6f9786e"},
		{"an empty local token", local.Hash, "a6125810ff138a1bde368e9a3890b12f1ab7e0000e85261aca2b0e327a1df8a7"},
	} {
		if got := hex.EncodeToString(c.hash); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHashOfATokenChangesWithATemplateVariable(t *testing.T) {
	hash := func(name string) string {
		token := Token{TemplatedPolicies: []TemplatedPolicy{{TemplateName: "builtin/service", TemplateVariables: &TemplateVariables{Name: name}}}}
		token.SetHash()
		return string(token.Hash)
	}
	if hash("a") == hash("b") {
		t.Error("it does not")
	}
}
