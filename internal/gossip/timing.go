package gossip

import (
	"cmp"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/lictor/lictor/internal/logging"
)

const (
	reconnectTimeout = 72 * time.Hour   // default of reconnect_timeout
	reclaimTime      = 30 * time.Second // before a failed node's name may move to another address
	queueDepth       = 4096             // messages kept for each member that cannot keep up, at the least
	toldRoom         = 64               // bytes around what Tell sends
)

// Pace is how often members speak, and for how long one that does not answer is waited for (agent.md section 5,
// gossip_lan). Zero is the default of a LAN, for each.
type Pace struct {
	GossipNodes    int           // members that are told of what is new, each time; 3
	GossipInterval time.Duration // between two of those times; 200 ms
	ProbeInterval  time.Duration // between two members that are asked whether they are there; 1 s
	ProbeTimeout   time.Duration // for their answer, before others are asked to try; 500 ms
	RetransmitMult int           // how often something new is passed on, times the logarithm of the members; 4
	SuspicionMult  int           // how long a suspect may answer, times the logarithm of the members and ProbeInterval; 4
}

// set puts a pace into memberlist's settings.
func (p Pace) set(m *memberlist.Config) {
	m.GossipNodes = cmp.Or(p.GossipNodes, m.GossipNodes)
	m.GossipInterval = cmp.Or(p.GossipInterval, m.GossipInterval)
	m.ProbeInterval = cmp.Or(p.ProbeInterval, m.ProbeInterval)
	m.ProbeTimeout = cmp.Or(p.ProbeTimeout, m.ProbeTimeout)
	m.RetransmitMult = cmp.Or(p.RetransmitMult, m.RetransmitMult)
	m.SuspicionMult = cmp.Or(p.SuspicionMult, m.SuspicionMult)
}

// Validate refuses what is below zero, and a probe that waits for longer than until the next one. The error names the
// setting.
func (p Pace) Validate() error {
	for _, s := range []struct {
		name  string
		value int64
	}{
		{"gossip_nodes", int64(p.GossipNodes)}, {"gossip_interval", int64(p.GossipInterval)}, {"probe_interval", int64(p.ProbeInterval)},
		{"probe_timeout", int64(p.ProbeTimeout)}, {"retransmit_mult", int64(p.RetransmitMult)}, {"suspicion_mult", int64(p.SuspicionMult)},
	} {
		if s.value < 0 {
			return fmt.Errorf("%s cannot be negative", s.name)
		}
	}
	m := memberlist.DefaultLANConfig()
	if p.set(m); m.ProbeTimeout > m.ProbeInterval {
		return fmt.Errorf("probe_timeout (%s) cannot be greater than probe_interval (%s)", m.ProbeTimeout, m.ProbeInterval)
	}
	return nil
}

// timings returns serf's settings for a LAN (agent.md section 5), or for one machine.
func (g *Gossip) timings() *serf.Config {
	c := serf.DefaultConfig()
	c.ReconnectTimeout = g.cfg.ReconnectTimeout
	if c.ReconnectTimeout == 0 {
		c.ReconnectTimeout = reconnectTimeout
	}
	c.TombstoneTimeout = c.ReconnectTimeout
	c.MinQueueDepth = queueDepth
	// Of two agents with one name, the one that came second stays out. To let
	// both vote would stop an agent that works.
	c.EnableNameConflictResolution = false
	c.UserEventSizeLimit = MaxTold + toldRoom
	m := memberlist.DefaultLANConfig()
	m.DeadNodeReclaimTime = reclaimTime
	m.EnableCompression = false // it costs 50 µs and 80 KB of garbage for each small packet; all members read both
	if g.cfg.Fast {
		c.ReapInterval = time.Second
		c.ReconnectInterval = time.Second
		c.LeavePropagateDelay = 200 * time.Millisecond
		m.GossipInterval = 20 * time.Millisecond
		c.QueryTimeoutMult = 150 // in gossip intervals: 3 s for all members to answer, as on a LAN
		m.ProbeInterval = 100 * time.Millisecond
		m.ProbeTimeout = 100 * time.Millisecond
		m.SuspicionMult = 8 // a busy machine stalls processes for longer than a probe
		m.PushPullInterval = 5 * time.Second
		m.TCPTimeout = 3 * time.Second
		m.DeadNodeReclaimTime = time.Second
	}
	g.cfg.Pace.set(m)
	c.MemberlistConfig = m
	return c
}

// lineLogger gives serf and memberlist a logger whose lines become records of l.
func lineLogger(l *slog.Logger) *log.Logger {
	return logging.HCLog(l).StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
}

// reconnect lets a client agent say when the others may forget it.
type reconnect struct{}

// ReconnectTimeout returns how long a failed member is kept. A server's is never its own choice.
func (reconnect) ReconnectTimeout(m *serf.Member, otherwise time.Duration) time.Duration {
	if t := parseTags(m.Tags); !t.Server && t.ReconnectTimeout > 0 {
		return t.ReconnectTimeout
	}
	return otherwise
}
