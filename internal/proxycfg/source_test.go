package proxycfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// cluster answers blocking queries, and has one registered proxy or none.
type cluster struct {
	mu      sync.Mutex
	index   uint64
	bodies  map[string]string // by path; none is 500
	at      map[string]uint64 // when they changed
	policy  string            // that answers name; "" is none
	proxy   *catalog.Service
	changed chan struct{}
	tokens  map[string]bool // that requests carried
	open    int             // requests under way
}

func newCluster() *cluster {
	c := &cluster{changed: make(chan struct{}), bodies: map[string]string{}, at: map[string]uint64{}, tokens: map[string]bool{}}
	c.set("/v1/agent/connect/ca/roots", `{"TrustDomain":"td.consul","Roots":[{"ID":"1","RootCert":"old"},{"ID":"2","RootCert":"new","Active":true}]}`)
	c.set("/v1/agent/connect/ca/leaf/web", `{"CertPEM":"cert","PrivateKeyPEM":"key"}`)
	c.set("/v1/connect/intentions/match", `{"web":[{"SourceNS":"default","SourceName":"shop","DestinationNS":"default","DestinationName":"web","Action":"deny","Precedence":9}]}`)
	c.set("/v1/config/proxy-defaults", `[{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","local_connect_timeout_ms":7}}]`)
	c.set("/v1/config/mesh", `[]`)
	c.set("/v1/config/service-defaults", `[{"Kind":"service-defaults","Name":"API","Protocol":"grpc"}]`)
	c.set("/v1/health/connect/api", `[
		{"Node":{"Address":"10.0.0.2"},"Service":{"Port":21000,"Weights":{"Passing":5,"Warning":2}},"Checks":[{"Status":"warning"}]},
		{"Node":{"Address":"10.0.0.9"},"Service":{"Address":"10.0.0.1","Port":21000,"Weights":{"Passing":5,"Warning":2}},"Checks":[{"Status":"passing"}]},
		{"Node":{"Address":"10.0.0.3"},"Service":{"Port":21000,"Weights":{"Passing":5,"Warning":2}},"Checks":[{"Status":"critical"}]}]`)
	return c
}

func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) set(path, body string) {
	c.change(func() { c.bodies[path], c.at[path] = body, c.index })
}

func (c *cluster) fail(path string) { c.change(func() { delete(c.bodies, path) }) }

func (c *cluster) register(p *catalog.Service) { c.change(func() { c.proxy = p }) }

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	index, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	defer func() { c.open-- }()
	c.tokens[r.Header.Get("X-Consul-Token")] = true
	for c.at[r.URL.Path] <= index && r.Context().Err() == nil {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		c.mu.Lock()
	}
	body, found := c.bodies[r.URL.Path]
	if !found {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(c.at[r.URL.Path], 10))
	if policy := c.policy; policy != "" {
		w.Header().Set("X-Consul-Lastcontact", "0") // the client reads no further without it
		w.Header().Set("X-Consul-Default-Acl-Policy", policy)
	}
	_, _ = fmt.Fprint(w, body)
}

// Service implements Services.
func (c *cluster) Service(_ acl.Caller, _ tenancy.Scope, id string) (catalog.Service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proxy == nil || c.proxy.ID != id {
		return catalog.Service{}, errs.New(errs.NotFound, "unknown service")
	}
	return *c.proxy, nil
}

