package autopilot

import (
	"context"
	"sync"
)

// Asker learns how far the logs of servers are.
type Asker struct {
	Self   string       // ID of this server
	Local  func() Stats // of this server
	Remote func(ctx context.Context, address string) (Stats, error)
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
			if err != nil || stats.ID != m.ID {
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
