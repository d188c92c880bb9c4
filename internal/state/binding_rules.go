package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func bindingRuleAt(r *authmethod.BindingRule) (tenancy.Scope, string) { return r.Scope, r.ID }

var (
	bindingRulesByMethod = store.Many("auth-method", func(r *authmethod.BindingRule, add func(tenancy.Scope, string)) {
		add(r.Scope, fold(r.AuthMethod))
	})

	bindingRules = &resource[authmethod.BindingRule]{
		name:    TableBindingRules,
		at:      bindingRuleAt,
		rows:    store.NewTable("binding-rules", bindingRuleAt, bindingRulesByMethod),
		indexes: func(r *authmethod.BindingRule) (*uint64, *uint64) { return &r.CreateIndex, &r.ModifyIndex },
	}
)

// BindingRule returns the binding rule with an ID in s.
func (tx *Tx) BindingRule(ws memdb.WatchSet, s tenancy.Scope, id string) (*authmethod.BindingRule, error) {
	return bindingRules.rows.Get(tx.db, ws, s, id)
}

// BindingRules returns the binding rules in s of a method, or all if method is empty,
// sorted by ID. s may be the wildcard namespace.
func (tx *Tx) BindingRules(ws memdb.WatchSet, s tenancy.Scope, method string) ([]*authmethod.BindingRule, error) {
	var rows []*authmethod.BindingRule
	var err error
	if method == "" {
		rows, err = bindingRules.rows.List(tx.db, ws, s)
	} else {
		rows, err = bindingRules.by(tx, ws, bindingRulesByMethod, s, fold(method))
	}
	return sortBy(rows, func(r *authmethod.BindingRule) (string, tenancy.Scope) { return r.ID, r.Scope }), err
}

// PutBindingRule creates or replaces the binding rule at its scope and ID.
func (tx *Tx) PutBindingRule(r authmethod.BindingRule) error { return bindingRules.put(tx, r) }

// DeleteBindingRule removes a binding rule, if it exists.
func (tx *Tx) DeleteBindingRule(s tenancy.Scope, id string) error {
	return bindingRules.remove(tx, s, id)
}
