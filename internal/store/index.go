package store

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// ErrTaken is what Put returns for a value that another row has in a unique index.
var ErrTaken = errs.New(errs.Conflict, "another row has this value")

// Global is the scope of a value that counts across all partitions.
var Global = tenancy.Scope{}

// Index finds rows by something else than their key.
type Index[R any] struct {
	name   string
	unique bool
	values func(r *R, add func(s tenancy.Scope, value string))
}

// Unique returns an index in which at most one row has a value. values calls add
// for each value of a row, with the scope it counts in, or Global. Rows are kept in
// the order of their values.
func Unique[R any](name string, values func(r *R, add func(s tenancy.Scope, value string))) *Index[R] {
	return &Index[R]{name: name, unique: true, values: values}
}

// Many returns an index in which many rows may have a value and a row may have
// many values.
func Many[R any](name string, values func(r *R, add func(s tenancy.Scope, value string))) *Index[R] {
	return &Index[R]{name: name, values: values}
}

// position is where an entry is kept: a group of pages, and its place there.
type position struct {
	group string
	order string
}

// positions returns where ix keeps r, each position once.
func (t *Table[R]) positions(ix *Index[R], r *R) []position {
	if r == nil {
		return nil
	}
	var out []position
	ix.values(r, func(s tenancy.Scope, value string) {
		p := position{group: string(ix.group(s, value)), order: value}
		if !ix.unique {
			p.order = t.order(s, r)
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	})
	return out
}

// group is the beginning of the id of each page that may hold value: a unique
// index keeps all values of a scope together, another one each value apart.
func (ix *Index[R]) group(s tenancy.Scope, value string) []byte {
	k := make([]byte, 0, len(ix.name)+len(s.Partition)+len(s.Namespace)+len(value)+4)
	k = appendPart(appendPart(appendPart(k, ix.name), s.Partition), s.Namespace)
	if !ix.unique {
		k = appendPart(k, value)
	}
	return k
}

// order is r's place among the rows with the same value in s. It is the key
// itself, which costs no memory, for all rows that live in s.
func (t *Table[R]) order(s tenancy.Scope, r *R) string {
	at, key := t.at(r)
	if at == s {
		return key
	}
	return "\x00" + string(rowKey(at, key))
}

// One returns the row with a value in a unique index, or nil.
func (t *Table[R]) One(tx *memdb.Txn, ws memdb.WatchSet, ix *Index[R], s tenancy.Scope, value string) (*R, error) {
	group := ix.group(s, value)
	p, err := t.find(tx, group, value)
	if err != nil {
		return nil, err
	}
	if p != nil {
		if i, ok := p.search(value); ok {
			row := p.entries[i].row
			if ws != nil {
				at, key := t.at(row)
				_, err = t.Get(tx, ws, at, key)
			}
			return row, err
		}
	}
	if ws == nil {
		return nil, nil
	}
	id := group // of the page that the value would be in
	if p != nil {
		id = p.id
	}
	ch, _, err := tx.FirstWatch(t.pages(), primary, id)
	ws.Add(ch)
	return nil, err
}

// By returns the rows with a value in s.
func (t *Table[R]) By(tx *memdb.Txn, ws memdb.WatchSet, ix *Index[R], s tenancy.Scope, value string) ([]*R, error) {
	it, err := tx.Get(t.pages(), prefix, ix.group(s, value))
	if err != nil {
		return nil, err
	}
	ws.Add(it.WatchCh())
	var rows []*R
	for raw := it.Next(); raw != nil; raw = it.Next() {
		for _, e := range raw.(*page[R]).entries {
			rows = append(rows, e.row)
		}
	}
	return rows, nil
}

// Through returns at most max rows of a unique index by rising value, up to and
// including every value that begins with limit.
func (t *Table[R]) Through(tx *memdb.Txn, ix *Index[R], s tenancy.Scope, limit string, max int) ([]*R, error) {
	it, err := tx.Get(t.pages(), prefix, ix.group(s, ""))
	if err != nil {
		return nil, err
	}
	var rows []*R
	for raw := it.Next(); raw != nil; raw = it.Next() {
		for _, e := range raw.(*page[R]).entries {
			beyond := e.order > limit && !strings.HasPrefix(e.order, limit)
			if beyond || len(rows) >= max {
				return rows, nil
			}
			rows = append(rows, e.row)
		}
	}
	return rows, nil
}

// reindex moves old's entries to where row's belong; either may be nil.
func (t *Table[R]) reindex(tx *memdb.Txn, old, row *R) error {
	before := make([][]position, len(t.indexes))
	after := make([][]position, len(t.indexes))
	for i, ix := range t.indexes {
		before[i], after[i] = t.positions(ix, old), t.positions(ix, row)
		if err := t.checkFree(tx, ix, before[i], after[i]); err != nil {
			return err
		}
	}
	for i := range t.indexes {
		for _, p := range before[i] {
			if slices.Contains(after[i], p) {
				continue
			}
			if err := t.drop(tx, p); err != nil {
				return err
			}
		}
		for _, p := range after[i] {
			if err := t.insert(tx, p, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFree returns ErrTaken if a unique value that the row does not have yet is
// another row's.
func (t *Table[R]) checkFree(tx *memdb.Txn, ix *Index[R], before, after []position) error {
	if !ix.unique {
		return nil
	}
	for _, p := range after {
		if slices.Contains(before, p) {
			continue
		}
		pg, err := t.find(tx, []byte(p.group), p.order)
		if err != nil {
			return err
		}
		if pg == nil {
			continue
		}
		if _, taken := pg.search(p.order); taken {
			return errs.Errorf(errs.Conflict, "%s: index %s: %w", t.name, ix.name, ErrTaken)
		}
	}
	return nil
}

// find returns the page of group that order is in, or would be; nil if that
// page has to be made.
func (t *Table[R]) find(tx *memdb.Txn, group []byte, order string) (*page[R], error) {
	at := make([]byte, 0, len(group)+len(order))
	at = append(append(at, group...), order...)
	it, err := tx.ReverseLowerBound(t.pages(), primary, at)
	if err != nil {
		return nil, err
	}
	p, _ := it.Next().(*page[R])
	if p == nil || !bytes.HasPrefix(p.id, group) {
		return nil, nil
	}
	return p, nil
}
