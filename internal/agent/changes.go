package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lictor/lictor/internal/endpoint"
)

const maxChange = 64 << 10 // bytes of a line

var (
	errStreamEnded  = errors.New("the server ended the stream")
	errStreamSilent = errors.New("the server fell silent")
)

// Run follows what servers tell of changes, until ctx is done.
func (r *Resolver) Run(ctx context.Context) error {
	r.init()
	pause := backOff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for ctx.Err() == nil {
		for _, addr := range r.Servers.Addrs() {
			told, err := r.follow(ctx, addr)
			r.lost()
			if ctx.Err() != nil {
				return nil
			}
			if told {
				pause.reset()
				r.Log.Warn("changes of ACLs are not told any more, tokens are verified at each request", "addr", addr, "error", err)
			} else {
				r.Log.Debug("changes of ACLs are not told", "addr", addr, "error", err)
			}
		}
		pause.wait(ctx)
	}
	return nil
}

// follow reads the stream of one server until it ends or falls silent; told says
// that it had begun.
func (r *Resolver) follow(ctx context.Context, addr string) (told bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(askTime, func() { cancel(errStreamSilent) })
	defer silence.Stop()
	res, err := send(ctx, r.Servers.Client, addr, http.MethodGet, "/internal/acl/changes", nil, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxChange)
	for lines.Scan() {
		var c endpoint.Change
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return told, fmt.Errorf("read a change: %w", err)
		}
		if context.Cause(ctx) != nil {
			break // too late: the stream counts as lost since then
		}
		silence.Reset(endpoint.ChangeSilence)
		r.tell(c, !told)
		told = true
	}
	if cause := context.Cause(ctx); cause != nil {
		return told, cause
	}
	if err := lines.Err(); err != nil {
		return told, err
	}
	return told, errStreamEnded
}

// tell takes over a change. The first of a stream concerns everybody: what
// happened before it was not told.
func (r *Resolver) tell(c endpoint.Change, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first {
		c.Kind = endpoint.ChangeAll
		r.live = true
		r.failed, r.since = time.Time{}, time.Time{}
	}
	if c.Kind == endpoint.ChangeAlive {
		return
	}
	r.stats.Changes++
	for _, f := range r.flights {
		f.note(c)
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	for key, k := range r.known {
		switch {
		case c.Kind != endpoint.ChangeToken:
			k.stale = true
		case k.caller.AccessorID != c.Accessor:
		case c.Gone:
			delete(r.known, key)
		default:
			k.stale = true
		}
	}
}

// Changed returns a channel that is closed after a server has told of the next change.
func (r *Resolver) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// lost notes that nobody tells of changes.
func (r *Resolver) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = false
}
