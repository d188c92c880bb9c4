package peer

import (
	"log/slog"
	"sync"
	"time"
)

// complaints is how many lines a second a throttle lets through.
const complaints = 10

// throttle keeps what strangers cause from filling the log. Its zero value works.
type throttle struct {
	mu      sync.Mutex
	second  time.Time // that the counts are of
	said    int
	dropped int
}

// warn logs, or counts a line that will be mentioned by the next one.
func (t *throttle) warn(log *slog.Logger, text string, args ...any) {
	now := time.Now()
	t.mu.Lock()
	if now.Sub(t.second) >= time.Second {
		t.second, t.said = now, 0
	}
	if t.said >= complaints {
		t.dropped++
		t.mu.Unlock()
		return
	}
	t.said++
	dropped := t.dropped
	t.dropped = 0
	t.mu.Unlock()
	if dropped > 0 {
		args = append(args, "not_logged", dropped)
	}
	log.Warn(text, args...)
}
