package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func caRootAt(r *ca.Root) (tenancy.Scope, string) { return tenancy.Default, r.ID }

var caRoots = &resource[ca.Root]{
	name:    TableCARoots,
	at:      caRootAt,
	rows:    store.NewTable("ca-roots", caRootAt),
	indexes: func(r *ca.Root) (*uint64, *uint64) { return &r.CreateIndex, &r.ModifyIndex },
}

// CARoots returns the roots of the mesh CA, sorted by ID.
func (tx *Tx) CARoots(ws memdb.WatchSet) ([]*ca.Root, error) {
	return caRoots.rows.List(tx.db, ws, tenancy.Default)
}

// ActiveCARoot returns the root that signs, or nil before there is one.
func (tx *Tx) ActiveCARoot(ws memdb.WatchSet) (*ca.Root, error) {
	roots, err := tx.CARoots(ws)
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		if r.Active {
			return r, nil
		}
	}
	return nil, nil
}

// PutCARoot creates or replaces a root. If it is active, no other one is any more: the
// one that was is rotated out when this one was created.
func (tx *Tx) PutCARoot(r ca.Root) error {
	if r.Active {
		old, err := tx.ActiveCARoot(nil)
		if err != nil {
			return err
		}
		if old != nil && old.ID != r.ID {
			retired := *old
			retired.Active, retired.RotatedOut = false, r.Created
			if err := caRoots.put(tx, retired); err != nil {
				return err
			}
		}
	}
	return caRoots.put(tx, r)
}

// PruneCARoot removes a root that does not sign, and what it has signed for others. It does
// nothing about any other ID.
func (tx *Tx) PruneCARoot(id string) error {
	old, err := caRoots.rows.Get(tx.db, nil, tenancy.Default, id)
	if err != nil || old == nil || old.Active {
		return err
	}
	if err := caRoots.remove(tx, tenancy.Default, id); err != nil {
		return err
	}
	left, err := tx.CARoots(nil)
	if err != nil {
		return err
	}
	for _, r := range left {
		if err := caRoots.put(tx, r.Without(func(by string) bool { return by == id })); err != nil {
			return err
		}
	}
	return nil
}
