package endpoint

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Coordinates are the operations on where nodes are (catalog.md section 10). What gossip measures of a member
// counts before what somebody says of it.
type Coordinates struct {
	*Backend
	Measured func() []gossip.NodeCoordinate // of all members, sorted by name
}

// List returns where the nodes of a partition are that the caller may read with node:read, by name.
func (e *Coordinates) List(ctx context.Context, who acl.Caller, s tenancy.Scope, r Read) ([]gossip.NodeCoordinate, Meta, error) {
	var out []gossip.NodeCoordinate
	hidden := false
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		all, err := places(tx, ws, s.Partition, e.Measured())
		out, hidden = []gossip.NodeCoordinate{}, false
		for _, c := range all {
			if who.Allowed(s.PartitionRoot(), acl.NodeRead, c.Node) {
				out = append(out, c)
			} else {
				hidden = true
			}
		}
		return tx.LastIndex(state.TableCoordinates), err
	})
	meta.FilteredByACLs = hidden && !who.Anonymous()
	return out, meta, err
}

// Set says where a node of a partition is; there may be no such node. It needs node:write.
func (e *Coordinates) Set(ctx context.Context, who acl.Caller, c catalog.Coordinate) error {
	if err := who.Require(c.PartitionRoot(), acl.NodeWrite, c.Node); err != nil {
		return err
	}
	if c.Node == "" {
		return errs.New(errs.Invalid, "Missing node name")
	}
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := e.Raft.Propose(ctx, fsm.CoordinateSet{Coordinate: c})
	return err
}

// places returns where the nodes of a partition are, by name: those that are measured, and of the others what is said.
func places(tx *state.Tx, ws memdb.WatchSet, partition string, measured []gossip.NodeCoordinate) ([]gossip.NodeCoordinate, error) {
	said, err := tx.Coordinates(ws, partition)
	if err != nil {
		return nil, err
	}
	var out []gossip.NodeCoordinate
	known := map[string]bool{}
	for _, c := range measured {
		if c.Partition == partition {
			out = append(out, c)
			known[strings.ToLower(c.Node)] = true
		}
	}
	for _, c := range said {
		if !known[strings.ToLower(c.Node)] {
			out = append(out, gossip.NodeCoordinate{Node: c.Node, Segment: c.Segment, Partition: c.Partition,
				Coord: &gossip.Coordinate{Vec: c.Vec, Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}})
		}
	}
	slices.SortStableFunc(out, func(a, b gossip.NodeCoordinate) int { return cmp.Compare(a.Node, b.Node) })
	return out, nil
}
