// Package raftnode replicates commands: hashicorp/raft over a write-ahead log on disk,
// with group commit. It knows no command; the state machine is given to it.
package raftnode

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/logging"
)

// Config says how a server takes part. ID is required; the zero value of the rest works.
type Config struct {
	ID        string       // of this server, for all time
	Addr      string       // what other servers dial; empty with the transport's own
	DataDir   string       // the log is kept in its raft directory; empty keeps everything in memory
	Logger    *slog.Logger // nil logs nothing
	Bootstrap bool         // a new server begins a cluster of its own

	// Transport reaches the other servers. nil is one in memory, enough for a single
	// server. Close closes it if it can be closed.
	Transport raft.Transport

	// HeartbeatTimeout is how long a server hears nothing from the leader before
	// it wants to be elected; an election takes about as long again at most. 0 is DefaultHeartbeat, and
	// less is for clusters whose servers all have the same.
	HeartbeatTimeout time.Duration

	SnapshotThreshold uint64        // commands after which a snapshot is due, see due; 0 is 16384
	SnapshotInterval  time.Duration // how often to look whether one is due; 0 is 30 s
	TrailingLogs      uint64        // entries to keep after a snapshot; 0 is 10240
}

const (
	defaultSnapshotThreshold = 16384
	defaultSnapshotInterval  = 30 * time.Second
	snapshotsKept            = 2

	// commitTimeout is when followers hear at the latest that something is
	// committed, if nothing else is to be sent to them.
	commitTimeout = 10 * time.Millisecond

	// DefaultHeartbeat is a HeartbeatTimeout for a local network.
	DefaultHeartbeat = 700 * time.Millisecond
	// FastHeartbeat is a HeartbeatTimeout for servers on one machine.
	FastHeartbeat = 200 * time.Millisecond
)

func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// bridge is the logger for the libraries below.
func (c *Config) bridge() hclog.Logger { return logging.HCLog(logging.Named(c.logger(), "raft")) }

// lease is for how long a majority's word lets this server answer reads alone:
// half the time after which the most impatient server would elect another, whatever this one's own patience is.
func (c *Config) lease() time.Duration {
	return min(cmp.Or(c.HeartbeatTimeout, DefaultHeartbeat), DefaultHeartbeat) / 2
}

// raft returns the library's configuration. A single server does not wait for
// its time-outs (see campaign).
func (c *Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.ID)
	r.Logger = c.bridge()
	r.NoLegacyTelemetry = true
	r.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, DefaultHeartbeat)
	r.ElectionTimeout = r.HeartbeatTimeout
	r.CommitTimeout = commitTimeout
	r.LeaderLeaseTimeout = r.HeartbeatTimeout / 2
	r.SnapshotThreshold = cmp.Or(c.SnapshotThreshold, defaultSnapshotThreshold)
	r.SnapshotInterval = cmp.Or(c.SnapshotInterval, defaultSnapshotInterval)
	r.TrailingLogs = cmp.Or(c.TrailingLogs, r.TrailingLogs)
	// A leader that is removed follows instead: raft that stops by itself forgets to answer what is under way, the
	// removal too, and the server could never be added again.
	r.ShutdownOnRemove = false
	return r
}
