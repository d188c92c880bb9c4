package endpoint

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/state"
)

// Waits of a blocking query (spec: agent.md, default_query_time and
// max_query_time).
const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
	jitterPart  = 16 // up to wait/16 is added, so that many clients do not return at once
)

// Read is how a read wants to be answered. Read requests embed it; it is not
// part of any body.
type Read struct {
	MinIndex   uint64        // wait until the answer's index is above it; 0 answers at once
	MaxWait    time.Duration // 0 is the configured default; bounded by the configured maximum
	Stale      bool          // any server may answer, however old its state
	MaxStale   time.Duration // how old that may be, 0 is any age; a server whose state may be older asks the leader
	Consistent bool          // the leader has to prove that it still leads
}

// Meta says what a read's answer is worth.
type Meta struct {
	Index          uint64 // at least 1
	KnownLeader    bool
	LastContact    time.Duration
	FilteredByACLs bool   // something was left out that the caller may not see
	NextPage       string // Page.After of the next part of a list; "" at its end
}

// query reads what it needs from tx, adds to ws what its answer depends on,
// and returns the index of the answer. ws is nil when nobody waits. Where it is not, an answer whose index is
// not above what was asked for is given to nobody, and may be left out.
type query func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (index uint64, err error)

// Block answers a read, first making sure that the store is as fresh as r asks
// for: once, or for a blocking query each time that something
// q watched has changed, until the answer's index is above r.MinIndex or the
// wait is over; the last answer of q counts then. A caller with a token is
// looked up again each time, and its end ends the wait: a query never outlives
// the permission that it started with. It returns q's error, Fresh's, or ctx's.
func (b *Backend) Block(ctx context.Context, who acl.Caller, r Read, q query) (Meta, error) {
	r.Stale = r.Stale && !b.tooOld(r.MaxStale)
	if b.Fresh != nil && !r.Stale {
		if err := b.Fresh(ctx, r); err != nil {
			return Meta{}, err
		}
	}
	if r.MinIndex == 0 {
		return b.once(who, r, q)
	}
	over := make(chan struct{}) // costs those who wait less than a context of their own
	defer time.AfterFunc(b.wait(r.MaxWait, who), func() { close(over) }).Stop()
	b.blocking.Add(1)
	defer b.blocking.Add(-1)
	for {
		abandoned := b.Store.Abandoned()
		ws := memdb.NewWatchSet()
		ws.Add(abandoned)
		ws.Add(over)
		tx := b.Store.Read()
		who, err := b.Resolver.again(tx, ws, who)
		if err != nil {
			return Meta{}, err
		}
		index, err := q(who, tx, ws)
		if err != nil || index > r.MinIndex {
			return b.meta(r, index), err
		}
		if ws.WatchCtx(ctx) == nil && !closed(abandoned) && !closed(over) {
			continue
		}
		if ctx.Err() != nil {
			return Meta{}, ctx.Err()
		}
		return b.once(who, r, q) // the last answer, whatever its index
	}
}

// once answers r from what there is.
func (b *Backend) once(who acl.Caller, r Read, q query) (Meta, error) {
	tx := b.Store.Latest()
	who, err := b.Resolver.again(tx, nil, who)
	if err != nil {
		return Meta{}, err
	}
	index, err := q(who, tx, nil)
	return b.meta(r, index), err
}

// tooOld reports whether this server's state may be older than most: it has not
// heard of the leader for so long, or knows of none.
func (b *Backend) tooOld(most time.Duration) bool {
	if most == 0 || b.Contact == nil {
		return false
	}
	known, last := b.Contact()
	return !known || last > most
}

// wait returns how long a query may block: what was asked for within the
// configured bounds and some jitter, but not beyond the life of who's token.
func (b *Backend) wait(asked time.Duration, who acl.Caller) time.Duration {
	most := cmpOr(b.MaxWait, maxWait)
	w := min(cmpOr(asked, b.DefaultWait, defaultWait), most)
	w += rand.N(w/jitterPart + 1)
	if who.Token != nil && who.Token.ExpirationTime != nil {
		w = min(w, max(0, who.Token.ExpirationTime.Sub(b.now())))
	}
	return w
}

// meta is the Meta of an answer to r. One that was fresh a moment ago is as
// good as the leader's own.
func (b *Backend) meta(r Read, index uint64) Meta {
	m := Meta{Index: max(index, 1), KnownLeader: true}
	fresh := b.Fresh != nil && !r.Stale && r.MinIndex == 0
	if b.Contact != nil && !fresh {
		m.KnownLeader, m.LastContact = b.Contact()
	}
	return m
}

// cmpOr returns the first positive duration.
func cmpOr(ds ...time.Duration) time.Duration {
	for _, d := range ds {
		if d > 0 {
			return d
		}
	}
	return 0
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
