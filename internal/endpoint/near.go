package endpoint

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/gossip"
)

// sortNear sorts rows by how near their nodes are to f.Near, if that is
// known. Rows whose distance nobody knows stay at the end, in their order.
func sortNear[R any](e *Catalog, f *Find, rows []R, node func(R) string) {
	if f.Near == "" || e.Coordinates == nil || len(rows) < 2 {
		return
	}
	var from *gossip.Coordinate
	at := map[string]*gossip.Coordinate{}
	measured := e.Coordinates()
	if said, err := places(e.Store.Read(), nil, f.Partition, nil); err == nil {
		measured = append(said, measured...) // what is measured counts last, and so before what is said
	}
	for _, c := range measured {
		if strings.EqualFold(c.Node, f.Near) {
			from = c.Coord
		}
		if c.Partition == f.Partition {
			at[strings.ToLower(c.Node)] = c.Coord
		}
	}
	if from == nil {
		return
	}
	slices.SortStableFunc(rows, func(a, b R) int {
		return cmp.Compare(roundTrip(from, at[strings.ToLower(node(a))]), roundTrip(from, at[strings.ToLower(node(b))]))
	})
}

// roundTrip returns the estimated time in seconds from one place to another and
// back (catalog.md section 10). It is infinite where a place is not known.
func roundTrip(a, b *gossip.Coordinate) float64 {
	if a == nil || b == nil || len(a.Vec) != len(b.Vec) {
		return math.Inf(1)
	}
	if a == b {
		return 0
	}
	sum := 0.0
	for i := range a.Vec {
		d := a.Vec[i] - b.Vec[i]
		sum += d * d
	}
	distance := math.Sqrt(sum) + a.Height + b.Height
	if adjusted := distance + a.Adjustment + b.Adjustment; adjusted > 0 {
		return adjusted
	}
	return distance
}
