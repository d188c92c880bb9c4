package store

import (
	"cmp"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/errs"
)

// loadSize is how full pages are after a load: a few entries may follow without a split.
const loadSize = pageSize * 3 / 4

// Loader fills an empty table with many rows: it writes each page of an index once.
type Loader[R any] struct {
	table  *Table[R]
	groups map[string][]entry[R]
	unique map[string]*Index[R] // the index of a group, if it is a unique one
}

// Load returns a loader. Until Finish the rows are found by scope and key alone.
func (t *Table[R]) Load() *Loader[R] {
	return &Loader[R]{table: t, groups: map[string][]entry[R]{}, unique: map[string]*Index[R]{}}
}

// Add adds a row. Rows that come by rising scope and key are added fastest.
func (l *Loader[R]) Add(tx *memdb.Txn, row *R) error {
	for _, ix := range l.table.indexes {
		for _, pos := range l.table.positions(nil, ix, row) {
			group := pos.groupKey()
			l.groups[string(group)] = append(l.groups[string(group)], entry[R]{order: pos.order, row: row})
			if ix.unique {
				l.unique[string(group)] = ix
			}
		}
	}
	return tx.Insert(l.table.name, row)
}

// Finish builds the indexes. It returns ErrTaken if two rows have the same value of a unique one;
// the transaction is to be dropped then.
func (l *Loader[R]) Finish(tx *memdb.Txn) error {
	for group, entries := range l.groups {
		slices.SortFunc(entries, func(a, b entry[R]) int { return cmp.Compare(a.order, b.order) })
		if ix := l.unique[group]; ix != nil {
			for i := range entries[1:] {
				if entries[i].order == entries[i+1].order {
					return errs.Errorf(errs.Conflict, "%s: index %s: %w", l.table.name, ix.name, ErrTaken)
				}
			}
		}
		for i := 0; i < len(entries); i += loadSize {
			p := &page[R]{id: []byte(group), entries: slices.Clone(entries[i:min(i+loadSize, len(entries))])}
			if i > 0 {
				p.id = append(p.id, p.entries[0].order...)
			}
			if err := tx.Insert(l.table.pages, p); err != nil {
				return err
			}
		}
	}
	return nil
}
