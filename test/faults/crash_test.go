package faults

import (
	"testing"
	"time"
)

// enough requests after a fault show that the load goes on.
const enough = 100

// TestReadsThroughAnAgentSurviveCrashes kills and pauses one server after the other.
// Reads through the client agent do not fail. Only a write that was under way at a server then may
// stay without an answer, because nobody knows what became of it.
func TestReadsThroughAnAgentSurviveCrashes(t *testing.T) {
	rounds := 1
	if long {
		rounds = 10
	}
	c := startCluster(t, 1)
	tr := startTraffic(t, c)
	tr.mu.Lock()
	tr.killing = true
	tr.mu.Unlock()
	for range rounds {
		tr.phase("kill each server", func(t *testing.T) {
			for _, s := range c.Servers {
				s.Kill()
				<-time.After(outageTime / 2)
				must(t, s.Start())
				tr.recovered(t, enough)
			}
		})
		tr.phase("pause each server", func(t *testing.T) {
			for _, s := range c.Servers {
				must(t, s.Pause())
				<-time.After(outageTime)
				must(t, s.Resume())
				tr.recovered(t, enough)
			}
		})
	}
	tr.stop()
	tr.verify()
}
