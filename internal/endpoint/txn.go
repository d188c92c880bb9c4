package endpoint

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Asker replicates a command and returns what it answers, otherwise as Proposer.
type Asker interface {
	Ask(ctx context.Context, cmd fsm.Answering) (answer any, index uint64, err error)
}

// Txns are transactions (catalog.md section 8).
type Txns struct {
	*Backend
	Asker      Asker
	ListPolicy bool // as KVs has it
	Datacenter string
}

// TxnRequest is a list of operations that all apply or none of which does.
type TxnRequest struct {
	Ops []fsm.TxnOp
	Read
}

// ReadOnly reports whether no operation changes anything.
func (req *TxnRequest) ReadOnly() bool {
	for _, op := range req.Ops {
		if !op.Reads() {
			return false
		}
	}
	return true
}

// Run does the operations. Where some of them fail, or may not be done, it returns a
// *fsm.TxnFailure that names all of those. One that only reads is answered as any read is. The results
// of operations leave out what the caller may not read.
func (e *Txns) Run(ctx context.Context, who acl.Caller, req TxnRequest) ([]fsm.TxnResult, Meta, error) {
	if !req.ReadOnly() {
		if err := e.admit(e.Store.Read(), who, req.Ops); err != nil {
			return nil, Meta{}, err
		}
		answer, index, err := e.Asker.Ask(ctx, fsm.Txn{Ops: req.Ops})
		if err != nil {
			return nil, Meta{Index: index}, err
		}
		return e.visible(who, answer), Meta{Index: index}, nil
	}
	var out []fsm.TxnResult
	var failure *fsm.TxnFailure
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, _ memdb.WatchSet) (uint64, error) {
		err := e.admit(tx, who, req.Ops)
		if err == nil {
			var answer any
			if answer, err = (fsm.Txn{Ops: req.Ops}).Answer(tx); err == nil {
				out = e.visible(who, answer)
			}
		}
		if errors.As(err, &failure) {
			err = nil // the answer is valid for the index, too
		}
		return tx.LastIndex(state.TableKV, state.TableTombstones, state.TableNodes, state.TableInstances, state.TableChecks), err
	})
	if err == nil && failure != nil {
		err = failure
	}
	return out, meta, err
}

// admit completes and validates the operations and decides about each. All that may not
// be done are in its error.
func (e *Txns) admit(tx *state.Tx, who acl.Caller, ops []fsm.TxnOp) error {
	if len(ops) == 0 {
		who.Allowed(tenancy.Default, acl.KeyRead, "") // there is nothing to ask about
	}
	failure := &fsm.TxnFailure{}
	for i := range ops {
		err := e.admitOp(tx, who, &ops[i])
		if err == nil {
			continue
		}
		switch errs.KindOf(err) {
		case errs.Internal:
			return err
		case errs.Invalid: // what is wrong with the request itself says nothing of the state
			who.Allowed(tenancy.Default, acl.KeyRead, "")
		}
		failure.Errors = append(failure.Errors, fsm.TxnError{OpIndex: i, What: err.Error()})
	}
	if len(failure.Errors) > 0 {
		return failure
	}
	return nil
}

func (e *Txns) admitOp(tx *state.Tx, who acl.Caller, op *fsm.TxnOp) error {
	switch {
	case op.KV != nil:
		if !op.KV.Verb.Known() {
			return errs.Errorf(errs.Invalid, "unknown KV operation: %s", op.KV.Verb)
		}
		return requireKey(who, op.KV, e.ListPolicy)
	case op.Session != nil:
		return admitSession(tx, who, op.Session)
	case op.Node != nil:
		return e.admitNode(tx, who, op.Node)
	case op.Service != nil:
		return e.admitService(tx, who, op.Service)
	case op.Check != nil:
		return e.admitCheck(tx, who, op.Check)
	}
	return errs.New(errs.Invalid, "unknown type of operation")
}

func admitSession(tx *state.Tx, who acl.Caller, op *fsm.SessionDestroy) error {
	s, err := tx.Session(nil, op.Scope, op.ID)
	if err != nil {
		return err
	}
	if s == nil {
		who.Allowed(op.Scope, acl.SessionWrite, "") // there is no node to ask about
		return nil
	}
	return who.Require(op.Scope, acl.SessionWrite, s.Node)
}

