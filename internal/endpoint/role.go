package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

var errNoRole = errs.Errorf(errs.NotFound, "Requested role does not exist: %w", acl.ErrNotFound)

// Roles are the operations on roles (acl.md section 6).
type Roles struct{ *Backend }

// RoleRead asks for one role, by ID or by name.
type RoleRead struct {
	tenancy.Scope
	ID, Name string
	Read
}

// RoleList asks for the roles of a namespace, or with "*" of all namespaces of
// a partition; with Policy, an ID, only those that link to it.
type RoleList struct {
	tenancy.Scope
	Policy string
	Read
}

// Create makes a role and returns it as it was stored. It needs acl:write in
// the role's scope. What is wrong with r is errs.Invalid.
func (e *Roles) Create(ctx context.Context, who acl.Caller, r acl.Role) (*acl.Role, error) {
	if err := e.allow(who, r.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if r.ID != "" {
		return nil, errs.New(errs.Invalid, "Role ID in URL and payload do not match")
	}
	tx := e.Store.Read()
	if err := tx.CheckScope(r.Scope); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := checkRoleName(tx, r, "Invalid Role: A Role with Name %q already exists"); err != nil {
		return nil, err
	}
	r.ID = uuid.New()
	return e.save(ctx, who, tx, fsm.RoleSet{Role: r})
}

// checkRoleName checks that no other role has r's name; taken is the text if
// one does.
func checkRoleName(tx *state.Tx, r acl.Role, taken string) error {
	other, err := tx.RoleByName(nil, r.Scope, r.Name)
	if err == nil && other != nil && other.ID != r.ID {
		err = errs.Errorf(errs.Invalid, taken, r.Name)
	}
	return err
}

// save resolves what the role of cmd, that who writes, links to, stores it and
// returns it as it was stored.
func (e *Roles) save(ctx context.Context, who acl.Caller, tx *state.Tx, cmd fsm.RoleSet) (*acl.Role, error) {
	r := &cmd.Role
	links, err := policyLinks(tx, who, r.Scope, r.Policies, "Failed to apply role upsert request: No such policy with ID: %s")
	if err != nil {
		return nil, err
	}
	r.Policies = idsOnly(links)
	r.SetHash()
	if _, err := e.Raft.Propose(ctx, cmd); err != nil {
		return nil, err
	}
	tx = e.Store.Read()
	stored, err := tx.Role(nil, r.Scope, r.ID)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, errNoRole
	}
	return showRole(tx, stored)
}

// showRole returns a stored role with the names of its links.
func showRole(tx *state.Tx, stored *acl.Role) (*acl.Role, error) {
	r := *stored
	var err error
	r.Policies, err = showPolicies(tx, r.Scope, r.Policies)
	return &r, err
}

// Update replaces the role with the given ID by what r says. It needs
// acl:write in the scope.
func (e *Roles) Update(ctx context.Context, who acl.Caller, id string, r acl.Role) (*acl.Role, error) {
	if err := e.allow(who, r.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if r.ID != "" && !strings.EqualFold(r.ID, id) {
		return nil, errs.New(errs.Invalid, "Role ID in URL and payload do not match")
	}
	if !uuid.Valid(id) {
		return nil, errs.New(errs.Invalid, "Role ID invalid UUID")
	}
	r.ID = strings.ToLower(id)
	return unchanged(func() (*acl.Role, error) { return e.update(ctx, who, r) })
}

func (e *Roles) update(ctx context.Context, who acl.Caller, r acl.Role) (*acl.Role, error) {
	tx := e.Store.Read()
	old, err := tx.Role(nil, r.Scope, r.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, errs.Errorf(errs.Invalid, "cannot find role %s", r.ID)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := checkRoleName(tx, r, "Invalid Role: A role with name %q already exists"); err != nil {
		return nil, err
	}
	return e.save(ctx, who, tx, fsm.RoleSet{Role: r, IfIndex: old.ModifyIndex})
}

// Read returns a role. It needs acl:read in the scope. An unknown role is
// errs.NotFound.
func (e *Roles) Read(ctx context.Context, who acl.Caller, req RoleRead) (*acl.Role, Meta, error) {
	if err := e.allow(who, req.Scope, acl.ACLRead); err != nil {
		return nil, Meta{}, err
	}
	if req.Name == "" {
		id, err := lookupID("role", req.ID)
		if err != nil {
			return nil, Meta{}, err
		}
		req.ID = id
	}
	var out *acl.Role
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := e.allow(who, req.Scope, acl.ACLRead)
		if err != nil {
			return 0, err
		}
		var row *acl.Role
		if req.Name != "" {
			row, err = tx.RoleByName(ws, req.Scope, req.Name)
		} else {
			row, err = tx.Role(ws, req.Scope, req.ID)
		}
		if err != nil {
			return 0, err
		}
		if row == nil {
			return 0, errNoRole
		}
		out, err = showRole(tx, row)
		return tx.LastIndex(state.TableRoles), err
	})
	return out, meta, err
}

// List returns roles sorted by lower-case name. It needs acl:read.
func (e *Roles) List(ctx context.Context, who acl.Caller, req RoleList) ([]acl.Role, Meta, error) {
	if err := e.allowList(who, req.Scope); err != nil {
		return nil, Meta{}, err
	}
	if req.Policy != "" {
		id, err := lookupID("role", req.Policy)
		if err != nil {
			return nil, Meta{}, err
		}
		req.Policy = id
	}
	var out []acl.Role
	var filtered bool
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowList(who, req.Scope); err != nil {
			return 0, err
		}
		rows, err := tx.Roles(ws, req.Scope, req.Policy)
		if err != nil {
			return 0, err
		}
		rows, filtered = readable(who, rows, func(r *acl.Role) tenancy.Scope { return r.Scope })
		out = make([]acl.Role, 0, len(rows))
		for _, row := range rows {
			r, err := showRole(tx, row)
			if err != nil {
				return 0, err
			}
			out = append(out, *r)
		}
		return tx.LastIndex(state.TableRoles), nil
	})
	meta.FilteredByACLs = filtered
	return out, meta, err
}

// Delete removes a role, also one in use: links to it disappear. It needs
// acl:write in the scope. An unknown role is errs.NotFound.
func (e *Roles) Delete(ctx context.Context, who acl.Caller, s tenancy.Scope, id string) error {
	if err := e.allow(who, s, acl.ACLWrite); err != nil {
		return err
	}
	id, err := lookupID("role", id)
	if err != nil {
		return err
	}
	r, err := e.Store.Read().Role(nil, s, id)
	if err != nil {
		return err
	}
	if r == nil {
		return errs.New(errs.NotFound, "Cannot find role to delete")
	}
	_, err = e.Raft.Propose(ctx, fsm.RoleDelete{Scope: s, ID: id})
	return err
}
