package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/watch"
)

// shop is what each of the files below says.
var shop = local.ServiceDefinition{
	ID: "shop-1", Name: "shop", Tags: []string{"a", "b"}, Port: 8080, Meta: map[string]string{"team_name": "One"},
	TaggedAddresses: map[string]catalog.ServiceAddress{"wan": {Address: "192.0.2.1", Port: 80}},
	Weights:         &catalog.Weights{Passing: 5, Warning: 1}, Token: "secret", Scope: tenancy.Scope{Namespace: "team"},
	Checks: []check.Definition{
		{CheckID: "up", HTTP: "http://127.0.0.1:8080/up", Header: map[string][]string{"X-Who": {"me"}}, Interval: 10 * time.Second, Timeout: time.Second},
		{Args: []string{"/bin/check", "-q"}, Interval: time.Minute, FailuresBeforeCritical: 3, DeregisterCriticalServiceAfter: time.Hour},
		{H2PING: "127.0.0.1:8080", H2PingUseTLS: true, Interval: time.Second},
	},
	Connect: &local.ConnectDefinition{SidecarService: &local.ServiceDefinition{Port: 21000, Proxy: &catalog.Proxy{
		Config:    map[string]any{"local_request_timeout_ms": 0.0, "nested": map[string]any{"Odd_Key": []any{true, "x"}}},
		Upstreams: []catalog.Upstream{{DestinationName: "stock", LocalBindPort: 9191, Config: map[string]any{"protocol": "http"}}},
		Expose:    catalog.Expose{Checks: true, Paths: []catalog.ExposePath{{Path: "/up", LocalPathPort: 8080, ListenerPort: 21500}}},
	}}},
}

const shopHCL = `service {
  id = "shop-1"
  name = "shop"
  tags = ["a", "b"]
  port = 8080
  meta { team_name = "One" }
  tagged_addresses { wan { address = "192.0.2.1" port = 80 } }
  weights { passing = 5 warning = 1 }
  token = "secret"
  namespace = "team"
  checks = [
    { id = "up" http = "http://127.0.0.1:8080/up" header { X-Who = ["me"] } interval = "10s" timeout = "1s" },
    { args = ["/bin/check", "-q"] interval = "1m" failures_before_critical = 3 deregister_critical_service_after = "1h" },
    { h2ping = "127.0.0.1:8080" interval = "1s" }
  ]
  connect {
    sidecar_service {
      port = 21000
      proxy {
        config { local_request_timeout_ms = 0 nested { Odd_Key = [true, "x"] } }
        upstreams { destination_name = "stock" local_bind_port = 9191 config { protocol = "http" } }
        expose { checks = true paths = [{ path = "/up" local_path_port = 8080 listener_port = 21500 }] }
      }
    }
  }
}`

const shopJSON = `{"services": [{"ID": "shop-1", "Name": "shop", "Tags": ["a", "b"], "Port": 8080, "Meta": {"team_name": "One"},
  "TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 80}}, "Weights": {"Passing": 5, "Warning": 1}, "Token": "secret", "Namespace": "team",
  "Address": null, "Checks": [
    {"CheckID": "up", "HTTP": "http://127.0.0.1:8080/up", "Header": {"X-Who": ["me"]}, "Interval": "10s", "Timeout": "1s"},
    {"ScriptArgs": ["/bin/check", "-q"], "Interval": "1m", "FailuresBeforeCritical": 3, "DeregisterCriticalServiceAfter": "1h"},
    {"H2PING": "127.0.0.1:8080", "Interval": "1s"}],
  "Connect": {"SidecarService": {"Port": 21000, "Proxy": {
    "Config": {"local_request_timeout_ms": 0, "nested": {"Odd_Key": [true, "x"]}},
    "Upstreams": [{"DestinationName": "stock", "LocalBindPort": 9191, "Config": {"protocol": "http"}}],
    "Expose": {"Checks": true, "Paths": [{"Path": "/up", "LocalPathPort": 8080, "ListenerPort": 21500}]}}}}}]}`

func TestServicesOfFiles(t *testing.T) {
	for name, text := range map[string]string{"x.hcl": shopHCL, "x.json": shopJSON} {
		t.Run(name, func(t *testing.T) {
			got, err := Services(name, "", []byte(text))
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], shop) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, shop)
			}
		})
	}
	if got, err := Services("-", "", []byte(shopJSON)); err != nil || len(got) != 1 {
		t.Errorf("JSON on standard input: %v %v", got, err)
	}
}

func TestServicesOfAllFilesAddUp(t *testing.T) {
	dir := write(t, map[string]string{
		"1.hcl":  "service { name = \"a\" } service { name = \"b\" }\ncheck { name = \"c1\" ttl = \"1m\" }",
		"2.json": `{"services": [{"name": "c"}], "checks": [{"name": "c2", "alias_service": "a"}], "enable_local_script_checks": true, "check_update_interval": "0s"}`,
	})
	c, _ := load(t, "-data-dir=/d", "-config-dir", dir, "-hcl", `services = [{ name = "d" }] ports { sidecar_min_port = 1 }`, "-check_output_max_size=9")
	var names []string
	for _, s := range c.Services {
		names = append(names, s.Name)
	}
	for _, d := range c.Checks {
		names = append(names, d.Name)
	}
	if got := strings.Join(names, " "); got != "a b c d c1 c2" {
		t.Errorf("got %s", got)
	}
	if !c.EnableLocalScripts || c.EnableScripts || c.CheckUpdates != 0 || c.CheckOutputMax != 9 || c.SidecarPorts != (local.Ports{Min: 1, Max: 21255}) {
		t.Errorf("%+v", c)
	}
}

