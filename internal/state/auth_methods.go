package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func authMethodAt(m *authmethod.Method) (tenancy.Scope, string) { return m.Scope, fold(m.Name) }

var authMethods = &resource[authmethod.Method]{
	name:    TableAuthMethods,
	at:      authMethodAt,
	rows:    store.NewTable("auth-methods", authMethodAt),
	indexes: func(m *authmethod.Method) (*uint64, *uint64) { return &m.CreateIndex, &m.ModifyIndex },
}

// AuthMethod returns the auth method with a name, in any case, in s.
func (tx *Tx) AuthMethod(ws memdb.WatchSet, s tenancy.Scope, name string) (*authmethod.Method, error) {
	return authMethods.rows.Get(tx.db, ws, s, fold(name))
}

// AuthMethods returns the auth methods of s, sorted by name. s may be the
// wildcard namespace.
func (tx *Tx) AuthMethods(ws memdb.WatchSet, s tenancy.Scope) ([]*authmethod.Method, error) {
	rows, err := authMethods.rows.List(tx.db, ws, s)
	return sortBy(rows, func(m *authmethod.Method) (string, tenancy.Scope) { return m.Name, m.Scope }), err
}

// PutAuthMethod creates the auth method, or replaces the one with its name in any case.
func (tx *Tx) PutAuthMethod(m authmethod.Method) error { return authMethods.put(tx, m) }

// DeleteAuthMethod removes an auth method, if it exists, with its binding rules and
// every token that came from it, in whatever namespace (authmethods.md section 2.3).
func (tx *Tx) DeleteAuthMethod(s tenancy.Scope, name string) error {
	m, err := tx.AuthMethod(nil, s, name)
	if err != nil || m == nil {
		return err
	}
	rules, err := tx.BindingRules(nil, s, name)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if err := tx.DeleteBindingRule(r.Scope, r.ID); err != nil {
			return err
		}
	}
	issued, err := tokens.by(tx, nil, tokensByAuthMethod, s, fold(name))
	if err != nil {
		return err
	}
	for _, t := range issued {
		if err := tx.DeleteToken(t.Scope, t.AccessorID); err != nil {
			return err
		}
	}
	return authMethods.remove(tx, s, fold(name))
}
