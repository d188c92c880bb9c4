package endpoint

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/sleep"
)

// Replica is this server's part in replication, as reads see it.
type Replica interface {
	// Route says whether this server leads, else where the leader is; "" if
	// nobody is known to lead.
	Route() (leader string, self bool)
	// LeaseIndex and ReadIndex return what a read has to have applied, by
	// the leader's lease and by proof. They return raftnode.ErrNoLeader on any other server.
	LeaseIndex(ctx context.Context) (uint64, error)
	ReadIndex(ctx context.Context) (uint64, error)
	// Learn takes the leader's word, and WaitApplied waits until the store has it.
	Learn(ctx context.Context, c raftnode.Commitment)
	WaitApplied(ctx context.Context, index uint64) error
}

// Waits while there is no leader, or none that can be reached.
const (
	defaultHold = 7 * time.Second // spec: agent.md, performance.rpc_hold_timeout
	hurriedHold = time.Second     // of a request that its sender will try elsewhere
	firstRetry  = 5 * time.Millisecond
	lastRetry   = 200 * time.Millisecond
)

// Consistency brings the local store far enough for a read. The leader knows
// by itself how far that is; every other server asks it, and all that ask in the
// time that one question takes share the next. Raft has to be set.
type Consistency struct {
	Raft Replica

	// Ask asks the server at leader for its Commitment, by its lease or with
	// verify by proof. nil on a server that is alone.
	Ask func(ctx context.Context, leader string, verify bool) (raftnode.Commitment, error)

	Hold time.Duration // how long to wait for a leader; 0 is 7 seconds

	byLease, byProof share
}

// Fresh returns once the local store holds everything that was acknowledged
// to anybody before the call: always for a stale read, as of the leader's lease for a
// default one, and proven by a majority for a consistent one. It returns
// raftnode.ErrNoLeader if there is no leader in time, and errs.Unavailable if
// this server does not catch up with it.
func (c *Consistency) Fresh(ctx context.Context, r Read) error {
	if r.Stale {
		return nil
	}
	return c.reach(ctx, r.Consistent)
}

// CatchUp is Fresh for a default read.
func (c *Consistency) CatchUp(ctx context.Context) error { return c.reach(ctx, false) }

type hurriedKey struct{}

// Hurried returns the context of a request whose sender holds it and tries
// other servers: this one does not wait for a leader on its own.
func Hurried(ctx context.Context) context.Context { return context.WithValue(ctx, hurriedKey{}, true) }

// reach tries until it succeeds or the time is over. A leader with a lease needs
// one look, and has applied what it answers.
func (c *Consistency) reach(ctx context.Context, verify bool) error {
	if _, self := c.Raft.Route(); self && !verify {
		if _, err := c.Raft.LeaseIndex(ctx); err == nil {
			return nil
		}
	}
	hurried := ctx.Value(hurriedKey{}) != nil
	hold := cmpOr(c.Hold, defaultHold)
	if hurried {
		hold = min(hold, hurriedHold)
	}
	ctx, cancel := context.WithTimeout(ctx, hold)
	defer cancel()
	var before error // of the try before
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := c.try(ctx, verify)
		if before != nil && errors.Is(err, errNoAnswer) {
			return before // the time is over, and this says why
		}
		before = err
		if err == nil || hurried || errs.KindOf(err) != errs.Unavailable || ctx.Err() != nil {
			return err
		}
		if !sleep.For(ctx, wait/2+rand.N(wait)) {
			return err
		}
	}
}

func (c *Consistency) try(ctx context.Context, verify bool) error {
	index, err := c.index(ctx, verify)
	if err != nil {
		return err
	}
	return c.Raft.WaitApplied(ctx, index)
}

// index returns what has to be applied.
func (c *Consistency) index(ctx context.Context, verify bool) (uint64, error) {
	if verify {
		return c.byProof.do(ctx, func(ctx context.Context) (uint64, error) { return c.ask(ctx, true) })
	}
	return c.byLease.do(ctx, func(ctx context.Context) (uint64, error) { return c.ask(ctx, false) })
}

// ask asks whoever leads now.
func (c *Consistency) ask(ctx context.Context, verify bool) (uint64, error) {
	leader, self := c.Raft.Route()
	switch {
	case self && verify:
		return c.Raft.ReadIndex(ctx)
	case self:
		return c.Raft.LeaseIndex(ctx)
	case leader == "" || c.Ask == nil:
		return 0, raftnode.ErrNoLeader
	}
	committed, err := c.Ask(ctx, leader, verify)
	switch {
	case err == nil:
		c.Raft.Learn(ctx, committed)
		return committed.Index, nil
	case errors.Is(err, raftnode.ErrNoLeader):
		return 0, raftnode.ErrNoLeader
	}
	return 0, errs.Errorf(errs.Unavailable, "%w: the leader at %s does not answer: %v", raftnode.ErrNoLeader, leader, err)
}
