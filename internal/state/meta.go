package state

import (
	"fmt"

	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// TableName names a table.
type TableName uint8

// The tables.
const (
	TableTokens TableName = iota
	TablePolicies
	TableRoles
	TableAuthMethods
	TableBindingRules
	TablePartitions
	TableNamespaces
	TableCARoots
	TableAutopilot
	TableLoginProofs
	TableKV
	TableTombstones
	TableLockDelays
	TableSessions
	TableNodes
	TableInstances
	TableChecks
	TableServiceNames
	TableMarks
	TableVirtualIPs
	TableCAConfig
	TableConfigEntries
	TableCoordinates
	numTables
)

var tableNames = [numTables]string{
	"tokens", "policies", "roles", "auth-methods", "binding-rules", "partitions", "namespaces",
	"ca-roots", "autopilot", "login-proofs", "kvs", "kv-tombstones", "kv-lock-delays", "sessions",
	"nodes", "instances", "checks", "service-names", "marks", "virtual-ips",
	"ca-config",
	"config-entries", "coordinates",
}

// String returns the table's name in snapshots.
func (n TableName) String() string {
	if n < numTables {
		return tableNames[n]
	}
	return fmt.Sprintf("table(%d)", uint8(n))
}

// meta is the one row about the tables themselves.
type meta struct {
	changed   [numTables]uint64 // index of each table's last change
	bootstrap uint64            // index of the ACL bootstrap; 0 before
	virtualIP uint64            // number of the last virtual IP that was given out
	pairs     uint64            // how many keys there are
	graves    uint64            // how many tombstones there are
	forgotten uint64            // index of the last deletion whose tombstone was removed
	entryGone uint64            // index of the last deletion of a config entry
}

var metaTable = store.NewTable("meta", func(*meta) (tenancy.Scope, string) { return tenancy.Default, "" })

// meta returns a copy of the row.
func (tx *Tx) meta() meta {
	m, err := metaTable.Get(tx.db, nil, tenancy.Default, "")
	if err != nil || m == nil {
		return meta{}
	}
	return *m
}

func (tx *Tx) putMeta(m meta) error {
	tx.writes++
	return metaTable.Put(tx.db, &m)
}

// touch notes that table changes at tx's index.
func (tx *Tx) touch(table TableName) error {
	m := tx.meta()
	if m.changed[table] == tx.index {
		tx.writes++
		return nil
	}
	m.changed[table] = tx.index
	return tx.putMeta(m)
}

// LastIndex returns the greatest index at which any of the tables changed, at
// least 1. It is the index of an answer that was read from them.
func (tx *Tx) LastIndex(tables ...TableName) uint64 {
	m, last := tx.meta(), uint64(1)
	for _, t := range tables {
		last = max(last, m.changed[t])
	}
	return last
}

// Bootstrap returns whether the ACL system was bootstrapped, and at which index:
// the one that a reset has to name (acl.md section 8).
func (tx *Tx) Bootstrap() (index uint64, done bool) {
	m := tx.meta()
	return m.bootstrap, m.bootstrap > 0
}

// SetBootstrapped notes that the ACL system is bootstrapped at tx's index.
func (tx *Tx) SetBootstrapped() error {
	m := tx.meta()
	m.bootstrap = tx.index
	return tx.putMeta(m)
}
