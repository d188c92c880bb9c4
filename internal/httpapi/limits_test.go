package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/telemetry"
)

// from calls the API as a client at an address.
func (w *world) from(remote, method, target, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr = remote
	req.Header.Set("X-Consul-Token", management)
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, req)
	return rec
}

func TestRates(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	once := func() *limit.Rate {
		return &limit.Rate{PerSecond: 0.1, Burst: 1, Now: func() time.Time { return now }}
	}
	type call struct {
		remote, method, target string
		status                 int
	}
	const a, b, kv, self = "192.0.2.1:1", "192.0.2.2:1", "/v1/kv/a", "/v1/agent/self"
	for _, c := range []struct {
		name   string
		server bool
		rates  Rates
		calls  []call
		count  string // line of the metrics; empty for none
	}{
		{"none", true, Rates{}, []call{{a, "PUT", kv, 200}, {a, "PUT", kv, 200}, {a, "GET", kv, 200}, {a, "GET", kv, 200}}, ""},
		{"reads of everybody", true, Rates{Read: once()}, []call{{a, "PUT", kv, 200}, {a, "GET", kv, 200}, {b, "GET", kv, 429}, {b, "PUT", kv, 200}},
			`consul_rpc_rate_limit_exceeded{limit_type="global",op="kv.read",mode="enforcing"} 1`},
		{"writes of everybody", true, Rates{Write: once()}, []call{{a, "PUT", kv, 200}, {b, "PUT", kv, 429}, {a, "GET", kv, 200}, {a, "GET", kv, 200}}, ""},
		{"reads of one source", true, Rates{SourceRead: once()}, []call{{a, "PUT", kv, 200}, {a, "GET", kv, 200}, {b, "GET", kv, 200}, {a, "GET", kv, 429}},
			`consul_rpc_rate_limit_exceeded{limit_type="source",op="kv.read",mode="enforcing"} 1`},
		{"writes of one source", true, Rates{SourceWrite: once()}, []call{{a, "PUT", kv, 200}, {b, "PUT", kv, 200}, {b, "PUT", kv, 429}}, ""},
		{"only counted", true, Rates{Read: once(), Permissive: true}, []call{{a, "PUT", kv, 200}, {a, "GET", kv, 200}, {a, "GET", kv, 200}},
			`consul_rpc_rate_limit_exceeded{limit_type="global",op="kv.read",mode="permissive"} 1`},
		{"not of what an agent tells about itself", true, Rates{Read: once()}, []call{{a, "GET", self, 200}, {a, "GET", self, 200}}, ""},
		{"of what a client agent passes on", false, Rates{Forwarded: once(), Permissive: true}, []call{{a, "PUT", kv, 200}, {a, "PUT", kv, 429}, {a, "GET", self, 200}},
			"consul_client_rpc_exceeded 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			metrics := telemetry.New(telemetry.Config{})
			w := newWorld(t, func(a *API) {
				a.Server, a.Limits, a.Agent.Metrics = c.server, NewRequestLimits(c.rates), metrics
			})
			for i, call := range c.calls {
				rec := w.from(call.remote, call.method, call.target, "")
				if rec.Code != call.status {
					t.Errorf("call %d: %d %s, want %d", i, rec.Code, rec.Body, call.status)
				}
				if rec.Code != http.StatusTooManyRequests {
					continue
				}
				if after, err := strconv.Atoi(rec.Header().Get("Retry-After")); err != nil || after < 1 || after > 30 || rec.Body.String() != tooManyRequests {
					t.Errorf("Retry-After %d, %v: %s", after, err, rec.Body)
				}
			}
			var text strings.Builder
			check(t, metrics.WritePrometheus(&text))
			if !strings.Contains(text.String(), c.count) {
				t.Errorf("no %s in\n%s", c.count, text.String())
			}
		})
	}
}

