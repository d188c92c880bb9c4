package proxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

const clusterID = "d9a1a5c4-0000-4000-8000-000000000001"

// patience is how long something may take that a test waits for.
const patience = time.Minute

// fakeAgent answers what the proxy asks, with certificates of a real CA.
type fakeAgent struct {
	*httptest.Server
	t  testing.TB
	ca ca.BuiltIn

	mu        sync.Mutex // guards what follows
	next      chan struct{}
	index     uint64
	roots     []ca.Root // the active one last
	leafs     map[string]*api.LeafCert
	leafLife  time.Duration
	denied    map[string]bool // URIs of sources
	instances map[string][]string
	service   *api.AgentService
	mesh      *api.MeshConfigEntry
	asked     map[string]int
	down      bool
	silent    chan struct{} // until it is closed nothing is decided; nil is no wait
}

func newAgent(t testing.TB) *fakeAgent {
	t.Helper()
	a := &fakeAgent{
		t: t, next: make(chan struct{}), index: 10, leafs: map[string]*api.LeafCert{}, denied: map[string]bool{},
		instances: map[string][]string{}, asked: map[string]int{}, leafLife: time.Hour,
	}
	a.rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/agent/connect/ca/roots", a.answer(a.rootList))
	mux.HandleFunc("/v1/agent/connect/ca/leaf/{service}", a.answer(a.leaf))
	mux.HandleFunc("/v1/agent/connect/authorize", a.authorize)
	mux.HandleFunc("/v1/connect/intentions/match", a.answer(a.match))
	mux.HandleFunc("/v1/health/connect/{service}", a.answer(a.health))
	mux.HandleFunc("/v1/config/mesh", a.answer(a.meshEntries))
	mux.HandleFunc("/v1/agent/service/{id}", a.answer(func(*http.Request) any { return a.service }))
	a.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// change changes what the agent says, and wakes whoever waits for that.
func (a *fakeAgent) change(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
	a.index++
	close(a.next)
	a.next = make(chan struct{})
}

// answer answers a read, which may wait for a change of anything.
func (a *fakeAgent) answer(value func(*http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseUint(cmp.Or(r.FormValue("index"), r.FormValue("hash")), 10, 64)
		for {
			a.mu.Lock()
			next, index, down := a.next, a.index, a.down
			if index > after || down {
				a.asked[strings.SplitAfterN(r.URL.Path, "/", 4)[2]]++
				body, _ := json.Marshal(value(r))
				a.mu.Unlock()
				if down {
					http.Error(w, "No cluster leader", http.StatusInternalServerError)
					return
				}
				w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
				w.Header().Set("X-Consul-ContentHash", strconv.FormatUint(index, 10))
				_, _ = w.Write(body)
				return
			}
			a.mu.Unlock()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// rotate gives the CA a new root, which those before have signed.
func (a *fakeAgent) rotate() {
	a.change(func() {
		spec := ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: clusterID}, Now: time.Now()}
		root, err := a.ca.NewRoot(context.Background(), spec)
		a.must(err)
		if len(a.roots) > 0 {
			root, err = ca.CrossSign(context.Background(), a.ca, &a.roots[len(a.roots)-1], root, time.Hour, time.Now())
			a.must(err)
		}
		a.roots = append(a.roots, root)
		clear(a.leafs)
	})
}

func (a *fakeAgent) must(err error) {
	if err != nil {
		a.t.Error(err)
	}
}

func (a *fakeAgent) rootList(*http.Request) any {
	list := api.CARootList{TrustDomain: clusterID + ".consul"}
	for _, r := range a.roots {
		list.ActiveRootID = r.ID
		list.Roots = append(list.Roots, &api.CARoot{ID: r.ID, RootCertPEM: r.RootCert})
	}
	return list
}

func (a *fakeAgent) leaf(r *http.Request) any {
	name := r.PathValue("service")
	if a.leafs[name] == nil {
		a.leafs[name] = a.sign(&a.roots[len(a.roots)-1], serviceID(name), a.leafLife)
	}
	return a.leafs[name]
}

func serviceID(name string) ca.ServiceID {
	return ca.ServiceID{TrustDomain: clusterID + ".consul", Datacenter: "dc1", Service: name, Scope: tenancy.Default}
}

// sign has a root sign a leaf.
func (a *fakeAgent) sign(root *ca.Root, id ca.ServiceID, life time.Duration) *api.LeafCert {
	csr, key, err := ca.NewCSR(id.URI())
	a.must(err)
	request, err := ca.ReadServiceCSR(csr)
	a.must(err)
	leaf, err := ca.Signer{Provider: a.ca, Root: root, Life: life}.SignService(context.Background(), request, time.Now())
	a.must(err)
	return &api.LeafCert{CertPEM: leaf.Chain, PrivateKeyPEM: key.Reveal(), Service: id.Service, ServiceURI: id.URI().String()}
}

// certificate returns a leaf as one presents it.
func (a *fakeAgent) certificate(id ca.ServiceID, life time.Duration) tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	leaf := a.sign(&a.roots[len(a.roots)-1], id, life)
	cert, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	a.must(err)
	return cert
}

func (a *fakeAgent) authorize(w http.ResponseWriter, r *http.Request) {
	var body api.AgentAuthorizeParams
	a.must(json.NewDecoder(r.Body).Decode(&body))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked["authorize"]++
	if silent := a.silent; silent != nil {
		a.mu.Unlock()
		select {
		case <-silent:
		case <-r.Context().Done():
		}
		a.mu.Lock()
	}
	if a.down {
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(api.AgentAuthorize{Authorized: !a.denied[body.ClientCertURI], Reason: "as the test wants it"})
}

// match tells of a change whenever anything has changed.
func (a *fakeAgent) match(r *http.Request) any {
	return map[string][]*api.Intention{r.FormValue("name"): {{SourceName: fmt.Sprint(a.denied)}}}
}

func (a *fakeAgent) meshEntries(*http.Request) any {
	if a.mesh == nil {
		return []any{}
	}
	return []api.ConfigEntry{a.mesh}
}

func (a *fakeAgent) health(r *http.Request) any {
	list := []*api.ServiceEntry{}
	for _, address := range a.instances[r.PathValue("service")] {
		host, port, _ := net.SplitHostPort(address)
		number, _ := strconv.Atoi(port)
		list = append(list, &api.ServiceEntry{Node: &api.Node{Address: host}, Service: &api.AgentService{Port: number}})
	}
	return list
}

// deny says whether a service may connect.
func (a *fakeAgent) deny(source string, denied bool) {
	a.change(func() { a.denied[serviceID(source).URI().String()] = denied })
}

func (a *fakeAgent) setDown(down bool) { a.change(func() { a.down = down }) }

func (a *fakeAgent) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[what]
}

// client returns a client that nothing in the environment changes.
func (a *fakeAgent) client() *api.Client {
	c, err := api.NewClient(&api.Config{Address: a.Listener.Addr().String(), Scheme: "http", HttpClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// running is a proxy that a test runs.
type running struct {
	t      testing.TB
	proxy  *Proxy
	log    *lines
	bound  chan [2]string
	at     map[string]string
	cancel context.CancelFunc
	ended  chan error
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a proxy, and returns once each of its listeners is there.
func (a *fakeAgent) start(cfg Config) *running {
	a.t.Helper()
	r := &running{t: a.t, log: &lines{}, bound: make(chan [2]string, 100), at: map[string]string{}, ended: make(chan error, 1)}
	log, _, _, err := logging.New(logging.Config{Level: "debug"}, r.log)
	if err != nil {
		a.t.Fatal(err)
	}
	cfg.Client, cfg.Log = a.client(), log
	cfg.Listening = func(what, address string) { r.bound <- [2]string{what, address} }
	r.proxy = New(cfg)
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- r.proxy.Run(ctx) }()
	a.t.Cleanup(func() {
		r.proxy.connections.closeAll()
		r.stop()
		if a.t.Failed() {
			a.t.Log(r.log)
		}
	})
	count := len(cfg.Settings.Upstreams)
	if cfg.Settings.Public != nil {
		count++
	}
	r.await(count)
	if cfg.Settings.Public != nil { // what is decided before it hears of intentions counts until then only
		eventually(a.t, "the proxy to hear of intentions", r.hears)
	}
	return r
}

// hears reports whether a change of the intentions will be heard of.
func (r *running) hears() bool {
	authority := r.proxy.authority
	authority.mu.Lock()
	defer authority.mu.Unlock()
	return authority.live
}

// await returns once so many more listeners are there.
func (r *running) await(count int) {
	r.t.Helper()
	late := time.After(patience)
	for range count {
		select {
		case b := <-r.bound:
			name, _, _ := strings.Cut(b[0], ":")
			r.at[name] = b[1]
		case err := <-r.ended:
			r.ended <- err
			r.t.Fatalf("the proxy has ended: %v\n%s", err, r.log)
		case <-late:
			r.t.Fatalf("a listener is missing\n%s", r.log)
		}
	}
}

// stop ends the proxy and returns what it has returned.
func (r *running) stop() error {
	r.cancel()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(patience):
		r.t.Error("the proxy does not end")
		return nil
	}
}

// public returns the settings of a proxy with a public listener for an address.
func publicFor(service, local string) Settings {
	return Settings{Service: service, Scope: tenancy.Default, Public: NewPublic(TCP("127.0.0.1", 0), Address{Network: "tcp", Addr: local})}
}

// upstreamTo returns the settings of a proxy with an upstream.
func upstreamTo(service, destination string) Settings {
	return Settings{Service: service, Scope: tenancy.Default, Upstreams: []Upstream{NewUpstream(destination, tenancy.Default, TCP("127.0.0.1", 0))}}
}

// echo is a service that sends back what it is sent. A client's last word is followed by name.
func echo(t testing.TB, name string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open connections
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done := open.add(&connection{cut: func() { _ = conn.Close() }})
			work.Go(func() {
				defer done()
				defer conn.Close()
				if _, err := io.Copy(conn, conn); err == nil {
					_, _ = io.WriteString(conn, name)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.closeAll()
		work.Wait()
	})
	return l.Addr().String()
}

// pair is a proxy of web, whose upstream leads to a proxy of api.
type pair struct {
	agent    *fakeAgent
	web, api *running
}

func newPair(t testing.TB) pair {
	t.Helper()
	a := newAgent(t)
	p := pair{agent: a, api: a.start(Config{Settings: publicFor("api", echo(t, "api"))})}
	a.change(func() { a.instances["api"] = []string{p.api.at["public listener"]} })
	p.web = a.start(Config{Settings: upstreamTo("web", "api")})
	return p
}

// call sends a text through a connection of its own, and returns what comes back.
func call(address, text string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	all, err := io.ReadAll(conn)
	return string(all), err
}
