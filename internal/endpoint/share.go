package endpoint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// askTimeout bounds one question to the leader: by then it has changed, or
// will not answer.
const askTimeout = time.Second

// question is an index that is being asked for.
type question struct {
	done  chan struct{} // closed when the rest is set
	index uint64
	err   error
}

// share lets concurrent callers share one question: while one is under way, all
// that come wait for the next. Nobody is given the answer to a question that was
// asked before they came. The zero value is ready to use.
type share struct {
	mu      sync.Mutex
	next    *question // not asked yet
	running bool
}

// errNoAnswer is that of a caller who did not wait for the answer.
var errNoAnswer = errs.New(errs.Unavailable, "no read index")

// do returns the answer of ask, which may be that of another caller's equal
// function. It returns errNoAnswer if ctx ends first.
func (s *share) do(ctx context.Context, ask func(context.Context) (uint64, error)) (uint64, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = &question{done: make(chan struct{})}
	}
	q := s.next
	if !s.running {
		s.running = true
		go s.run(ask)
	}
	s.mu.Unlock()
	select {
	case <-q.done:
		return q.index, q.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", errNoAnswer, ctx.Err())
	}
}

// run asks until nobody waits. A question outlives the callers that give up:
// others may have joined them.
func (s *share) run(ask func(context.Context) (uint64, error)) {
	for {
		s.mu.Lock()
		q := s.next
		s.next = nil
		s.running = q != nil
		s.mu.Unlock()
		if q == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		q.index, q.err = ask(ctx)
		cancel()
		close(q.done)
	}
}
