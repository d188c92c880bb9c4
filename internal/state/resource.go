package state

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// resource is a table and what all tables do alike.
type resource[R any] struct {
	name    TableName
	rows    *store.Table[R]
	at      func(*R) (tenancy.Scope, string)
	indexes func(*R) (create, modify *uint64)
}

// put stores row. It stamps the indexes, and changes nothing, the table's index
// included, if the stored row differs in nothing else.
func (r *resource[R]) put(tx *Tx, row R) error {
	s, key := r.at(&row)
	old, err := r.rows.Get(tx.db, nil, s, key)
	if err != nil {
		return err
	}
	create, modify := r.indexes(&row)
	*create, *modify = tx.index, tx.index
	if old != nil {
		oldCreate, oldModify := r.indexes(old)
		*create, *modify = *oldCreate, *oldModify
		if same(*old, row) {
			return nil
		}
		*modify = tx.index
	}
	return r.store(tx, &row)
}

// change puts row and reports whether that changed anything.
func (r *resource[R]) change(tx *Tx, row R) (bool, error) {
	before := tx.writes
	err := r.put(tx, row)
	return tx.writes > before, err
}

// store puts row as it is.
func (r *resource[R]) store(tx *Tx, row *R) error {
	if err := r.rows.Put(tx.db, row); err != nil {
		return err
	}
	return tx.touch(r.name)
}

// remove deletes the row at key, if there is one.
func (r *resource[R]) remove(tx *Tx, s tenancy.Scope, key string) error {
	old, err := r.rows.Get(tx.db, nil, s, key)
	if err != nil || old == nil {
		return err
	}
	if err := r.rows.Delete(tx.db, s, key); err != nil {
		return err
	}
	return tx.touch(r.name)
}

// by returns the rows with a value in s, or in each namespace of the partition
// where s is the wildcard.
func (r *resource[R]) by(tx *Tx, ws memdb.WatchSet, ix *store.Index[R], s tenancy.Scope, value string) ([]*R, error) {
	if s.Namespace != tenancy.Wildcard {
		return r.rows.By(tx.db, ws, ix, s, value)
	}
	names, err := tx.Namespaces(ws, s.Partition)
	if err != nil {
		return nil, err
	}
	var all []*R
	for _, n := range names {
		rows, err := r.rows.By(tx.db, ws, ix, n.Scope(), value)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// sortBy sorts rows by a text, and by namespace where the texts are equal.
func sortBy[R any](rows []*R, text func(*R) (string, tenancy.Scope)) []*R {
	slices.SortFunc(rows, func(a, b *R) int {
		at, as := text(a)
		bt, bs := text(b)
		return cmp.Or(cmp.Compare(at, bt), cmp.Compare(as.Namespace, bs.Namespace))
	})
	return rows
}

// fold is the form of a name that is unique in any case.
func fold(name string) string { return strings.ToLower(name) }

// CheckScope returns errs.Invalid unless s's partition and namespace exist and
// are not marked for deletion (tenancy.md section 2.3).
func (tx *Tx) CheckScope(s tenancy.Scope) error {
	p, err := tx.Partition(nil, s.Partition)
	if err != nil {
		return err
	}
	if p == nil || p.DeletedAt != nil {
		return errs.Errorf(errs.Invalid, "Partition %q does not exist", s.Partition)
	}
	n, err := tx.Namespace(nil, s.Partition, s.Namespace)
	if err != nil {
		return err
	}
	if n == nil || n.DeletedAt != nil {
		return errs.Errorf(errs.Invalid, "Namespace %q does not exist", s.Namespace)
	}
	return nil
}
