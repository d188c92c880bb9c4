package forward_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	management    = logging.Secret("c0ffee00-0000-4000-8000-000000000001")
	testHeartbeat = 3 * time.Second  // a busy machine elects nobody for nothing; the first leader and a transfer do not wait
	testHold      = 60 * time.Second // elections are much shorter
)

// server is one of a cluster, with its real server port on a loopback address.
type server struct {
	t       testing.TB
	id      string
	addr    string
	node    *raftnode.Node
	store   *state.Store
	port    *peer.Listener
	client  *faults
	forward *forward.Forwarder
	reads   *endpoint.Consistency
	public  http.Handler
	stop    func()
}

// cluster is three servers.
type cluster struct {
	t       testing.TB
	servers []*server
}

// newCluster starts servers, waits until one leads and makes a management token.
func newCluster(t testing.TB, hold time.Duration) *cluster {
	c := &cluster{t: t}
	var members []raftnode.Server
	for i := range 3 {
		s := newServer(t, string(rune('a'+i)), hold)
		c.servers = append(c.servers, s)
		members = append(members, raftnode.Server{ID: s.id, Address: s.addr, Voter: true})
	}
	for _, s := range c.servers {
		_ = s.node.BootstrapWith(members) // fails where another was quicker
	}
	leader := c.leader()
	if _, err := leader.node.Propose(t.Context(), fsm.ACLInit{
		Policies: acl.BuiltinPolicies(), Bootstrapped: true,
		Tokens: []acl.Token{
			{AccessorID: "c0ffee00-0000-4000-8000-000000000002", SecretID: management, Scope: tenancy.Default,
				CreateTime: time.Unix(1, 0).UTC(), Policies: []acl.Link{{ID: acl.GlobalManagementID}}},
			{AccessorID: acl.AnonymousAccessor, SecretID: acl.AnonymousSecret, Scope: tenancy.Default},
		},
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

func newServer(t testing.TB, id string, hold time.Duration) *server {
	t.Helper()
	s := &server{t: t, id: id, store: state.New()}
	log := slog.New(slog.DiscardHandler)
	plain, err := peer.NewTLS(peer.TLSConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if s.port, err = peer.Listen("127.0.0.1:0", plain, log); err != nil {
		t.Fatal(err)
	}
	s.addr = s.port.Addr().String()
	s.node, err = raftnode.Open(raftnode.Config{
		ID: id, Addr: s.addr, Transport: raftnode.Network(s.port.Raft(nil), log), HeartbeatTimeout: testHeartbeat,
	}, fsm.New(s.store))
	if err != nil {
		t.Fatal(err)
	}
	client := peer.NewClient(plain)
	s.client = &faults{Client: client}
	s.forward = &forward.Forwarder{Client: s.client, Leader: s.node.Route, Hold: hold}
	s.reads = &endpoint.Consistency{Raft: s.node, Ask: s.forward.ReadIndex, Hold: hold}
	changes := &endpoint.Changes{CatchUp: s.reads.CatchUp}
	s.store.Observe(changes.Note)
	api := s.api(id, log)
	api.Cluster.Changes = changes
	s.public = api.Handler()

	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = s.port.Serve(ctx, api.PeerHandler()) })
	tasks.Go(func() { _ = changes.Run(ctx) })
	s.stop = sync.OnceFunc(func() {
		cancel()
		client.Close()
		_ = s.node.Close()
		_ = s.port.Close()
		tasks.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) api(id string, log *slog.Logger) *httpapi.API {
	resolver := &endpoint.Resolver{
		Store: s.store, Enabled: true, Datacenter: "dc1", NodeName: id, CatchUp: s.reads.CatchUp, Applied: s.node.Applied,
	}
	b := &endpoint.Backend{Store: s.store, Raft: s.node, Resolver: resolver, Fresh: s.reads.Fresh,
		Contact: func() (bool, time.Duration) {
			addr, _ := s.node.Leader()
			return addr != "", s.node.LastContact()
		}}
	return &httpapi.API{
		Resolver: resolver, Tokens: &endpoint.Tokens{Backend: b}, Policies: &endpoint.Policies{Backend: b},
		Datacenter: "dc1", NodeName: id, Log: log, Forward: s.forward,
		Agent:   httpapi.Agent{Tokens: httpapi.NewAgentTokens(nil, nil, nil)},
		Cluster: httpapi.Cluster{Raft: s.node, Resolver: resolver},
	}
}

// call makes a request to the public port with a token.
func (s *server) call(token logging.Secret, method, target, body string) *httptest.ResponseRecorder {
	return s.callWith(context.Background(), token, method, target, body)
}

func (s *server) callWith(ctx context.Context, token logging.Secret, method, target, body string) *httptest.ResponseRecorder {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(ctx, method, target, content)
	req.Header.Set("X-Consul-Token", token.Reveal())
	rec := httptest.NewRecorder()
	s.public.ServeHTTP(rec, req)
	return rec
}

// newToken makes a token through s and returns its secret and accessor.
func (s *server) newToken(description string) (secret logging.Secret, accessor string) {
	s.t.Helper()
	rec := s.call(management, http.MethodPut, "/v1/acl/token", fmt.Sprintf(`{"Description": %q}`, description))
	var token acl.Token
	if err := json.Unmarshal(rec.Body.Bytes(), &token); rec.Code != http.StatusOK || err != nil {
		s.t.Fatalf("create a token: %d %s", rec.Code, rec.Body)
	}
	return token.SecretID, token.AccessorID
}

// leader waits until a server leads.
func (c *cluster) leader() *server {
	c.t.Helper()
	deadline := time.After(testHold)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range c.servers {
			if s.node.IsLeader() {
				return s
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatal("no leader")
		}
	}
}

// followers returns the servers beside leader.
func (c *cluster) followers(leader *server) (list []*server) {
	for _, s := range c.servers {
		if s != leader {
			list = append(list, s)
		}
	}
	return list
}

// transfer lets another server lead and returns it.
func (c *cluster) transfer() *server {
	c.t.Helper()
	old := c.leader()
	if err := old.node.TransferLeadership(c.t.Context(), ""); err != nil {
		c.t.Logf("transfer: %v", err) // somebody was elected meanwhile
	}
	return c.leader()
}

// hold keeps a server from applying anything until the function it returns is called.
func (s *server) hold() (release func()) {
	return sync.OnceFunc(s.store.Write(1).Abort)
}
