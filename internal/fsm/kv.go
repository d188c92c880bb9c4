package fsm

import (
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
)

// KVOp is one operation on a key. As a command of its own it has a verb that may change
// something; in a Txn it may have any. Pair says the key and its scope, and what is to be stored.
type KVOp struct {
	Verb  kv.Verb
	Pair  kv.Pair // with Session for kv.Lock, kv.Unlock and kv.CheckSession
	Index uint64  // the ModifyIndex that kv.CAS, kv.DeleteCAS and kv.CheckIndex expect; 0 is no key
}

// Apply implements Command. It returns errs.Conflict where the key is not as the verb
// demands, and errs.Invalid for a scope or a session that does not exist.
func (c KVOp) Apply(tx *state.Tx) error {
	_, err := c.apply(tx)
	return err
}

// apply returns the pair as it is stored then; nil if it was deleted.
func (c KVOp) apply(tx *state.Tx) (*kv.Pair, error) {
	old, _, err := tx.KV(nil, c.Pair.Scope, c.Pair.Key)
	if err != nil {
		return nil, err
	}
	switch c.Verb {
	case kv.Set, kv.CAS, kv.Lock, kv.Unlock:
		return c.put(tx, old)
	case kv.Delete:
		return nil, tx.DeleteKV(c.Pair.Scope, c.Pair.Key)
	case kv.DeleteCAS:
		if old != nil && old.ModifyIndex != c.Index {
			return nil, errs.Errorf(errs.Conflict, "failed to delete key %q, index is stale", c.Pair.Key)
		}
		return nil, tx.DeleteKV(c.Pair.Scope, c.Pair.Key)
	case kv.DeleteTree:
		return nil, tx.DeleteKVTree(c.Pair.Scope, c.Pair.Key)
	}
	return nil, unknownVerb(c.Verb)
}

func unknownVerb(v kv.Verb) error { return errs.Errorf(errs.Invalid, "unknown KV operation: %s", v) }

// put stores the pair; old is the one that is there, or nil.
func (c KVOp) put(tx *state.Tx, old *kv.Pair) (*kv.Pair, error) {
	if err := tx.CheckScope(c.Pair.Scope); err != nil {
		return nil, err
	}
	next := c.Pair
	next.Session, next.LockIndex = "", 0
	if old != nil {
		next.Session, next.LockIndex = old.Session, old.LockIndex
	}
	var err error
	switch c.Verb {
	case kv.CAS:
		if old == nil && c.Index != 0 || old != nil && old.ModifyIndex != c.Index {
			err = errs.Errorf(errs.Conflict, "failed to set key %q, index is stale", c.Pair.Key)
		}
	case kv.Lock:
		err = c.lock(tx, old, &next)
	case kv.Unlock:
		if old == nil || old.Session != c.Pair.Session || old.Session == "" {
			err = errs.Errorf(errs.Conflict, "failed to unlock key %q, lock isn't held, or is held by another session", c.Pair.Key)
		}
		next.Session = ""
	}
	if err != nil {
		return nil, err
	}
	return tx.PutKV(next)
}

// lock lets c's session hold next, which takes the place of old.
func (c KVOp) lock(tx *state.Tx, old, next *kv.Pair) error {
	if c.Pair.Session == "" {
		return errs.New(errs.Invalid, "missing session")
	}
	s, err := tx.Session(nil, c.Pair.Scope, c.Pair.Session)
	if err != nil {
		return err
	}
	if s == nil {
		return errs.Errorf(errs.Invalid, "invalid session %q", c.Pair.Session)
	}
	if old != nil && old.Session == c.Pair.Session {
		return nil // it holds the lock already
	}
	if old != nil && old.Session != "" {
		return errs.Errorf(errs.Conflict, "failed to lock key %q, lock is already held", c.Pair.Key)
	}
	delayed, err := tx.LockDelayed(c.Pair.Scope, c.Pair.Key)
	if err != nil {
		return err
	}
	if delayed {
		return errs.Errorf(errs.Conflict, "failed to lock key %q due to lock delay", c.Pair.Key)
	}
	next.Session = c.Pair.Session
	next.LockIndex++
	return nil
}
