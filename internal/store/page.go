package store

import (
	"slices"
	"strings"
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
func (p *page[R]) with(group []byte, e entry[R]) (*page[R], *page[R]) {
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
		&page[R]{id: append(group, right[0].order...), entries: right}
}
