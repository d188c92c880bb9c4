package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// What is stored is counted, and the machine where that is asked for.
func TestGaugesOfAServer(t *testing.T) {
	cfg := testConfig(t)
	cfg.Telemetry.HostMetrics = true
	start(t, cfg, nil)
	addr := fmt.Sprintf("127.0.0.1:%d", cfg.Ports.HTTP)
	client, err := api.NewClient(&api.Config{Address: addr, Token: management})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a", "b", "c"} {
		if _, err := client.KV().Put(&api.KVPair{Key: key, Value: []byte("x")}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.KV().Delete("c", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.ConfigEntries().Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http"}, nil); err != nil {
		t.Fatal(err)
	}
	status, text := get(t, http.DefaultClient, "http://"+addr+"/v1/agent/metrics?format=prometheus", management)
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	for _, want := range []string{
		`consul_state_kv_entries{datacenter="dc1"} 2`,
		`consul_state_config_entries{datacenter="dc1",kind="service-defaults"} 1`,
		`consul_state_config_entries{datacenter="dc1",kind="mesh"} 0`,
		`consul_state_connect_instances{datacenter="dc1",kind="connect-proxy"} 0`,
		`consul_state_billable_service_instances{datacenter="dc1"} 0`,
		`consul_host_memory_total `, `consul_host_disk_size{path=`, `consul_host_uptime `, `consul_runtime_total_gc_pause_ns `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
}
