package daemon

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/discover"
	"github.com/lictor/lictor/internal/event"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/telemetry"
	"github.com/lictor/lictor/internal/version"
)

// base is what servers and client agents have in common.
type base struct {
	cfg     Config                 // as it started
	current atomic.Pointer[Config] // as last reloaded
	opts    Options
	log     *slog.Logger
	nodeID  string

	tls    *peer.TLS    // of the server port, and of those that dial one
	peers  *peer.Client // requests to server ports
	gossip *gossip.Gossip
	local  *local.State
	events *event.Log       // nil outside the default partition
	own    *inProcess       // asks the cluster for what is this agent's
	clouds *discover.Finder // of servers, for retry_join
	audit  *audit.Log       // nil without an audit trail

	metrics *telemetry.Metrics
	limits  *httpapi.RequestLimits

	tokens     *httpapi.AgentTokens
	https      certificates
	grpcTLS    certificates
	listeners  []*listener
	grpc       []*grpcListener
	public     http.Handler       // of the listeners
	nameWanted atomic.Bool        // servers told auto_encrypt that their name is to be verified
	reloaded   func(Config) error // applies what else of a reload a role can; nil if nothing
	leave      chan struct{}      // receives one request to leave
	rewatch    chan struct{}      // receives when a reload has brought other watches
	left       chan struct{}      // closed when the agent has left, or stops without
	reloading  sync.Mutex         // held by the one reload at a time
}

// role is what an agent does beyond base.
type role interface {
	// tasks run while the agent does, beside its listeners.
	tasks() []task
	// ready is closed when requests can be answered.
	ready() <-chan struct{}
	// leaveCluster tells the others that this agent goes for good.
	leaveCluster() error
	// handOn gives what only this agent does to another, before it stops.
	handOn()
	// close releases what the role has opened, after all tasks have ended.
	close() error
}

func newBase(cfg Config, opts Options) (*base, error) {
	b := &base{cfg: cfg, opts: opts, log: logging.Named(opts.Log, "agent"), leave: make(chan struct{}, 1), left: make(chan struct{}), rewatch: make(chan struct{}, 1)}
	b.current.Store(&cfg)
	b.limits = httpapi.NewRequestLimits(rates(cfg.Limits))
	if err := b.openMetrics(); err != nil {
		return nil, err
	}
	var err error
	if b.nodeID, err = NodeID(cfg.DataDir, cfg.NodeID); err != nil {
		return nil, err
	}
	if b.tokens, err = agentTokens(cfg); err != nil {
		return nil, err
	}
	rpc, err := rpcTLS(cfg)
	if err != nil {
		return nil, err
	}
	if b.tls, err = peer.NewTLS(rpc); err != nil {
		return nil, err
	}
	b.peers = peer.NewClient(b.tls)
	b.clouds = &discover.Finder{Log: b.log}
	b.audit, err = openAudit(cfg, opts)
	b.metrics.OnRead(b.observe)
	return b, err
}

// askToLeave makes the agent leave and returns once the others have been told.
func (b *base) askToLeave() error {
	select {
	case b.leave <- struct{}{}:
	default: // it leaves already
	}
	<-b.left
	return nil
}

// agent is what the routes about this agent are answered from. Who leads is a
// server's to add.
func (b *base) agent(role stats) httpapi.Agent {
	return httpapi.Agent{
		Tokens:  b.tokens,
		Version: httpapi.Version{HumanVersion: version.Consul, BuildDate: version.BuildDate},
		Self:    func() httpapi.Self { return b.self(role) },
		Reload:  b.reload,
		Leave:   b.askToLeave,
		Leader:  func() string { return "" },
		Peers:   func() []string { return nil },
		Metrics: b.metrics,
		DataDir: b.cfg.DataDir,
	}
}

func (b *base) httpConfig() httpapi.Config {
	return httpapi.Config{
		BlockEndpoints: b.cfg.HTTP.BlockEndpoints, ResponseHeaders: b.cfg.HTTP.ResponseHeaders,
		AllowWriteHTTPFrom: prefixes(b.cfg.HTTP.AllowWriteHTTPFrom), LeaderHold: b.cfg.RPCHold,
		KVMaxValueSize: b.cfg.Limits.KVMaxValueSize, TxnMaxReqLen: b.cfg.Limits.TxnMaxReqLen,
	}
}

// prefixes reads networks that config has checked.
func prefixes(cidrs []string) []netip.Prefix {
	var all []netip.Prefix
	for _, cidr := range cidrs {
		all = append(all, netip.MustParsePrefix(cidr))
	}
	return all
}
