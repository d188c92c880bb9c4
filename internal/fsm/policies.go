package fsm

import (
	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// PolicySet creates or replaces a policy. With IfIndex > 0 it does so only if the
// stored policy still has that ModifyIndex.
type PolicySet struct {
	Policy  acl.Policy
	IfIndex uint64
}

// Apply implements Command. It returns errs.Invalid for a name that another policy has.
func (c PolicySet) Apply(tx *state.Tx) error {
	old, err := tx.Policy(nil, c.Policy.Scope, c.Policy.ID)
	if err != nil {
		return err
	}
	if c.IfIndex > 0 && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	if err := tx.CheckScope(c.Policy.Scope); err != nil {
		return err
	}
	other, err := tx.PolicyByName(nil, c.Policy.Scope, c.Policy.Name)
	if err != nil {
		return err
	}
	if other != nil && other.ID != c.Policy.ID {
		if old == nil {
			return errs.Errorf(errs.Invalid, "Invalid Policy: A Policy with Name %q already exists", c.Policy.Name)
		}
		return errs.Errorf(errs.Invalid, "Invalid Policy: A policy with name %q already exists", c.Policy.Name)
	}
	return tx.PutPolicy(c.Policy)
}

// PolicyDelete removes a policy, if it exists.
type PolicyDelete struct {
	Scope tenancy.Scope
	ID    string
}

// Apply implements Command.
func (c PolicyDelete) Apply(tx *state.Tx) error { return tx.DeletePolicy(c.Scope, c.ID) }
