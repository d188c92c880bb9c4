package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// DeletedNamespace returns a namespace that is marked for deletion, or nil.
func (tx *Tx) DeletedNamespace(ws memdb.WatchSet) (*tenancy.Namespace, error) {
	all, err := tx.Partitions(ws)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		inside, err := tx.Namespaces(ws, p.Name)
		if err != nil {
			return nil, err
		}
		for _, n := range inside {
			if n.DeletedAt != nil {
				return n, nil
			}
		}
	}
	return nil, nil
}

// PurgeNamespace removes at most limit of the things in a namespace that is
// marked for deletion; an auth method counts as one, with what came from it. Once
// nothing is left it removes the namespace, and with its last namespace a partition that is
// marked. It changes nothing where there is no such mark.
func (tx *Tx) PurgeNamespace(s tenancy.Scope, limit int) error {
	n, err := tx.Namespace(nil, s.Partition, s.Namespace)
	if err != nil || n == nil || n.DeletedAt == nil {
		return err
	}
	for _, remove := range []func(tenancy.Scope, int) (int, error){
		removeSome(tx, tokens), removeSome(tx, bindingRules), removeSome(tx, roles), removeSome(tx, policies), tx.removeMethods,
		tx.removeInstances, tx.removeChecks, tx.removeNodes,
		tx.removeSessions, tx.removePairs, removeSome(tx, lockDelays), tx.removeTombstones, tx.removeEntries,
	} {
		removed, err := remove(s, limit)
		if err != nil {
			return err
		}
		if limit -= removed; limit <= 0 {
			return nil
		}
	}
	if err := namespaces.remove(tx, s.PartitionRoot(), s.Namespace); err != nil {
		return err
	}
	return tx.removeEmptyPartition(s.Partition)
}

// removeSome removes rows of r in a scope, at most limit, and returns how many.
func removeSome[R any](tx *Tx, r *resource[R]) func(s tenancy.Scope, limit int) (int, error) {
	return func(s tenancy.Scope, limit int) (int, error) {
		rows, err := firstRows(tx, r, s, limit)
		for _, row := range rows {
			_, key := r.at(row)
			if err := r.remove(tx, s, key); err != nil {
				return 0, err
			}
		}
		return len(rows), err
	}
}

func (tx *Tx) removeMethods(s tenancy.Scope, limit int) (int, error) {
	methods, err := firstRows(tx, authMethods, s, limit)
	for _, m := range methods {
		if err := tx.DeleteAuthMethod(s, m.Name); err != nil {
			return 0, err
		}
	}
	return len(methods), err
}

// removeInstances removes instances with their checks.
func (tx *Tx) removeInstances(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstRows(tx, instances, s, limit)
	for _, i := range rows {
		if err := tx.DeleteInstance(s, i.Node, i.ID); err != nil {
			return 0, err
		}
	}
	return len(rows), err
}

// removeChecks removes what is left: the checks of nodes, in a partition's default namespace.
func (tx *Tx) removeChecks(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstRows(tx, checks, s, limit)
	for _, c := range rows {
		if err := tx.DeleteCheck(s, c.Node, c.CheckID); err != nil {
			return 0, err
		}
	}
	return len(rows), err
}

// removeNodes removes nodes, and before each what other namespaces still have on it.
func (tx *Tx) removeNodes(s tenancy.Scope, limit int) (removed int, err error) {
	rows, err := firstRows(tx, nodes, s, limit)
	for _, n := range rows {
		inside, err := tx.clearNode(n, limit-removed)
		if err != nil {
			return 0, err
		}
		if removed += inside; removed == limit {
			return removed, nil
		}
		if err := tx.removeNode(n); err != nil {
			return 0, err
		}
		if removed++; removed == limit {
			return removed, nil
		}
	}
	return removed, err
}

// firstRows returns at most limit rows of a scope.
func firstRows[R any](tx *Tx, r *resource[R], s tenancy.Scope, limit int) ([]*R, error) {
	return firstOf(tx, r.rows, s, limit)
}

func firstOf[R any](tx *Tx, table *store.Table[R], s tenancy.Scope, limit int) ([]*R, error) {
	list, err := table.ListFrom(tx.db, nil, s, "")
	if err != nil {
		return nil, err
	}
	var rows []*R
	for _, row := range list {
		if len(rows) == limit {
			break
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (tx *Tx) removeEmptyPartition(name string) error {
	p, err := tx.Partition(nil, name)
	if err != nil || p == nil || p.DeletedAt == nil {
		return err
	}
	left, err := tx.Namespaces(nil, name)
	if err != nil || len(left) > 0 {
		return err
	}
	if err := tx.removeWideEntries(name); err != nil {
		return err
	}
	return partitions.remove(tx, tenancy.Default, name)
}
