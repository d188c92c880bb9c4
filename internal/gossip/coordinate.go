package gossip

import (
	"github.com/hashicorp/serf/coordinate"
)

// Coordinate is a place in the network, from which round trip times are
// estimated (catalog.md section 10). Its unit is seconds.
type Coordinate struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// NodeCoordinate is where a member is.
type NodeCoordinate struct {
	Node      string
	Segment   string
	Partition string
	Coord     *Coordinate
}

// Coordinates returns where the living members are, sorted by name, as far as
// this agent has measured it.
func (g *Gossip) Coordinates() []NodeCoordinate {
	members := g.Members()
	out := make([]NodeCoordinate, 0, len(members))
	for _, m := range members {
		if m.Status != Alive {
			continue
		}
		if c, ok := g.Coordinate(m.Name); ok {
			out = append(out, NodeCoordinate{Node: m.Name, Segment: m.Segment, Partition: m.Partition, Coord: c})
		}
	}
	return out
}

// Coordinate returns where the member of a name is, if this agent has measured it.
func (g *Gossip) Coordinate(name string) (*Coordinate, bool) {
	if name == g.cfg.NodeName {
		c, err := g.serf.GetCoordinate()
		return newCoordinate(c), err == nil
	}
	c, ok := g.serf.GetCachedCoordinate(name)
	return newCoordinate(c), ok
}

func newCoordinate(c *coordinate.Coordinate) *Coordinate {
	if c == nil {
		return nil
	}
	return &Coordinate{Vec: c.Vec, Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
}
