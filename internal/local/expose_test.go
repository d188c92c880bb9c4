package local

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/tenancy"
)

const exposing = `{"Name":"web-sidecar-proxy","ID":"web-proxy","Kind":"connect-proxy","Port":20000,"Proxy":{"DestinationServiceName":"web",
	"DestinationServiceID":"web","Expose":{"Checks":true,"Paths":[{"Path":"/own","LocalPathPort":1,"ListenerPort":21500}]}}}`

// leads returns where each check goes: the definition that is run, and the port that is shown.
func (w *world) leads() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for k, c := range w.checks {
		d := c.def
		if c.exposed.port > 0 {
			d = c.exposed.def
		}
		if c.check.ExposedPort != c.exposed.port {
			w.t.Errorf("%s shows port %d, and is at %d", k.id, c.check.ExposedPort, c.exposed.port)
		}
		out[k.id] = d.HTTP + d.GRPC + d.TCP
	}
	return out
}

func TestChecksGoThroughASidecarThatExposesThem(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Port":8080,"Checks":[
		{"CheckID":"http","HTTP":"http://127.0.0.1:8080/health?x=1","Interval":"1h"},
		{"CheckID":"grpc","GRPC":"127.0.0.1:9090/shop","Interval":"1h"},
		{"CheckID":"tls","HTTP":"https://127.0.0.1:8443/health","Interval":"1h"},
		{"CheckID":"tcp","TCP":"127.0.0.1:8080","Interval":"1h"}]}`, webSecret)
	w.add(`{"Name":"db","Check":{"CheckID":"other","HTTP":"http://127.0.0.1:1/","Interval":"1h"}}`, "")
	direct := w.leads()
	w.add(exposing, "")
	got := w.leads()
	for _, id := range []string{"tls", "tcp", "other"} {
		if got[id] != direct[id] {
			t.Errorf("%s goes to %s", id, got[id])
		}
	}
	first := "http://127.0.0.1:21501/health?x=1 127.0.0.1:21502/shop"
	second := "http://127.0.0.1:21502/health?x=1 127.0.0.1:21501/shop"
	if through := got["http"] + " " + got["grpc"]; through != first && through != second {
		t.Errorf("they go to %s", through)
	}
	var paths []string
	for _, p := range w.ExposedPaths(tenancy.Default, "web-proxy") {
		if !p.ParsedFromCheck || p.ListenerPort < 21501 || p.ListenerPort > 21502 {
			t.Errorf("%+v", p)
		}
		p.ListenerPort = 0
		switch p {
		case catalog.ExposePath{Path: "/health", LocalPathPort: 8080, Protocol: "http", ParsedFromCheck: true},
			catalog.ExposePath{Path: grpcHealthPath, LocalPathPort: 9090, Protocol: "http2", ParsedFromCheck: true}:
			paths = append(paths, p.Path)
		default:
			t.Errorf("%+v", p)
		}
	}
	if len(paths) != 2 || w.ExposedPaths(tenancy.Default, "web") != nil || w.ExposedPaths(tenancy.Default, "nobody") != nil {
		t.Errorf("paths %v", paths)
	}
	w.add(exposing, "")
	w.open() // a restart
	if again := w.leads(); again["tcp"] != direct["tcp"] || !strings.Contains(again["http"], ":2150") {
		t.Errorf("after a restart: %v", again)
	}
	must(t, w.Deregister(anyone, tenancy.Default, "web-proxy"))
	for id, to := range w.leads() {
		if to != direct[id] {
			t.Errorf("without the proxy %s goes to %s", id, to)
		}
	}
}

// A proxy that names one service and has the ID of another leads nobody's checks to itself: its owner may write
// the one that it names.
func TestAttack_AProxyDoesNotTakeAnothersChecks(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"db","Check":{"CheckID":"alive","HTTP":"http://127.0.0.1:1/","Interval":"1h"}}`, "")
	w.add(`{"Name":"evil-sidecar-proxy","Kind":"connect-proxy","Port":20000,"Address":"192.0.2.66",
		"Proxy":{"DestinationServiceName":"evil","DestinationServiceID":"db","Expose":{"Checks":true}}}`, "")
	if got := w.leads()["alive"]; got != "http://127.0.0.1:1/" {
		t.Errorf("the check goes to %s", got)
	}
	if paths := w.ExposedPaths(tenancy.Default, "evil-sidecar-proxy"); paths != nil {
		t.Errorf("exposed: %v", paths)
	}
}

func TestAnExposedCheckAsksTheProxy(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
	}))
	defer proxy.Close()
	port := portOf(t, proxy.URL)
	w := newWorld(t, func(c *Config) { c.ExposePorts = Ports{port, port} })
	w.run()
	w.add(exposing, "")
	w.add(`{"Name":"web","Checks":[{"CheckID":"up","HTTP":"http://127.0.0.1:1/health","Interval":"1s"}]}`, webSecret)
	if path := <-asked; path != "/health" {
		t.Errorf("asked for %s", path)
	}
	w.catalog.until("passing with the port", func() bool {
		c := w.catalog.checks[key{"default", "up"}]
		return c.Status == catalog.Passing && c.ExposedPort == port
	})
}

func TestWithoutAPortLeftACheckGoesDirectly(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ExposePorts = Ports{21500, 21500} })
	w.add(`{"Name":"web","Check":{"CheckID":"http","HTTP":"http://127.0.0.1:1/","Interval":"1h"}}`, "")
	w.add(exposing, "")
	if got := w.leads()["http"]; got != "http://127.0.0.1:1/" || !strings.Contains(w.log.String(), "none left in range [21500, 21500]") {
		t.Errorf("%s\n%s", got, w.log)
	}
}

func TestThrough(t *testing.T) {
	for _, c := range []struct {
		name string
		def  check.Definition
		at   string
		ok   bool
	}{
		{"the port of HTTP", check.Definition{HTTP: "http://web/health"}, "http://10.0.0.1:7/health", true},
		{"no path", check.Definition{HTTP: "http://web:1"}, "http://10.0.0.1:7", true},
		{"HTTPS", check.Definition{HTTP: "https://web:1"}, "", false},
		{"no URL", check.Definition{HTTP: "http://web:x"}, "", false},
		{"gRPC", check.Definition{GRPC: "web:1"}, "10.0.0.1:7", true},
		{"gRPC over TLS", check.Definition{GRPC: "web:1", GRPCUseTLS: true}, "", false},
		{"gRPC without a port", check.Definition{GRPC: "web"}, "", false},
		{"TCP", check.Definition{TCP: "web:1"}, "", false},
	} {
		to, ok := through(c.def, "10.0.0.1")
		if ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
		}
		if d := to.at(7); ok && d.HTTP+d.GRPC != c.at {
			t.Errorf("%s: %s", c.name, d.HTTP+d.GRPC)
		}
	}
}

func portOf(t *testing.T, at string) int {
	t.Helper()
	to, ok := through(check.Definition{HTTP: at}, "x")
	if !ok {
		t.Fatal(at)
	}
	return to.local
}
