package fsm

import (
	"io"

	"github.com/lictor/lictor/internal/state"
)

// Verify reads a snapshot, all of it, and returns why it could not be restored.
func Verify(r io.Reader) error { return New(state.New()).Restore(io.NopCloser(r)) }

// Content is how much of a table a snapshot holds.
type Content struct {
	Table string
	Rows  int
	Bytes int64
}

// Inspect returns what a snapshot holds of each table that has rows in it. It reads and verifies all of
// it, but keeps no row.
func Inspect(r io.Reader) ([]Content, error) {
	byKind := map[uint64]*Content{}
	err := eachRow(r, func(in *recordReader, _ any) error {
		c := byKind[in.kind]
		if c == nil {
			c = &Content{}
			byKind[in.kind] = c
		}
		c.Rows++
		c.Bytes += int64(in.body.Len())
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := []Content{}
	add := func(kind uint64, table string) {
		if c := byKind[kind]; c != nil {
			c.Table = table
			out = append(out, *c)
		}
	}
	for _, k := range recordKinds {
		add(k.kind, k.table.String())
	}
	add(metaKind, "meta")
	return out, nil
}
