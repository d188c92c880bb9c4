package fsm

import (
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// AuthMethodSet creates an auth method, or replaces the one with its name in any case. With
// IfIndex > 0 it does so only if the stored method still has that ModifyIndex.
type AuthMethodSet struct {
	Method  authmethod.Method
	IfIndex uint64
}

// Apply implements Command. It returns errs.Invalid for a change of the type.
func (c AuthMethodSet) Apply(tx *state.Tx) error {
	old, err := tx.AuthMethod(nil, c.Method.Scope, c.Method.Name)
	if err != nil {
		return err
	}
	if c.IfIndex > 0 && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	if err := tx.CheckScope(c.Method.Scope); err != nil {
		return err
	}
	if old != nil && old.Type != c.Method.Type {
		return errs.New(errs.Invalid, "the Type field of an Auth Method is immutable")
	}
	return tx.PutAuthMethod(c.Method)
}

// AuthMethodDelete removes an auth method, if it exists, with its binding rules
// and every token that came from it.
type AuthMethodDelete struct {
	Scope tenancy.Scope
	Name  string
}

// Apply implements Command.
func (c AuthMethodDelete) Apply(tx *state.Tx) error { return tx.DeleteAuthMethod(c.Scope, c.Name) }

// BindingRuleSet creates or replaces a binding rule. With IfIndex > 0 it does so only if
// the stored rule still has that ModifyIndex.
type BindingRuleSet struct {
	Rule    authmethod.BindingRule
	IfIndex uint64
}

// Apply implements Command. It returns errs.Invalid if the rule's auth method does not exist.
func (c BindingRuleSet) Apply(tx *state.Tx) error {
	old, err := tx.BindingRule(nil, c.Rule.Scope, c.Rule.ID)
	if err != nil {
		return err
	}
	if c.IfIndex > 0 && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	if err := tx.CheckScope(c.Rule.Scope); err != nil {
		return err
	}
	m, err := tx.AuthMethod(nil, c.Rule.Scope, c.Rule.AuthMethod)
	if err != nil {
		return err
	}
	if m == nil {
		return errs.Errorf(errs.Invalid, "cannot find auth method with name %q", c.Rule.AuthMethod)
	}
	return tx.PutBindingRule(c.Rule)
}

// BindingRuleDelete removes a binding rule, if it exists.
type BindingRuleDelete struct {
	Scope tenancy.Scope
	ID    string
}

// Apply implements Command.
func (c BindingRuleDelete) Apply(tx *state.Tx) error { return tx.DeleteBindingRule(c.Scope, c.ID) }
