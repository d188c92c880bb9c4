package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func coordinateAt(c *catalog.Coordinate) (tenancy.Scope, string) {
	return partitionRoot(c.Partition), fold(c.Node)
}

var coordinates = &resource[catalog.Coordinate]{
	name:    TableCoordinates,
	at:      coordinateAt,
	rows:    store.NewTable("coordinates", coordinateAt),
	indexes: func(c *catalog.Coordinate) (*uint64, *uint64) { return &c.CreateIndex, &c.ModifyIndex },
}

// Coordinates returns where nodes of a partition are said to be, by their names in lower case.
func (tx *Tx) Coordinates(ws memdb.WatchSet, partition string) ([]*catalog.Coordinate, error) {
	return coordinates.rows.List(tx.db, ws, partitionRoot(partition))
}

// Coordinate returns where the node with a name, in any case, is said to be.
func (tx *Tx) Coordinate(ws memdb.WatchSet, partition, node string) (*catalog.Coordinate, error) {
	return coordinates.rows.Get(tx.db, ws, partitionRoot(partition), fold(node))
}

// PutCoordinate says where a node is. It changes nothing where there is no such node.
func (tx *Tx) PutCoordinate(c catalog.Coordinate) error {
	c.Scope = partitionRoot(c.Partition)
	n, err := tx.Node(nil, c.Partition, c.Node)
	if err != nil || n == nil {
		return err
	}
	c.Node = n.Node
	return coordinates.put(tx, c)
}
