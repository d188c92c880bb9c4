package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/leader"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/version"
)

// server is an agent in server mode.
type server struct {
	*base
	store  *state.Store
	raft   *raftnode.Node
	port   *peer.Listener
	leader *leader.Leader
	began  chan struct{} // closed when a leader's first objects are in place
}

// newServer opens everything that can fail: data directory, log, listeners.
// Nothing runs yet but replication.
func newServer(cfg Config, opts Options) (_ *server, err error) {
	if !cfg.Server {
		return nil, errors.New("this release runs servers only: set server = true")
	}
	if err := checkPolicies(cfg.ACL); err != nil {
		return nil, err
	}
	b, err := newBase(cfg, opts)
	if err != nil {
		return nil, err
	}
	s := &server{base: b, store: state.New(), began: make(chan struct{})}
	if err := s.open(); err != nil {
		s.drain()
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open opens the server port, the log, gossip and the API's listeners, in the
// order in which each needs those before it.
func (s *server) open() error {
	cfg := s.cfg
	var err error
	s.port, err = peer.Listen(net.JoinHostPort(cfg.BindAddr, strconv.Itoa(cfg.Ports.Server)), s.tls, s.log)
	if err != nil {
		return fmt.Errorf("server port: %w", err)
	}
	advertise := &net.TCPAddr{IP: net.ParseIP(cfg.AdvertiseAddr), Port: cfg.Ports.Server}
	log := logging.Named(s.log, "server")
	s.raft, err = raftnode.Open(raftnode.Config{
		ID:                s.nodeID,
		Addr:              advertise.String(),
		DataDir:           cfg.DataDir,
		Logger:            log,
		Bootstrap:         cfg.Bootstrap || cfg.BootstrapExpect == 1 || cfg.Dev,
		Transport:         raftnode.Network(s.port.Raft(advertise), log),
		SnapshotThreshold: cfg.SnapshotThreshold,
		SnapshotInterval:  cfg.SnapshotInterval,
		TrailingLogs:      cfg.TrailingLogs,
	}, fsm.New(s.store))
	if err != nil {
		return fmt.Errorf("Failed to start Consul server: %w", err)
	}
	if err := s.openGossip(); err != nil {
		return err
	}
	return s.openListeners(s.api().Handler())
}

// checkPolicies refuses a policy for the absence of a rule or of a server
// that does not exist (spec: acl.md section 16).
func checkPolicies(c ACL) error {
	switch c.DefaultPolicy {
	case "allow", "deny":
	default:
		return fmt.Errorf("Failed to start Consul server: Unsupported default ACL policy: %s", c.DefaultPolicy)
	}
	switch c.DownPolicy {
	case "allow", "deny", "extend-cache", "async-cache":
		return nil
	default:
		return fmt.Errorf("Failed to start Consul server: Unsupported down ACL policy: %s", c.DownPolicy)
	}
}

// api builds the operations and their edge, and the leader's tasks.
func (s *server) api() *httpapi.API {
	consistency := &endpoint.Consistency{Raft: s.raft}
	resolver := &endpoint.Resolver{
		Store:              s.store,
		CatchUp:            consistency.CatchUp,
		Enabled:            s.cfg.ACL.Enabled,
		DefaultPolicyAllow: s.cfg.ACL.DefaultPolicy == "allow",
		DownPolicy:         s.cfg.ACL.DownPolicy,
		Datacenter:         s.cfg.Datacenter,
		NodeName:           s.cfg.NodeName,
		Recovery:           func() logging.Secret { return s.tokens.Get(httpapi.TokenRecovery) },
	}
	backend := &endpoint.Backend{
		Store:       s.store,
		Raft:        s.raft,
		Resolver:    resolver,
		Fresh:       consistency.Fresh,
		Contact:     s.contact,
		DefaultWait: s.cfg.DefaultQueryTime,
		MaxWait:     s.cfg.MaxQueryTime,
	}
	verifiers := &endpoint.Verifiers{Types: []authmethod.Type{&awsiam.Type{
		STSEndpoint: awsEndpoint("STS"),
		IAMEndpoint: awsEndpoint("IAM"),
	}}}
	s.leader = &leader.Leader{
		Raft:              s.raft,
		Store:             s.store,
		Log:               logging.Named(s.log, "server"),
		Node:              s.cfg.NodeName,
		ACLs:              s.cfg.ACL.Enabled,
		InitialManagement: s.cfg.ACL.Tokens.InitialManagement,
		MeshCA:            s.cfg.ConnectEnabled || s.cfg.AutoEncrypt.AllowTLS,
		Began:             sync.OnceFunc(func() { close(s.began) }),
	}
	return &httpapi.API{
		Resolver:     resolver,
		Tokens:       &endpoint.Tokens{Backend: backend},
		Policies:     &endpoint.Policies{Backend: backend},
		Roles:        &endpoint.Roles{Backend: backend},
		Templates:    &endpoint.Templates{Backend: backend},
		AuthMethods:  &endpoint.AuthMethods{Backend: backend, Verifiers: verifiers},
		BindingRules: &endpoint.BindingRules{Backend: backend, Verifiers: verifiers},
		Logins:       &endpoint.Logins{Backend: backend, Verifiers: verifiers},
		Bootstraps:   s.bootstraps(backend),
		Partitions:   &endpoint.Partitions{Backend: backend},
		Namespaces:   &endpoint.Namespaces{Backend: backend},
		Authorizes:   &endpoint.Authorizes{Backend: backend},
		CARoots:      &endpoint.CARoots{Backend: backend},
		Datacenter:   s.cfg.Datacenter,
		NodeName:     s.cfg.NodeName,
		Partition:    s.cfg.Partition,
		Dev:          s.cfg.Dev,
		UIEnabled:    s.cfg.UIEnabled,
		Log:          logging.Named(s.log, "http"),
		Server:       true,
		Agent:        s.agent(),
		Gossip:       s.gossip,
		Config:       s.httpConfig(),
	}
}

// agent is what the routes about this agent are answered from.
func (s *server) agent() httpapi.Agent {
	return httpapi.Agent{
		Tokens:  s.tokens,
		Version: httpapi.Version{HumanVersion: version.Consul, BuildDate: version.BuildDate},
		Self:    s.self,
		Reload:  s.reload,
		Leave:   s.askToLeave,
		Leader: func() string {
			addr, _ := s.raft.Leader()
			return addr
		},
		Peers: s.raft.Peers,
	}
}

// awsEndpoint returns where this server sends the requests of a service of
// AWS: the SDK's own variables, the one for the service first.
func awsEndpoint(service string) string {
	if url := os.Getenv("AWS_ENDPOINT_URL_" + service); url != "" {
		return url
	}
	return os.Getenv("AWS_ENDPOINT_URL")
}

// bootstraps lets an operator allow another bootstrap by a file in the data directory.
func (s *server) bootstraps(backend *endpoint.Backend) *endpoint.Bootstraps {
	b := &endpoint.Bootstraps{Backend: backend}
	if s.cfg.DataDir == "" {
		return b
	}
	path := filepath.Join(s.cfg.DataDir, "acl-bootstrap-reset")
	b.ResetIndex = func() (uint64, error) {
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		index, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s does not hold a reset index: %w", path, err)
		}
		return index, nil
	}
	b.ResetDone = func() error { return os.Remove(path) }
	return b
}

// contact says whether there is a leader and how long ago it was heard of.
func (s *server) contact() (knownLeader bool, last time.Duration) {
	addr, _ := s.raft.Leader()
	return addr != "", s.raft.LastContact()
}

func (s *server) httpConfig() httpapi.Config {
	c := httpapi.Config{BlockEndpoints: s.cfg.HTTP.BlockEndpoints, ResponseHeaders: s.cfg.HTTP.ResponseHeaders}
	for _, cidr := range s.cfg.HTTP.AllowWriteHTTPFrom {
		c.AllowWriteHTTPFrom = append(c.AllowWriteHTTPFrom, netip.MustParsePrefix(cidr)) // checked by config
	}
	return c
}

func (s *server) tasks() []task {
	return []task{
		{"leader", s.leader.Run},
		{"gossip", s.gossip.Run},
		{"join", s.join},
	}
}

func (s *server) ready() <-chan struct{} { return s.began }

// leaveCluster hands leadership on before it says good-bye; the next leader then
// takes this server out of those that replicate.
func (s *server) leaveCluster() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var err error
	if s.raft.IsLeader() && len(s.raft.Peers()) > 1 {
		err = s.raft.TransferLeadership(ctx, "")
	}
	return errors.Join(err, s.gossip.Leave())
}

// close closes what open has opened; where open failed, the rest is nil.
func (s *server) close() error {
	var err error
	if s.gossip != nil {
		err = s.gossip.Close()
	}
	if s.raft != nil {
		err = errors.Join(err, s.raft.Close())
	}
	if s.port != nil {
		err = errors.Join(err, s.port.Close())
	}
	s.peers.Close()
	return err
}
