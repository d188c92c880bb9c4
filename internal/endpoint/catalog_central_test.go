package endpoint

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

// newCentralWorld has a sidecar of web, and config entries about it.
func newCentralWorld(t testing.TB) (*catalogWorld, *entryWorld) {
	w := newCatalogWorld(t)
	entries := &entryWorld{w.world, &ConfigEntries{w.Backend}, &Intentions{Backend: w.Backend}}
	w.register(Registration{Node: catalog.Node{Node: "n1", Address: "10.0.0.1"}, Service: &catalog.Service{
		ID: "p1", Service: "web-sidecar-proxy", Kind: catalog.KindConnectProxy, Port: 20000, Proxy: catalog.Proxy{
			DestinationServiceName: "web", Config: map[string]any{"local_connect_timeout_ms": 1.0},
			Upstreams: []catalog.Upstream{{DestinationName: "db", LocalBindPort: 9191, Config: map[string]any{"connect_timeout_ms": 2.0}}},
		},
	}})
	entries.set(tenancy.Default, `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","local_connect_timeout_ms":5},"Mode":"transparent",
		"MeshGateway":{"Mode":"local"},"AccessLogs":{"Enabled":true}}`)
	entries.set(tenancy.Default, `{"Kind":"service-defaults","Name":"web","MaxInboundConnections":7,"TransparentProxy":{"OutboundListenerPort":15001},
		"Expose":{"Paths":[{"Path":"/health","ListenerPort":21500,"LocalPathPort":8080}]},"EnvoyExtensions":[{"Name":"builtin/lua"}],
		"UpstreamConfig":{"Defaults":{"ConnectTimeoutMs":9,"MeshGateway":{"Mode":"none"},"Limits":{"MaxConnections":3}}}}`)
	entries.set(tenancy.Default, `{"Kind":"service-defaults","Name":"db","Protocol":"grpc"}`)
	return w, entries
}

const centralProxy = `{"DestinationServiceName":"web","Mode":"transparent","TransparentProxy":{"OutboundListenerPort":15001},` +
	`"Config":{"local_connect_timeout_ms":1,"max_inbound_connections":7,"protocol":"http"},` +
	`"Upstreams":[{"DestinationName":"db","LocalBindPort":9191,"Config":{"connect_timeout_ms":2,"limits":{"max_connections":3},"protocol":"grpc"},"MeshGateway":{"Mode":"none"}}],` +
	`"MeshGateway":{"Mode":"local"},"Expose":{"Paths":[{"ListenerPort":21500,"Path":"/health","LocalPathPort":8080}]},` +
	`"EnvoyExtensions":[{"Name":"builtin/lua","Required":false}],"AccessLogs":{"Enabled":true}}`

func TestProxiesWithCentralConfiguration(t *testing.T) {
	w, _ := newCentralWorld(t)
	asText := func(p catalog.Proxy) string {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	look := func(f Find) map[string]string {
		f.Scope = tenancy.Default
		found := map[string]string{}
		f.Name, f.Connect = "web", true
		health, _, err := w.catalog.ServiceHealth(ctx, w.root, f)
		if err != nil || len(health.Rows) != 1 {
			t.Fatal(health, err)
		}
		found["health"] = asText(health.Rows[0].Service.Proxy)
		services, _, err := w.catalog.Service(ctx, w.root, f)
		if err != nil || len(services) != 1 {
			t.Fatal(services, err)
		}
		found["catalog"] = asText(services[0].ServiceProxy)
		f.Name, f.Connect = "n1", false
		node, _, err := w.catalog.Node(ctx, w.root, f)
		if err != nil || len(node.Services) != 1 {
			t.Fatal(node, err)
		}
		found["node"] = asText(node.Services[0].Proxy)
		return found
	}
	plain := look(Find{})
	for where, got := range look(Find{Central: true}) {
		if got != centralProxy {
			t.Errorf("%s:\ngot  %s\nwant %s", where, got, centralProxy)
		}
	}
	for where, got := range look(Find{}) {
		if got != plain[where] || got == centralProxy {
			t.Errorf("%s: what is stored has changed: %s", where, got)
		}
	}
}

// A change of a config entry is news of the proxies that it is about.
func TestBlockedOnCentralConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, entries := newCentralWorld(t)
		f := Find{Scope: tenancy.Default, Name: "web", Connect: true, Central: true}
		_, meta, err := w.catalog.ServiceHealth(ctx, w.root, f)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			entries.set(tenancy.Default, `{"Kind":"service-defaults","Name":"web","Protocol":"http2"}`)
		}()
		began := time.Now()
		f.Read = Read{MinIndex: meta.Index, MaxWait: time.Minute}
		got, after, err := w.catalog.ServiceHealth(ctx, w.root, f)
		if err != nil || time.Since(began) != time.Second || after.Index <= meta.Index || got.Rows[0].Service.Proxy.Config["protocol"] != "http2" {
			t.Errorf("%+v after %v, %v", after, time.Since(began), err)
		}
	})
}

// What an entry says about a service is shown to those who may read the service.
func TestCentralConfigurationOfWhatMayNotBeRead(t *testing.T) {
	w, _ := newCentralWorld(t)
	who := w.caller(tenancy.Default, `node_prefix "" { policy = "read" } service "web" { policy = "read" } service "web-sidecar-proxy" { policy = "read" }`)
	got, _, err := w.catalog.ServiceHealth(ctx, who, Find{Scope: tenancy.Default, Name: "web", Connect: true, Central: true})
	if err != nil || len(got.Rows) != 1 || got.Rows[0].Service.Proxy.Upstreams[0].Config["protocol"] != "http" {
		t.Errorf("%+v, %v", got, err)
	}
}
