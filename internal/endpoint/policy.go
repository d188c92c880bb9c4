package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

var errNoPolicy = errs.Errorf(errs.NotFound, "Requested policy does not exist: %w", acl.ErrNotFound)

// Policies are the operations on policies (acl.md section 5).
type Policies struct{ *Backend }

// PolicyRead asks for one policy, by ID or by name.
type PolicyRead struct {
	tenancy.Scope
	ID, Name string
	Read
}

// PolicyList asks for the policies of a namespace, or with "*" of all
// namespaces of a partition.
type PolicyList struct {
	tenancy.Scope
	Read
}

// PolicyEntry is a policy in a list. Its JSON is the API's.
type PolicyEntry struct {
	ID          string
	Name        string
	Description string
	Datacenters []string // null when there are none, unlike in a policy
	Hash        []byte
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// Create makes a policy and returns it as it was stored. It needs acl:write in
// the policy's scope. What is wrong with p is errs.Invalid.
func (e *Policies) Create(ctx context.Context, who acl.Caller, p acl.Policy) (*acl.Policy, error) {
	if err := e.allow(who, p.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if p.ID != "" {
		return nil, errs.New(errs.Invalid, "Cannot specify the ID when creating a new policy")
	}
	if _, err := p.Validate(); err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	if err := tx.CheckScope(p.Scope); err != nil {
		return nil, err
	}
	taken, err := tx.PolicyByName(nil, p.Scope, p.Name)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid Policy: A Policy with Name %q already exists", p.Name)
	}
	p.ID = uuid.New()
	return e.save(ctx, p, 0)
}

// save stores p and returns it as it was stored.
func (e *Policies) save(ctx context.Context, p acl.Policy, ifIndex uint64) (*acl.Policy, error) {
	p.SetHash()
	if _, err := e.Raft.Propose(ctx, fsm.PolicySet{Policy: p, IfIndex: ifIndex}); err != nil {
		return nil, err
	}
	stored, err := e.Store.Read().Policy(nil, p.Scope, p.ID)
	if err == nil && stored == nil {
		err = errNoPolicy
	}
	return stored, err
}

// Update replaces the policy with the given ID by what p says. It needs
// acl:write in the scope. Of a built-in policy only the name may change.
func (e *Policies) Update(ctx context.Context, who acl.Caller, id string, p acl.Policy) (*acl.Policy, error) {
	if err := e.allow(who, p.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if p.ID != "" && !strings.EqualFold(p.ID, id) {
		return nil, errs.New(errs.Invalid, "Policy ID in URL and payload do not match")
	}
	if !uuid.Valid(id) {
		return nil, errs.New(errs.Invalid, "Policy ID invalid UUID")
	}
	p.ID = strings.ToLower(id)
	return unchanged(func() (*acl.Policy, error) { return e.update(ctx, p) })
}

func (e *Policies) update(ctx context.Context, p acl.Policy) (*acl.Policy, error) {
	tx := e.Store.Read()
	old, err := tx.Policy(nil, p.Scope, p.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, errs.Errorf(errs.Invalid, "cannot find policy %s", p.ID)
	}
	if err := checkBuiltin(old, p); err != nil {
		return nil, err
	}
	if _, err := p.Validate(); err != nil {
		return nil, err
	}
	taken, err := tx.PolicyByName(nil, p.Scope, p.Name)
	if err != nil {
		return nil, err
	}
	if taken != nil && taken.ID != p.ID {
		return nil, errs.Errorf(errs.Invalid, "Invalid Policy: A policy with name %q already exists", p.Name)
	}
	return e.save(ctx, p, old.ModifyIndex)
}

// checkBuiltin refuses an update that changes what is fixed in a built-in policy.
func checkBuiltin(old *acl.Policy, p acl.Policy) error {
	if !builtinPolicy(old.ID) {
		return nil
	}
	field := ""
	switch {
	case p.Rules != old.Rules:
		field = "Rules"
	case !slices.Equal(p.Datacenters, old.Datacenters):
		field = "Datacenters"
	case p.Description != old.Description:
		field = "Description"
	default:
		return nil
	}
	return errs.Errorf(errs.Invalid, "Changing the %s for the builtin %s policy is not permitted", field, old.Name)
}

// Read returns a policy. It needs acl:read in the scope. An unknown policy is
// errs.NotFound.
func (e *Policies) Read(ctx context.Context, who acl.Caller, req PolicyRead) (*acl.Policy, Meta, error) {
	if err := e.allow(who, req.Scope, acl.ACLRead); err != nil {
		return nil, Meta{}, err
	}
	if req.Name == "" {
		id, err := lookupID("policy", req.ID)
		if err != nil {
			return nil, Meta{}, err
		}
		req.ID = id
	}
	var out *acl.Policy
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := e.allow(who, req.Scope, acl.ACLRead)
		if err != nil {
			return 0, err
		}
		if req.Name != "" {
			out, err = tx.PolicyByName(ws, req.Scope, req.Name)
		} else {
			out, err = tx.Policy(ws, req.Scope, req.ID)
		}
		if err == nil && out == nil {
			err = errNoPolicy
		}
		return tx.LastIndex(state.TablePolicies), err
	})
	return out, meta, err
}

// List returns policies sorted by lower-case name. It needs acl:read.
func (e *Policies) List(ctx context.Context, who acl.Caller, req PolicyList) ([]PolicyEntry, Meta, error) {
	var out []PolicyEntry
	var filtered bool
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowList(who, req.Scope); err != nil {
			return 0, err
		}
		rows, err := tx.Policies(ws, req.Scope)
		if err != nil {
			return 0, err
		}
		rows, filtered = readable(who, rows, func(p *acl.Policy) tenancy.Scope { return p.Scope })
		out = make([]PolicyEntry, 0, len(rows))
		for _, p := range rows {
			out = append(out, policyEntry(p))
		}
		return tx.LastIndex(state.TablePolicies), nil
	})
	meta.FilteredByACLs = filtered
	return out, meta, err
}

func policyEntry(p *acl.Policy) PolicyEntry {
	return PolicyEntry{
		ID: p.ID, Name: p.Name, Description: p.Description, Datacenters: p.Datacenters, Hash: p.Hash,
		Scope: p.Scope, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex,
	}
}

// Delete removes a policy, also one in use: links to it disappear. It needs
// acl:write in the scope. An unknown policy is errs.NotFound.
func (e *Policies) Delete(ctx context.Context, who acl.Caller, s tenancy.Scope, id string) error {
	if err := e.allow(who, s, acl.ACLWrite); err != nil {
		return err
	}
	id, err := lookupID("policy", id)
	if err != nil {
		return err
	}
	p, err := e.Store.Read().Policy(nil, s, id)
	if err != nil {
		return err
	}
	if p == nil {
		return errs.New(errs.NotFound, "Cannot find policy to delete")
	}
	if builtinPolicy(id) {
		return errs.Errorf(errs.Invalid, "Delete operation not permitted on the builtin %s policy", p.Name)
	}
	_, err = e.Raft.Propose(ctx, fsm.PolicyDelete{Scope: s, ID: id})
	return err
}
