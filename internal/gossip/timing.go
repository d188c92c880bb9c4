package gossip

import (
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
