// Package state holds everything that servers replicate, as typed tables with
// one file a resource. Reads see one consistent moment; writes are made by the
// replicated log alone, one at a time, each at the index of its log entry.
package state

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// Store is the replicated state of one server. Reads are safe for concurrent
// use, with each other and with the one writer.
type Store struct {
	content  atomic.Pointer[content]
	observer atomic.Pointer[Observer]

	changing sync.Mutex         // held from a commit until latest shows it
	latest   atomic.Pointer[Tx] // see Latest; written with changing
}

// content is what a restored snapshot replaces as a whole.
type content struct {
	db        *memdb.MemDB
	abandoned chan struct{}
}

// New returns a store with nothing in it but the default partition and its
// default namespace.
func New() *Store {
	s := &Store{}
	s.content.Store(newContent())
	tx := s.Write(1)
	if err := tx.PutPartition(tenancy.Partition{
		Name: tenancy.DefaultName, Description: tenancy.DefaultPartitionDescription,
	}); err != nil {
		panic("state: " + err.Error()) // the schema is wrong
	}
	tx.Commit()
	return s
}

func newContent() *content {
	db, err := store.Open(metaTable, configEntries.rows, tokens.rows, policies.rows, roles.rows,
		authMethods.rows, bindingRules.rows, partitions.rows, namespaces.rows, caRoots.rows, autopilotConfig.rows, loginProofs.rows,
		pairs, tombstones, lockDelays.rows, sessions.rows,
		nodes.rows, instances.rows, checks.rows, serviceNames.rows, marks.rows, virtualIPs.rows, caConfig.rows, coordinates.rows, usageTable)
	if err != nil {
		panic("state: " + err.Error()) // the schema is wrong
	}
	return &content{db: db, abandoned: make(chan struct{})}
}

// Read returns a view of the moment. It is cheap and needs no closing.
func (s *Store) Read() *Tx {
	c := s.content.Load()
	return &Tx{db: c.db.Txn(false), abandoned: c.abandoned}
}

// Latest returns what Read does at no cost, but that a commit is seen a moment after those who watch have heard of it. It is
// seen before the commit returns. It is the same view until the next commit.
func (s *Store) Latest() *Tx { return s.latest.Load() }

// show makes Latest return what there is now. s.changing has to be held.
func (s *Store) show() {
	tx, moment := s.Read(), uint64(1)
	if before := s.latest.Load(); before != nil {
		moment = before.moment + 1
	}
	tx.moment = moment
	s.latest.Store(tx)
}

// Write returns a transaction that applies at index. There is one writer at a
// time; a second call waits. Commit or Abort has to follow.
func (s *Store) Write(index uint64) *Tx {
	return &Tx{db: s.content.Load().db.Txn(true), store: s, index: index}
}

// Abandoned returns a channel that is closed once a snapshot has replaced the
// content: what was read before, and every watch on it, is of no use then. Take it
// before the Read that it guards.
func (s *Store) Abandoned() <-chan struct{} { return s.content.Load().abandoned }

// Tx is a transaction. A read-only one may be used by several goroutines, a
// writing one by the goroutine that made it. Reads add to the watch set
// they are given, which may be nil, what their answer depends on; they return
// nil, nil for a row that does not exist. Returned rows may not be changed.
type Tx struct {
	db        *memdb.Txn
	abandoned <-chan struct{} // of a read
	moment    uint64          // see Moment
	store     *Store          // that a write changes; nil for a content of its own
	index     uint64
	at        time.Time
	writes    int
}

// Abandoned is Store.Abandoned of the content that a read sees. Two reads with the same
// channel and the same index of something see the same of it.
func (tx *Tx) Abandoned() <-chan struct{} { return tx.abandoned }

// Moment is the same for two reads only if nothing was committed between them. 0 says nothing.
func (tx *Tx) Moment() uint64 { return tx.moment }

// Index is the index that a writing transaction applies at.
func (tx *Tx) Index() uint64 { return tx.index }

// Time is when the leader appended the log entry that a writing transaction applies: the
// same on every server, by the leader's clock. It is zero where no log is.
func (tx *Tx) Time() time.Time { return tx.at }

// Commit makes a write visible, all at once.
func (tx *Tx) Commit() {
	if tx.store == nil {
		tx.db.Commit()
		return
	}
	tx.store.changing.Lock()
	defer tx.store.changing.Unlock()
	tx.db.Commit()
	tx.store.show()
}

// Abort drops a write. It does nothing after Commit.
func (tx *Tx) Abort() { tx.db.Abort() }

// Apply runs steps in one write transaction at index and at a time, see Tx.Time, and returns the result of
// each. A step that fails changes nothing and does not stop the others. Steps have
// to be deterministic: if one fails after it has changed something, those that succeeded
// before it run once more, without it.
func (s *Store) Apply(index uint64, at time.Time, steps []func(*Tx) error) []error {
	results := make([]error, len(steps))
	for {
		tx := s.Write(index)
		tx.at = at
		if s.observer.Load() != nil {
			tx.db.TrackChanges()
		}
		if tx.run(steps, results) {
			s.commit(tx)
			return results
		}
		tx.Abort()
	}
}

// run runs the steps that have not failed yet. It returns false if tx has to be
// dropped because a failing step has changed something.
func (tx *Tx) run(steps []func(*Tx) error, results []error) bool {
	for i, step := range steps {
		if results[i] != nil {
			continue
		}
		before := tx.writes
		if results[i] = step(tx); results[i] != nil && tx.writes > before {
			return false
		}
	}
	return true
}
