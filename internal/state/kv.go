package state

import (
	"bytes"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

var (
	pairsBySession = store.Many("session", func(p *kv.Pair, add func(tenancy.Scope, string)) {
		if p.Session != "" {
			add(p.Scope, p.Session)
		}
	})

	pairs = store.NewTable("kvs", func(p *kv.Pair) (tenancy.Scope, string) { return p.Scope, p.Key }, pairsBySession)
)

// KV returns the value of a key of s, and the index of that answer: where there is none, the
// index at which it went away, as far as that is remembered. A change of another key does not raise it,
// with one exception: see buried.
func (tx *Tx) KV(ws memdb.WatchSet, s tenancy.Scope, key string) (*kv.Pair, uint64, error) {
	p, err := pairs.Get(tx.db, ws, s, key)
	if err != nil {
		return nil, 0, err
	}
	if p != nil {
		return p, p.ModifyIndex, nil
	}
	index, err := tx.buried(s, key, false)
	return nil, index, err
}

// KVBelow returns the pairs of s whose keys begin with prefix, by rising key, and the
// index of that answer: of the last change of such a key, deletions included. s may be the
// wildcard namespace.
func (tx *Tx) KVBelow(ws memdb.WatchSet, s tenancy.Scope, prefix string) ([]*kv.Pair, uint64, error) {
	if s.Namespace != tenancy.Wildcard {
		return tx.below(ws, s, prefix)
	}
	names, err := tx.Namespaces(ws, s.Partition)
	if err != nil {
		return nil, 0, err
	}
	index := tx.LastIndex(TableNamespaces)
	var all []*kv.Pair
	for _, n := range names {
		found, last, err := tx.below(ws, n.Scope(), prefix)
		if err != nil {
			return nil, 0, err
		}
		all, index = append(all, found...), max(index, last)
	}
	return all, index, nil
}

func (tx *Tx) below(ws memdb.WatchSet, s tenancy.Scope, prefix string) ([]*kv.Pair, uint64, error) {
	rows, err := pairs.Below(tx.db, ws, s, prefix)
	if err != nil {
		return nil, 0, err
	}
	index, err := tx.buried(s, prefix, true)
	if err != nil {
		return nil, 0, err
	}
	var found []*kv.Pair
	for p := range rows {
		found, index = append(found, p), max(index, p.ModifyIndex)
	}
	return found, index, nil
}

// PutKV creates or replaces the pair at p's scope and key and returns what is stored then.
// It changes nothing, the indexes included, if the stored pair differs in nothing.
func (tx *Tx) PutKV(p kv.Pair) (*kv.Pair, error) {
	old, err := pairs.Get(tx.db, nil, p.Scope, p.Key)
	if err != nil {
		return nil, err
	}
	p.CreateIndex, p.ModifyIndex = tx.index, tx.index
	if old != nil {
		if samePair(old, &p) {
			return old, nil
		}
		p.CreateIndex = old.CreateIndex
	}
	if err := pairs.Put(tx.db, &p); err != nil {
		return nil, err
	}
	if old == nil {
		return &p, tx.countPairs(1)
	}
	return &p, tx.touch(TableKV)
}

func samePair(a, b *kv.Pair) bool {
	return a.LockIndex == b.LockIndex && a.Flags == b.Flags && a.Session == b.Session && bytes.Equal(a.Value, b.Value)
}

// DeleteKV removes a key, if it exists.
func (tx *Tx) DeleteKV(s tenancy.Scope, key string) error {
	old, err := pairs.Get(tx.db, nil, s, key)
	if err != nil || old == nil {
		return err
	}
	if err := tx.dropPairs(old); err != nil {
		return err
	}
	return tx.bury(kv.Tombstone{Scope: s, Key: key})
}

// DeleteKVTree removes every key of s that begins with prefix.
func (tx *Tx) DeleteKVTree(s tenancy.Scope, prefix string) error {
	rows, err := pairs.Below(tx.db, nil, s, prefix)
	if err != nil {
		return err
	}
	all := slices.Collect(rows)
	if len(all) == 0 {
		return nil
	}
	if err := tx.dropPairs(all...); err != nil {
		return err
	}
	return tx.bury(kv.Tombstone{Scope: s, Key: prefix, Tree: true})
}

func (tx *Tx) dropPairs(all ...*kv.Pair) error {
	for _, p := range all {
		if err := pairs.Delete(tx.db, p.Scope, p.Key); err != nil {
			return err
		}
	}
	return tx.countPairs(-len(all))
}

// countPairs notes that there are so many keys more, and that they have changed.
func (tx *Tx) countPairs(by int) error {
	m := tx.meta()
	m.pairs += uint64(by)
	m.changed[TableKV] = tx.index
	return tx.putMeta(m)
}

// Pairs returns how many keys there are in all namespaces.
func (tx *Tx) Pairs() uint64 { return tx.meta().pairs }

// removePairs removes keys of a namespace that is deleted; nobody asks for them again.
func (tx *Tx) removePairs(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstOf(tx, pairs, s, limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return len(rows), tx.dropPairs(rows...)
}
