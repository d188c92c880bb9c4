package store

import (
	"bytes"
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
	at    []byte // group and order
	group int    // length of the group
	order string
}

func (p position) groupKey() []byte { return p.at[:p.group:p.group] }

func (p position) is(other position) bool {
	return p.group == other.group && bytes.Equal(p.at, other.at)
}

func isAmong(p position, all []position) bool {
	for _, other := range all {
		if p.is(other) {
			return true
		}
	}
	return false
}

// positions adds where ix keeps r to out, each position once.
func (t *Table[R]) positions(out []position, ix *Index[R], r *R) []position {
	if r == nil {
		return out
	}
	ix.values(r, func(s tenancy.Scope, value string) {
		order := value
		if !ix.unique {
			order = t.order(s, r)
		}
		if p := ix.position(s, value, order); !isAmong(p, out) {
			out = append(out, p)
		}
	})
	return out
}

// position returns the place of an entry. Its group is the beginning of the id of each page that may
// hold it: a unique index keeps all values of a scope together, another one each value apart.
func (ix *Index[R]) position(s tenancy.Scope, value, order string) position {
	k := make([]byte, 0, len(ix.name)+len(s.Partition)+len(s.Namespace)+len(value)+len(order)+5)
	k = appendPart(appendPart(appendPart(k, ix.name), s.Partition), s.Namespace)
	if !ix.unique {
		k = appendPart(k, value)
	}
	return position{at: append(k, order...), group: len(k), order: order}
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
	pos := ix.position(s, value, value)
	p, err := t.find(tx, pos)
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
	id := pos.groupKey() // of the page that the value would be in
	if p != nil {
		id = p.id
	}
	ch, _, err := tx.FirstWatch(t.pages, primary, id)
	ws.Add(ch)
	return nil, err
}

// By returns the rows with a value in s.
func (t *Table[R]) By(tx *memdb.Txn, ws memdb.WatchSet, ix *Index[R], s tenancy.Scope, value string) ([]*R, error) {
	it, err := tx.Get(t.pages, prefix, ix.position(s, value, "").groupKey())
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

// Has reports whether any row has a value in s.
func (t *Table[R]) Has(tx *memdb.Txn, ix *Index[R], s tenancy.Scope, value string) (bool, error) {
	first, err := tx.First(t.pages, prefix, ix.position(s, value, "").groupKey())
	return first != nil, err
}

// Through returns at most limit rows of a unique index by rising value, up to and
// including every value that begins with last.
func (t *Table[R]) Through(tx *memdb.Txn, ix *Index[R], s tenancy.Scope, last string, limit int) ([]*R, error) {
	it, err := tx.Get(t.pages, prefix, ix.position(s, "", "").groupKey())
	if err != nil {
		return nil, err
	}
	var rows []*R
	for raw := it.Next(); raw != nil; raw = it.Next() {
		for _, e := range raw.(*page[R]).entries {
			beyond := e.order > last && !strings.HasPrefix(e.order, last)
			if beyond || len(rows) >= limit {
				return rows, nil
			}
			rows = append(rows, e.row)
		}
	}
	return rows, nil
}

// find returns the page that pos is in, or would be; nil if that page has to be made.
func (t *Table[R]) find(tx *memdb.Txn, pos position) (*page[R], error) {
	it, err := tx.ReverseLowerBound(t.pages, primary, pos.at)
	if err != nil {
		return nil, err
	}
	p, _ := it.Next().(*page[R])
	if p == nil || !bytes.HasPrefix(p.id, pos.groupKey()) {
		return nil, nil
	}
	return p, nil
}