// Where a request comes from is what its connection says, and what a server says of those that it passes on.
func TestAttack_NobodyChoosesItsSource(t *testing.T) {
	for _, c := range []struct {
		name string
		port bool // the server port
		kind peer.Kind
		want string
	}{
		{"a client of the API", false, peer.Nobody, "192.0.2.1"},
		{"a client of the API, through TLS", false, peer.Server, "192.0.2.1"},
		{"somebody on the server port", true, peer.Nobody, "192.0.2.1"},
		{"a client agent", true, peer.Agent, "192.0.2.1"},
		{"a server", true, peer.Server, "10.9.9.9"},
	} {
		req := httptest.NewRequest(http.MethodGet, "/v1/kv/a", nil)
		req.RemoteAddr = "192.0.2.1:999"
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", peer.SourceHeader} {
			req.Header.Set(name, "10.9.9.9")
		}
		req = req.WithContext(peer.WithIdentity(req.Context(), peer.Identity{Kind: c.kind}))
		a := &API{peer: c.port}
		if got := a.source(req); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Bodies of those who have not said who they are take a bounded part of memory, and what
// one source holds leaves room for others.
func TestAttack_BodiesInMemoryAreBounded(t *testing.T) {
	w := newWorld(t, func(a *API) {
		a.Limits = NewRequestLimits(Rates{})
		a.bodyTimeout = 2 * patience // the bodies stay until the test is done
		a.Limits.bytes = limit.Places{PerSource: 100 << 10, Total: 300 << 10}
		a.Limits.places = limit.Places{PerSource: 5, Total: 100}
	})
	addr := w.listen(Limits{})
	held := func(n int) net.Conn {
		conn, err := net.Dial("tcp", addr)
		check(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		check(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = fmt.Fprintf(conn, "POST /v1/acl/login HTTP/1.1\r\nHost: x\r\nContent-Length: 130000\r\n\r\n%s", strings.Repeat(" ", n))
		check(t, err)
		return conn
	}
	awaitHeld := func(p *limit.Places, want int64) {
		t.Helper()
		for until := time.Now().Add(patience); p.Held() != want; runtime.Gosched() {
			if time.Now().After(until) {
				t.Fatalf("%d held, want %d", p.Held(), want)
			}
		}
	}
	big := held(90 << 10)
	awaitHeld(&w.api.Limits.bytes, 90<<10)
	refused := held(20 << 10)
	resp, err := http.ReadResponse(bufio.NewReader(refused), nil)
	check(t, err)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || string(body) != tooManyBodies {
		t.Errorf("bytes: %d %s", resp.StatusCode, body)
	}
	if rec := w.from("192.0.2.7:1", "POST", "/v1/acl/login", `{"AuthMethod":"x"}`); rec.Code != http.StatusForbidden {
		t.Errorf("another source: %d %s", rec.Code, rec.Body)
	}
	awaitHeld(&w.api.Limits.places, 1)
	for range 4 {
		held(1)
	}
	awaitHeld(&w.api.Limits.places, 5)
	resp, err = http.ReadResponse(bufio.NewReader(held(1)), nil)
	check(t, err)
	if resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("places: %d", resp.StatusCode)
	}
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/v1/acl/policy", strings.NewReader(`{"Name":"p"}`))
	check(t, err)
	req.Header.Set("X-Consul-Token", management)
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("a caller with a token: %v %v", resp, err)
	}
	_ = big.Close()
}

func TestBodiesGiveTheirPlacesBack(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Limits = NewRequestLimits(Rates{}) })
	for range 3 {
		w.from("192.0.2.7:1", "POST", "/v1/acl/login", `{"AuthMethod":"x"}`)
		w.from("192.0.2.7:1", "PUT", "/v1/acl/policy", `{"Name":"p"}`)
		w.from("192.0.2.7:1", "POST", "/v1/acl/login", strings.Repeat("[", maxLoginBody+1))
	}
	if b, p := w.api.Limits.bytes.Held(), w.api.Limits.places.Held(); b != 0 || p != 0 {
		t.Errorf("%d bytes and %d places are held by nobody", b, p)
	}
}

func TestLongTextsOfStrangersWait(t *testing.T) {
	limits := NewRequestLimits(Rates{})
	limits.texts.Slots, limits.texts.MaxWait = 1, patience
	w := newWorld(t, func(a *API) { a.Limits = limits })
	leave, err := limits.texts.Enter(t.Context(), "somebody", "")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, body, token string) int {
		req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		if token != "" {
			req.Header.Set("X-Consul-Token", token)
		}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, req)
		return rec.Code
	}
	long := strings.Repeat(" ", longText) + "["
	status := make(chan int)
	go func() { status <- ask("/v1/acl/login", long, "") }()
	for waiting := 0; waiting == 0; runtime.Gosched() {
		_, waiting, _ = limits.texts.Stats()
	}
	for name, got := range map[string]int{
		"a short text":                        ask("/v1/acl/login", "[", ""),
		"a long one of somebody with a token": ask("/v1/acl/login/explain", long, management),
	} {
		if got != http.StatusBadRequest {
			t.Errorf("%s is answered %d", name, got)
		}
	}
	leave()
	if got := <-status; got != http.StatusBadRequest {
		t.Errorf("the long text that waited is answered %d", got)
	}
}
