package store

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"
)

// pageSize is how many entries a page may hold. A change copies its page.
const pageSize = 32

// page is a run of entries of one index, sorted. It is immutable. Its id is its
// group's and the lowest order it may hold, which is empty for a group's first page.
type page[R any] struct {
	id      []byte
	entries []entry[R]
}

type entry[R any] struct {
	order string
	row   *R
}

func (p *page[R]) search(order string) (int, bool) {
	return slices.BinarySearchFunc(p.entries, order, func(e entry[R], order string) int {
		return strings.Compare(e.order, order)
	})
}

// with returns p with e in it, in two pages if one cannot hold them. The second one's
// id begins with group.
func (p *page[R]) with(group string, e entry[R]) (*page[R], *page[R]) {
	i, found := p.search(e.order)
	entries := make([]entry[R], 0, len(p.entries)+1)
	entries = append(append(entries, p.entries[:i]...), e)
	rest := p.entries[i:]
	if found {
		rest = rest[1:]
	}
	entries = append(entries, rest...)
	if len(entries) <= pageSize {
		return &page[R]{id: p.id, entries: entries}, nil
	}
	half := len(entries) / 2
	if i == len(p.entries) {
		half = i // values that only rise leave full pages behind
	}
	right := slices.Clone(entries[half:])
	return &page[R]{id: p.id, entries: slices.Clone(entries[:half])},
		&page[R]{id: []byte(group + right[0].order), entries: right}
}

// insert puts row at pos, or replaces what is there.
func (t *Table[R]) insert(tx *memdb.Txn, pos position, row *R) error {
	p, err := t.find(tx, []byte(pos.group), pos.order)
	if err != nil {
		return err
	}
	if p == nil {
		p = &page[R]{id: []byte(pos.group)}
	}
	left, right := p.with(pos.group, entry[R]{order: pos.order, row: row})
	if err := tx.Insert(t.pages(), left); err != nil || right == nil {
		return err
	}
	return tx.Insert(t.pages(), right)
}

// drop removes what is at pos.
func (t *Table[R]) drop(tx *memdb.Txn, pos position) error {
	p, err := t.find(tx, []byte(pos.group), pos.order)
	if err != nil || p == nil {
		return err
	}
	i, ok := p.search(pos.order)
	if !ok {
		return nil
	}
	if len(p.entries) == 1 {
		return tx.Delete(t.pages(), p)
	}
	entries := make([]entry[R], 0, len(p.entries)-1)
	entries = append(append(entries, p.entries[:i]...), p.entries[i+1:]...)
	return tx.Insert(t.pages(), &page[R]{id: p.id, entries: entries})
}
