package catalog

import (
	"math"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// dimensions is how many numbers the vector of a coordinate has (catalog.md section 10).
const dimensions = 8

// Coordinate is where a node is that somebody has said it of: an agent measures for itself where the members of
// gossip are. Its unit is seconds.
type Coordinate struct {
	Node    string
	Segment string
	Vec     []float64
	tenancy.Scope

	Error, Adjustment, Height float64

	CreateIndex, ModifyIndex uint64
}

// Validate returns errs.Invalid for a coordinate that cannot be compared with others.
func (c *Coordinate) Validate() error {
	wrong := len(c.Vec) != dimensions
	for _, x := range append([]float64{c.Error, c.Adjustment, c.Height}, c.Vec...) {
		wrong = wrong || math.IsNaN(x) || math.IsInf(x, 0)
	}
	if wrong {
		return errs.New(errs.Invalid, "incompatible coordinate")
	}
	return nil
}
