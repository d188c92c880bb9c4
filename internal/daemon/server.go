package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/leader"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/state"
)

// server is an agent in server mode.
type server struct {
	*base
	store       *state.Store
	port        *peer.Listener
	raft        *raftnode.Node
	forward     *forward.Forwarder
	consistency *endpoint.Consistency
	changes     *endpoint.Changes
	roots       *endpoint.CARoots
	mesh        *serverMesh
	asker       *autopilot.Asker
	leader      *leader.Leader
	api         serverAPI
	members     chan struct{} // receives after a member has changed, for the leader
	nodes       chan struct{} // the same, for the catalog
	candidates  chan struct{} // the same, for a cluster that has not begun
	led         chan struct{} // closed when this server has led, and made what a cluster begins with
	usable      chan struct{} // closed when requests can be answered
}

// newServer opens everything that can fail: data directory, server port, log,
// gossip, listeners. Nothing runs yet but replication.
func newServer(cfg Config, opts Options) (*server, error) {
	if err := checkPolicies(cfg.ACL); err != nil {
		return nil, fmt.Errorf("Failed to start Consul server: %w", err)
	}
	b, err := newBase(cfg, opts)
	if err != nil {
		return nil, err
	}
	s := &server{
		base: b, store: state.New(),
		members: make(chan struct{}, 1), nodes: make(chan struct{}, 1), candidates: make(chan struct{}, 1),
		led: make(chan struct{}), usable: make(chan struct{}),
	}
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
	s.peers.ServersOnly = true
	var err error
	limits := peer.Limits{Handshake: cfg.Limits.RPCHandshakeTimeout, ConnsPerAddr: cfg.Limits.RPCMaxConnsPerClient}
	s.port, err = peer.ListenWithin(net.JoinHostPort(cfg.BindAddr, strconv.Itoa(cfg.Ports.Server)), s.tls, s.log, limits)
	if err != nil {
		return fmt.Errorf("server port: %w", err)
	}
	log := logging.Named(s.log, "server")
	heartbeat := raftnode.DefaultHeartbeat * time.Duration(max(1, cfg.RaftMultiplier))
	if cfg.Dev {
		heartbeat = raftnode.FastHeartbeat
	}
	s.raft, err = raftnode.Open(raftnode.Config{
		ID:                s.nodeID,
		Addr:              s.advertise().String(),
		DataDir:           cfg.DataDir,
		Logger:            log,
		Bootstrap:         s.alone() && len(cfg.RetryJoin) == 0,
		Transport:         raftnode.Network(s.port.Raft(s.advertise()), log),
		HeartbeatTimeout:  heartbeat,
		SnapshotThreshold: cfg.SnapshotThreshold,
		SnapshotInterval:  cfg.SnapshotInterval,
		TrailingLogs:      cfg.TrailingLogs,
	}, fsm.New(s.store))
	if err != nil {
		return fmt.Errorf("Failed to start Consul server: %w", err)
	}
	s.reloaded = func(next Config) error {
		return s.raft.SnapshotWhen(next.SnapshotThreshold, next.SnapshotInterval, next.TrailingLogs)
	}
	if err := s.openGossip(); err != nil {
		return err
	}
	if err := s.openLocal(); err != nil {
		return err
	}
	api := s.assemble()
	if err := s.openGRPC(api, api.Resolver, s.changes.Changed); err != nil {
		return err
	}
	return s.openListeners(s.api.public)
}

// advertise is where other servers reach the server port.
func (s *server) advertise() *net.TCPAddr {
	return &net.TCPAddr{IP: net.ParseIP(s.cfg.AdvertiseAddr), Port: s.cfg.Ports.Server}
}

// alone reports whether this server may begin a cluster by itself.
func (s *server) alone() bool { return s.cfg.Bootstrap || s.cfg.BootstrapExpect == 1 || s.cfg.Dev }

// checkPolicies refuses a policy for the absence of a rule or of a server
// that does not exist (spec: acl.md section 16).
func checkPolicies(c ACL) error {
	switch c.DefaultPolicy {
	case "allow", "deny":
	default:
		return fmt.Errorf("Unsupported default ACL policy: %s", c.DefaultPolicy)
	}
	switch c.DownPolicy {
	case "allow", "deny", "extend-cache", "async-cache":
		return nil
	default:
		return fmt.Errorf("Unsupported down ACL policy: %s", c.DownPolicy)
	}
}

func (s *server) tasks() []task {
	return []task{
		{"server port", func(ctx context.Context) error { return s.port.Serve(ctx, s.api.peer) }},
		{"leader", s.leader.Run},
		{"gossip", s.gossip.Run},
		{"members", s.watchMembers},
		{"local", s.local.Run},
		{"join", s.join},
		{"begin", s.begin},
		{"changes", s.changes.Run},
		{"mesh roots", s.trustMesh},
		{"leafs", s.mesh.run},
		{"ready", s.awaitLeader},
	}
}

func (s *server) ready() <-chan struct{} { return s.usable }

// leaveCluster says good-bye; the next leader then takes this server out of those
// that replicate.
func (s *server) leaveCluster() error {
	logging.Named(s.log, "server").Info("server starting leave")
	s.handOn()
	return s.gossip.Leave()
}

// handOn lets another server lead, so that nobody has to find out that the leader
// is gone.
func (s *server) handOn() {
	if !s.raft.IsLeader() || len(s.raft.Peers()) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := s.raft.TransferLeadership(ctx, ""); err != nil {
		s.log.Warn("no other server took over leadership", logging.Err, err)
	}
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
	s.closeAudit()
	logging.Named(s.log, "server").Info("consul server down")
	return err
}
