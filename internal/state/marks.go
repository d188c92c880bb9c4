package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// Mark is the index of the last change of all that queries about one name depend on, so that they
// watch this one row and nothing else. It exists as long as the name does. The
// table's index is that of the last time a mark went away.
type Mark struct {
	tenancy.Scope
	Key   string // what kind of name, and the name in lower case
	Index uint64
}

// What a mark stands for.
const (
	markNode    = "node/"    // a node, with its instances and checks in all namespaces
	markService = "service/" // instances with a name, with their checks and nodes
	markConnect = "connect/" // instances that take mesh traffic for a name, likewise
)

func markAt(m *Mark) (tenancy.Scope, string) { return m.Scope, m.Key }

var marks = &resource[Mark]{
	name: TableMarks,
	at:   markAt,
	rows: store.NewTable("marks", markAt),
}

// mark notes that something about a name changes at tx's index.
func (tx *Tx) mark(s tenancy.Scope, what, name string) error {
	key := what + fold(name)
	old, err := marks.rows.Get(tx.db, nil, s, key)
	if err != nil || (old != nil && old.Index == tx.index) {
		return err
	}
	tx.writes++
	return marks.rows.Put(tx.db, &Mark{Scope: s, Key: key, Index: tx.index})
}

// unmark notes that a name has gone.
func (tx *Tx) unmark(s tenancy.Scope, what, name string) error {
	return marks.remove(tx, s, what+fold(name))
}

// markServices marks the services that an instance is one of.
func (tx *Tx) markServices(i *catalog.Instance) error {
	if err := tx.mark(i.Scope, markService, i.Service.Service); err != nil {
		return err
	}
	if name := i.ConnectName(); name != "" {
		return tx.mark(i.Scope, markConnect, name)
	}
	return nil
}

// WatchService returns the index of the last change of anything that an answer about the instances with a
// name in a namespace depends on: the instances, their checks, and their
// nodes with the nodes' own checks. ws hears of these and of nothing else, so the queries behind the
// answer need no watch set. For a name that has no instances it is the index of the last time any name lost
// its last one, and ws may hear of other names that come or go.
func (tx *Tx) WatchService(ws memdb.WatchSet, s tenancy.Scope, name string) (uint64, error) {
	index, found, err := tx.watchMark(ws, s, markService, name)
	if err != nil || found {
		return index, err
	}
	_, err = serviceNames.rows.Get(tx.db, ws, s, fold(name))
	return index, err
}

// WatchConnect is WatchService for ConnectInstances.
func (tx *Tx) WatchConnect(ws memdb.WatchSet, s tenancy.Scope, name string) (uint64, error) {
	index, found, err := tx.watchMark(ws, s, markConnect, name)
	if err != nil || found {
		return index, err
	}
	_, err = instances.rows.By(tx.db, ws, instancesByConnect, s, fold(name))
	return index, err
}

// WatchNode is WatchService for a node and all that is on it, in every namespace.
func (tx *Tx) WatchNode(ws memdb.WatchSet, partition, name string) (uint64, error) {
	index, found, err := tx.watchMark(ws, partitionRoot(partition), markNode, name)
	if err != nil || found {
		return index, err
	}
	_, err = tx.Node(ws, partition, name)
	return index, err
}

// watchMark watches a mark that there is.
func (tx *Tx) watchMark(ws memdb.WatchSet, s tenancy.Scope, what, name string) (index uint64, found bool, err error) {
	key := what + fold(name)
	m, err := marks.rows.Get(tx.db, nil, s, key)
	if err != nil || m == nil {
		return tx.LastIndex(TableMarks), false, err
	}
	if ws != nil {
		_, err = marks.rows.Get(tx.db, ws, s, key)
	}
	return m.Index, true, err
}
