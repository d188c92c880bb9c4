package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// Meta is what a snapshot keeps beside the rows.
type Meta struct {
	Changed   map[string]uint64 // index of each table's last change, by the table's name
	Bootstrap uint64            // index of the ACL bootstrap; 0 before
	VirtualIP uint64            // number of the last virtual IP that was given out
	Forgotten uint64            // index of the last deletion of a key whose tombstone was removed
	EntryGone uint64            // index of the last deletion of a config entry
}

// Meta returns what a snapshot keeps beside the rows.
func (tx *Tx) Meta() *Meta {
	m := tx.meta()
	out := &Meta{Changed: map[string]uint64{}, Bootstrap: m.bootstrap, VirtualIP: m.virtualIP, Forgotten: m.forgotten, EntryGone: m.entryGone}
	for t, index := range m.changed {
		out.Changed[TableName(t).String()] = index
	}
	return out
}

// Rows yields the rows of a table, each a pointer.
func (tx *Tx) Rows(t TableName) (iter.Seq[any], error) {
	switch t {
	case TableTokens:
		return allRows(tx, tokens)
	case TablePolicies:
		return allRows(tx, policies)
	case TableRoles:
		return allRows(tx, roles)
	case TableAuthMethods:
		return allRows(tx, authMethods)
	case TableBindingRules:
		return allRows(tx, bindingRules)
	case TablePartitions:
		return allRows(tx, partitions)
	case TableNamespaces:
		return allRows(tx, namespaces)
	case TableCARoots:
		return allRows(tx, caRoots)
	case TableAutopilot:
		return allRows(tx, autopilotConfig)
	case TableLoginProofs:
		return allRows(tx, loginProofs)
	case TableKV:
		return rowsOf(tx, pairs)
	case TableTombstones:
		return rowsOf(tx, tombstones)
	case TableLockDelays:
		return allRows(tx, lockDelays)
	case TableSessions:
		return allRows(tx, sessions)
	case TableNodes:
		return allRows(tx, nodes)
	case TableInstances:
		return allRows(tx, instances)
	case TableChecks:
		return allRows(tx, checks)
	case TableServiceNames:
		return allRows(tx, serviceNames)
	case TableMarks:
		return allRows(tx, marks)
	case TableVirtualIPs:
		return allRows(tx, virtualIPs)
	case TableCAConfig:
		return allRows(tx, caConfig)
	case TableConfigEntries:
		return allRows(tx, configEntries)
	case TableCoordinates:
		return allRows(tx, coordinates)
	}
	return nil, fmt.Errorf("no such table: %s", t)
}

func allRows[R any](tx *Tx, r *resource[R]) (iter.Seq[any], error) { return rowsOf(tx, r.rows) }

func rowsOf[R any](tx *Tx, table *store.Table[R]) (iter.Seq[any], error) {
	rows, err := table.All(tx.db)
	if err != nil {
		return nil, err
	}
	return func(yield func(any) bool) {
		for row := range rows {
			if !yield(row) {
				return
			}
		}
	}, nil
}

// Restore builds a new content beside the old one.
type Restore struct {
	store   *Store
	content *content
	tx      *Tx

	tokens       *store.Loader[acl.Token]
	policies     *store.Loader[acl.Policy]
	roles        *store.Loader[acl.Role]
	authMethods  *store.Loader[authmethod.Method]
	bindingRules *store.Loader[authmethod.BindingRule]
	partitions   *store.Loader[tenancy.Partition]
	namespaces   *store.Loader[tenancy.Namespace]
	caRoots      *store.Loader[ca.Root]
	autopilot    *store.Loader[autopilot.Config]
	loginProofs  *store.Loader[authmethod.UsedProof]
	pairs        *store.Loader[kv.Pair]
	tombstones   *store.Loader[kv.Tombstone]
	lockDelays   *store.Loader[kv.LockDelay]
	sessions     *store.Loader[kv.Session]
	nodes        *store.Loader[catalog.Node]
	instances    *store.Loader[catalog.Instance]
	checks       *store.Loader[catalog.Check]
	serviceNames *store.Loader[catalog.ServiceName]
	marks        *store.Loader[Mark]
	virtualIPs   *store.Loader[catalog.VirtualIP]
	caConfig     *store.Loader[ca.Config]
	entries      *store.Loader[configentry.Entry]
	coordinates  *store.Loader[catalog.Coordinate]

	keys, graves uint64
}

