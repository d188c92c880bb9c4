package check

import (
	"context"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// TTL is a check that somebody else reports on. When nobody has for its TTL, it
// is critical. It is safe for concurrent use.
type TTL struct {
	ttl time.Duration
	now func() time.Time

	mu      sync.Mutex // guards what follows
	report  report
	expires time.Time
	timer   *time.Timer // nil until Run and once ctx has ended
}

// Run starts the clock and returns. Once ctx has ended nothing is told any more.
func (t *TTL) Run(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expires.IsZero() {
		t.expires = t.now().Add(t.ttl)
	}
	t.timer = time.AfterFunc(t.expires.Sub(t.now()), t.expire)
	context.AfterFunc(ctx, t.stop)
}

func (t *TTL) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer.Stop()
	t.timer = nil
}

// Set reports the status, one of passing, warning and critical, and starts the
// TTL anew. It tells Notify before it returns. The error is errs.Invalid.
func (t *TTL) Set(status, output string) error {
	if !validStatus(status) {
		return errs.Errorf(errs.Invalid, "Invalid check status: '%s'", status)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expires = t.now().Add(t.ttl)
	if t.timer != nil {
		t.timer.Reset(t.ttl)
	}
	t.report.set(Status{status, output})
	return nil
}

// Restore takes up a status that was reported before the agent started, before
// Run. One that has expired, or would last longer than the TTL, is passed over.
func (t *TTL) Restore(s Status, expires time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := expires.Sub(t.now())
	if left <= 0 || left > t.ttl || !validStatus(s.Status) {
		return
	}
	t.expires = expires
	t.report.set(s)
}

// Expires returns when the check becomes critical if nobody reports; zero
// before Run.
func (t *TTL) Expires() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.expires
}

func (t *TTL) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := t.expires.Sub(t.now()); t.timer == nil || left > 0 {
		if t.timer != nil {
			t.timer.Reset(left) // somebody has reported meanwhile
		}
		return
	}
	output := "TTL expired"
	if last := t.report.last.Output; last != "" {
		output += " (last output before timeout follows): " + last
	}
	t.report.set(Status{Critical, output})
}
