package autopilot

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/lictor/lictor/internal/logging"
)

// Asker learns how far the logs of servers are.
type Asker struct {
	Self   string       // ID of this server
	Local  func() Stats // of this server
	Remote func(ctx context.Context, address string) (Stats, error)
	Log    *slog.Logger // says once of each server that is alive why it does not count; nil says nothing

	mu     sync.Mutex
	silent map[string]bool // IDs of those that it has spoken of
}

// Ask asks all members that are alive, at the same time, and returns by ID what those say that
// answer before ctx is done. One that is not who its member says it is does not count.
func (a *Asker) Ask(ctx context.Context, members []Member) map[string]Stats {
	var mu sync.Mutex
	answers := map[string]Stats{a.Self: a.Local()}
	var asking sync.WaitGroup
	for _, m := range members {
		if m.Status != Alive || m.ID == "" || m.ID == a.Self || m.Address == "" {
			continue
		}
		asking.Go(func() {
			stats, err := a.Remote(ctx, m.Address)
			if err == nil && stats.ID != m.ID {
				err = fmt.Errorf("its node id is %q", stats.ID)
			}
			if a.note(m, err); err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[m.ID] = stats
		})
	}
	asking.Wait()
	return answers
}

// note says why a server does not count, when it begins not to.
func (a *Asker) note(m Member, err error) {
	a.mu.Lock()
	before := a.silent[m.ID]
	if a.silent == nil {
		a.silent = map[string]bool{}
	}
	a.silent[m.ID] = err != nil
	a.mu.Unlock()
	if err != nil && !before && a.Log != nil {
		a.Log.Warn("a server that gossip knows does not answer as one of this cluster", "server", m.Name, "address", m.Address, logging.Err, err)
	}
}
