package config

import (
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
)

func TestAutopilotStanza(t *testing.T) {
	load := func(stanza string) (autopilot.Config, error) {
		c, _, err := Load(Sources{Fragments: []string{`data_dir = "/tmp/x" bind_addr = "127.0.0.1" ` + stanza}})
		return c.Autopilot, err
	}
	got, err := load("")
	if err != nil || got != autopilot.Default() {
		t.Errorf("without one: %+v, %v", got, err)
	}
	want := autopilot.Default()
	want.CleanupDeadServers, want.MinQuorum, want.ServerStabilizationTime = false, 3, time.Minute
	got, err = load(`autopilot { cleanup_dead_servers = false min_quorum = 3 server_stabilization_time = "1m" }`)
	if err != nil || got != want {
		t.Errorf("with one: %+v, %v", got, err)
	}
	for stanza, says := range map[string]string{
		`autopilot { min_quorum = -1 }`:               "autopilot.min_quorum: must not be negative",
		`autopilot { last_contact_threshold = "0s" }`: "LastContactThreshold must be greater than 0",
	} {
		if _, err := load(stanza); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", stanza, err)
		}
	}
}