func TestWatchesOfFiles(t *testing.T) {
	t.Setenv("SHELL", "")
	c, _ := load(t, "-data-dir=/d", "-hcl", `watches = [
		{ type = "service" service = "shop" tag = "a" passingonly = true args = ["/bin/reload", "x"] token = "s" },
		{ type = "checks" state = "critical" handler = "mail ops" },
		{ type = "key" key = "a" handler_type = "http" http_handler_config { path = "https://x/y" timeout = "3s" header { A = ["b"] } tls_skip_verify = true } }]`)
	want := []daemon.Watch{
		{Query: watch.Query{Type: "service", Service: "shop", Tags: []string{"a"}, PassingOnly: true, Token: "s"}, Handler: watch.Handler{Args: []string{"/bin/reload", "x"}}},
		{Query: watch.Query{Type: "checks", State: "critical"}, Handler: watch.Handler{Args: []string{"mail ops"}, Shell: "/bin/sh"}},
		{Query: watch.Query{Type: "key", Key: "a"}, Handler: watch.Handler{URL: "https://x/y", Timeout: 3 * time.Second, Header: map[string][]string{"A": {"b"}}, TLSSkipVerify: true}},
	}
	if !reflect.DeepEqual(c.Watches, want) {
		t.Errorf("got  %+v\nwant %+v", c.Watches, want)
	}
}

func TestRefusedDefinitions(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", `service { name = "a" bogus = 1 }`, "failed to parse flags-0.hcl: 1 error occurred:\n\t* invalid config key service.bogus\n\n"},
		{"unknown key further inside", `services = [{ name = "a" }, { name = "b" checks = [{ every = "1s" }] }]`,
			"failed to parse flags-0.hcl: 1 error occurred:\n\t* invalid config key services[1].checks[0].every\n\n"},
		{"one key in two spellings", `check { check_id = "a" id = "a" }`, "failed to parse flags-0.hcl: 1 error occurred:\n\t* duplicate config key check.id\n\n"},
		{"text for a port", `service { name = "a" port = "80" }`, "failed to parse flags-0.hcl: 1 error(s) decoding:\n\n* 'service.port' expected type 'int', got unconvertible type 'string', value: '80'"},
		{"number for a token", `service { name = "a" token = 5 }`, "failed to parse flags-0.hcl: 1 error(s) decoding:\n\n* 'service.token' expected type 'string', got unconvertible type 'int', value: '<hidden>'"},
		{"duration", `check { name = "a" ttl = "soon" }`, "failed to parse flags-0.hcl: 1 error occurred:\n\t* check.ttl: invalid duration: \"soon\": time: invalid duration \"soon\"\n\n"},
		{"service without a name", `service { port = 1 }`, "service 1: Missing service name"},
		{"check that is none", `service { name = "a" check { http = "http://x" } }`, `service "a": Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks`},
		{"check without a name", `check { ttl = "1m" }`, "check 1: Missing check name"},
		{"two checks of one ID", `check { id = "c" name = "a" ttl = "1m" } check { name = "c" ttl = "1m" }`, `check "c" is defined twice`},
		{"two services of one ID", `service { name = "a" } service { id = "a" name = "b" }`, `service "a" is defined twice`},
		{"sidecar ports", `ports { sidecar_min_port = 5 sidecar_max_port = 4 }`, "ports.sidecar_min_port: 5 is above ports.sidecar_max_port: 4"},
		{"ports of exposed checks", `ports { expose_min_port = 5 expose_max_port = 4 }`, "ports.expose_min_port: 5 is above ports.expose_max_port: 4"},
		{"watch of an unknown type", `watches = [{ type = "bogus" args = ["x"] }]`, "1 error occurred:\n\t* watches: Unsupported watch type: bogus\n\n"},
		{"watch without a handler", `watches = [{ type = "nodes" }]`, "1 error occurred:\n\t* watches: Must define a watch handler: 'args', or 'handler_type' 'http'\n\n"},
		{"watch with a broken tag", `watches = [{ type = "service" service = "a" tag = [1] args = ["x"] }]`, "1 error occurred:\n\t* watches: tag: expected a string or a list of strings\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Load(sources(t, "-data-dir=/d", "-hcl", tc.text))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %q", err, tc.want)
			}
		})
	}
	if _, err := Services("x.hcl", "", []byte(`service { name = "a" } server = true`)); err == nil ||
		err.Error() != "failed to parse x.hcl: 1 error occurred:\n\t* invalid config key server\n\n" {
		t.Errorf("a file with other settings: %v", err)
	}
}
