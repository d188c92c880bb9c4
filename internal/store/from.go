package store

import (
	"bytes"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/tenancy"
)

// ListFrom yields the rows that List returns, in its order, from behind a place in
// the list: "" is its beginning. With each row comes its place, which stays what it is
// while others come and go. ws hears of any change of the list.
func (t *Table[R]) ListFrom(tx *memdb.Txn, ws memdb.WatchSet, s tenancy.Scope, after string) (iter.Seq2[string, *R], error) {
	k := appendPart(nil, s.Partition)
	if s.Namespace != tenancy.Wildcard {
		k = appendPart(k, s.Namespace)
	}
	it, err := t.from(tx, ws, t.name, k, append(bytes.Clone(k), after...))
	if err != nil {
		return nil, err
	}
	return func(yield func(string, *R) bool) {
		for raw := it.Next(); raw != nil; raw = it.Next() {
			row := raw.(*R)
			at, key := t.at(row)
			id := rowKey(at, key)
			if !bytes.HasPrefix(id, k) {
				return
			}
			if place := string(id[len(k):]); place > after && !yield(place, row) {
				return
			}
		}
	}, nil
}

// ByFrom is ListFrom for the rows that By returns.
func (t *Table[R]) ByFrom(tx *memdb.Txn, ws memdb.WatchSet, ix *Index[R], s tenancy.Scope, value, after string) (iter.Seq2[string, *R], error) {
	pos := ix.position(s, value, after)
	first, err := t.find(tx, pos)
	if err != nil {
		return nil, err
	}
	begin := pos.groupKey()
	if first != nil {
		begin = first.id
	}
	it, err := t.from(tx, ws, t.pages, pos.groupKey(), begin)
	if err != nil {
		return nil, err
	}
	return func(yield func(string, *R) bool) {
		for raw := it.Next(); raw != nil; raw = it.Next() {
			p := raw.(*page[R])
			if !bytes.HasPrefix(p.id, pos.groupKey()) {
				return
			}
			for _, e := range p.entries {
				if e.order > after && !yield(e.order, e.row) {
					return
				}
			}
		}
	}, nil
}

// from returns an iterator over a memdb table from a key on, and watches all below group.
func (t *Table[R]) from(tx *memdb.Txn, ws memdb.WatchSet, table string, group, begin []byte) (memdb.ResultIterator, error) {
	if ws != nil {
		all, err := tx.Get(table, prefix, group)
		if err != nil {
			return nil, err
		}
		ws.Add(all.WatchCh())
	}
	return tx.LowerBound(table, primary, begin)
}
