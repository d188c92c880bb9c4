package proxycfg

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	readWait  = 5 * time.Minute // of one blocking query
	firstRest = 100 * time.Millisecond
	lastRest  = 10 * time.Second
)

// query asks once. It returns what to do with the answer, which is done by the goroutine of Follow.
type query func(*api.QueryOptions) (apply func(), meta *api.QueryMeta, err error)

// read asks again and again, each time for what is newer than the last answer, until ctx is done. failed is what to do
// after the first question that got no answer; nil is nothing.
func (f *follower) read(ctx context.Context, what string, q query, failed func()) {
	f.readers.Go(func() {
		index, rest := uint64(0), firstRest
		for ctx.Err() == nil {
			options := (&api.QueryOptions{
				Token: f.proxy.Token.Reveal(), WaitIndex: index, WaitTime: readWait,
				Namespace: f.proxy.Scope.Namespace, Partition: f.proxy.Scope.Partition,
			}).WithContext(ctx)
			apply, meta, err := q(options)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				f.Log.Warn("what a proxy needs cannot be read", "proxy", f.proxy.ID, "what", what, logging.Err, err)
				f.happen(ctx, failed)
				failed = nil
				rest = pause(ctx, rest)
				continue
			}
			if meta.LastIndex == 0 {
				rest = pause(ctx, rest) // an answer that says nothing about its age cannot be waited on
			} else {
				rest = firstRest
			}
			if index == 0 || meta.LastIndex != index {
				f.happen(ctx, apply)
			}
			if index = meta.LastIndex; index < options.WaitIndex {
				index = 0 // the servers have begun anew
			}
		}
	})
}

// happen has the goroutine of Follow call apply, unless ctx is done before it comes to that.
func (f *follower) happen(ctx context.Context, apply func()) {
	if apply == nil {
		return
	}
	select {
	case f.events <- func() {
		if ctx.Err() == nil {
			apply()
		}
	}:
	case <-ctx.Done():
	}
}

// pause waits for about d, and returns how long to wait the next time.
func pause(ctx context.Context, d time.Duration) time.Duration {
	sleep.For(ctx, d/2+rand.N(d))
	return min(2*d, lastRest)
}
