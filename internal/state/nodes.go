package state

import (
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func nodeAt(n *catalog.Node) (tenancy.Scope, string) { return n.Scope, fold(n.Node) }

var (
	nodeIDs = store.Unique("id", func(n *catalog.Node, add func(tenancy.Scope, string)) {
		if n.ID != "" {
			add(n.Scope, fold(n.ID))
		}
	})

	nodes = &resource[catalog.Node]{
		name:    TableNodes,
		at:      nodeAt,
		rows:    store.NewTable("nodes", nodeAt, nodeIDs),
		indexes: func(n *catalog.Node) (*uint64, *uint64) { return &n.CreateIndex, &n.ModifyIndex },
	}
)

// partitionRoot is where the nodes of a partition live.
func partitionRoot(partition string) tenancy.Scope {
	return tenancy.Scope{Partition: partition, Namespace: tenancy.DefaultName}
}

// Node returns the node with a name, in any case.
func (tx *Tx) Node(ws memdb.WatchSet, partition, name string) (*catalog.Node, error) {
	return nodes.rows.Get(tx.db, ws, partitionRoot(partition), fold(name))
}

// NodeByID returns the node with an ID, in any case. "" is no node's.
func (tx *Tx) NodeByID(ws memdb.WatchSet, partition, id string) (*catalog.Node, error) {
	if id == "" {
		return nil, nil
	}
	return nodes.rows.One(tx.db, ws, nodeIDs, partitionRoot(partition), fold(id))
}

// Nodes returns the nodes of a partition, sorted by name in lower case.
func (tx *Tx) Nodes(ws memdb.WatchSet, partition string) ([]*catalog.Node, error) {
	return nodes.rows.List(tx.db, ws, partitionRoot(partition))
}

// PutNode creates or replaces the node with its name. It returns errs.Invalid for a name with a
// zero byte, and store.ErrTaken, with nothing changed, if another node has its ID.
func (tx *Tx) PutNode(n catalog.Node) error {
	if strings.ContainsRune(n.Node, 0) {
		return errs.New(errs.Invalid, "Invalid node name")
	}
	n.Scope = n.PartitionRoot()
	old, err := tx.Node(nil, n.Partition, n.Node)
	if err != nil {
		return err
	}
	changed, err := nodes.change(tx, n)
	if err != nil || !changed {
		return err
	}
	if old == nil {
		if err := tx.countNode(n.Scope, 1); err != nil {
			return err
		}
	}
	return tx.nodeChanged(n.Partition, n.Node)
}

// DeleteNode removes a node, if it exists, with everything that is on it in any namespace, and ends its sessions.
func (tx *Tx) DeleteNode(partition, name string) error {
	n, err := tx.Node(nil, partition, name)
	if err != nil || n == nil {
		return err
	}
	if _, err := tx.clearNode(n, -1); err != nil {
		return err
	}
	return tx.removeNode(n)
}

// clearNode removes at most limit of the things on a node, all if limit is
// negative, and returns how many. An instance counts as one, with its checks.
func (tx *Tx) clearNode(n *catalog.Node, limit int) (removed int, err error) {
	inside, err := instances.rows.By(tx.db, nil, instancesByNode, n.Scope, fold(n.Node))
	if err != nil {
		return 0, err
	}
	for _, i := range inside {
		if removed == limit {
			return removed, nil
		}
		if err := tx.DeleteInstance(i.Scope, i.Node, i.ID); err != nil {
			return removed, err
		}
		removed++
	}
	left, err := checks.rows.By(tx.db, nil, checksByNode, n.Scope, fold(n.Node))
	if err != nil {
		return removed, err
	}
	for _, c := range left {
		if removed == limit {
			return removed, nil
		}
		if err := tx.DeleteCheck(c.Scope, c.Node, c.CheckID); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// removeNode removes a node that has nothing on it.
func (tx *Tx) removeNode(n *catalog.Node) error {
	s, key := nodeAt(n)
	if err := nodes.remove(tx, s, key); err != nil {
		return err
	}
	if err := tx.unmark(s, markNode, n.Node); err != nil {
		return err
	}
	if err := coordinates.remove(tx, s, key); err != nil {
		return err
	}
	if err := tx.countNode(s, -1); err != nil {
		return err
	}
	return tx.invalidateSessions(n.Partition, n.Node, nil)
}

// nodeChanged marks a node, and each service that is on it.
func (tx *Tx) nodeChanged(partition, name string) error {
	if err := tx.mark(partitionRoot(partition), markNode, name); err != nil {
		return err
	}
	inside, err := instances.rows.By(tx.db, nil, instancesByNode, partitionRoot(partition), fold(name))
	if err != nil {
		return err
	}
	for _, i := range inside {
		if err := tx.markServices(i); err != nil {
			return err
		}
	}
	return nil
}
