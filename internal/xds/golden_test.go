package xds

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const trustDomain = "11111111-2222-3333-4444-555555555555.consul"

// shop is a sidecar of the service shop without upstreams.
func shop(change ...func(*proxycfg.Snapshot)) *proxycfg.Snapshot {
	s := &proxycfg.Snapshot{
		Proxy: catalog.Service{
			Kind: catalog.KindConnectProxy, ID: "shop-1-sidecar-proxy", Service: "shop-sidecar-proxy", Port: 21000, Scope: tenancy.Default,
			Proxy: catalog.Proxy{DestinationServiceName: "shop", DestinationServiceID: "shop-1", LocalServiceAddress: "127.0.0.1", LocalServicePort: 8080},
		},
		Datacenter: "dc1", TrustDomain: trustDomain,
		Leaf:  proxycfg.Leaf{Chain: "leaf of shop\n", Key: "key of shop\n"},
		Roots: []string{"root 2\n", "root 1"},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// configured sets a key of the proxy's Config.
func configured(key string, value any) func(*proxycfg.Snapshot) {
	return func(s *proxycfg.Snapshot) {
		config := maps.Clone(s.Proxy.Proxy.Config)
		if config == nil {
			config = map[string]any{}
		}
		config[key] = value
		s.Proxy.Proxy.Config = config
	}
}

func allowed(s *proxycfg.Snapshot) { s.DefaultAllow = true }

// calls adds an upstream.
func calls(u proxycfg.Upstream) func(*proxycfg.Snapshot) {
	if u.Scope == (tenancy.Scope{}) {
		u.Scope = tenancy.Default
	}
	if u.Protocol == "" {
		u.Protocol = proxycfg.TCP
	}
	return func(s *proxycfg.Snapshot) { s.Upstreams = append(s.Upstreams, u) }
}

func stock(change ...func(*proxycfg.Upstream)) proxycfg.Upstream {
	u := proxycfg.Upstream{
		Upstream: catalog.Upstream{DestinationType: "service", DestinationName: "stock", LocalBindAddress: "127.0.0.1", LocalBindPort: 9191},
		Endpoints: []proxycfg.Endpoint{
			{Address: "10.0.0.1", Port: 21000, Weight: 1, Healthy: true},
			{Address: "10.0.0.2", Port: 21000, Weight: 3, Healthy: false},
		},
	}
	for _, c := range change {
		c(&u)
	}
	return u
}

// from is an intention about a source in the default scope and shop.
func from(source string, action configentry.Action, precedence int, permissions ...configentry.Permission) configentry.Intention {
	return configentry.Intention{
		SourceNS: "default", SourceName: source, DestinationNS: "default", DestinationName: "shop",
		Action: action, Precedence: precedence, Permissions: permissions,
	}
}

func intended(all ...configentry.Intention) func(*proxycfg.Snapshot) {
	return func(s *proxycfg.Snapshot) { s.Intentions = append(s.Intentions, all...) }
}

const ownListener = `{"name":"mine","address":{"socket_address":{"address":"0.0.0.0","port_value":7000}},"filter_chains":[{"filters":[
	{"name":"envoy.filters.network.tcp_proxy","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"stat_prefix":"mine","cluster":"local_app"}}]}]}`

var golden = []struct {
	name     string
	snapshot *proxycfg.Snapshot
	version  Version
}{
	{name: "tcp, nobody may call", snapshot: shop()},
	{name: "tcp, everybody may call", snapshot: shop(allowed)},
	{name: "tcp with an upstream", snapshot: shop(calls(stock()), intended(from("web", configentry.Allow, 9)))},
	{name: "tcp for an old Envoy", snapshot: shop(calls(stock())), version: Version{Major: 1, Minor: 21, Patch: 6}},
	{name: "tcp, some are denied", snapshot: shop(allowed, intended(
		from("web", configentry.Allow, 9), from("bad", configentry.Deny, 9), from("*", configentry.Deny, 8)))},
	{name: "http with requests decided", snapshot: shop(configured("protocol", "http"), configured("local_request_timeout_ms", 0),
		intended(
			from("web", "", 9,
				configentry.Permission{Action: configentry.Deny, HTTP: &configentry.HTTPPermission{PathPrefix: "/admin"}},
				configentry.Permission{Action: configentry.Allow, HTTP: &configentry.HTTPPermission{
					PathRegex: "/items/[0-9]+", Methods: []string{"GET", "HEAD"},
					Header: []configentry.HeaderPermission{{Name: "x-debug", Present: true, Invert: true}, {Name: "x-team", Exact: "Core", IgnoreCase: true}},
				}}),
			from("back.office", configentry.Allow, 9),
			from("*", configentry.Deny, 8)))},
	{name: "http with an upstream", snapshot: shop(allowed, configured("protocol", "http"), configured("max_request_headers_kb", 96.0),
		calls(stock(func(u *proxycfg.Upstream) { u.Protocol = proxycfg.HTTP })))},
	{name: "grpc in a partition", snapshot: shop(configured("protocol", "grpc"), func(s *proxycfg.Snapshot) {
		s.Proxy.Scope = tenancy.Scope{Partition: "team", Namespace: "blue"}
		i := from("*", configentry.Allow, 8)
		i.SourcePartition, i.SourceNS = "team", "*"
		s.Intentions = []configentry.Intention{i}
	}, calls(stock(func(u *proxycfg.Upstream) {
		u.Protocol, u.Scope = proxycfg.GRPC, tenancy.Scope{Partition: "team", Namespace: "blue"}
	})))},
	{name: "limits, sockets and IPv6", snapshot: shop(allowed,
		configured("bind_address", "::"), configured("bind_port", 20000.0), configured("max_inbound_connections", 7),
		configured("balance_inbound_connections", "exact_balance"), configured("local_connect_timeout_ms", "250"),
		func(s *proxycfg.Snapshot) { s.Proxy.Proxy.LocalServiceSocketPath = "/run/shop.sock" },
		calls(stock(func(u *proxycfg.Upstream) {
			u.LocalBindPort, u.LocalBindSocketPath, u.LocalBindSocketMode = 0, "/run/stock.sock", "0600"
			u.Endpoints = []proxycfg.Endpoint{{Address: "2001:db8::1", Port: 21001, Weight: 70000, Healthy: true}}
			u.Config = map[string]any{
				"connect_timeout_ms":    1500.0,
				"limits":                map[string]any{"max_connections": 3, "MaxPendingRequests": 0, "max_concurrent_requests": 9},
				"passive_health_check":  map[string]any{"interval": "30s", "max_failures": 4, "enforcing_consecutive_5xx": 50},
				"balance_outbound_conn": "ignored", "balance_outbound_connections": "exact_balance",
			}
		})))},
	{name: "bounds of the mesh entry", snapshot: shop(configured("protocol", "http2"), calls(stock()), func(s *proxycfg.Snapshot) {
		s.Mesh = &configentry.Mesh{
			TLS: &configentry.MeshTLS{
				Incoming: &configentry.DirectionalTLS{TLSMinVersion: "TLSv1_3"},
				Outgoing: &configentry.DirectionalTLS{TLSMaxVersion: "TLSv1_2", CipherSuites: []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}},
			},
			HTTP: &configentry.MeshHTTP{SanitizeXForwardedClientCert: true, Incoming: &configentry.DirectionalHTTP{
				RequestNormalization: &configentry.RequestNormalization{
					MergeSlashes: true, PathWithEscapedSlashesAction: "REJECT_REQUEST", HeadersWithUnderscoresAction: "DROP_HEADER",
				},
			}},
		}
	})},
	{name: "paths that are exposed", snapshot: shop(exposes(
		catalog.ExposePath{Path: "/health", LocalPathPort: 8080, ListenerPort: 21500},
		catalog.ExposePath{Path: "/ready", LocalPathPort: 8081, ListenerPort: 21500, Protocol: "http"},
		catalog.ExposePath{Path: "/grpc.health.v1.Health/Check", LocalPathPort: 9090, ListenerPort: 21501, Protocol: "http2"}))},
	{name: "http, some requests are denied", snapshot: shop(allowed, configured("protocol", "http"), intended(
		from("web", "", 9,
			configentry.Permission{Action: configentry.Allow, HTTP: &configentry.HTTPPermission{PathExact: "/admin/health"}},
			configentry.Permission{Action: configentry.Deny, HTTP: &configentry.HTTPPermission{PathPrefix: "/admin"}}),
		from("*", configentry.Deny, 8)))},
	{name: "callers and upstreams elsewhere", snapshot: shop(func(s *proxycfg.Snapshot) {
		for _, source := range []configentry.Intention{
			{SourcePartition: "team", SourceNS: "blue", SourceName: "web", Action: configentry.Allow, Precedence: 9},
			{SourcePartition: "team", SourceNS: "blue", SourceName: "*", Action: configentry.Deny, Precedence: 8},
			{SourcePartition: "team", SourceNS: "*", SourceName: "*", Action: configentry.Allow, Precedence: 7},
		} {
			source.DestinationNS, source.DestinationName = "default", "shop"
			s.Intentions = append(s.Intentions, source)
		}
	}, calls(stock(func(u *proxycfg.Upstream) {
		u.Scope = tenancy.Scope{Partition: "default", Namespace: "blue"}
		u.Datacenter = "dc2"
	})))},
	{name: "listeners of its own", snapshot: shop(configured("envoy_public_listener_json", ownListener),
		configured("envoy_local_cluster_json", `{"name":"local_app","connect_timeout":"1s","type":"STATIC"}`),
		calls(stock(func(u *proxycfg.Upstream) {
			u.Config = map[string]any{
				"envoy_cluster_json":  `{"name":"other","connect_timeout":"2s","type":"EDS","eds_cluster_config":{"eds_config":{"ads":{}}}}`,
				"envoy_listener_json": strings.Replace(ownListener, "mine", "stock of its own", 1),
			}
		})))},
}

func TestResourcesAreTheGoldenOnes(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			got, err := Build(c.snapshot, c.version)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", fileName(c.name)+".json")
			text := readable(t, got)
			if *update {
				if err := os.WriteFile(path, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(text, want) {
				t.Errorf("%s has changed; rewrite it with -update and read the difference. Now:\n%s", path, text)
			}
		})
	}
}

func fileName(name string) string {
	out := []byte(name)
	for i, c := range out {
		if c == ' ' {
			out[i] = '_'
		}
	}
	return string(bytes.ReplaceAll(out, []byte(","), nil))
}

// readable writes resources as JSON, always the same way.
func readable(t *testing.T, all Resources) []byte {
	t.Helper()
	shown := map[string]any{}
	for kind, byName := range all {
		for name, r := range byName {
			m, err := r.Body.UnmarshalNew()
			if err != nil {
				t.Fatal(err)
			}
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			shown[string(kind[len(urlPrefix):])+" "+name] = v
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(shown); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheSameSnapshotGivesTheSameVersions(t *testing.T) {
	for _, c := range golden {
		a, _ := Build(c.snapshot, c.version)
		b, _ := Build(c.snapshot, c.version)
		for kind, byName := range a {
			if got := slices.Sorted(maps.Keys(b[kind])); !slices.Equal(got, slices.Sorted(maps.Keys(byName))) {
				t.Fatalf("%s: other names of %s: %v", c.name, kind, got)
			}
			for name, r := range byName {
				if b[kind][name].Version != r.Version {
					t.Errorf("%s: %s has another version", c.name, name)
				}
			}
		}
	}
}
