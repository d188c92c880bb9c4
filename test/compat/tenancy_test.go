package compat

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

func TestPartitionsAndNamespacesComeBack(t *testing.T) {
	w := newWorld(t, management)
	c := w.client(management, "", "")
	partition := must(c.Partitions().Create(t.Context(), &api.Partition{Name: "team-a", Description: "Team A"}, nil))(t)
	same(t, "partition", partition, &api.Partition{
		Name: "team-a", Description: "Team A", CreateIndex: partition.CreateIndex, ModifyIndex: partition.CreateIndex,
	})
	in := w.client(management, "team-a", "")
	policy := must(in.ACL().PolicyCreate(&api.ACLPolicy{Name: "default-policy", Rules: `key_prefix "" { policy = "read" }`}, nil))(t)
	role := must(in.ACL().RoleCreate(&api.ACLRole{Name: "default-role"}, nil))(t)
	namespace := must(in.Namespaces().Create(&api.Namespace{
		Name: "team-1", Description: "Team 1", Meta: map[string]string{"owner": "ops"},
		ACLs: &api.NamespaceACLConfig{
			PolicyDefaults: []api.ACLLink{{Name: "default-policy"}}, RoleDefaults: []api.ACLLink{{ID: role.ID}},
		},
	}, nil))(t)
	same(t, "namespace", namespace, &api.Namespace{
		Name: "team-1", Description: "Team 1", Meta: map[string]string{"owner": "ops"}, Partition: "team-a",
		ACLs: &api.NamespaceACLConfig{
			PolicyDefaults: []api.ACLLink{{ID: policy.ID, Name: "default-policy"}}, RoleDefaults: []api.ACLLink{{ID: role.ID, Name: "default-role"}},
		},
		CreateIndex: namespace.CreateIndex, ModifyIndex: namespace.CreateIndex,
	})
	read := func() {
		t.Helper()
		same(t, "partition", must(c.Partitions().Read(t.Context(), "team-a", nil))(t), partition)
		partitions := must(c.Partitions().List(t.Context(), nil))(t)
		same(t, "partition in the list", find(t, partitions, func(p *api.Partition) bool { return p.Name == "team-a" }), partition)
		same(t, "namespace", must(in.Namespaces().Read("team-1", nil))(t), namespace)
		namespaces := must(in.Namespaces().List(nil))(t)
		same(t, "namespace in the list", find(t, namespaces, func(n *api.Namespace) bool { return n.Name == "team-1" }), namespace)
	}
	read()
	w.restart()
	read()
	partition.Description = "changed"
	partition = must(c.Partitions().Update(t.Context(), partition, nil))(t)
	namespace.Description = "changed"
	namespace = must(in.Namespaces().Update(namespace, nil))(t)
	read()

	// What the namespace gives to each of its tokens is what they may do.
	token := must(w.client(management, "team-a", "team-1").ACL().TokenCreate(&api.ACLToken{}, nil))(t)
	expanded := must(w.client(management, "team-a", "team-1").ACL().TokenReadExpanded(token.AccessorID, nil))(t)
	same(t, "policies of the namespace", expanded.NamespaceDefaultPolicyIDs, []string{policy.ID})
	same(t, "roles of the namespace", expanded.NamespaceDefaultRoleIDs, []string{role.ID})

	if none := must(c.Namespaces().Read("nosuch", nil))(t); none != nil {
		t.Errorf("namespace %s", text(none))
	}
	if none := must(c.Partitions().Read(t.Context(), "nosuch", nil))(t); none != nil {
		t.Errorf("partition %s", text(none))
	}
	_, _, err := c.Namespaces().Create(&api.Namespace{Name: "not_a_label"}, nil)
	refused(t, err, 400, `Invalid Namespace: invalid Name "not_a_label"`)
	_, _, err = w.client("", "", "").Namespaces().Create(&api.Namespace{Name: "x"}, nil)
	refused(t, err, 403, "Permission denied: anonymous token lacks permission 'operator:write'")
}
