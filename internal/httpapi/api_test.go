package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	management         = "c0ffee00-0000-4000-8000-000000000001"
	managementAccessor = "c0ffee00-0000-4000-8000-000000000002"
)

// oneServer is a log of one server: what is proposed applies at once.
type oneServer struct {
	mu    sync.Mutex
	fsm   *fsm.FSM
	index uint64
	down  bool
}

func (s *oneServer) Propose(ctx context.Context, cmd fsm.Command) (uint64, error) {
	_, index, err := s.propose(ctx, cmd)
	return index, err
}

func (s *oneServer) Ask(ctx context.Context, cmd fsm.Answering) (any, uint64, error) {
	return s.propose(ctx, cmd)
}

func (s *oneServer) propose(_ context.Context, cmd fsm.Command) (any, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, 0, errs.New(errs.Unavailable, "no quorum")
	}
	data, err := fsm.Encode(cmd)
	if err != nil {
		return nil, 0, err
	}
	s.index++
	applied := s.fsm.Apply(&raft.Log{Index: s.index, Data: data, AppendedAt: time.Now()}).(fsm.Applied)
	return applied.Answers[0], s.index, applied.Errors[0]
}

// passwords is a type of auth method whose bearer token is a name and the
// method's password.
type passwords struct{}

type passwordConfig struct{ Password string }

func (passwords) Name() string { return "aws-iam" }

func (passwords) Open(config map[string]any) (authmethod.Verifier, error) {
	var c passwordConfig
	if err := authmethod.DecodeConfig(config, &c); err != nil {
		return nil, err
	}
	return c, nil
}

func (c passwordConfig) Verify(_ context.Context, bearer logging.Secret) (authmethod.Identity, error) {
	name, password, _ := strings.Cut(bearer.Reveal(), ":")
	if password != c.Password {
		return authmethod.Identity{}, errs.New(errs.Denied, "Permission denied: wrong password")
	}
	return identity(name), nil
}

func (c passwordConfig) Example() authmethod.Identity { return identity(authmethod.Placeholder) }

func identity(name string) authmethod.Identity {
	return authmethod.Identity{
		Attributes: map[string]any{"entity_name": name},
		Variables:  map[string]string{"entity_name": name},
		Principal:  name, UniqueID: name, Account: "1",
	}
}

// world is an API over a real state with one management token.
type world struct {
	t    testing.TB
	api  *API
	raft *oneServer
	log  *bytes.Buffer
	http http.Handler

	saved   *savedState
	servers *threeServers
}

// newWorld returns an API whose ACLs deny by default, with a management token.
// change may change it before it serves.
func newWorld(t testing.TB, change ...func(*API)) *world {
	t.Helper()
	w := newEmptyWorld(t, change...)
	w.init(true, acl.Token{
		AccessorID: managementAccessor, SecretID: management, Scope: tenancy.Default,
		CreateTime: time.Unix(1, 0).UTC(), Policies: []acl.Link{{ID: acl.GlobalManagementID}},
	})
	return w
}

