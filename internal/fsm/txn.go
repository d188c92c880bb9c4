package fsm

import (
	"fmt"
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
)

// Txn is a list of operations that all apply, in their order, or none of which does
// (catalog.md section 8).
type Txn struct{ Ops []TxnOp }

// TxnOp is one operation: exactly one field is set.
type TxnOp struct {
	KV      *KVOp
	Node    *NodeOp
	Service *ServiceOp
	Check   *CheckOp
	Session *SessionDestroy
}

// TxnError says why an operation failed, in the words that clients know.
type TxnError struct {
	OpIndex int
	What    string
}

// TxnFailure is the error of a transaction: every operation that failed.
type TxnFailure struct{ Errors []TxnError }

func (f *TxnFailure) Error() string {
	texts := make([]string, len(f.Errors))
	for i, e := range f.Errors {
		texts[i] = fmt.Sprintf("operation %d: %s", e.OpIndex, e.What)
	}
	return strings.Join(texts, "; ")
}

// Reads reports whether the operation changes nothing.
func (o *TxnOp) Reads() bool {
	switch {
	case o.KV != nil:
		return o.KV.Verb.Reads()
	case o.Node != nil:
		return o.Node.Verb == kv.Get
	case o.Service != nil:
		return o.Service.Verb == kv.Get
	case o.Check != nil:
		return o.Check.Verb == kv.Get
	}
	return false
}

// Apply implements Command.
func (c Txn) Apply(tx *state.Tx) error {
	_, err := c.Answer(tx)
	return err
}

// Answer implements Answering. The answer is a []TxnResult, the error a *TxnFailure. Where
// all operations read, tx may be a read-only one.
func (c Txn) Answer(tx *state.Tx) (any, error) {
	results, failure := []TxnResult{}, &TxnFailure{}
	for i, op := range c.Ops {
		found, err := op.apply(tx)
		if err != nil {
			if errs.KindOf(err) == errs.Internal {
				return nil, err
			}
			failure.Errors = append(failure.Errors, TxnError{OpIndex: i, What: err.Error()})
		}
		results = append(results, found...)
	}
	if len(failure.Errors) > 0 {
		return nil, failure
	}
	return results, nil
}

func (o *TxnOp) apply(tx *state.Tx) ([]TxnResult, error) {
	switch {
	case o.KV != nil:
		return o.KV.inTxn(tx)
	case o.Node != nil:
		return o.Node.apply(tx)
	case o.Service != nil:
		return o.Service.apply(tx)
	case o.Check != nil:
		return o.Check.apply(tx)
	case o.Session != nil:
		return nil, o.Session.Apply(tx)
	}
	return nil, errs.New(errs.Invalid, "unknown type of operation")
}

// inTxn does the operation and returns what a transaction shows of it: what was read
// in full, what was written without its value.
func (c *KVOp) inTxn(tx *state.Tx) ([]TxnResult, error) {
	if c.Verb.Reads() {
		return c.read(tx)
	}
	stored, err := c.apply(tx)
	if err != nil || stored == nil {
		return nil, err
	}
	shown := *stored
	shown.Value = nil
	return []TxnResult{{KV: &shown}}, nil
}

func (c *KVOp) read(tx *state.Tx) ([]TxnResult, error) {
	if c.Verb == kv.GetTree {
		pairs, _, err := tx.KVBelow(nil, c.Pair.Scope, c.Pair.Key)
		found := make([]TxnResult, len(pairs))
		for i, p := range pairs {
			found[i].KV = p
		}
		return found, err
	}
	p, _, err := tx.KV(nil, c.Pair.Scope, c.Pair.Key)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Verb == kv.CheckNotExists && p != nil:
		return nil, errs.Errorf(errs.Conflict, "key %q exists", c.Pair.Key)
	case c.Verb == kv.CheckNotExists:
		return nil, nil
	case c.Verb == kv.GetOrEmpty && p == nil:
		return []TxnResult{{KV: &kv.Pair{Key: c.Pair.Key, Scope: c.Pair.Scope}}}, nil
	case p == nil:
		return nil, errs.Errorf(errs.Conflict, "key %q doesn't exist", c.Pair.Key)
	case c.Verb == kv.CheckIndex && p.ModifyIndex != c.Index:
		return nil, errs.Errorf(errs.Conflict, "failed index check for key %q, current modify index %d != %d",
			c.Pair.Key, p.ModifyIndex, c.Index)
	case c.Verb == kv.CheckSession && p.Session != c.Pair.Session:
		return nil, errs.Errorf(errs.Conflict, "failed session check for key %q, current session %q != %q",
			c.Pair.Key, p.Session, c.Pair.Session)
	case c.Verb == kv.CheckIndex, c.Verb == kv.CheckSession:
		return nil, nil
	}
	return []TxnResult{{KV: p}}, nil
}
