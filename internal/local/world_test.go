package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

const patience = time.Minute

// fakeCatalog is a catalog of one node, served as servers serve it. Tokens may do
// everything, nothing, or do not exist.
type fakeCatalog struct {
	t    *testing.T
	http *httptest.Server

	partition string // of the agent

	mu        sync.Mutex
	changed   chan struct{}
	node      *catalog.Node
	services  map[key]catalog.Service
	checks    map[key]catalog.Check
	writes    []string          // what was asked for, refused or not
	refuse    map[string]string // by token, with 403 and a text
	blind     map[string]bool   // tokens that see nothing
	down      bool
	elsewhere []string // the statuses of the service db on the node n2, one after the other
}

func newCatalog(t *testing.T) *fakeCatalog {
	f := &fakeCatalog{t: t, partition: tenancy.DefaultName, changed: make(chan struct{}), services: map[key]catalog.Service{}, checks: map[key]catalog.Check{},
		refuse: map[string]string{}, blind: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/catalog/register", f.register)
	mux.HandleFunc("PUT /v1/catalog/deregister", f.deregister)
	mux.HandleFunc("GET /v1/catalog/node-services/n1", f.read(func(blind bool) any {
		out := struct {
			Node     *catalog.Node
			Services []catalog.Service
		}{}
		if !blind {
			out.Node = f.node
			for _, i := range f.services {
				out.Services = append(out.Services, i)
			}
		}
		return out
	}))
	mux.HandleFunc("GET /v1/health/node/n1", f.read(func(blind bool) any {
		out := []catalog.Check{}
		if !blind {
			for _, c := range f.checks {
				out = append(out, c)
			}
		}
		return out
	}))
	mux.HandleFunc("GET /v1/health/node/n2", f.otherNode)
	f.http = httptest.NewServer(mux)
	t.Cleanup(f.http.Close)
	return f
}

// RoundTrip implements http.RoundTripper: requests reach the fake, whatever their address.
func (f *fakeCatalog) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = f.http.Listener.Addr().String()
	return http.DefaultTransport.RoundTrip(req)
}

// admit answers a request that fails. f.mu is held.
func (f *fakeCatalog) admit(w http.ResponseWriter, r *http.Request) bool {
	if text := f.refuse[r.Header.Get("X-Consul-Token")]; text != "" {
		http.Error(w, text, http.StatusForbidden)
		return false
	}
	if f.down {
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
		return false
	}
	return true
}

func (f *fakeCatalog) read(answer func(blind bool) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.admit(w, r) {
			return
		}
		if r.URL.Query().Get("ns") != "*" || r.URL.Query().Get("partition") != f.partition {
			f.t.Errorf("%s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(answer(f.blind[r.Header.Get("X-Consul-Token")]))
	}
}

// wrote notes a write and wakes who waits for it. f.mu is held.
func (f *fakeCatalog) wrote(format string, args ...any) {
	f.writes = append(f.writes, fmt.Sprintf(format, args...))
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeCatalog) register(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body registration
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Partition != f.partition {
		f.t.Errorf("%+v %v", body, err)
	}
	what := "node"
	if body.Service != nil {
		what = "service " + body.Service.ID
	}
	for _, c := range body.Checks {
		what += " check " + c.CheckID + "=" + c.Status
	}
	ok := f.admit(w, r)
	if ok {
		if !body.SkipNodeUpdate {
			f.node = &catalog.Node{ID: body.ID, Node: body.Node, Address: body.Address, TaggedAddresses: body.TaggedAddresses, Meta: body.NodeMeta}
		}
		if i := body.Service; i != nil {
			f.services[key{i.Namespace, i.ID}] = *i
		}
		for _, c := range body.Checks {
			f.checks[key{c.Namespace, c.CheckID}] = c
		}
		_, _ = w.Write([]byte("true"))
	}
	f.wrote("register %s by %q", strings.TrimPrefix(what, "node check"), r.Header.Get("X-Consul-Token"))
}

func (f *fakeCatalog) deregister(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body struct{ ServiceID, CheckID, Namespace string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.t.Error(err)
	}
	if f.admit(w, r) {
		delete(f.services, key{body.Namespace, body.ServiceID})
		delete(f.checks, key{body.Namespace, body.CheckID})
		for k, c := range f.checks {
			if body.ServiceID != "" && c.ServiceID == body.ServiceID && k.namespace == body.Namespace {
				delete(f.checks, k)
			}
		}
		_, _ = w.Write([]byte("true"))
	}
	f.wrote("deregister %s%s by %q", body.ServiceID, body.CheckID, r.Header.Get("X-Consul-Token"))
}

// otherNode answers about the node n2, at once or when elsewhere has changed.
func (f *fakeCatalog) otherNode(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r.URL.Query().Get("index") == fmt.Sprint(len(f.elsewhere)) {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		f.mu.Lock()
		if r.Context().Err() != nil {
			return
		}
	}
	w.Header().Set("X-Consul-Index", fmt.Sprint(len(f.elsewhere)))
	w.Header().Set("X-Consul-LastContact", "0")
	_ = json.NewEncoder(w).Encode([]catalog.Check{
		{Name: "theirs", ServiceID: "db", Status: f.elsewhere[len(f.elsewhere)-1]}, {Name: "other", ServiceID: "x", Status: catalog.Critical},
	})
}

// until waits for writes until done, which reads the fake, is true.
func (f *fakeCatalog) until(what string, done func() bool) {
	f.t.Helper()
	late := time.After(patience)
	for {
		f.mu.Lock()
		ok, changed := done(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			f.mu.Lock()
			defer f.mu.Unlock()
			f.t.Fatalf("%s: not in time; writes:\n%s", what, strings.Join(f.writes, "\n"))
		}
	}
}

// list returns the writes so far, and forgets them.
func (f *fakeCatalog) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.writes
	f.writes = nil
	return list
}

