package state

import (
	"encoding/binary"
	"slices"

	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// At most maxGraves tombstones are kept; above it the oldest go, some at a time.
const (
	maxGraves  = 4096
	clearBatch = 256
)

// A tombstone's key is its kind and the key that it is about: a search among those of one
// kind finds no other.
const (
	keyGrave  = "k"
	treeGrave = "t"
)

func graveKey(key string, tree bool) string {
	if tree {
		return treeGrave + key
	}
	return keyGrave + key
}

func tombstoneAt(t *kv.Tombstone) (tenancy.Scope, string) { return t.Scope, graveKey(t.Key, t.Tree) }

var (
	tombstonesByAge = store.Unique("age", func(t *kv.Tombstone, add func(tenancy.Scope, string)) {
		age := string(binary.BigEndian.AppendUint64(nil, t.ModifyIndex))
		add(store.Global, age+t.Scope.String()+"/"+graveKey(t.Key, t.Tree))
	})

	tombstones = store.NewTable("kv-tombstones", tombstoneAt, tombstonesByAge)
)

// bury remembers that what t is about was deleted at tx's index. What lies below a
// tree's tombstone is older and goes.
func (tx *Tx) bury(t kv.Tombstone) error {
	t.ModifyIndex = tx.index
	if t.Tree {
		if err := tx.clearBelow(t.Scope, t.Key); err != nil {
			return err
		}
	}
	old, err := tombstones.Get(tx.db, nil, t.Scope, graveKey(t.Key, t.Tree))
	if err != nil {
		return err
	}
	if err := tombstones.Put(tx.db, &t); err != nil {
		return err
	}
	if err := tx.touch(TableTombstones); err != nil || old != nil {
		return err
	}
	m := tx.meta()
	m.graves++
	if err := tx.putMeta(m); err != nil || m.graves <= maxGraves {
		return err
	}
	return tx.clearOldest()
}

func (tx *Tx) clearBelow(s tenancy.Scope, prefix string) error {
	for _, kind := range []string{keyGrave, treeGrave} {
		rows, err := tombstones.Below(tx.db, nil, s, kind+prefix)
		if err != nil {
			return err
		}
		for _, t := range slices.Collect(rows) {
			if err := tx.dropTombstone(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// clearOldest removes the oldest tombstones and remembers the index of the last of them.
func (tx *Tx) clearOldest() error {
	oldest, err := tombstones.Through(tx.db, tombstonesByAge, store.Global, "\xff", clearBatch)
	if err != nil {
		return err
	}
	for _, t := range oldest {
		if err := tx.dropTombstone(t); err != nil {
			return err
		}
	}
	m := tx.meta()
	m.forgotten = oldest[len(oldest)-1].ModifyIndex
	return tx.putMeta(m)
}

func (tx *Tx) dropTombstone(t *kv.Tombstone) error {
	s, key := tombstoneAt(t)
	if err := tombstones.Delete(tx.db, s, key); err != nil {
		return err
	}
	m := tx.meta()
	m.graves--
	return tx.putMeta(m)
}

// buried returns the index of the last deletion of a key, or with tree of any key that begins with
// it, at least 1. Once tombstones were removed it is at least the last removed one's: an
// index may not go backwards, and that one may have been an earlier answer.
func (tx *Tx) buried(s tenancy.Scope, key string, tree bool) (uint64, error) {
	index := max(1, tx.meta().forgotten)
	if tree {
		for _, kind := range []string{keyGrave, treeGrave} {
			rows, err := tombstones.Below(tx.db, nil, s, kind+key)
			if err != nil {
				return 0, err
			}
			for t := range rows {
				index = max(index, t.ModifyIndex)
			}
		}
	} else {
		t, err := tombstones.Get(tx.db, nil, s, keyGrave+key)
		if err != nil {
			return 0, err
		}
		if t != nil {
			index = max(index, t.ModifyIndex)
		}
	}
	above, err := tombstones.Longest(tx.db, s, treeGrave+key) // the innermost tree is the youngest
	if err != nil {
		return 0, err
	}
	if above != nil && above.Tree {
		index = max(index, above.ModifyIndex)
	}
	return index, nil
}

func (tx *Tx) removeTombstones(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstOf(tx, tombstones, s, limit)
	for _, t := range rows {
		if err := tx.dropTombstone(t); err != nil {
			return 0, err
		}
	}
	return len(rows), err
}
