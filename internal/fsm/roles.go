package fsm

import (
	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// RoleSet creates or replaces a role. With IfIndex > 0 it does so only if the
// stored role still has that ModifyIndex.
type RoleSet struct {
	Role    acl.Role
	IfIndex uint64
}

// Apply implements Command. It returns errs.Invalid for a name that another role has
// and for a link to a policy that does not exist (acl.md section 6).
func (c RoleSet) Apply(tx *state.Tx) error {
	old, err := tx.Role(nil, c.Role.Scope, c.Role.ID)
	if err != nil {
		return err
	}
	if c.IfIndex > 0 && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	if err := tx.CheckScope(c.Role.Scope); err != nil {
		return err
	}
	other, err := tx.RoleByName(nil, c.Role.Scope, c.Role.Name)
	if err != nil {
		return err
	}
	if other != nil && other.ID != c.Role.ID {
		if old == nil {
			return errs.Errorf(errs.Invalid, "Invalid Role: A Role with Name %q already exists", c.Role.Name)
		}
		return errs.Errorf(errs.Invalid, "Invalid Role: A role with name %q already exists", c.Role.Name)
	}
	for _, l := range c.Role.Policies {
		p, err := tx.LinkedPolicy(nil, c.Role.Scope, l.ID)
		if err != nil {
			return err
		}
		if p == nil {
			return errs.Errorf(errs.Invalid, "Failed to apply role upsert request: No such policy with ID: %s", l.ID)
		}
	}
	return tx.PutRole(c.Role)
}

// RoleDelete removes a role, if it exists.
type RoleDelete struct {
	Scope tenancy.Scope
	ID    string
}

// Apply implements Command.
func (c RoleDelete) Apply(tx *state.Tx) error { return tx.DeleteRole(c.Scope, c.ID) }
