package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func roleAt(r *acl.Role) (tenancy.Scope, string) { return r.Scope, r.ID }

var (
	roleNames = store.Unique("name", func(r *acl.Role, add func(tenancy.Scope, string)) {
		add(r.Scope, fold(r.Name))
	})
	rolesByPolicy = store.Many("policy", func(r *acl.Role, add func(tenancy.Scope, string)) {
		for _, l := range r.Policies {
			add(r.Scope, l.ID)
		}
	})

	roles = &resource[acl.Role]{
		name:    TableRoles,
		at:      roleAt,
		rows:    store.NewTable("roles", roleAt, roleNames, rolesByPolicy),
		indexes: func(r *acl.Role) (*uint64, *uint64) { return &r.CreateIndex, &r.ModifyIndex },
	}
)

// Role returns the role with an ID in s.
func (tx *Tx) Role(ws memdb.WatchSet, s tenancy.Scope, id string) (*acl.Role, error) {
	return roles.rows.Get(tx.db, ws, s, id)
}

// RoleByName returns the role with a name, in any case, in s.
func (tx *Tx) RoleByName(ws memdb.WatchSet, s tenancy.Scope, name string) (*acl.Role, error) {
	return roles.rows.One(tx.db, ws, roleNames, s, fold(name))
}

// Roles returns the roles of s that link to a policy, or all if policyID is empty,
// sorted by name in lower case. s may be the wildcard namespace.
func (tx *Tx) Roles(ws memdb.WatchSet, s tenancy.Scope, policyID string) ([]*acl.Role, error) {
	var rows []*acl.Role
	var err error
	if policyID == "" {
		rows, err = roles.rows.List(tx.db, ws, s)
	} else {
		rows, err = roles.by(tx, ws, rolesByPolicy, s, policyID)
	}
	return sortBy(rows, func(r *acl.Role) (string, tenancy.Scope) { return fold(r.Name), r.Scope }), err
}

// PutRole creates or replaces the role at its scope and ID, with the IDs of its
// links alone. It returns store.ErrTaken, with nothing changed, if another role of the scope has its name.
func (tx *Tx) PutRole(r acl.Role) error {
	links, err := storedLinks(r.Policies, func(id string) (string, error) { return id, nil })
	if err != nil {
		return err
	}
	r.Policies = links
	return roles.put(tx, r)
}

// DeleteRole removes a role, if it exists. Links to it stay and count for nothing.
func (tx *Tx) DeleteRole(s tenancy.Scope, id string) error { return roles.remove(tx, s, id) }
