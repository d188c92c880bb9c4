package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func policyAt(p *acl.Policy) (tenancy.Scope, string) { return p.Scope, p.ID }

var (
	policyNames = store.Unique("name", func(p *acl.Policy, add func(tenancy.Scope, string)) {
		add(p.Scope, fold(p.Name))
	})

	policies = &resource[acl.Policy]{
		name:    TablePolicies,
		at:      policyAt,
		rows:    store.NewTable("policies", policyAt, policyNames),
		indexes: func(p *acl.Policy) (*uint64, *uint64) { return &p.CreateIndex, &p.ModifyIndex },
	}
)

// Policy returns the policy with an ID in s.
func (tx *Tx) Policy(ws memdb.WatchSet, s tenancy.Scope, id string) (*acl.Policy, error) {
	return policies.rows.Get(tx.db, ws, s, id)
}

// LinkedPolicy returns the policy that a link from something in s points at: one of s,
// or a built-in policy, which lives in the default scope (tenancy.md section 7.2).
func (tx *Tx) LinkedPolicy(ws memdb.WatchSet, s tenancy.Scope, id string) (*acl.Policy, error) {
	if id == acl.GlobalManagementID || id == acl.GlobalReadOnlyID {
		s = tenancy.Default
	}
	return tx.Policy(ws, s, id)
}

// PolicyByName returns the policy with a name, in any case, in s.
func (tx *Tx) PolicyByName(ws memdb.WatchSet, s tenancy.Scope, name string) (*acl.Policy, error) {
	return policies.rows.One(tx.db, ws, policyNames, s, fold(name))
}

// Policies returns the policies of s, sorted by name in lower case. s may be the
// wildcard namespace.
func (tx *Tx) Policies(ws memdb.WatchSet, s tenancy.Scope) ([]*acl.Policy, error) {
	rows, err := policies.rows.List(tx.db, ws, s)
	return sortBy(rows, func(p *acl.Policy) (string, tenancy.Scope) { return fold(p.Name), p.Scope }), err
}

// PutPolicy creates or replaces the policy at its scope and ID. It returns
// store.ErrTaken, with nothing changed, if another policy of the scope has its name.
func (tx *Tx) PutPolicy(p acl.Policy) error { return policies.put(tx, p) }

// DeletePolicy removes a policy, if it exists. Links to it stay and count for nothing.
func (tx *Tx) DeletePolicy(s tenancy.Scope, id string) error { return policies.remove(tx, s, id) }
