package envoy

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// sidecar is the proxy of the example in mesh.md section 5.
func sidecar() Bootstrap {
	return Bootstrap{
		ID: "shop-1-sidecar-proxy", Cluster: "shop", Datacenter: "dc1", DeprecatedTags: true,
		Admin: netip.MustParseAddrPort("127.0.0.1:19000"), Agent: Agent{Addr: netip.MustParseAddrPort("127.0.0.1:8502")},
		Token: "5c1f0b4e", Getenv: func(name string) string { return map[string]string{"HOST_IP": "10.0.0.9"}[name] },
	}
}

// document returns the configuration as JSON reads it.
func document(t *testing.T, b Bootstrap) map[string]any {
	t.Helper()
	text, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestGolden(t *testing.T) {
	secure := sidecar()
	secure.Agent.TLS, secure.Agent.CAPEM = true, "PEM\n"
	socket := sidecar()
	socket.Agent = Agent{Socket: "/run/consul.sock"}
	busy := sidecar()
	busy.DeprecatedTags = false
	busy.Namespace, busy.Partition, busy.NodeName = "team", "ecs", "task-1"
	busy.Ready = netip.MustParseAddrPort("10.0.0.9:22000")
	busy.Prometheus = Prometheus{BackendPort: 9090, CertFile: "/cert.pem", KeyFile: "/key.pem", CAPEM: "PEM\n"}
	busy.Config = map[string]any{
		"protocol": "http", "envoy_prometheus_bind_addr": "0.0.0.0:20200", "envoy_stats_bind_addr": "0.0.0.0:20201",
		"envoy_statsd_url": "udp://${HOST_IP}:8125", "envoy_dogstatsd_url": "unix:///run/dog.sock",
		"envoy_stats_tags": []any{"team=a"}, "envoy_stats_flush_interval": "10s", "envoy_tracing_json": `{"http":{"name":"zipkin"}}`,
		"envoy_extra_static_clusters_json": `{"name":"a"},{"name":"b"}`, "envoy_extra_stats_sinks_json": `{"name":"more"}`,
	}
	for name, b := range map[string]Bootstrap{"sidecar": sidecar(), "tls": secure, "socket": socket, "busy": busy} {
		t.Run(name, func(t *testing.T) {
			got, err := b.JSON()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s differs; see the difference with -update", path)
			}
		})
	}
}

// The example of the specification, which tools read, is what we write, whatever the
// patterns of its tags.
func TestSpecifiedDocument(t *testing.T) {
	got := document(t, sidecar())
	stats := got["stats_config"].(map[string]any)
	if len(stats["stats_tags"].([]any)) < 30 || stats["use_all_default_tags"] != true {
		t.Errorf("stats_config %v", stats)
	}
	delete(got, "stats_config")
	var want map[string]any
	if err := json.Unmarshal([]byte(specified), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

const specified = `{"admin":{"access_log":[{"name":"envoy.access_loggers.file","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog","path":"/dev/null"}}],
          "address":{"socket_address":{"address":"127.0.0.1","port_value":19000}}},
 "node":{"cluster":"shop","id":"shop-1-sidecar-proxy","metadata":{"namespace":"default","partition":"default"}},
 "layered_runtime":{"layers":[{"name":"base","static_layer":{"re2.max_program_size.error_level":1048576}}]},
 "static_resources":{"clusters":[{"name":"local_agent","ignore_health_on_host_removal":false,"connect_timeout":"1s","type":"STATIC",
    "http2_protocol_options":{},
    "loadAssignment":{"clusterName":"local_agent","endpoints":[{"lbEndpoints":[{"endpoint":{"address":{"socket_address":{"address":"127.0.0.1","port_value":8502}}}}]}]}}]},
 "dynamic_resources":{"lds_config":{"ads":{},"initial_fetch_timeout":"0s","resource_api_version":"V3"},
                      "cds_config":{"ads":{},"initial_fetch_timeout":"0s","resource_api_version":"V3"},
   "ads_config":{"api_type":"DELTA_GRPC","transport_api_version":"V3",
     "grpc_services":{"initial_metadata":[{"key":"x-consul-token","value":"5c1f0b4e"}],"envoy_grpc":{"cluster_name":"local_agent"}}}}}`

func TestRefusedConfig(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		value     any
		want      string
	}{
		{"a number for an address", "envoy_prometheus_bind_addr", 20200.0, "envoy_prometheus_bind_addr: expected a string, got float64"},
		{"an address without a port", "envoy_stats_bind_addr", "0.0.0.0", `envoy_stats_bind_addr: expected an IP address and a port, got "0.0.0.0"`},
		{"a tag without a value", "envoy_stats_tags", []any{"team"}, `envoy_stats_tags: expected name=value, got "team"`},
		{"tags that are no list", "envoy_stats_tags", "a=b", "envoy_stats_tags: expected a list of strings"},
		{"statsd over TCP", "envoy_statsd_url", "tcp://10.0.0.1:1", `envoy_statsd_url: unsupported address "tcp://10.0.0.1:1"`},
		{"statsd at a socket", "envoy_statsd_url", "unix:///x", `envoy_statsd_url: unsupported address "unix:///x"`},
		{"statsd at a name", "envoy_statsd_url", "udp://collector:1", `envoy_statsd_url: expected udp://IP:PORT, got "udp://collector:1"`},
		{"clusters that are no JSON", "envoy_extra_static_clusters_json", "{", "envoy_extra_static_clusters_json: "},
		{"tracing that is no JSON", "envoy_tracing_json", "{", "envoy_tracing_json: "},
		{"a template that is none", "envoy_bootstrap_json_tpl", "{{", "envoy_bootstrap_json_tpl: "},
		{"a template with an unknown variable", "envoy_bootstrap_json_tpl", "{{ .Nope }}", "envoy_bootstrap_json_tpl: "},
		{"a template that makes no JSON", "envoy_bootstrap_json_tpl", "{{ .ProxyID }}", "envoy_bootstrap_json_tpl: it does not make valid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := sidecar()
			b.Config = map[string]any{tc.key: tc.value}
			_, err := b.JSON()
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	b := sidecar()
	b.Config = map[string]any{
		"envoy_bootstrap_json_tpl":          `{"id":"{{ .ProxyID }}","port":{{ .AgentPort }},"tls":{{ .AgentTLS }},"more":[{{ .StaticClustersJSON }}],"token":"{{ .Token }}"}`,
		"envoy_extra_static_clusters_json":  `{"name":"a"}`,
		"envoy_extra_static_listeners_json": `{"name":"l"}`,
	}
	want := map[string]any{"id": "shop-1-sidecar-proxy", "port": 8502.0, "tls": false, "more": []any{map[string]any{"name": "a"}}, "token": "5c1f0b4e"}
	if got := document(t, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// Nobody collects statistics where the variable that would say who is not set.
func TestCollectorThatIsNotSet(t *testing.T) {
	b := sidecar()
	b.Config = map[string]any{"envoy_dogstatsd_url": "$NOWHERE"}
	if sinks, ok := document(t, b)["stats_sinks"]; ok {
		t.Errorf("sinks %v", sinks)
	}
}
