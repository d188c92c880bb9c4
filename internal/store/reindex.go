package store

import (
	"bytes"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/errs"
)

// move is a change of one entry of an index.
type move[R any] struct {
	position
	page *page[R] // where it goes, as find says; only if known
	drop bool
}

// reindex moves old's entries to where row's belong; either may be nil. It returns
// ErrTaken before it has changed anything.
func (t *Table[R]) reindex(tx *memdb.Txn, old, row *R) error {
	var moves []move[R]
	for _, ix := range t.indexes {
		var err error
		if moves, err = t.moves(tx, moves, ix, old, row); err != nil {
			return err
		}
	}
	for _, m := range moves {
		var err error
		if m.drop {
			err = t.drop(tx, m.position)
		} else {
			err = t.insert(tx, m, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// moves adds the changes that ix needs to out.
func (t *Table[R]) moves(tx *memdb.Txn, out []move[R], ix *Index[R], old, row *R) ([]move[R], error) {
	before, after := t.positions(nil, ix, old), t.positions(nil, ix, row)
	for _, pos := range before {
		if !isAmong(pos, after) {
			out = append(out, move[R]{position: pos, drop: true})
		}
	}
	for _, pos := range after {
		m := move[R]{position: pos}
		if ix.unique && !isAmong(pos, before) {
			p, err := t.find(tx, pos)
			if err != nil {
				return nil, err
			}
			if p != nil {
				if _, taken := p.search(pos.order); taken {
					return nil, errs.Errorf(errs.Conflict, "%s: index %s: %w", t.name, ix.name, ErrTaken)
				}
			}
			if len(before)+len(after) == 1 {
				m.page = p // nothing else changes this group
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// insert puts row where m says, or replaces what is there.
func (t *Table[R]) insert(tx *memdb.Txn, m move[R], row *R) error {
	p := m.page
	if p == nil {
		var err error
		if p, err = t.find(tx, m.position); err != nil {
			return err
		}
	}
	if p == nil {
		p = &page[R]{id: bytes.Clone(m.groupKey())}
	}
	left, right := p.with(m.groupKey(), entry[R]{order: m.order, row: row})
	if err := tx.Insert(t.pages, left); err != nil || right == nil {
		return err
	}
	return tx.Insert(t.pages, right)
}

// drop removes what is at pos.
func (t *Table[R]) drop(tx *memdb.Txn, pos position) error {
	p, err := t.find(tx, pos)
	if err != nil || p == nil {
		return err
	}
	i, ok := p.search(pos.order)
	if !ok {
		return nil
	}
	if len(p.entries) == 1 {
		return tx.Delete(t.pages, p)
	}
	entries := make([]entry[R], 0, len(p.entries)-1)
	entries = append(append(entries, p.entries[:i]...), p.entries[i+1:]...)
	return tx.Insert(t.pages, &page[R]{id: p.id, entries: entries})
}
