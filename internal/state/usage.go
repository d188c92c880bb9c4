package state

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// usageTable is counted along with the rows and is in no snapshot: a restore counts again.
var usageTable = store.NewTable("usage", func(u *catalog.Usage) (tenancy.Scope, string) { return u.Scope, "" })

// Usage returns how much there is in each namespace that has anything, at no cost but that of their number.
func (tx *Tx) Usage() ([]*catalog.Usage, error) {
	rows, err := usageTable.All(tx.db)
	if err != nil {
		return nil, err
	}
	var all []*catalog.Usage
	for u := range rows {
		all = append(all, u)
	}
	return all, nil
}

// count changes what is counted in s.
func (tx *Tx) count(s tenancy.Scope, change func(*catalog.Usage)) error {
	old, err := usageTable.Get(tx.db, nil, s, "")
	if err != nil {
		return err
	}
	next := catalog.Usage{Scope: s}
	if old != nil {
		next = *old
	}
	change(&next)
	if next.IsZero() {
		return usageTable.Delete(tx.db, s, "")
	}
	return usageTable.Put(tx.db, &next)
}

func (tx *Tx) countNode(s tenancy.Scope, by int) error {
	return tx.count(s, func(u *catalog.Usage) { u.Nodes += by })
}

func (tx *Tx) countName(s tenancy.Scope, by int) error {
	return tx.count(s, func(u *catalog.Usage) { u.Services += by })
}

// countInstance counts an instance as it is now instead of as it was; either may be nil.
func (tx *Tx) countInstance(old, now *catalog.Instance) error {
	i := old
	if now != nil {
		i = now
	}
	return tx.count(i.Scope, func(u *catalog.Usage) {
		if old != nil {
			u.Count(&old.Service, -1)
		}
		if now != nil {
			u.Count(&now.Service, 1)
		}
	})
}
