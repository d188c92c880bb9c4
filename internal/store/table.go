// Package store keeps typed rows in memory, scoped by tenancy, with immutable
// reads and watch channels. It is a thin layer over go-memdb and knows no
// resource.
//
// A row stands alone under (partition, namespace, key), so that a watch on one row
// fires for that row only. Secondary indexes are kept in pages of a few dozen
// entries each: an entry costs some 40 bytes, where an entry of memdb's own
// indexes costs ten times that.
package store

import (
	"encoding/binary"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/tenancy"
)

const (
	primary = "id"
	prefix  = "id_prefix" // what memdb calls a search by prefix
)

// Table is a typed, tenancy-scoped table. Rows are immutable once put.
type Table[R any] struct {
	name    string
	pages   string // the memdb table with the pages of the indexes
	at      func(*R) (tenancy.Scope, string)
	indexes []*Index[R]
}

// NewTable returns a table whose rows live where at says: in a scope, under a
// key that is unique there. A row without a scope of its own lives in tenancy.Default.
func NewTable[R any](name string, at func(*R) (tenancy.Scope, string), indexes ...*Index[R]) *Table[R] {
	return &Table[R]{name: name, pages: name + "/pages", at: at, indexes: indexes}
}

// Schema is what Open needs to know of a table.
type Schema interface {
	schema() []*memdb.TableSchema
}

// Open returns an empty database with the given tables.
func Open(tables ...Schema) (*memdb.MemDB, error) {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range tables {
		for _, ts := range t.schema() {
			s.Tables[ts.Name] = ts
		}
	}
	return memdb.NewMemDB(s)
}

func (t *Table[R]) schema() []*memdb.TableSchema {
	rows := bytesIndexer(func(obj any) []byte {
		s, key := t.at(obj.(*R))
		return rowKey(s, key)
	})
	out := []*memdb.TableSchema{byID(t.name, rows)}
	if len(t.indexes) > 0 {
		out = append(out, byID(t.pages, bytesIndexer(func(obj any) []byte { return obj.(*page[R]).id })))
	}
	return out
}

func byID(name string, by bytesIndexer) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		primary: {Name: primary, Unique: true, Indexer: by},
	}}
}

// Get returns the row at key in s, or nil if there is none, and adds to ws,
// unless that is nil, a channel that is closed when the answer may have changed. For a
// row that exists that means this row; what is missing, and a value that nothing else has, is
// watched together with its neighbours. This holds for all reads of a table.
func (t *Table[R]) Get(tx *memdb.Txn, ws memdb.WatchSet, s tenancy.Scope, key string) (*R, error) {
	ch, raw, err := tx.FirstWatch(t.name, primary, rowKey(s, key))
	if err != nil {
		return nil, err
	}
	ws.Add(ch)
	row, _ := raw.(*R)
	return row, nil
}

// List returns the rows in s by rising key. The wildcard namespace stands for
// all namespaces of the partition.
func (t *Table[R]) List(tx *memdb.Txn, ws memdb.WatchSet, s tenancy.Scope) ([]*R, error) {
	k := appendPart(nil, s.Partition)
	if s.Namespace != tenancy.Wildcard {
		k = appendPart(k, s.Namespace)
	}
	it, err := tx.Get(t.name, prefix, k)
	if err != nil {
		return nil, err
	}
	ws.Add(it.WatchCh())
	var rows []*R
	for raw := it.Next(); raw != nil; raw = it.Next() {
		rows = append(rows, raw.(*R))
	}
	return rows, nil
}

// Below yields the rows in s whose keys begin with begin, by rising key. A watch fires for
// changes of such rows; where there are none, also for changes of their neighbours.
func (t *Table[R]) Below(tx *memdb.Txn, ws memdb.WatchSet, s tenancy.Scope, begin string) (iter.Seq[*R], error) {
	it, err := tx.Get(t.name, prefix, rowKey(s, begin))
	if err != nil {
		return nil, err
	}
	ws.Add(it.WatchCh())
	return func(yield func(*R) bool) {
		for raw := it.Next(); raw != nil && yield(raw.(*R)); raw = it.Next() {
		}
	}, nil
}

// Longest returns the row in s with the longest key that key begins with, or nil.
func (t *Table[R]) Longest(tx *memdb.Txn, s tenancy.Scope, key string) (*R, error) {
	raw, err := tx.LongestPrefix(t.name, prefix, rowKey(s, key))
	if err != nil {
		return nil, err
	}
	row, _ := raw.(*R)
	return row, nil
}

// All yields every row of every scope.
func (t *Table[R]) All(tx *memdb.Txn) (iter.Seq[*R], error) {
	it, err := tx.Get(t.name, prefix, []byte{})
	if err != nil {
		return nil, err
	}
	return func(yield func(*R) bool) {
		for raw := it.Next(); raw != nil && yield(raw.(*R)); raw = it.Next() {
		}
	}, nil
}

// Put adds row, or replaces the one at the same scope and key. The caller may not
// change it afterwards. It returns ErrTaken, and changes nothing, if another row
// already has a value of a unique index.
func (t *Table[R]) Put(tx *memdb.Txn, row *R) error {
	s, key := t.at(row)
	old, err := t.Get(tx, nil, s, key)
	if err != nil {
		return err
	}
	if err := t.reindex(tx, old, row); err != nil {
		return err
	}
	return tx.Insert(t.name, row)
}

// Delete removes the row at key in s, if there is one.
func (t *Table[R]) Delete(tx *memdb.Txn, s tenancy.Scope, key string) error {
	old, err := t.Get(tx, nil, s, key)
	if err != nil || old == nil {
		return err
	}
	if err := t.reindex(tx, old, nil); err != nil {
		return err
	}
	return tx.Delete(t.name, old)
}

// rowKey is where memdb keeps a row. Parts carry their length, so that no name
// can reach into another scope.
func rowKey(s tenancy.Scope, key string) []byte {
	k := make([]byte, 0, len(s.Partition)+len(s.Namespace)+len(key)+2)
	k = appendPart(appendPart(k, s.Partition), s.Namespace)
	return append(k, key...)
}

func appendPart(k []byte, part string) []byte {
	return append(binary.AppendUvarint(k, uint64(len(part))), part...)
}
