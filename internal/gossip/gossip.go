// Package gossip keeps track of the agents of a cluster: who is there, who has
// left and who has failed, over encrypted gossip (spec: agent.md sections 11 and
// 12). It wraps hashicorp/serf, whose types nothing outside sees.
package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/lictor/lictor/internal/logging"
)

// eventBuffer is how many events wait for Run. It covers what happens between
// Open and Run, and between the end of Run and Close.
const eventBuffer = 2048

// Config is what an agent gossips with. NodeName, Datacenter and Log have to be set.
type Config struct {
	NodeName   string
	NodeID     string // UUID
	Datacenter string
	Partition  string // of a client agent; empty is default
	Server     bool
	Tags       Tags // what else it says about itself

	BindAddr      string // IP address; empty is every one
	AdvertiseAddr string // IP address; empty is BindAddr, or a private one of this machine
	Port          int    // TCP and UDP, serf_lan; 0 is any that is free

	Allowed []netip.Prefix // networks whose agents may gossip with this one; none is all

	DataDir        string         // for the snapshot and the keyring; empty keeps neither
	Key            logging.Secret // base64 of 16, 24 or 32 bytes; empty without a keyring file is plaintext
	VerifyIncoming bool           // with a key: refuse plaintext
	VerifyOutgoing bool           // with a key: send no plaintext
	DisableKeyring bool           // no keyring file

	RejoinAfterLeave bool          // join the members of the snapshot even after a leave
	ReconnectTimeout time.Duration // after which a failed member is forgotten; 0 is 72 h
	Fast             bool          // timings of a single machine, for dev mode and tests
	Pace             Pace

	// Discover turns an entry of retry_join that begins with "provider=" into
	// addresses. nil knows no provider.
	Discover func(ctx context.Context, entry string) ([]string, error)
	// Heard takes what some member has sent with Tell, with its Lamport time. It is called by Run,
	// for one message after another. nil ignores them.
	Heard func(text []byte, at uint64)
	// LookupIP resolves a DNS name; nil asks the system.
	LookupIP func(ctx context.Context, name string) ([]netip.Addr, error)

	Log *slog.Logger // of the agent; parts of it are named below
}

// Gossip is this agent among the members of its cluster. It is safe for
// concurrent use.
type Gossip struct {
	cfg     Config
	log     *slog.Logger
	serf    *serf.Serf
	lan     *memberlist.Config
	keyFile string // "" if there is none to keep
	in      chan serf.Event
	out     chan Event
	joining chan struct{} // holds one value while serf joins or leaves
	servers servers
}