func (e *Txns) admitNode(tx *state.Tx, who acl.Caller, op *fsm.NodeOp) error {
	n := &op.Node
	n.Datacenter = e.Datacenter
	name := n.Node
	if name == "" {
		old, err := tx.NodeByID(nil, n.Partition, n.ID)
		if err != nil {
			return err
		}
		if old != nil {
			name = old.Node
		}
	}
	switch op.Verb {
	case kv.Get:
		return who.Require(n.PartitionRoot(), acl.NodeRead, name)
	case kv.Set, kv.CAS:
		r := Registration{Scope: n.PartitionRoot(), Node: *n}
		if err := r.admit(tx, who); err != nil {
			return err
		}
		op.Node = r.Node
		return nil
	}
	return who.Require(n.PartitionRoot(), acl.NodeWrite, name)
}

func (e *Txns) admitService(tx *state.Tx, who acl.Caller, op *fsm.ServiceOp) error {
	s := &op.Service
	if s.Node == "" {
		return errNoNode
	}
	if op.Verb == kv.Set || op.Verb == kv.CAS {
		service := s.Service
		r := Registration{Scope: s.Scope, Node: catalog.Node{Node: s.Node}, Service: &service, SkipNodeUpdate: true}
		if err := r.admit(tx, who); err != nil {
			return err
		}
		s.Service = service
		return nil
	}
	if s.ID == "" {
		s.ID = s.Service.Service
	}
	if op.Verb != kv.Get {
		d := Deregistration{Scope: s.Scope, Node: s.Node, ServiceID: s.ID}
		return d.authorize(tx, who)
	}
	old, err := tx.Instance(nil, s.Scope, s.Node, s.ID)
	if err != nil {
		return err
	}
	if old != nil {
		if err := who.Require(s.Scope, acl.ServiceRead, old.Service.Service); err != nil {
			return err
		}
	}
	return who.Require(s.Scope, acl.NodeRead, s.Node)
}

func (e *Txns) admitCheck(tx *state.Tx, who acl.Caller, op *fsm.CheckOp) error {
	c := &op.Check
	if c.Node == "" {
		return errNoNode
	}
	if op.Verb == kv.Set || op.Verb == kv.CAS {
		r := Registration{Scope: c.Scope, Node: catalog.Node{Node: c.Node}, Checks: []catalog.Check{*c}, SkipNodeUpdate: true}
		if err := r.admit(tx, who); err != nil {
			return err
		}
		*c = r.Checks[0]
		return nil
	}
	if c.CheckID == "" {
		c.CheckID = c.Name
	}
	if op.Verb != kv.Get {
		d := Deregistration{Scope: c.Scope, Node: c.Node, CheckID: c.CheckID}
		return d.authorize(tx, who)
	}
	old, err := tx.Check(nil, c.Scope, c.Node, c.CheckID)
	if err != nil {
		return err
	}
	if old != nil && old.ServiceID != "" {
		if err := who.Require(c.Scope, acl.ServiceRead, old.ServiceName); err != nil {
			return err
		}
	}
	return who.Require(c.Scope, acl.NodeRead, c.Node)
}

// admit completes r, decides about it and validates it.
func (r *Registration) admit(tx *state.Tx, who acl.Caller) error {
	if r.Node.Node == "" {
		return errNoNode
	}
	if err := r.complete(); err != nil {
		return err
	}
	if err := r.authorize(tx, who); err != nil {
		return err
	}
	return r.validate()
}

// visible returns the results without the pairs that who may not read: those of trees. All
// others were decided about one by one, and whoever may write a key may read it.
func (e *Txns) visible(who acl.Caller, answer any) []fsm.TxnResult {
	results, _ := answer.([]fsm.TxnResult)
	return slices.DeleteFunc(results, func(r fsm.TxnResult) bool {
		return r.KV != nil && !who.Allowed(r.KV.Scope, acl.KeyRead, r.KV.Key)
	})
}
