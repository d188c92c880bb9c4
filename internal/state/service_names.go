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

// leaveNames takes away what an instance as it was brought to the names that it had. now is what it is instead,
// or nil.
func (tx *Tx) leaveNames(old, now *catalog.Instance) error {
	s, service, connect := old.Scope, fold(old.Service.Service), fold(old.ConnectName())
	switch {
	case now == nil || fold(now.Service.Service) != service:
		if err := tx.leaveService(s, service, old.Tags); err != nil {
			return err
		}
	default:
		gone := slices.DeleteFunc(slices.Clone(old.Tags), func(t string) bool { return slices.Contains(now.Tags, t) })
		if err := tx.dropTags(s, service, gone); err != nil {
			return err
		}
	}
	if connect == "" || (now != nil && fold(now.ConnectName()) == connect) {
		return nil
	}
	left, err := instances.rows.Has(tx.db, instancesByConnect, s, connect)
	if err != nil {
		return err
	}
	if left {
		return tx.mark(s, markConnect, connect)
	}
	if err := tx.unmark(s, markConnect, connect); err != nil {
		return err
	}
	return tx.releaseVirtualIP(s, connect)
}

// leaveService does what follows when a service loses an instance that had tags.
func (tx *Tx) leaveService(s tenancy.Scope, service string, tags []string) error {
	left, err := instances.rows.Has(tx.db, instancesByService, s, service)
	if err != nil {
		return err
	}
	if left {
		if err := tx.dropTags(s, service, slices.Clone(tags)); err != nil {
			return err
		}
		return tx.mark(s, markService, service)
	}
	if err := serviceNames.remove(tx, s, service); err != nil {
		return err
	}
	if err := tx.countName(s, -1); err != nil {
		return err
	}
	if err := tx.unmark(s, markService, service); err != nil {
		return err
	}
	return tx.releaseVirtualIP(s, service)
}

// dropTags removes from a service's name those tags that none of its instances has any more. It
// changes gone.
func (tx *Tx) dropTags(s tenancy.Scope, service string, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	left, err := instances.rows.ByFrom(tx.db, nil, instancesByService, s, service, "")
	if err != nil {
		return err
	}
	for _, i := range left {
		gone = slices.DeleteFunc(gone, func(t string) bool { return slices.Contains(i.Tags, t) })
		if len(gone) == 0 {
			return nil
		}
	}
	old, err := serviceNames.rows.Get(tx.db, nil, s, service)
	if err != nil || old == nil {
		return err
	}
	next := *old
	next.Tags = slices.DeleteFunc(slices.Clone(old.Tags), func(t string) bool { return slices.Contains(gone, t) })
	return serviceNames.put(tx, next)
}