// Open starts to listen and to gossip, and rejoins the members of the snapshot
// in the data directory. It fails if the address is in use or the keyring cannot be read.
func Open(cfg Config) (*Gossip, error) {
	mode := "client"
	if cfg.Server {
		mode = "server"
	}
	g := &Gossip{
		cfg: cfg,
		log: cfg.Log,
		in:  make(chan serf.Event, eventBuffer),
		out: make(chan Event),

		joining: make(chan struct{}, 1),
	}
	conf := g.timings()
	g.lan = conf.MemberlistConfig
	if err := g.openFiles(conf); err != nil {
		return nil, err
	}
	part := logging.Named(cfg.Log, mode)
	conf.NodeName = cfg.NodeName
	conf.Tags = cfg.tags().encode()
	conf.EventCh = g.in
	var started atomic.Pointer[serf.Serf]
	var once sync.Once
	conf.Merge = &merge{
		datacenter: cfg.Datacenter, name: cfg.NodeName, id: cfg.NodeID,
		known: func() []serf.Member {
			if s := started.Load(); s != nil {
				return s.Members()
			}
			return nil
		},
		conflict: func(err error) {
			once.Do(func() {
				g.log.Error("another agent has this one's node id: one of them runs with a copy of the other's data directory", logging.Err, err)
			})
		},
	}
	conf.RejoinAfterLeave = cfg.RejoinAfterLeave
	conf.ReconnectTimeoutOverride = reconnect{}
	conf.Logger = lineLogger(logging.Named(logging.Named(part, "serf"), "lan"))
	g.lan.Logger = lineLogger(logging.Named(logging.Named(part, "memberlist"), "lan"))
	g.lan.BindAddr, g.lan.BindPort = cfg.BindAddr, cfg.Port
	g.lan.AdvertiseAddr, g.lan.AdvertisePort = cfg.AdvertiseAddr, cfg.Port
	for _, p := range cfg.Allowed {
		g.lan.CIDRsAllowed = append(g.lan.CIDRsAllowed, net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	if g.lan.BindAddr == "" {
		g.lan.BindAddr = "0.0.0.0"
	}
	var err error
	if g.serf, err = serf.Create(conf); err != nil {
		return nil, fmt.Errorf("Failed to start LAN Serf: %w", err)
	}
	started.Store(g.serf)
	g.rise()
	return g, nil
}

// rise makes this agent a living member in its own list. memberlist listens before it has put itself there, and one
// that is told of itself in between, as an agent that restarts at its old address is, takes itself for dead for ever
// and tells the others so.
func (g *Gossip) rise() {
	here := func(n *memberlist.Node) bool { return n.Name == g.cfg.NodeName }
	if slices.ContainsFunc(g.serf.Memberlist().Members(), here) {
		return
	}
	g.log.Debug("members knew this agent before it had said that it is here; it says so again")
	const noWait = time.Nanosecond // for the others to hear it: the error, always the same, says that it was not waited for
	_ = g.serf.Memberlist().UpdateNode(noWait)
}

// openFiles reads the keyring and says where the snapshot is.
func (g *Gossip) openFiles(conf *serf.Config) error {
	cfg := &g.cfg
	if cfg.DataDir != "" {
		dir := filepath.Join(cfg.DataDir, "serf")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		conf.SnapshotPath = filepath.Join(dir, "local.snapshot")
		if !cfg.DisableKeyring {
			g.keyFile = filepath.Join(dir, "local.keyring")
		}
	}
	keyring, err := openKeyring(g.keyFile, cfg.Key, g.log)
	if err != nil {
		return err
	}
	g.lan.Keyring = keyring
	if keyring != nil {
		g.lan.GossipVerifyIncoming, g.lan.GossipVerifyOutgoing = cfg.VerifyIncoming, cfg.VerifyOutgoing
		conf.KeyringFile = g.keyFile
	}
	return nil
}

// Run hands events on until ctx ends.
func (g *Gossip) Run(ctx context.Context) error {
	var q queue
	for {
		out, next := q.next(g.out)
		select {
		case e := <-g.in:
			q.add(g.events(e))
		case out <- next:
			q.drop()
		case <-ctx.Done():
			return nil
		}
	}
}

// Close stops listening. Members that were not told by Leave take this agent for failed.
func (g *Gossip) Close() error { return g.serf.Shutdown() }

// Addr is where other members reach this agent.
func (g *Gossip) Addr() netip.AddrPort {
	self := g.serf.LocalMember()
	addr, _ := netip.AddrFromSlice(self.Addr)
	return netip.AddrPortFrom(addr.Unmap(), self.Port)
}

// Encrypted reports whether this agent has a gossip key.
func (g *Gossip) Encrypted() bool { return g.serf.EncryptionEnabled() }

// Stats are the figures that consul info prints under serf_lan.
func (g *Gossip) Stats() map[string]string { return g.serf.Stats() }

// joinPort is the port of addresses that name none: this agent's own.
func (g *Gossip) joinPort() uint16 { return g.serf.LocalMember().Port }

// own reports whether addr is this agent itself.
func (g *Gossip) own(addr netip.AddrPort) bool {
	if self := g.Addr(); addr == self {
		return true
	} else if addr.Port() != self.Port() {
		return false
	}
	bound, err := netip.ParseAddr(g.lan.BindAddr)
	if err != nil {
		return false
	}
	return bound.Unmap() == addr.Addr() || bound.IsUnspecified() && addr.Addr().IsLoopback()
}

// lookUpIP asks the system for the addresses of a name.
func lookUpIP(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}
