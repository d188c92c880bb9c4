package endpoint

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	keptChanges  = 4096                 // a follower of the stream that is further behind is told to forget everything
	gatherTime   = 2 * time.Millisecond // in which changes wake their followers once
	confirmEvery = ChangeBeat / 2
)

// Changes tells client agents which tokens are no longer what they were. It
// keeps the last ones for everybody, so that nobody who is slow costs memory or
// delays a write. CatchUp has to be set, and Run to run.
type Changes struct {
	CatchUp func(ctx context.Context) error // see Consistency

	mu        sync.Mutex
	kept      [keptChanges]Change // the last ones; number n is at n modulo the length
	next      uint64              // number of the next one
	last      uint64              // the index that was heard of last
	waking    bool                // a wake-up is due
	changed   chan struct{}       // closed by the next wake-up; nil before anybody waits
	confirmed time.Time           // when this server knew for sure that it was up to date
	told      uint64              // changes that went to followers, all of them together
}

// Stats returns how many changes there were, and how many were told to all followers together.
func (c *Changes) Stats() (noted, told uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next, c.told
}

// Note takes note of a committed write. It is a state.Observer.
func (c *Changes) Note(index uint64, rows memdb.Changes) {
	found := changesOf(index, rows)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, index)
	for _, change := range found {
		c.kept[c.next%keptChanges] = change
		c.next++
	}
	if len(found) > 0 && !c.waking {
		c.waking = true
		time.AfterFunc(gatherTime, c.wake)
	}
}

// changesOf returns what rows mean to whoever remembers tokens. New rows mean
// nothing: nobody remembers that they were not there.
func changesOf(index uint64, rows memdb.Changes) []Change {
	if len(rows) == 0 {
		return []Change{{Kind: ChangeAll, Index: index}}
	}
	var found []Change
	for _, row := range rows {
		if row.Created() {
			continue
		}
		switch before := row.Before.(type) {
		case *acl.Token:
			found = append(found, Change{Kind: ChangeToken, Accessor: before.AccessorID, Gone: row.Deleted(), Index: index})
		case *acl.Policy, *acl.Role, *tenancy.Namespace:
			return []Change{{Kind: ChangeAll, Index: index}}
		}
	}
	return found
}

func (c *Changes) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waking = false
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Run finds out again and again whether this server is up to date, until ctx
// is done.
func (c *Changes) Run(ctx context.Context) error {
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		limit, cancel := context.WithTimeout(ctx, ChangeBeat)
		if c.CatchUp(limit) == nil {
			c.mu.Lock()
			c.confirmed = began
			c.mu.Unlock()
		}
		cancel()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// ChangeFeed is the changes as one follower of them sees them.
type ChangeFeed struct {
	changes *Changes
	next    uint64 // number of the change to tell next
	begun   bool
	told    time.Time // when it was told something last
}

// Feed begins a feed of the changes from now on.
func (c *Changes) Feed() *ChangeFeed { return &ChangeFeed{changes: c} }

// Next waits for something to tell: first that everything has to be verified,
// then what changes, and that nothing has where this server is sure of it. It returns ctx's
// error when ctx is done. The result is never empty otherwise.
func (f *ChangeFeed) Next(ctx context.Context) ([]Change, error) {
	for {
		told, changed := f.ready()
		if len(told) > 0 {
			f.told = time.Now()
			return told, nil
		}
		beat := time.NewTimer(max(time.Until(f.told.Add(ChangeBeat)), confirmEvery/4))
		select {
		case <-changed:
		case <-beat.C:
		case <-ctx.Done():
			beat.Stop()
			return nil, ctx.Err()
		}
		beat.Stop()
	}
}

// Changed returns a channel that is closed after the next change.
func (c *Changes) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait()
}

// wait returns the channel that the next wake-up closes. c.mu is held.
func (c *Changes) wait() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// ready returns what there is to tell now, or a channel that is closed when
// something has changed.
func (f *ChangeFeed) ready() ([]Change, <-chan struct{}) {
	c := f.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.begun || c.next-f.next > keptChanges {
		f.begun, f.next = true, c.next
		return []Change{{Kind: ChangeAll, Index: c.last}}, nil
	}
	var told []Change
	for ; f.next < c.next; f.next++ {
		told = append(told, c.kept[f.next%keptChanges])
	}
	c.told += uint64(len(told))
	now := time.Now()
	if len(told) == 0 && now.Sub(f.told) >= ChangeBeat && now.Sub(c.confirmed) < ChangeBeat {
		told = []Change{{Kind: ChangeAlive, Index: c.last}}
	}
	return told, c.wait()
}
