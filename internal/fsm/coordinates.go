package fsm

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/state"
)

// CoordinateSet says where a node is, if it exists.
type CoordinateSet struct{ Coordinate catalog.Coordinate }

// Apply implements Command.
func (c CoordinateSet) Apply(tx *state.Tx) error { return tx.PutCoordinate(c.Coordinate) }
