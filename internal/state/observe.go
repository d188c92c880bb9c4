package state

import "github.com/hashicorp/go-memdb"

// Observer is told what a committed write has changed: each row as it was,
// nil for a new one, and as it is, nil for one that was removed. No rows, with index
// 0, mean that a snapshot has replaced everything. It is called by the one writer, so it may not
// block, and sees writes in their order.
type Observer func(index uint64, rows memdb.Changes)

// Observe makes o the store's one observer.
func (s *Store) Observe(o Observer) { s.observer.Store(&o) }

// commit commits tx and tells the observer.
func (s *Store) commit(tx *Tx) {
	rows := tx.db.Changes() // none unless they are tracked
	tx.Commit()
	if o := s.observer.Load(); o != nil && len(rows) > 0 {
		(*o)(tx.index, rows)
	}
}

// replaced tells the observer that everything is another.
func (s *Store) replaced() {
	if o := s.observer.Load(); o != nil {
		(*o)(0, nil)
	}
}

// LastWrite returns the greatest index at which any table changed.
func (tx *Tx) LastWrite() uint64 {
	m, last := tx.meta(), uint64(1)
	for _, index := range m.changed {
		last = max(last, index)
	}
	return last
}
