package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	shopProxy = `{"Kind":"connect-proxy","ID":"shop-1-sidecar-proxy","Service":"shop-sidecar-proxy","Datacenter":"dc1",` +
		`"Proxy":{"DestinationServiceName":"shop","DestinationServiceID":"shop-1","Config":{"protocol":"http"}}}`
	shopService = `{"ID":"shop-1","Service":"shop","Datacenter":"dc1"}`
	meshGateway = `{"Kind":"mesh-gateway","ID":"gw","Service":"mesh-gateway","Datacenter":"dc1","Proxy":{}}`
	proxyPath   = "GET /v1/agent/service/shop-1-sidecar-proxy"
	agentList   = `{"shop-1":` + shopService + `,"shop-1-sidecar-proxy":` + shopProxy + `}`
)

// envoyStart is what the part of a bootstrap that a test looks at says.
type envoyStart struct {
	Node             struct{ ID, Cluster string }
	StaticResources  struct{ Clusters []map[string]any } `json:"static_resources"`
	DynamicResources struct {
		ADSConfig struct {
			GRPCServices struct {
				InitialMetadata []struct{ Value string } `json:"initial_metadata"`
			} `json:"grpc_services"`
		} `json:"ads_config"`
	} `json:"dynamic_resources"`
}

func startOf(t *testing.T, text string) envoyStart {
	t.Helper()
	var s envoyStart
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s
}

// What mesh-init of a task runs, whole.
func TestEnvoyBootstrapOfATask(t *testing.T) {
	token := filepath.Join(t.TempDir(), "service-token")
	if err := os.WriteFile(token, []byte("5c1f0b4e\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := newAPI(t, answers{proxyPath + "?ns=default&partition=default": shopProxy})
	got := api.run(t, "connect", "envoy", "-proxy-id", "shop-1-sidecar-proxy", "-bootstrap", "-grpc-addr=localhost:8502",
		"-token-file", token, "-partition", "default", "-namespace", "default")
	if got.code != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	golden(t, "envoy_bootstrap", got.out)
	if asked := api.last(t); asked.token != "5c1f0b4e" {
		t.Errorf("asked as %q", asked.token)
	}
}

func TestEnvoyFindsItsProxy(t *testing.T) {
	tests := []struct {
		name, command string
		env           map[string]string
		play          answers
		id, cluster   string
	}{
		{"the sidecar of a service", "-sidecar-for shop-1", nil, answers{"GET /v1/agent/services": agentList, proxyPath: shopProxy}, "shop-1-sidecar-proxy", "shop"},
		{"from the environment", "", map[string]string{"CONNECT_SIDECAR_FOR": "shop-1"}, answers{"GET /v1/agent/services": agentList, proxyPath: shopProxy}, "shop-1-sidecar-proxy", "shop"},
		{"a proxy from the environment", "", map[string]string{"CONNECT_PROXY_ID": "shop-1-sidecar-proxy"}, answers{proxyPath: shopProxy}, "shop-1-sidecar-proxy", "shop"},
		{"a gateway", "-gateway mesh", nil, answers{"GET /v1/agent/services": `{"gw":` + meshGateway + `}`, "GET /v1/agent/service/gw": meshGateway}, "gw", "mesh-gateway"},
		{"a gateway by its ID", "-gateway mesh -proxy-id gw", nil, answers{"GET /v1/agent/service/gw": meshGateway}, "gw", "mesh-gateway"},
		{"on another node", "-proxy-id p -node-name n2", nil, answers{"GET /v1/catalog/node-services/n2": `{"Node":{"Node":"n2","Datacenter":"dc2"},"Services":[` +
			strings.Replace(shopProxy, "shop-1-sidecar-proxy", "p", 1) + `]}`}, "p", "shop"},
		{"without asking", "-sidecar-for shop-1 -no-central-config", nil, answers{"GET /v1/agent/services": agentList}, "shop-1-sidecar-proxy", "shop-1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newAPI(t, tc.play).at()
			for name, value := range tc.env {
				w.env[name] = value
			}
			args := append([]string{"connect", "envoy", "-bootstrap", "-grpc-addr", "127.0.0.1:8502"}, strings.Fields(tc.command)...)
			got := w.run(t, args...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("%+v", got)
			}
			if s := startOf(t, got.out); s.Node.ID != tc.id || s.Node.Cluster != tc.cluster {
				t.Errorf("got %+v", s.Node)
			}
		})
	}
}

func TestEnvoyFindsTheAgent(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("PEM\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	self := func(ports string) answers {
		return answers{proxyPath: shopProxy, "GET /v1/agent/self": `{"xDS":` + ports + `}`}
	}
	tests := []struct {
		name, args string
		env        map[string]string
		play       answers
		want       string // of the cluster
		tls        bool
	}{
		{"as the flag says", "-grpc-addr 127.0.0.1:9", nil, self("null"), `"socket_address":{"address":"127.0.0.1","port_value":9}`, false},
		{"as the environment says", "", map[string]string{"CONSUL_GRPC_ADDR": "https://127.0.0.1:9", "CONSUL_GRPC_CACERT": ca}, self("null"), `"port_value":9`, true},
		{"at a socket", "-grpc-addr unix:///run/x", nil, self("null"), `"pipe":{"path":"/run/x"}`, false},
		{"as the agent says", "", nil, self(`{"Port":7,"Ports":{"Plaintext":7,"TLS":-1}}`), `"port_value":7`, false},
		{"with TLS where the agent has both", "-grpc-ca-file " + ca, nil, self(`{"Port":8,"Ports":{"Plaintext":7,"TLS":8}}`), `"port_value":8`, true},
		{"as an old agent says", "", nil, self(`{"Port":7}`), `"port_value":7`, false},
		{"as no agent says", "", nil, self(`null`), `"port_value":8502`, false},
		{"where it may not ask", "", nil, answers{proxyPath: shopProxy, "GET /v1/agent/self": "403 no"}, `"port_value":8502`, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newAPI(t, tc.play).at()
			for name, value := range tc.env {
				w.env[name] = value
			}
			got := w.run(t, append([]string{"connect", "envoy", "-bootstrap", "-proxy-id", "shop-1-sidecar-proxy"}, strings.Fields(tc.args)...)...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("%+v", got)
			}
			cluster, err := json.Marshal(startOf(t, got.out).StaticResources.Clusters[0])
			if err != nil {
				t.Fatal(err)
			}
			if text := string(cluster); !strings.Contains(text, tc.want) || strings.Contains(text, `"inline_string":"PEM\n"`) != tc.tls {
				t.Errorf("got %s", cluster)
			}
		})
	}
}

