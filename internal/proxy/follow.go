package proxy

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	waitTime  = time.Minute // of a blocking query; shorter than clients wait for an answer
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second

	// restTime is the least time between two answers that have an index: what changes all the time
	// is not asked about all the time.
	restTime = 20 * time.Millisecond
)

// question is a blocking query that is asked again after each answer.
type question[T any] struct {
	what   string // for the log
	log    *slog.Logger
	ask    func(*api.QueryOptions) (T, *api.QueryMeta, error)
	take   func(T)     // an answer, at first and whenever its index has changed
	failed func(error) // told of each error; may be nil
	heard  func()      // told of each answer after an error, and of the first; may be nil
}

// run asks until ctx ends.
func (q question[T]) run(ctx context.Context) {
	var index uint64
	var hash string
	wait, well := firstWait, false
	for ctx.Err() == nil {
		o := (&api.QueryOptions{WaitIndex: index, WaitHash: hash, WaitTime: waitTime}).WithContext(ctx)
		value, meta, err := q.ask(o)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			index, hash, well = 0, "", false
			q.log.Error("the agent does not answer, it is asked again", "about", q.what, logging.Err, err, "retry", wait)
			if q.failed != nil {
				q.failed(err)
			}
			sleep.For(ctx, wait/2+rand.N(wait/2))
			wait = min(2*wait, lastWait)
			continue
		}
		changed := meta.LastIndex != index || meta.LastContentHash != hash
		if !well || changed {
			q.take(value)
		}
		if !well && q.heard != nil {
			q.heard()
		}
		rest := restTime
		if !changed && index == 0 && hash == "" {
			rest = time.Second // this query does not block
		}
		if meta.LastIndex < index {
			meta.LastIndex = 0 // what was restored may be older
		}
		index, hash, well, wait = meta.LastIndex, meta.LastContentHash, true, firstWait
		sleep.For(ctx, rest)
	}
}