// Restore begins to replace the store's content. Nothing is seen of it before Commit.
func (s *Store) Restore() *Restore {
	c := newContent()
	return &Restore{
		store: s, content: c, tx: &Tx{db: c.db.Txn(true)},
		tokens: tokens.rows.Load(), policies: policies.rows.Load(), roles: roles.rows.Load(),
		authMethods: authMethods.rows.Load(), bindingRules: bindingRules.rows.Load(),
		partitions: partitions.rows.Load(), namespaces: namespaces.rows.Load(), caRoots: caRoots.rows.Load(),
		autopilot: autopilotConfig.rows.Load(), loginProofs: loginProofs.rows.Load(),
		pairs: pairs.Load(), tombstones: tombstones.Load(), lockDelays: lockDelays.rows.Load(), sessions: sessions.rows.Load(),
		nodes: nodes.rows.Load(), instances: instances.rows.Load(), checks: checks.rows.Load(),
		serviceNames: serviceNames.rows.Load(), marks: marks.rows.Load(), virtualIPs: virtualIPs.rows.Load(), entries: configEntries.rows.Load(),
		caConfig: caConfig.rows.Load(), coordinates: coordinates.rows.Load(),
	}
}

// Put adds a *Meta, or a row as Rows yields it, with the indexes that it has. Rows that
// others link to come first, so that memory is shared.
func (r *Restore) Put(row any) error {
	db := r.tx.db
	switch row := row.(type) {
	case *acl.Token:
		if err := r.tx.compact(row); err != nil {
			return err
		}
		return r.tokens.Add(db, row)
	case *acl.Policy:
		return r.policies.Add(db, row)
	case *acl.Role:
		return r.roles.Add(db, row)
	case *authmethod.Method:
		return r.authMethods.Add(db, row)
	case *authmethod.BindingRule:
		return r.bindingRules.Add(db, row)
	case *tenancy.Partition:
		return r.partitions.Add(db, row)
	case *tenancy.Namespace:
		return r.namespaces.Add(db, row)
	case *ca.Root:
		return r.caRoots.Add(db, row)
	case *autopilot.Config:
		return r.autopilot.Add(db, row)
	case *authmethod.UsedProof:
		return r.loginProofs.Add(db, row)
	case *kv.Pair:
		r.keys++
		return r.pairs.Add(db, row)
	case *kv.Tombstone:
		r.graves++
		return r.tombstones.Add(db, row)
	case *kv.LockDelay:
		return r.lockDelays.Add(db, row)
	case *kv.Session:
		return r.sessions.Add(db, row)
	case *catalog.Node:
		return errors.Join(r.nodes.Add(db, row), r.tx.countNode(row.Scope, 1))
	case *catalog.Instance:
		return errors.Join(r.instances.Add(db, row), r.tx.countInstance(nil, row))
	case *catalog.Check:
		return r.checks.Add(db, row)
	case *catalog.ServiceName:
		return errors.Join(r.serviceNames.Add(db, row), r.tx.countName(row.Scope, 1))
	case *Mark:
		return r.marks.Add(db, row)
	case *catalog.VirtualIP:
		return r.virtualIPs.Add(db, row)
	case *ca.Config:
		return r.caConfig.Add(db, row)
	case *configentry.Entry:
		return r.entries.Add(db, row)
	case *catalog.Coordinate:
		return r.coordinates.Add(db, row)
	case *Meta:
		return r.putMeta(row)
	}
	return fmt.Errorf("no table holds a %T", row)
}

func (r *Restore) putMeta(in *Meta) error {
	m := meta{bootstrap: in.Bootstrap, virtualIP: in.VirtualIP, forgotten: in.Forgotten, entryGone: in.EntryGone}
	for t := range numTables {
		m.changed[t] = in.Changed[t.String()]
	}
	return r.tx.putMeta(m)
}

// Commit replaces the content and wakes everybody who watches the old one. On an error the
// old content stays, and Abort has to follow.
func (r *Restore) Commit() error {
	for _, l := range []interface{ Finish(*memdb.Txn) error }{
		r.tokens, r.policies, r.roles, r.authMethods, r.bindingRules, r.partitions, r.namespaces, r.caRoots, r.autopilot, r.loginProofs,
		r.pairs, r.tombstones, r.lockDelays, r.sessions,
		r.nodes, r.instances, r.checks, r.serviceNames, r.marks, r.virtualIPs, r.caConfig,
		r.entries, r.coordinates,
	} {
		if err := l.Finish(r.tx.db); err != nil {
			return err
		}
	}
	m := r.tx.meta()
	m.pairs, m.graves = r.keys, r.graves
	if err := r.tx.putMeta(m); err != nil {
		return err
	}
	r.tx.Commit()
	r.store.replace(r.content)
	r.store.replaced()
	return nil
}

// replace makes c the content.
func (s *Store) replace(c *content) {
	s.changing.Lock()
	defer s.changing.Unlock()
	old := s.content.Swap(c)
	s.show()
	close(old.abandoned)
}

// Abort drops what was built.
func (r *Restore) Abort() { r.tx.Abort() }
