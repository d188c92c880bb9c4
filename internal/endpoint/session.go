package endpoint

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Sessions are the operations on sessions (catalog.md section 7). Permissions on a session
// are about its node.
type Sessions struct {
	*Backend
	Renewals *kv.Renewals  // of the leader
	MinTTL   time.Duration // 0 is kv.MinTTL
}

// SessionRead asks for one session, for those on a node, or for all of a namespace, or with "*"
// of all namespaces of a partition.
type SessionRead struct {
	tenancy.Scope
	ID, Node string // at most one
	Read
}

// Create makes a session and returns it. It needs session:write on its node. What is wrong
// with s is errs.Invalid.
func (e *Sessions) Create(ctx context.Context, who acl.Caller, s kv.Session) (*kv.Session, error) {
	if err := who.Require(s.Scope, acl.SessionWrite, s.Node); err != nil {
		return nil, err
	}
	if s.Behavior == "" {
		s.Behavior = kv.Release
	}
	if err := s.Validate(cmpOr(e.MinTTL, kv.MinTTL)); err != nil {
		return nil, err
	}
	node, err := e.Store.Read().Node(nil, s.Partition, s.Node)
	if err != nil {
		return nil, err
	}
	if node != nil {
		s.Node = node.Node
	}
	s.ID = uuid.New()
	e.Renewals.Note(s.ID, e.now())
	if _, err := e.Raft.Propose(ctx, fsm.SessionCreate{Session: s}); err != nil {
		return nil, err
	}
	return &s, nil
}

// Destroy ends a session. One that does not exist is no error. It needs session:write.
func (e *Sessions) Destroy(ctx context.Context, who acl.Caller, at tenancy.Scope, id string) error {
	id = strings.ToLower(id)
	s, err := e.Store.Read().Session(nil, at, id)
	if err != nil {
		return err
	}
	if s == nil {
		who.Allowed(at, acl.SessionWrite, "") // there is no node to ask about, and nothing to tell
		return nil
	}
	if err := who.Require(at, acl.SessionWrite, s.Node); err != nil {
		return err
	}
	_, err = e.Raft.Propose(ctx, fsm.SessionDestroy{Scope: at, ID: id})
	return err
}

// Renew begins the time of a session anew and returns it. Only the leader's answer counts. It
// needs session:write. An unknown session is errs.NotFound.
func (e *Sessions) Renew(ctx context.Context, who acl.Caller, at tenancy.Scope, id string) (*kv.Session, error) {
	if e.Fresh != nil {
		if err := e.Fresh(ctx, Read{}); err != nil {
			return nil, err
		}
	}
	s, err := e.Store.Read().Session(nil, at, strings.ToLower(id))
	if err != nil {
		return nil, err
	}
	if s == nil {
		who.Allowed(at, acl.SessionWrite, "") // there is no node to ask about
		return nil, errs.Errorf(errs.NotFound, "Session id '%s' not found", id)
	}
	if err := who.Require(at, acl.SessionWrite, s.Node); err != nil {
		return nil, err
	}
	e.Renewals.Note(s.ID, e.now())
	return s, nil
}

// Read returns what req asks for and the caller may read with session:read, by ID.
func (e *Sessions) Read(ctx context.Context, who acl.Caller, req SessionRead) ([]*kv.Session, Meta, error) {
	var out []*kv.Session
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		all, index, err := req.find(tx, ws)
		out = []*kv.Session{}
		for _, s := range all {
			if who.Allowed(s.Scope, acl.SessionRead, s.Node) {
				out = append(out, s)
			}
		}
		return index, err
	})
	return out, meta, err
}

func (req *SessionRead) find(tx *state.Tx, ws memdb.WatchSet) ([]*kv.Session, uint64, error) {
	index := tx.LastIndex(state.TableSessions)
	switch {
	case req.ID != "":
		s, err := tx.Session(ws, req.Scope, strings.ToLower(req.ID))
		if err != nil || s == nil {
			return nil, index, err
		}
		return []*kv.Session{s}, s.ModifyIndex, nil
	case req.Node != "":
		all, err := tx.NodeSessions(ws, req.Scope, req.Node)
		return all, index, err
	}
	all, err := tx.Sessions(ws, req.Scope)
	return all, index, err
}
