package endpoint

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestRoleCreateRefuses(t *testing.T) {
	w := newWorld(t)
	w.role(tenancy.Default, acl.Role{Name: "r1"})
	const badName = "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"
	for _, c := range []struct {
		name string
		r    acl.Role
		want string
	}{
		{"an ID", acl.Role{ID: someID, Name: "a"}, "Role ID in URL and payload do not match"},
		{"no name", acl.Role{}, "Invalid Role: no Name is set"},
		{"a bad name", acl.Role{Name: "a b"}, badName},
		{"a name that is too long", acl.Role{Name: strings.Repeat("a", 257)}, badName},
		{"a name in use", acl.Role{Name: "R1"}, `Invalid Role: A Role with Name "R1" already exists`},
		{"an unknown policy by name", acl.Role{Name: "a", Policies: []acl.Link{{Name: "x"}}}, `No such ACL policy with name "x"`},
		{"an empty link", acl.Role{Name: "a", Policies: []acl.Link{{}}}, `No such ACL policy with name ""`},
		{"an unknown policy by ID", acl.Role{Name: "a", Policies: []acl.Link{{ID: someID}}},
			"Failed to apply role upsert request: No such policy with ID: " + someID},
		{"a service identity without a name", acl.Role{Name: "a", ServiceIdentities: []acl.ServiceIdentity{{}}},
			"Service identity is missing the service name field on this role"},
		{"a node identity without a datacenter", acl.Role{Name: "a", NodeIdentities: []acl.NodeIdentity{{NodeName: "n"}}},
			"Node identity is missing the datacenter field on this role"},
		{"an unknown template", acl.Role{Name: "a", TemplatedPolicies: []acl.TemplatedPolicy{{TemplateName: "x"}}},
			"templated policy with an invalid templated name: x for this role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Scope = tenancy.Default
			_, err := w.roles.Create(ctx, w.root, c.r)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
}

func TestRoleUpdateReadListDelete(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p", "")
	r := w.role(tenancy.Default, acl.Role{
		Name: "r1", Policies: []acl.Link{{Name: "p"}, {ID: p.ID}},
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}, {ServiceName: "web", Datacenters: []string{"dc1"}}},
	})
	if len(r.Policies) != 1 || r.Policies[0] != (acl.Link{ID: p.ID, Name: "p"}) || len(r.ServiceIdentities) != 1 || len(r.Hash) != 32 {
		t.Errorf("created %+v", r)
	}
	w.role(tenancy.Default, acl.Role{Name: "A"})
	for _, c := range []struct {
		name, id string
		r        acl.Role
		want     string
	}{
		{"another ID in the body", r.ID, acl.Role{ID: someID, Name: "r1"}, "Role ID in URL and payload do not match"},
		{"what is no UUID", "x", acl.Role{Name: "r1"}, "Role ID invalid UUID"},
		{"an unknown role", someID, acl.Role{Name: "r1"}, "cannot find role " + someID},
		{"a name in use", r.ID, acl.Role{Name: "a"}, `Invalid Role: A role with name "a" already exists`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Scope = tenancy.Default
			_, err := w.roles.Update(ctx, w.root, c.id, c.r)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	list, _, err := w.roles.List(ctx, w.root, RoleList{Scope: tenancy.Default, Policy: strings.ToUpper(p.ID)})
	if err != nil || len(list) != 1 || list[0].ID != r.ID || list[0].Policies[0].Name != "p" {
		t.Errorf("roles with the policy: %+v, %v", list, err)
	}
	got := must(w.roles.Update(ctx, w.root, r.ID, acl.Role{Name: "R1", Scope: tenancy.Default}))(t)
	if got.Name != "R1" || len(got.Policies)+len(got.ServiceIdentities) != 0 {
		t.Errorf("updated %+v", got)
	}
	list, _, err = w.roles.List(ctx, w.root, RoleList{Scope: tenancy.Default})
	if err != nil || len(list) != 2 || list[0].Name != "A" {
		t.Errorf("roles: %+v, %v", list, err)
	}
	read := func(id, name string) (*acl.Role, error) {
		got, _, err := w.roles.Read(ctx, w.root, RoleRead{Scope: tenancy.Default, ID: id, Name: name})
		return got, err
	}
	if must(read(strings.ToUpper(r.ID), ""))(t).ID != r.ID || must(read("", "r1"))(t).ID != r.ID {
		t.Error("another role was read")
	}
	_, err = read(someID, "")
	wantError(t, err, errs.NotFound, "Requested role does not exist: ACL not found")
	_, err = read("x", "")
	wantError(t, err, errs.Invalid, "failed acl role lookup: index error: UUID must be 36 characters")
	wantError(t, w.roles.Delete(ctx, w.root, tenancy.Default, someID), errs.NotFound, "Cannot find role to delete")
	wantError(t, w.roles.Delete(ctx, w.root, tenancy.Default, "x"), errs.Invalid, "failed acl role lookup: index error: UUID must be 36 characters")
	wantError(t, w.roles.Delete(ctx, w.root, tenancy.Default, r.ID), errs.Internal, "")
	_, err = read("", "r1")
	wantError(t, err, errs.NotFound, "Requested role does not exist: ACL not found")
}
