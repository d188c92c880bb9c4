package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// KVs are the operations on keys and values (catalog.md section 6).
type KVs struct {
	*Backend
	ListPolicy bool // a list needs key:list on its prefix (acl.enable_key_list_policy)
}

// KVRead asks for one key, or for all keys that begin with it. Only the latter may be of all
// namespaces of a partition ("*").
type KVRead struct {
	tenancy.Scope
	Key string
	Read
}

// Get returns a key with its value, nil if it does not exist. It needs key:read on it.
func (e *KVs) Get(ctx context.Context, who acl.Caller, req KVRead) (*kv.Pair, Meta, error) {
	var out *kv.Pair
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (index uint64, err error) {
		if err := who.Require(req.Scope, acl.KeyRead, req.Key); err != nil {
			return 0, err
		}
		out, index, err = tx.KV(ws, req.Scope, req.Key)
		return index, err
	})
	return out, meta, err
}

// List returns the pairs whose keys begin with req.Key and that the caller may read, by
// rising key. What was hidden shows in Meta.Hidden.
func (e *KVs) List(ctx context.Context, who acl.Caller, req KVRead) ([]*kv.Pair, KVMeta, error) {
	var out []*kv.Pair
	hidden := false
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if e.ListPolicy {
			if err := who.Require(req.Scope, acl.KeyList, req.Key); err != nil {
				return 0, err
			}
		}
		all, index, err := tx.KVBelow(ws, req.Scope, req.Key)
		out = readablePairs(who, all)
		hidden = len(out) < len(all)
		return index, err
	})
	meta.FilteredByACLs = hidden && !who.Anonymous()
	return out, KVMeta{Meta: meta, Hidden: hidden}, err
}

// KVMeta is the Meta of a list of keys.
type KVMeta struct {
	Meta
	Hidden bool // there are keys that the caller may not read
}

func readablePairs(who acl.Caller, all []*kv.Pair) []*kv.Pair {
	var out []*kv.Pair
	for _, p := range all {
		if who.Allowed(p.Scope, acl.KeyRead, p.Key) {
			out = append(out, p)
		}
	}
	return out
}

// Keys is List for the keys alone. With a separator, those that go on after it are
// shown once, up to and including its first occurrence after the prefix.
func (e *KVs) Keys(ctx context.Context, who acl.Caller, req KVRead, separator string) ([]string, KVMeta, error) {
	pairs, meta, err := e.List(ctx, who, req)
	if err != nil {
		return nil, meta, err
	}
	keys := make([]string, 0, len(pairs))
	for _, p := range pairs {
		key := p.Key
		if separator != "" {
			if i := strings.Index(key[len(req.Key):], separator); i >= 0 {
				key = key[:len(req.Key)+i+len(separator)]
			}
		}
		if n := len(keys); n == 0 || keys[n-1] != key {
			keys = append(keys, key)
		}
	}
	return keys, meta, nil
}

// Write does an operation that may change a key, and reports whether it did: not where the key
// is not as the operation demands. It needs key:write on the key, or on all that
// begins with it to delete a tree.
func (e *KVs) Write(ctx context.Context, who acl.Caller, op fsm.KVOp) (bool, error) {
	if err := requireKey(who, &op, e.ListPolicy); err != nil {
		return false, err
	}
	_, err := e.Raft.Propose(ctx, op)
	switch {
	case err == nil:
		return true, nil
	case errs.KindOf(err) == errs.Conflict:
		return false, nil
	case op.Verb == kv.Lock && errs.KindOf(err) == errs.Invalid:
		return false, errs.Errorf(errs.Invalid, "raft apply failed: %w", err)
	}
	return false, err
}

// requireKey decides about an operation on a key, as a request or in a transaction. What a tree
// holds is for readablePairs to decide.
func requireKey(who acl.Caller, op *fsm.KVOp, listPolicy bool) error {
	p := acl.KeyWrite
	switch {
	case op.Verb == kv.GetTree && !listPolicy:
		who.Allowed(op.Pair.Scope, acl.KeyRead, op.Pair.Key)
		return nil
	case op.Verb == kv.GetTree:
		p = acl.KeyList
	case op.Verb.Reads():
		p = acl.KeyRead
	case op.Verb == kv.DeleteTree:
		p = acl.KeyWritePrefix
	}
	return who.Require(op.Pair.Scope, p, op.Pair.Key)
}
