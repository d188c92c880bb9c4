package state

import (
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func sessionAt(s *kv.Session) (tenancy.Scope, string) { return s.Scope, s.ID }

const anyTTL = "ttl" // the one value of sessionsWithTTL

var (
	// A node's sessions of all namespaces stand together under the node's partition.
	sessionsByNode = store.Many("node", func(s *kv.Session, add func(tenancy.Scope, string)) {
		add(s.PartitionRoot(), fold(s.Node))
	})
	sessionsWithTTL = store.Many("ttl", func(s *kv.Session, add func(tenancy.Scope, string)) {
		if s.Life() > 0 {
			add(store.Global, anyTTL)
		}
	})

	sessions = &resource[kv.Session]{
		name:    TableSessions,
		at:      sessionAt,
		rows:    store.NewTable("sessions", sessionAt, sessionsByNode, sessionsWithTTL),
		indexes: func(s *kv.Session) (*uint64, *uint64) { return &s.CreateIndex, &s.ModifyIndex },
	}

	lockDelayEnds = store.Unique("end", func(d *kv.LockDelay, add func(tenancy.Scope, string)) {
		add(store.Global, expiryKey(d.Until)+d.Scope.String()+"/"+d.Key)
	})

	lockDelays = &resource[kv.LockDelay]{
		name:    TableLockDelays,
		at:      func(d *kv.LockDelay) (tenancy.Scope, string) { return d.Scope, d.Key },
		indexes: func(d *kv.LockDelay) (*uint64, *uint64) { return &d.CreateIndex, &d.ModifyIndex },
		rows: store.NewTable("kv-lock-delays",
			func(d *kv.LockDelay) (tenancy.Scope, string) { return d.Scope, d.Key }, lockDelayEnds),
	}
)

// Session returns the session with an ID in s.
func (tx *Tx) Session(ws memdb.WatchSet, s tenancy.Scope, id string) (*kv.Session, error) {
	return sessions.rows.Get(tx.db, ws, s, id)
}

// Sessions returns the sessions of s by ID. s may be the wildcard namespace.
func (tx *Tx) Sessions(ws memdb.WatchSet, s tenancy.Scope) ([]*kv.Session, error) {
	rows, err := sessions.rows.List(tx.db, ws, s)
	return sortBy(rows, func(r *kv.Session) (string, tenancy.Scope) { return r.ID, r.Scope }), err
}

// NodeSessions returns the sessions of s on a node, by its name in any case. s may be the
// wildcard namespace.
func (tx *Tx) NodeSessions(ws memdb.WatchSet, s tenancy.Scope, node string) ([]*kv.Session, error) {
	rows, err := sessions.rows.By(tx.db, ws, sessionsByNode, s.PartitionRoot(), fold(node))
	var found []*kv.Session
	for _, r := range rows {
		if s.Namespace == tenancy.Wildcard || r.Scope == s {
			found = append(found, r)
		}
	}
	return sortBy(found, func(r *kv.Session) (string, tenancy.Scope) { return r.ID, r.Scope }), err
}

// SessionsWithTTL returns the sessions of all scopes that have a TTL.
func (tx *Tx) SessionsWithTTL(ws memdb.WatchSet) ([]*kv.Session, error) {
	return sessions.rows.By(tx.db, ws, sessionsWithTTL, store.Global, anyTTL)
}

// PutSession creates a session, or replaces the one at its scope and ID.
func (tx *Tx) PutSession(s kv.Session) error { return sessions.put(tx, s) }

// EndSession removes a session, if it exists. Its keys are released or deleted, and
// cannot be locked again before its lock delay is over.
func (tx *Tx) EndSession(s tenancy.Scope, id string) error {
	old, err := tx.Session(nil, s, id)
	if err != nil || old == nil {
		return err
	}
	held, err := pairs.By(tx.db, nil, pairsBySession, s, id)
	if err != nil {
		return err
	}
	if err := sessions.remove(tx, s, id); err != nil {
		return err
	}
	for _, p := range held {
		if err := tx.endLock(old, p); err != nil {
			return err
		}
	}
	return nil
}

// endLock does to a key what the end of the session that holds it means.
func (tx *Tx) endLock(s *kv.Session, p *kv.Pair) error {
	if err := tx.delayLock(p, s.LockDelay); err != nil {
		return err
	}
	if s.Behavior == kv.DeleteKeys {
		return tx.DeleteKV(p.Scope, p.Key)
	}
	free := *p
	free.Session = ""
	_, err := tx.PutKV(free)
	return err
}

// invalidateSessions ends the sessions that depend on a node of a partition that has
// gone away or, with c, on that check of it, which has gone away or turned critical.
func (tx *Tx) invalidateSessions(partition, node string, c *catalog.Check) error {
	on, err := tx.NodeSessions(nil, tenancy.Scope{Partition: partition, Namespace: tenancy.Wildcard}, node)
	if err != nil {
		return err
	}
	for _, s := range on {
		if c != nil && !s.DependsOn(c.Scope, c.CheckID) {
			continue
		}
		if err := tx.EndSession(s.Scope, s.ID); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) removeSessions(s tenancy.Scope, limit int) (int, error) {
	rows, err := firstRows(tx, sessions, s, limit)
	for _, r := range rows {
		if err := tx.EndSession(s, r.ID); err != nil {
			return 0, err
		}
	}
	return len(rows), err
}

// endedDelays is how many delays that are over go when another begins.
const endedDelays = 64

// delayLock keeps p's key from being locked for a while. Delays that are over go.
func (tx *Tx) delayLock(p *kv.Pair, delay time.Duration) error {
	ended, err := lockDelays.rows.Through(tx.db, lockDelayEnds, store.Global, expiryKey(tx.at), endedDelays)
	if err != nil {
		return err
	}
	for _, d := range ended {
		if err := lockDelays.remove(tx, d.Scope, d.Key); err != nil {
			return err
		}
	}
	if delay <= 0 || tx.at.IsZero() {
		return nil
	}
	return lockDelays.put(tx, kv.LockDelay{Scope: p.Scope, Key: p.Key, Until: tx.at.Add(delay).UTC()})
}

// LockDelayed reports whether a key may not be locked yet at tx's time.
func (tx *Tx) LockDelayed(s tenancy.Scope, key string) (bool, error) {
	d, err := lockDelays.rows.Get(tx.db, nil, s, key)
	return d != nil && tx.at.Before(d.Until), err
}