// Changed implements Services.
func (c *cluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func sidecar(upstreams ...string) *catalog.Service {
	s := &catalog.Service{
		Kind: catalog.KindConnectProxy, ID: "web-proxy", Service: "web-proxy", Scope: tenancy.Default,
		Proxy: catalog.Proxy{DestinationServiceName: "web", Config: map[string]any{"protocol": "tcp"}},
	}
	for _, name := range upstreams {
		s.Proxy.Upstreams = append(s.Proxy.Upstreams, catalog.Upstream{DestinationName: name, LocalBindPort: 9000})
	}
	return s
}

// following is a Follow that runs.
type following struct {
	t         *testing.T
	snapshots chan *Snapshot
	ended     chan error
	stop      context.CancelFunc
}

func follow(t *testing.T, c *cluster, authorize func(catalog.Service) error) *following {
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	client, err := api.NewClient(&api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	source := &Source{Services: c, Client: client, Datacenter: "dc1", DefaultAllow: true, Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	f := &following{t: t, snapshots: make(chan *Snapshot, 100), ended: make(chan error, 1), stop: stop}
	go func() {
		f.ended <- source.Follow(ctx, Proxy{ID: "web-proxy", Scope: tenancy.Default, Token: "proxy token"}, authorize,
			func(s *Snapshot) { f.snapshots <- s })
	}()
	t.Cleanup(stop)
	return f
}

func permit(catalog.Service) error { return nil }

// until returns the first snapshot for which enough is true.
func (f *following) until(enough func(*Snapshot) bool) *Snapshot {
	f.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case s := <-f.snapshots:
			if enough(s) {
				return s
			}
		case err := <-f.ended:
			f.t.Fatalf("Follow ended: %v", err)
		case <-late:
			f.t.Fatal("no such snapshot")
		}
	}
}

func anything(*Snapshot) bool { return true }

func TestASnapshotHasEverything(t *testing.T) {
	c := newCluster()
	c.register(sidecar("api"))
	f := follow(t, c, permit)
	s := f.until(anything)
	if s.TrustDomain != "td.consul" || !reflect.DeepEqual(s.Roots, []string{"new", "old"}) || s.Leaf.Chain != "cert" || s.Leaf.Key.Reveal() != "key" {
		t.Errorf("certificates: %+v", s)
	}
	if len(s.Intentions) != 1 || s.Intentions[0].SourceName != "shop" || !s.DefaultAllow || s.Datacenter != "dc1" || s.Mesh != nil {
		t.Errorf("intentions and defaults: %+v", s)
	}
	if got := s.Proxy.Proxy.Config; got["protocol"] != "tcp" || got["local_connect_timeout_ms"] != 7.0 {
		t.Errorf("what the proxy says counts, then what is central: %v", got)
	}
	want := []Endpoint{
		{Address: "10.0.0.1", Port: 21000, Weight: 5, Healthy: true},
		{Address: "10.0.0.2", Port: 21000, Weight: 2, Healthy: true},
		{Address: "10.0.0.3", Port: 21000, Weight: 5},
	}
	if u := s.Upstreams[0]; u.Protocol != GRPC || u.Scope != tenancy.Default || !reflect.DeepEqual(u.Endpoints, want) {
		t.Errorf("upstream %+v", u)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tokens) != 1 || !c.tokens["proxy token"] {
		t.Errorf("tokens that were used: %v", c.tokens)
	}
}

func TestExposedPathsAreCentralUnlessTheProxyHasItsOwn(t *testing.T) {
	for _, own := range []bool{false, true} {
		c := newCluster()
		c.set("/v1/config/proxy-defaults", `[{"Kind":"proxy-defaults","Name":"global","Expose":{"Paths":[{"Path":"/central","LocalPathPort":1,"ListenerPort":2}]}}]`)
		p, want := sidecar("api"), "/central"
		if own {
			want = "/own"
			p.Proxy.Expose.Paths = []catalog.ExposePath{{Path: want, LocalPathPort: 1, ListenerPort: 2}}
		}
		p.Proxy.Expose.Paths = append(p.Proxy.Expose.Paths, catalog.ExposePath{Path: "/check", LocalPathPort: 1, ListenerPort: 3, ParsedFromCheck: true})
		c.register(p)
		got := follow(t, c, permit).until(anything).Proxy.Proxy.Expose.Paths
		if len(got) != 2 || !slices.ContainsFunc(got, func(p catalog.ExposePath) bool { return p.Path == want }) {
			t.Errorf("own %v: %+v", own, got)
		}
	}
}

func TestServersSayWhatCountsWithoutIntentions(t *testing.T) {
	for policy, allow := range map[string]bool{"": true, "allow": true, "deny": false} { // the agent's own is to allow
		c := newCluster()
		c.policy = policy
		c.register(sidecar())
		if s := follow(t, c, permit).until(anything); s.DefaultAllow != allow {
			t.Errorf("servers say %q: default allow %v", policy, s.DefaultAllow)
		}
	}
}

func TestEachChangeIsTold(t *testing.T) {
	c := newCluster()
	f := follow(t, c, permit)
	c.register(sidecar("api"))
	f.until(anything)
	c.set("/v1/agent/connect/ca/leaf/web", `{"CertPEM":"newer","PrivateKeyPEM":"key"}`)
	f.until(func(s *Snapshot) bool { return s.Leaf.Chain == "newer" })
	c.set("/v1/connect/intentions/match", `{"web":null}`)
	f.until(func(s *Snapshot) bool { return len(s.Intentions) == 0 })
	c.set("/v1/config/mesh", `[{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"TLSv1_3"}}}]`)
	f.until(func(s *Snapshot) bool { return s.Mesh != nil && s.Mesh.TLS.Incoming.TLSMinVersion == "TLSv1_3" })
	c.set("/v1/health/connect/api", `[]`)
	f.until(func(s *Snapshot) bool { return len(s.Upstreams[0].Endpoints) == 0 })
	c.set("/v1/health/connect/db", `[{"Node":{"Address":"10.0.0.7"},"Service":{"Port":1},"Checks":[]}]`)
	c.register(sidecar("db"))
	f.until(func(s *Snapshot) bool { return len(s.Upstreams) == 1 && len(s.Upstreams[0].Endpoints) == 1 })
}

func TestAnUpstreamThatCannotBeReadHoldsUpNobody(t *testing.T) {
	c := newCluster()
	c.set("/v1/health/connect/broken", "")
	c.fail("/v1/health/connect/broken")
	c.register(sidecar("broken", "api"))
	s := follow(t, c, permit).until(anything)
	if len(s.Upstreams[0].Endpoints) != 0 || len(s.Upstreams[1].Endpoints) != 3 {
		t.Errorf("upstreams %+v", s.Upstreams)
	}
}

func TestWithoutIntentionsThereIsNoSnapshot(t *testing.T) {
	c := newCluster()
	body := c.bodies["/v1/connect/intentions/match"]
	c.fail("/v1/connect/intentions/match")
	c.register(sidecar("api"))
	f := follow(t, c, permit)
	for c.requests() < 6 { // the others wait for changes by now
		select {
		case s := <-f.snapshots:
			t.Fatalf("a snapshot %+v", s)
		case <-time.After(time.Millisecond):
		}
	}
	c.set("/v1/connect/intentions/match", body)
	if s := f.until(anything); len(s.Intentions) != 1 {
		t.Errorf("intentions %v", s.Intentions)
	}
}

func (c *cluster) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// idle waits until nobody asks for anything.
func (c *cluster) idle() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.requests() > 0 {
		<-tick.C
	}
}

