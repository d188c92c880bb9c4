package endpoint

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

func TestPolicyCreateRefuses(t *testing.T) {
	w := newWorld(t)
	w.policy(tenancy.Default, "p1", "")
	const badName = "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed"
	for _, c := range []struct {
		name string
		p    acl.Policy
		want string
	}{
		{"an ID", acl.Policy{ID: someID, Name: "a"}, "Cannot specify the ID when creating a new policy"},
		{"no name", acl.Policy{}, "Invalid Policy: no Name is set"},
		{"a space in the name", acl.Policy{Name: "a b"}, badName},
		{"two slashes in the name", acl.Policy{Name: "a/b/c"}, badName},
		{"a name that is too long", acl.Policy{Name: strings.Repeat("a", 129)},
			"Invalid Policy: invalid Name. Length must be greater than 0 and less than 128"},
		{"a reserved name", acl.Policy{Name: "builtin/x"}, "Invalid Policy: invalid Name. Names cannot be prefixed with '/' or 'builtin/'"},
		{"a name in use", acl.Policy{Name: "p1"}, `Invalid Policy: A Policy with Name "p1" already exists`},
		{"a name in use in capitals", acl.Policy{Name: "P1"}, `Invalid Policy: A Policy with Name "P1" already exists`},
		{"rules that do not parse", acl.Policy{Name: "a", Rules: `service "a" { `},
			"Failed to parse ACL rules: At 1:15: object expected closing RBRACE got: EOF"},
		{"a bad disposition", acl.Policy{Name: "a", Rules: `acl = "bogus"`}, `Invalid acl policy: "bogus" (at 1:1)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.Scope = tenancy.Default
			_, err := w.policies.Create(ctx, w.root, c.p)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	must(w.policies.Create(ctx, w.root, acl.Policy{Name: strings.Repeat("a", 128), Scope: tenancy.Default}))(t)
}

func TestPolicyReach(t *testing.T) {
	w := newWorld(t)
	team := w.in("default", "team")
	other := w.in("p", "team")
	for _, c := range []struct {
		name  string
		scope tenancy.Scope
		rules string
		ok    bool
	}{
		{"the default namespace names any other", tenancy.Default, `namespace "team" { acl = "write" }`, true},
		{"a namespace does not name another", team, `namespace "default" { acl = "write" }`, false},
		{"a namespace does not give operator", team, `operator = "write"`, false},
		{"a namespace speaks about itself", team, `acl = "write"`, true},
		{"a partition names itself", other.PartitionRoot(), `partition "p" { node_prefix "" { policy = "write" } }`, true},
		{"a partition does not name another", other.PartitionRoot(), `partition "default" { acl = "write" }`, false},
	} {
		_, err := w.policies.Create(ctx, w.root, acl.Policy{Name: "p-" + uuid.New(), Rules: c.rules, Scope: c.scope})
		if (err == nil) != c.ok || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestPolicyUpdate(t *testing.T) {
	w := newWorld(t)
	p := w.policy(tenancy.Default, "p1", `key "a" { policy = "read" }`)
	w.policy(tenancy.Default, "p2", "")
	builtin := acl.BuiltinPolicies()[0]
	for _, c := range []struct {
		name, id string
		p        acl.Policy
		want     string
	}{
		{"another ID in the body", p.ID, acl.Policy{ID: someID, Name: "p1"}, "Policy ID in URL and payload do not match"},
		{"what is no UUID", "x", acl.Policy{Name: "p1"}, "Policy ID invalid UUID"},
		{"an unknown policy", someID, acl.Policy{Name: "p1"}, "cannot find policy " + someID},
		{"a name in use", p.ID, acl.Policy{Name: "P2"}, `Invalid Policy: A policy with name "P2" already exists`},
		{"no name", p.ID, acl.Policy{}, "Invalid Policy: no Name is set"},
		{"the rules of a built-in policy", builtin.ID, acl.Policy{Name: builtin.Name, Description: builtin.Description},
			"Changing the Rules for the builtin global-management policy is not permitted"},
		{"the datacenters of a built-in policy", builtin.ID,
			acl.Policy{Name: builtin.Name, Description: builtin.Description, Rules: builtin.Rules, Datacenters: []string{"dc1"}},
			"Changing the Datacenters for the builtin global-management policy is not permitted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.Scope = tenancy.Default
			_, err := w.policies.Update(ctx, w.root, c.id, c.p)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	got := must(w.policies.Update(ctx, w.root, strings.ToUpper(p.ID), acl.Policy{Name: "P1", Scope: tenancy.Default}))(t)
	if got.ID != p.ID || got.Name != "P1" || got.Rules != "" || got.CreateIndex != p.CreateIndex || got.ModifyIndex <= p.ModifyIndex {
		t.Errorf("after the update: %+v", got)
	}
	builtin.Name = "everything"
	if got := must(w.policies.Update(ctx, w.root, builtin.ID, builtin))(t); got.Name != "everything" {
		t.Errorf("a built-in policy is called %q after its renaming", got.Name)
	}
}

func TestPolicyReadListDelete(t *testing.T) {
	w := newWorld(t)
	b := w.policy(tenancy.Default, "b", "")
	a := w.policy(tenancy.Default, "A", "")
	read := func(id, name string) (*acl.Policy, error) {
		got, _, err := w.policies.Read(ctx, w.root, PolicyRead{Scope: tenancy.Default, ID: id, Name: name})
		return got, err
	}
	if must(read(strings.ToUpper(a.ID), ""))(t).ID != a.ID || must(read("", "a"))(t).ID != a.ID {
		t.Error("another policy was read")
	}
	_, err := read(someID, "")
	wantError(t, err, errs.NotFound, "Requested policy does not exist: ACL not found")
	_, err = read("", "x")
	wantError(t, err, errs.NotFound, "Requested policy does not exist: ACL not found")
	_, err = read("x", "")
	wantError(t, err, errs.Invalid, "failed acl policy lookup: index error: UUID must be 36 characters")
	list, _, err := w.policies.List(ctx, w.root, PolicyList{Scope: tenancy.Default})
	var names []string
	for _, p := range must(list, err)(t) {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "A b builtin/global-read-only global-management" {
		t.Errorf("list is %s", got)
	}
	if text := asJSON(t, list[0]); strings.Contains(text, "Rules") || !strings.Contains(text, `"Datacenters":null`) {
		t.Errorf("entry is %s", text)
	}
	for _, c := range []struct {
		name, id string
		kind     errs.Kind
		want     string
	}{
		{"an unknown policy", someID, errs.NotFound, "Cannot find policy to delete"},
		{"the first built-in policy", acl.GlobalManagementID, errs.Invalid, "Delete operation not permitted on the builtin global-management policy"},
		{"the second", acl.GlobalReadOnlyID, errs.Invalid, "Delete operation not permitted on the builtin builtin/global-read-only policy"},
		{"what is no UUID", "x", errs.Invalid, "failed acl policy lookup: index error: UUID must be 36 characters"},
		{"an existing policy", b.ID, errs.Internal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, w.policies.Delete(ctx, w.root, tenancy.Default, c.id), c.kind, c.want)
		})
	}
}