func (f *fakeCatalog) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

// world is a State with a fake catalog.
type world struct {
	*State
	t       *testing.T
	catalog *fakeCatalog
	cfg     Config
	log     *bytes.Buffer
}

// agentSecret is the agent's own token in tests, webSecret that of a service.
const (
	agentSecret = logging.Secret("agent-token")
	webSecret   = logging.Secret("web-token")
)

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	f := newCatalog(t)
	client, err := NewClient(f, "")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, catalog: f, log: &bytes.Buffer{}}
	w.cfg = Config{
		NodeName: "n1", Datacenter: "dc1", Client: client, DataDir: t.TempDir(),
		Node: func() catalog.Node {
			return catalog.Node{ID: "id", Node: "n1", Address: "127.0.0.1", Meta: map[string]string{"a": "b"}}
		},
		AgentToken: func() logging.Secret { return agentSecret },
		Log:        slog.New(slog.NewTextHandler(&locked{w: w.log}, nil)),
	}
	for _, c := range change {
		c(&w.cfg)
	}
	if w.cfg.Partition != "" {
		f.partition = w.cfg.Partition
		if w.cfg.Client, err = NewClient(f, f.partition); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	return w
}

// open opens the state anew, as a start of the agent does.
func (w *world) open() {
	w.t.Helper()
	s, err := Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.State = s
}

// run runs the state until the test or stop ends it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := w.State
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// locked is a writer for many.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

var anyone = acl.Caller{AccessorID: "anyone", Authorizer: acl.AllowAll()}

// callerWith returns a caller who may do what rules say and nothing else.
func callerWith(t *testing.T, rules string) acl.Caller {
	t.Helper()
	parsed, err := acl.ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return acl.Caller{AccessorID: "x", Authorizer: acl.Compile([]acl.Grant{{Rules: parsed, Scope: tenancy.Default}}, nil, acl.Defaults{})}
}

// add registers a service given as JSON.
func (w *world) add(definition string, token logging.Secret) {
	w.t.Helper()
	if err := w.register(anyone, definition, token, false); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) register(who acl.Caller, definition string, token logging.Secret, replace bool) error {
	w.t.Helper()
	d := ServiceDefinition{Scope: tenancy.Default}
	if err := json.Unmarshal([]byte(definition), &d); err != nil {
		w.t.Fatal(err)
	}
	return w.Register(who, Registration{Service: d, Token: token, ReplaceChecks: replace})
}

// checkIDs returns the ids of all checks.
func (w *world) checkIDs() string {
	var ids []string
	for _, c := range w.Checks(anyone, tenancy.Default) {
		ids = append(ids, c.CheckID)
	}
	return strings.Join(ids, " ")
}

func (w *world) status(id string) string {
	for _, c := range w.Checks(anyone, tenancy.Default) {
		if c.CheckID == id {
			return c.Status
		}
	}
	return "none"
}

func (w *world) report(id, status, output string) {
	w.t.Helper()
	if err := w.Report(anyone, tenancy.Default, id, check.Status{Status: status, Output: output}); err != nil {
		w.t.Fatal(err)
	}
}
