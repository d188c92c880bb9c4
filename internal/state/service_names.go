package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func serviceNameAt(n *catalog.ServiceName) (tenancy.Scope, string) { return n.Scope, fold(n.Name) }

var serviceNames = &resource[catalog.ServiceName]{
	name:    TableServiceNames,
	at:      serviceNameAt,
	rows:    store.NewTable("service-names", serviceNameAt),
	indexes: func(n *catalog.ServiceName) (*uint64, *uint64) { return &n.CreateIndex, &n.ModifyIndex },
}

// ServiceNames returns the service names of s, sorted in lower case. s may be the wildcard
// namespace. They change when a name or a tag comes or goes, not with each instance or check.
func (tx *Tx) ServiceNames(ws memdb.WatchSet, s tenancy.Scope) ([]catalog.ServiceName, error) {
	rows, err := serviceNames.rows.List(tx.db, ws, s)
	if err != nil {
		return nil, err
	}
	if s.Namespace == tenancy.Wildcard {
		sortBy(rows, func(n *catalog.ServiceName) (string, tenancy.Scope) { return fold(n.Name), n.Scope })
	}
	names := make([]catalog.ServiceName, len(rows))
	for i, n := range rows {
		names[i] = *n
	}
	return names, nil
}

// joinName adds what an instance brings to its service name.
func (tx *Tx) joinName(i *catalog.Instance) error {
	name := i.Service.Service
	old, err := serviceNames.rows.Get(tx.db, nil, i.Scope, fold(name))
	if err != nil {
		return err
	}
	if old == nil {
		if err := tx.countName(i.Scope, 1); err != nil {
			return err
		}
		old = &catalog.ServiceName{Name: name, Scope: i.Scope}
	} else if old.Kind == i.Kind && !slices.ContainsFunc(i.Tags, func(t string) bool { return !has(old.Tags, t) }) {
		return nil
	}
	next := *old
	next.Kind = i.Kind
	next.Tags = append(slices.Clone(old.Tags), i.Tags...)
	slices.Sort(next.Tags)
	next.Tags = slices.Compact(next.Tags)
	return serviceNames.put(tx, next)
}

// has looks for a tag in sorted ones.
func has(tags []string, tag string) bool {
	_, found := slices.BinarySearch(tags, tag)
	return found
}

// leaveNames takes away what an instance, which is gone or another now, brought to the names that it had.
func (tx *Tx) leaveNames(old *catalog.Instance) error {
	if err := tx.leaveName(old); err != nil {
		return err
	}
	connect := old.ConnectName()
	if connect != "" {
		left, err := instances.rows.Has(tx.db, instancesByConnect, old.Scope, fold(connect))
		if err != nil {
			return err
		}
		update := tx.unmark
		if left {
			update = tx.mark
		}
		if err := update(old.Scope, markConnect, connect); err != nil {
			return err
		}
		if err := tx.releaseVirtualIP(old.Scope, connect); err != nil {
			return err
		}
	}
	return tx.releaseVirtualIP(old.Scope, old.Service.Service)
}

func (tx *Tx) leaveName(old *catalog.Instance) error {
	s, name := old.Scope, old.Service.Service
	left, err := tx.ServiceInstances(nil, s, name)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		if err := tx.dropTags(s, name, old.Tags, left); err != nil {
			return err
		}
		return tx.mark(s, markService, name)
	}
	if err := serviceNames.remove(tx, s, fold(name)); err != nil {
		return err
	}
	if err := tx.countName(s, -1); err != nil {
		return err
	}
	return tx.unmark(s, markService, name)
}

// dropTags removes from a name those tags that none of its instances has.
func (tx *Tx) dropTags(s tenancy.Scope, name string, tags []string, left []*catalog.Instance) error {
	gone := slices.Clone(tags)
	for _, i := range left {
		if len(gone) == 0 {
			return nil
		}
		gone = slices.DeleteFunc(gone, func(t string) bool { return slices.Contains(i.Tags, t) })
	}
	old, err := serviceNames.rows.Get(tx.db, nil, s, fold(name))
	if err != nil || old == nil || len(gone) == 0 {
		return err
	}
	next := *old
	next.Tags = slices.DeleteFunc(slices.Clone(old.Tags), func(t string) bool { return slices.Contains(gone, t) })
	return serviceNames.put(tx, next)
}