func TestEnvoyRegistersAGateway(t *testing.T) {
	api := newAPI(t, answers{"PUT /v1/agent/service/register": "", "GET /v1/agent/service/gw": meshGateway})
	got := api.run(t, "connect", "envoy", "-bootstrap", "-grpc-addr", "127.0.0.1:8502", "-gateway", "mesh", "-register", "-proxy-id", "gw", "-expose-servers",
		"-address", "10.0.0.1:9443", "-wan-address", "[2001:db8::1]", "-bind-address", "all=0.0.0.0:1")
	if got.code != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	golden(t, "envoy_register", api.asked[0].body+"\n")
}

func TestEnvoyRuns(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho 'envoy  version: 0a1b/1.22.2/Clean/RELEASE/BoringSSL'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	self := `{"xDS":{"Port":8502,"SupportedProxies":{"envoy":["1.22.5","1.21.5"]}}}`
	var ran []string
	root := &Command{Name: "consul", Sub: []*Command{{Name: "connect", Sub: []*Command{connectEnvoy(func(_ *Env, binary string, bootstrap []byte, args []string) error {
		ran = append(envoyArgs(binary, args), startOf(t, string(bootstrap)).Node.ID)
		return nil
	})}}}}
	run := func(play answers, args ...string) result {
		w := newAPI(t, play).at()
		w.root = root
		return w.run(t, append([]string{"connect", "envoy", "-proxy-id", "shop-1-sidecar-proxy", "-envoy-binary", binary}, args...)...)
	}
	if got := run(answers{proxyPath: shopProxy, "GET /v1/agent/self": self}, "--", "-l", "debug"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if want := []string{"--config-path", binary, "--disable-hot-restart", "-l", "debug", "shop-1-sidecar-proxy"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q", ran)
	}
	old := answers{proxyPath: shopProxy, "GET /v1/agent/self": strings.ReplaceAll(self, "1.2", "1.9")}
	if got := run(old); got.code != 1 || !strings.HasPrefix(got.err, "Envoy version 1.22.2 is not supported by this agent") {
		t.Errorf("%+v", got)
	}
	if got := run(old, "-ignore-envoy-compatibility", "--", "--restart-epoch", "1"); got.code != 0 || slices.Contains(ran, "--disable-hot-restart") {
		t.Errorf("%+v %q", got, ran)
	}
}

func TestEnvoyComplaints(t *testing.T) {
	both := `{"a":{"Kind":"connect-proxy","ID":"a","Proxy":{"DestinationServiceID":"s"}},"b":{"Kind":"connect-proxy","ID":"b","Proxy":{"DestinationServiceID":"s"}}}`
	tests := []struct {
		name, args string
		play       answers
		err        string
	}{
		{"no proxy", "", nil, "No proxy ID specified. One of -proxy-id, -sidecar-for, or -gateway is required"},
		{"no sidecar", "-sidecar-for nope", answers{"GET /v1/agent/services": agentList}, "No sidecar proxy registered for nope"},
		{"two sidecars", "-sidecar-for s", answers{"GET /v1/agent/services": both}, "More than one sidecar proxy registered for s.\n    Start proxy with -proxy-id and one of the following IDs: a, b"},
		{"sidecar of another partition", "-sidecar-for x", answers{"GET /v1/agent/services": "400 no"}, "Failed looking up sidecar proxy info for x: Unexpected response code: 400 (no)"},
		{"unknown proxy", "-proxy-id nope", answers{"GET /v1/agent/service/nope": "404 unknown service ID: nope"},
			"failed fetch proxy config from local agent: Unexpected response code: 404 (unknown service ID: nope)"},
		{"denied", "-proxy-id p", answers{"GET /v1/agent/service/p": "403 ACL not found"}, "failed fetch proxy config from local agent: Unexpected response code: 403 (ACL not found)"},
		{"no proxy at all", "-proxy-id shop-1", answers{"GET /v1/agent/service/shop-1": shopService}, "service is not a Connect proxy or gateway"},
		{"unknown gateway", "-gateway x", nil, "Gateway must be one of: api, terminating, mesh, or ingress"},
		{"no gateway", "-gateway mesh", answers{"GET /v1/agent/services": "{}"}, "No mesh-gateway services registered with this agent"},
		{"a sidecar that is to be registered", "-proxy-id p -register", nil, "Auto-Registration can only be used for gateways"},
		{"no token file", "-proxy-id p -token-file /nope", nil, "Error connecting to Consul agent: Error loading token file /nope : open /nope: no such file or directory"},
		{"admin port", "-proxy-id shop-1-sidecar-proxy -admin-bind 127.0.0.1:x -grpc-addr 127.0.0.1:1", answers{proxyPath: shopProxy}, `Invalid admin bind address: invalid port: "x"`},
		{"half a ready listener", "-proxy-id shop-1-sidecar-proxy -envoy-ready-bind-port 1 -grpc-addr 127.0.0.1:1", answers{proxyPath: shopProxy},
			"-envoy-ready-bind-address and -envoy-ready-bind-port must be set together"},
		{"CA file", "-proxy-id shop-1-sidecar-proxy -grpc-addr https://127.0.0.1:1 -grpc-ca-file /nope", answers{proxyPath: shopProxy},
			"Error loading CA File: open /nope: no such file or directory"},
		{"half of Prometheus's TLS", "-proxy-id shop-1-sidecar-proxy -prometheus-cert-file /x -grpc-addr 127.0.0.1:1", answers{proxyPath: shopProxy},
			"Must provide a CA (-prometheus-ca-file or -prometheus-ca-path), -prometheus-cert-file, and -prometheus-key-file to enable TLS for prometheus metrics"},
		{"configuration", "-proxy-id p -grpc-addr 127.0.0.1:1", answers{"GET /v1/agent/service/p": `{"Kind":"connect-proxy","Proxy":{"Config":{"envoy_statsd_url":"x"}}}`},
			`Error generating the bootstrap configuration: envoy_statsd_url: unsupported address "x"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, append([]string{"connect", "envoy", "-bootstrap"}, strings.Fields(tc.args)...)...)
			if got.code != 1 || got.out != "" || got.err != tc.err+"\n" {
				t.Errorf("exit code %d, stdout %q\ngot  %q\nwant %q", got.code, got.out, got.err, tc.err)
			}
		})
	}
}
