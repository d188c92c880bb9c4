package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

var errNoAuthMethod = errs.Errorf(errs.NotFound, "Requested auth method does not exist: %w", acl.ErrNotFound)

// AuthMethods are the operations on auth methods (authmethods.md section 2).
type AuthMethods struct {
	*Backend
	Verifiers *Verifiers
}

// AuthMethodRead asks for one auth method.
type AuthMethodRead struct {
	tenancy.Scope
	Name string
	Read
}

// AuthMethodList asks for the auth methods of a namespace, or with "*" of all
// namespaces of a partition.
type AuthMethodList struct {
	tenancy.Scope
	Read
}

// AuthMethodEntry is an auth method in a list: without its Config, which may
// hold credentials. Its JSON is the API's.
type AuthMethodEntry struct {
	MaxTokenTTL   string `json:",omitempty"`
	Name          string
	Type          string
	DisplayName   string `json:",omitempty"`
	Description   string `json:",omitempty"`
	TokenLocality string `json:",omitempty"`
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// Set creates an auth method or replaces the one with its name, in whatever
// capitals. name is that of the URL, "" if there is none. It needs acl:write in
// the method's scope. What is wrong with m is errs.Invalid.
func (e *AuthMethods) Set(ctx context.Context, who acl.Caller, name string, m authmethod.Method) (*authmethod.Method, error) {
	if err := e.allow(who, m.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if m.Name == "" {
		m.Name = name
	}
	if name != "" && !strings.EqualFold(m.Name, name) {
		return nil, errs.New(errs.Invalid, "AuthMethod Name in URL and payload do not match")
	}
	tx := e.Store.Read()
	if err := tx.CheckScope(m.Scope); err != nil {
		return nil, err
	}
	old, err := tx.AuthMethod(nil, m.Scope, m.Name)
	if err != nil {
		return nil, err
	}
	if old != nil && m.Type == "" {
		m.Type = old.Type
	}
	if old != nil && m.Type != old.Type {
		return nil, errs.New(errs.Invalid, "the Type field of an Auth Method is immutable")
	}
	if _, err := authmethod.ValidateMethod(&m, e.Verifiers.Types); err != nil {
		return nil, err
	}
	if _, err := e.Raft.Propose(ctx, fsm.AuthMethodSet{Method: m}); err != nil {
		return nil, err
	}
	stored, err := e.Store.Read().AuthMethod(nil, m.Scope, m.Name)
	if err == nil && stored == nil {
		err = errNoAuthMethod
	}
	return stored, err
}

// Read returns an auth method. It needs acl:read in the scope. An unknown
// method is errs.NotFound.
func (e *AuthMethods) Read(ctx context.Context, who acl.Caller, req AuthMethodRead) (*authmethod.Method, Meta, error) {
	var out *authmethod.Method
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		err := e.allow(who, req.Scope, acl.ACLRead)
		if err != nil {
			return 0, err
		}
		out, err = tx.AuthMethod(ws, req.Scope, req.Name)
		if err == nil && out == nil {
			err = errNoAuthMethod
		}
		return tx.LastIndex(state.TableAuthMethods), err
	})
	return out, meta, err
}

// List returns auth methods sorted by name. It needs acl:read.
func (e *AuthMethods) List(ctx context.Context, who acl.Caller, req AuthMethodList) ([]AuthMethodEntry, Meta, error) {
	var out []AuthMethodEntry
	var filtered bool
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowList(who, req.Scope); err != nil {
			return 0, err
		}
		rows, err := tx.AuthMethods(ws, req.Scope)
		if err != nil {
			return 0, err
		}
		rows, filtered = readable(who, rows, func(m *authmethod.Method) tenancy.Scope { return m.Scope })
		out = make([]AuthMethodEntry, 0, len(rows))
		for _, m := range rows {
			out = append(out, authMethodEntry(m))
		}
		return tx.LastIndex(state.TableAuthMethods), nil
	})
	meta.FilteredByACLs = filtered
	return out, meta, err
}

func authMethodEntry(m *authmethod.Method) AuthMethodEntry {
	entry := AuthMethodEntry{
		Name: m.Name, Type: m.Type, DisplayName: m.DisplayName, Description: m.Description,
		TokenLocality: m.TokenLocality, Scope: m.Scope, CreateIndex: m.CreateIndex, ModifyIndex: m.ModifyIndex,
	}
	if m.MaxTokenTTL != 0 {
		entry.MaxTokenTTL = m.MaxTokenTTL.String()
	}
	return entry
}

// Delete removes an auth method, and with it its binding rules and every token
// that it made. It needs acl:write in the scope. An unknown method is
// errs.NotFound.
func (e *AuthMethods) Delete(ctx context.Context, who acl.Caller, s tenancy.Scope, name string) error {
	if err := e.allow(who, s, acl.ACLWrite); err != nil {
		return err
	}
	m, err := e.Store.Read().AuthMethod(nil, s, name)
	if err != nil {
		return err
	}
	if m == nil {
		return errs.New(errs.NotFound, "Cannot find auth method to delete")
	}
	_, err = e.Raft.Propose(ctx, fsm.AuthMethodDelete{Scope: s, Name: name})
	return err
}
