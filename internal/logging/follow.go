package logging

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on those who follow a log: each holds what it has not taken yet.
const (
	maxFollowers = 32
	maxPending   = 512 << 10 // bytes
)

// Errors of Follow.
var (
	ErrNotFollowed      = errors.New("this log cannot be followed")
	ErrTooManyFollowers = errors.New("too many follow the log")
)

// Follower receives the lines of a log as they are written.
type Follower struct {
	out   *output
	level slog.Level
	json  bool

	mu      sync.Mutex // guards what follows
	pending []byte     // whole lines
	dropped int        // lines for which there was no room
	more    chan struct{}
}

// Follow returns a follower of the log that l, a logger made by New, writes to. It is
// told everything of its level and up, whatever the log's own level and form are. A
// follower that does not keep up misses lines; the log does not wait. Close it.
func Follow(l *slog.Logger, level slog.Level, json bool) (*Follower, error) {
	h, ok := l.Handler().(*handler)
	if !ok {
		return nil, ErrNotFollowed
	}
	f := &Follower{out: h.out, level: level, json: json, more: make(chan struct{}, 1)}
	if !h.out.followers.add(f) {
		return nil, ErrTooManyFollowers
	}
	return f, nil
}

// Next waits for lines and returns all that there are, each with its newline. Where lines
// are missing another one says how many. It returns ctx's error once ctx has ended.
func (f *Follower) Next(ctx context.Context) ([]byte, error) {
	for {
		if lines := f.take(); len(lines) > 0 {
			return lines, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.more:
		}
	}
}

func (f *Follower) take() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.pending
	if f.dropped > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of the log were left out", 0)
		r.Add("count", f.dropped)
		lines = (&handler{name: "agent", json: f.json}).appendLine(lines, r, f.json)
	}
	f.pending, f.dropped = nil, 0
	return lines
}

// Close ends the follower; nothing is told to it any more.
func (f *Follower) Close() { f.out.followers.remove(f) }

func (f *Follower) put(line []byte) {
	f.mu.Lock()
	if len(f.pending)+len(line) > maxPending {
		f.dropped++
	} else {
		f.pending = append(f.pending, line...)
	}
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// followers are those of one log.
type followers struct {
	lowest atomic.Int64 // the least level that any of all wants, if there are any
	some   atomic.Bool

	mu  sync.Mutex // guards all
	all []*Follower
}

func (s *followers) add(f *Follower) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxFollowers {
		return false
	}
	s.all = append(s.all, f)
	s.count()
	return true
}

func (s *followers) remove(f *Follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *Follower) bool { return other == f })
	s.count()
}

// count is called with mu held.
func (s *followers) count() {
	lowest := int64(math.MaxInt64)
	for _, f := range s.all {
		lowest = min(lowest, int64(f.level))
	}
	s.lowest.Store(lowest)
	s.some.Store(len(s.all) > 0)
}

// want reports whether anybody wants to know of a record of level l.
func (s *followers) want(l slog.Level) bool { return s.some.Load() && int64(l) >= s.lowest.Load() }

// tell gives a record that h handles to whoever wants it.
func (s *followers) tell(h *handler, r slog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines [2][]byte // as text and as JSON, once one is wanted
	for _, f := range s.all {
		if r.Level < f.level {
			continue
		}
		form := 0
		if f.json {
			form = 1
		}
		if lines[form] == nil {
			lines[form] = h.appendLine(nil, r, f.json)
		}
		f.put(lines[form])
	}
}