func TestNothingIsReadForWhomIsNotAllowed(t *testing.T) {
	c := newCluster()
	c.register(sidecar("api"))
	refusal := errors.New("refused")
	f := follow(t, c, func(p catalog.Service) error {
		if p.Proxy.DestinationServiceName != "web" {
			t.Errorf("asked for %+v", p)
		}
		return refusal
	})
	if err := <-f.ended; !errors.Is(err, refusal) {
		t.Errorf("error %v", err)
	}
	if len(c.tokens) != 0 {
		t.Error("something was read")
	}
}

func TestFollowEndsWithItsContextAndForWhatIsNoSidecar(t *testing.T) {
	c := newCluster()
	c.register(sidecar("api"))
	f := follow(t, c, permit)
	f.until(anything)
	f.stop()
	if err := <-f.ended; err != nil {
		t.Errorf("error %v", err)
	}
	gateway := sidecar()
	gateway.Kind = catalog.KindMeshGateway
	c.register(gateway)
	if err := <-follow(t, c, permit).ended; !errors.Is(err, ErrNoSidecar) {
		t.Errorf("error %v", err)
	}
}

func TestAProxyMayGoAndComeBack(t *testing.T) {
	c := newCluster()
	c.register(sidecar("api"))
	f := follow(t, c, permit)
	f.until(anything)
	c.register(nil)
	c.idle()
	c.register(sidecar("api"))
	f.until(anything)
}
