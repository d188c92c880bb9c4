// Package endpoint holds the operations of the API, one file a resource. Every
// operation takes the caller and decides first whether they may, then whether
// the request is valid, then acts. It knows no transport: an edge decodes a
// request, calls an operation and encodes the answer.
//
// A write ends in a replicated command. What it checks here gives a good error
// early; what has to hold is checked again when the command applies.
package endpoint

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Proposer replicates a command. When it returns, the local store has applied
// it. It returns the index that the command applied at, or the command's error.
type Proposer interface {
	Propose(ctx context.Context, cmd fsm.Command) (uint64, error)
}

// Reader gives consistent views of the state.
type Reader interface {
	Read() *state.Tx
	Latest() *state.Tx // see state.Store.Latest: for whoever does not watch
}

// Store is a Reader whose content may be replaced as a whole by a snapshot.
type Store interface {
	Reader
	Abandoned() <-chan struct{} // closed when it was
}

// Backend is what every operation stands on. Store, Raft and Resolver have to
// be set; the zero value of the rest works.
type Backend struct {
	Store    Store
	Raft     Proposer
	Resolver *Resolver
	Now      func() time.Time // nil is time.Now

	// Fresh waits until a read that is not stale may be answered from Store (see
	// Consistency); it returns errs.Unavailable if that is not to be had. nil is: always.
	Fresh func(ctx context.Context, r Read) error
	// Contact says whether there is a leader and how long ago it was heard
	// of. nil is: yes, now.
	Contact func() (knownLeader bool, last time.Duration)

	DefaultWait time.Duration // of a blocking query that names none; 0 is 5 minutes
	MaxWait     time.Duration // of any blocking query; 0 is 10 minutes

	blocking atomic.Int64 // queries that wait
}

// Blocking returns how many queries wait for a change.
func (b *Backend) Blocking() int64 { return b.blocking.Load() }

func (b *Backend) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

// allow decides about an ACL operation: acl.ErrDisabled where ACLs are off,
// else what who.Require says.
func (b *Backend) allow(who acl.Caller, s tenancy.Scope, p acl.Permission) error {
	if !b.Resolver.Enabled {
		return acl.ErrDisabled
	}
	return who.Require(s, p, "")
}

// writeAttempts bounds how often a write starts over because somebody else
// changed the same thing in between.
const writeAttempts = 8

// unchanged runs write until it does not fail with fsm.ErrChanged. write reads
// what it changes and proposes a command that applies only to that.
func unchanged[R any](write func() (*R, error)) (out *R, err error) {
	for range writeAttempts {
		if out, err = write(); !errors.Is(err, fsm.ErrChanged) {
			break
		}
	}
	return out, err
}
