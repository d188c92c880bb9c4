package fsm

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

func coordinate(s tenancy.Scope, node string, at float64) CoordinateSet {
	return CoordinateSet{catalog.Coordinate{
		Node: node, Scope: s, Vec: []float64{at, 0.5, 0, 0, 0, 0, 0, -0.25}, Error: 1.5, Adjustment: 0.1, Height: 0.00001,
	}}
}

// coordinateSetup is what the samples about coordinates need, beside catalogSetup.
func coordinateSetup() []Command {
	return []Command{coordinate(team, "n2", 1)}
}

func coordinateSamples() []sample {
	return []sample{{62, coordinate(tenancy.Default, "N1", 2), false}}
}

// coordinateHistory is a log about coordinates alone.
func coordinateHistory() [][]Command {
	out := catalogHistory()[:2]
	out = append(out, coordinateSetup(), []Command{coordinate(tenancy.Default, "N1", 2), coordinate(tenancy.Default, "nobody", 3)})
	return append(out, []Command{Deregister{Scope: team, Node: "n2"}})
}
