package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Update replaces the token with the given accessor by what req says; only
// what identifies it and its life are kept. It needs acl:write in the token's
// scope. What may not change is errs.Invalid (acl.md section 4.4).
func (e *Tokens) Update(ctx context.Context, who acl.Caller, accessor string, req TokenWrite) (*acl.Token, error) {
	if err := e.allow(who, req.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if req.AccessorID != "" && !strings.EqualFold(req.AccessorID, accessor) {
		return nil, errs.New(errs.Invalid, "Token Accessor ID in URL and payload do not match")
	}
	if !uuid.Valid(accessor) {
		return nil, errs.New(errs.Invalid, "AccessorID is not a valid UUID")
	}
	return unchanged(func() (*acl.Token, error) { return e.update(ctx, who, accessor, req) })
}

func (e *Tokens) update(ctx context.Context, who acl.Caller, accessor string, req TokenWrite) (*acl.Token, error) {
	tx := e.Store.Read()
	old, err := e.live(tx, req.Scope, accessor)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, errs.Errorf(errs.Invalid, "Cannot find token %q", accessor)
	}
	if err := checkKept(old, req); err != nil {
		return nil, err
	}
	t := *old
	t.Description = req.Description
	t.Policies, t.Roles = req.Policies, req.Roles
	t.ServiceIdentities, t.NodeIdentities = req.ServiceIdentities, req.NodeIdentities
	t.TemplatedPolicies = req.TemplatedPolicies
	return e.save(ctx, who, tx, fsm.TokenSet{Token: t, IfIndex: old.ModifyIndex})
}

// live returns the token with accessor in s, or nil if there is none or its
// life is over.
func (e *Tokens) live(tx *state.Tx, s tenancy.Scope, accessor string) (*acl.Token, error) {
	t, err := tx.Token(nil, s, strings.ToLower(accessor))
	if err != nil || t == nil || t.Expired(e.now()) {
		return nil, err
	}
	return t, nil
}

// checkKept refuses an update that changes what a token keeps for life.
func checkKept(old *acl.Token, req TokenWrite) error {
	switch {
	case req.SecretID != "" && !req.SecretID.Equal(old.SecretID):
		return errs.New(errs.Invalid, "Changing a token's SecretID is not permitted")
	case req.Local != old.Local:
		return errs.Errorf(errs.Invalid, "Cannot toggle local mode of %s", old.AccessorID)
	case req.AuthMethod != "" && req.AuthMethod != old.AuthMethod:
		return errs.Errorf(errs.Invalid, "Cannot change AuthMethod of %s", old.AccessorID)
	case req.ExpirationTTL != 0 || changesExpiration(old, req):
		return errs.Errorf(errs.Invalid, "Cannot change expiration time of %s", old.AccessorID)
	}
	return nil
}

func changesExpiration(old *acl.Token, req TokenWrite) bool {
	if req.ExpirationTime == nil || req.ExpirationTime.IsZero() {
		return false
	}
	return old.ExpirationTime == nil || !old.ExpirationTime.Equal(*req.ExpirationTime)
}

// Clone makes a token with the links, the locality and the end of the one
// with the given accessor; req may give it another description, and IDs. It
// needs acl:write in the scope.
func (e *Tokens) Clone(ctx context.Context, who acl.Caller, accessor string, req TokenWrite) (*acl.Token, error) {
	if err := e.allow(who, req.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	id, err := lookupID("token", accessor)
	if err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	old, err := e.live(tx, req.Scope, id)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, errNoToken
	}
	if old.AuthMethod != "" {
		return nil, errs.New(errs.Invalid, "Cannot clone a token created from an auth method")
	}
	t := *old
	t.AccessorID, t.SecretID = "", ""
	t.CreateTime = e.now().UTC()
	t.CreateIndex, t.ModifyIndex = 0, 0
	if req.Description != "" {
		t.Description = req.Description
	}
	if err := e.checkNew(tx, &t); err != nil {
		return nil, err
	}
	if t.Policies, err = showPolicies(tx, t.Scope, t.Policies); err != nil {
		return nil, err
	}
	if t.Roles, err = showRoles(tx, t.Scope, t.Roles); err != nil {
		return nil, err
	}
	t.TemplatedPolicies = slices.Clone(t.TemplatedPolicies) // checking completes them in place
	return e.save(ctx, who, tx, fsm.TokenSet{Token: t, Create: true})
}

// Delete removes a token. It needs acl:write in the scope. An unknown token
// is errs.NotFound.
func (e *Tokens) Delete(ctx context.Context, who acl.Caller, s tenancy.Scope, accessor string) error {
	if err := e.allow(who, s, acl.ACLWrite); err != nil {
		return err
	}
	if !uuid.Valid(accessor) {
		return errs.New(errs.Invalid, "Accessor ID is missing or an invalid UUID")
	}
	accessor = strings.ToLower(accessor)
	switch accessor {
	case acl.AnonymousAccessor:
		return errs.New(errs.Invalid, "Delete operation not permitted on the anonymous token")
	case who.AccessorID:
		return errs.New(errs.Invalid, "Deletion of the request's authorization token is not permitted")
	}
	t, err := e.live(e.Store.Read(), s, accessor)
	if err != nil {
		return err
	}
	if t == nil {
		return errs.New(errs.NotFound, "Cannot find token to delete")
	}
	_, err = e.Raft.Propose(ctx, fsm.TokenDelete{Scope: s, AccessorID: accessor})
	return err
}