// newEmptyWorld is newWorld before the leader has made anything.
func newEmptyWorld(t testing.TB, change ...func(*API)) *world {
	t.Helper()
	st := state.New()
	w := &world{t: t, raft: &oneServer{fsm: fsm.New(st), index: 10}, log: &bytes.Buffer{}}
	resolver := &endpoint.Resolver{Store: st, Enabled: true, Datacenter: "dc1", NodeName: "n1"}
	b := &endpoint.Backend{Store: st, Raft: w.raft, Resolver: resolver}
	verifiers := &endpoint.Verifiers{Types: []authmethod.Type{passwords{}}}
	w.api = &API{
		Resolver:     resolver,
		Tokens:       &endpoint.Tokens{Backend: b},
		Policies:     &endpoint.Policies{Backend: b},
		Roles:        &endpoint.Roles{Backend: b},
		Templates:    &endpoint.Templates{Backend: b},
		AuthMethods:  &endpoint.AuthMethods{Backend: b, Verifiers: verifiers},
		BindingRules: &endpoint.BindingRules{Backend: b, Verifiers: verifiers},
		Logins:       &endpoint.Logins{Backend: b, Verifiers: verifiers},
		Bootstraps:   &endpoint.Bootstraps{Backend: b},
		Partitions:   &endpoint.Partitions{Backend: b},
		Namespaces:   &endpoint.Namespaces{Backend: b},
		Authorizes:   &endpoint.Authorizes{Backend: b},
		CARoots:      &endpoint.CARoots{Backend: b},
		CAConfigs:    &endpoint.CAConfigs{Backend: b, Providers: ca.BuiltInProviders()},
		Mesh:         &fakeMesh{connections: endpoint.ConnectAuthorizes{Intentions: &endpoint.Intentions{Backend: b}}},
		Catalog:      &endpoint.Catalog{Backend: b, Datacenter: "dc1"},
		KVs:          &endpoint.KVs{Backend: b},
		Entries:      &endpoint.ConfigEntries{Backend: b},
		Intentions:   &endpoint.Intentions{Backend: b},
		Sessions:     &endpoint.Sessions{Backend: b, Renewals: &kv.Renewals{}},
		Txns:         &endpoint.Txns{Backend: b, Asker: w.raft, Datacenter: "dc1"},
		Coordinates:  &endpoint.Coordinates{Backend: b},
		Datacenter:   "dc1",
		NodeName:     "n1",
		UIEnabled:    true,
		Log:          slog.New(slog.NewTextHandler(w.log, nil)),
		Gossip:       &fakeGossip{},
		Agent: Agent{
			Tokens:  NewAgentTokens(nil, nil, nil),
			Version: Version{HumanVersion: "1.2.3"},
			Self:    func() Self { return Self{Config: SelfConfig{NodeName: "n1", Datacenter: "dc1"}} },
			Reload:  func() error { return nil },
			Leave:   func() error { return nil },
			Leader:  func() string { return "127.0.0.1:8300" },
			Peers:   func() []string { return []string{"127.0.0.1:8300"} },
		},
	}
	w.api.Events = newEvents()
	var err error
	if w.api.Local, err = local.Open(local.Config{NodeName: "n1", Datacenter: "dc1", Log: w.api.Log}); err != nil {
		t.Fatal(err)
	}
	w.saved = &savedState{store: st, fsm: w.raft.fsm}
	w.api.Snapshots = &endpoint.Snapshots{Backend: b, Node: w.saved, TempDir: t.TempDir()}
	w.servers = operate(w.api, b)
	for _, c := range change {
		c(w.api)
	}
	w.api.Catalog.Coordinates = w.api.Gossip.Coordinates
	w.api.Coordinates.Measured = w.api.Gossip.Coordinates
	w.http = w.api.Handler()
	return w
}

// init makes the built-in objects and the given tokens.
func (w *world) init(bootstrapped bool, tokens ...acl.Token) {
	w.t.Helper()
	anonymous := acl.Token{AccessorID: acl.AnonymousAccessor, SecretID: acl.AnonymousSecret, Scope: tenancy.Default}
	_, err := w.raft.Propose(context.Background(), fsm.ACLInit{
		Policies:     acl.BuiltinPolicies(),
		Tokens:       append(tokens, anonymous),
		Bootstrapped: bootstrapped,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// call makes a request. Headers are "Name: value".
func (w *world) call(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		req = httptest.NewRequest(method, target, nil)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, req)
	return rec
}

const asManagement = "X-Consul-Token: " + management

// must makes a request with the management token and decodes its answer into v.
func (w *world) must(method, target, body string, v any) {
	w.t.Helper()
	rec := w.call(method, target, body, asManagement)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s", method, target, rec.Code, rec.Body)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(rec.Body.Bytes(), v); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, target, err, rec.Body)
	}
}

// token makes a token with a policy of the given rules and returns its secret.
func (w *world) token(name, rules string) string {
	w.t.Helper()
	policy, _ := json.Marshal(map[string]string{"Name": name, "Rules": rules})
	w.must("PUT", "/v1/acl/policy", string(policy), nil)
	var t acl.Token
	w.must("PUT", "/v1/acl/token", `{"Policies":[{"Name":"`+name+`"}]}`, &t)
	return t.SecretID.Reveal()
}

func text(r io.Reader) string {
	b, _ := io.ReadAll(r)
	return string(b)
}
