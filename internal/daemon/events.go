package daemon

import (
	"log/slog"

	"github.com/lictor/lictor/internal/event"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// userEvents makes the log of user events, and returns what gossip tells it. An agent outside the default
// partition has none (spec: tenancy.md section 2).
func (b *base) userEvents() func(text []byte, at uint64) {
	if p := b.cfg.Partition; p != "" && p != tenancy.DefaultName {
		return nil
	}
	b.events = &event.Log{
		Node:     b.cfg.NodeName,
		Services: func(has func(string, []string) bool) bool { return b.local.Offers(has) },
		Send:     func(text []byte) error { return b.gossip.Tell(text) },
	}
	return func(text []byte, at uint64) {
		if err := b.events.Hear(text, at); err != nil {
			b.log.Warn("a user event of another agent is left out", slog.Any(logging.Err, err))
		}
	}
}
