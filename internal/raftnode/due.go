package raftnode

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// due says when a snapshot is due by the number of commands. raft itself goes by entries, each of which may hold
// what hundreds have written at the same moment: a restart would have to apply many times the threshold. The log has to be
// as large as the last snapshot too, so that the snapshots of a large state cost no more than what is written.
type due struct {
	threshold, interval atomic.Int64 // commands, nanoseconds
	since, bytes        atomic.Int64 // commands that were applied since the last snapshot, and their size in the log
	reached             chan struct{}
}

func newDue(c *raft.Config) *due {
	d := &due{reached: make(chan struct{}, 1)}
	d.set(c.SnapshotThreshold, c.SnapshotInterval)
	return d
}

func (d *due) set(threshold uint64, interval time.Duration) {
	d.threshold.Store(int64(threshold))
	d.interval.Store(int64(interval))
}

// count notes commands that were applied, of so many bytes in the log.
func (d *due) count(commands, bytes int) {
	d.bytes.Add(int64(bytes))
	if d.since.Add(int64(commands)) < d.threshold.Load() {
		return
	}
	select {
	case d.reached <- struct{}{}:
	default:
	}
}

// reset notes that a snapshot begins.
func (d *due) reset() {
	d.since.Store(0)
	d.bytes.Store(0)
	select {
	case <-d.reached:
	default:
	}
}

// snapshotWhenDue takes a snapshot whenever enough commands have come since the last one, but not
// more often than the interval, and not when a server has only just begun.
func (n *Node) snapshotWhenDue() {
	for {
		rest := time.NewTimer(time.Duration(n.due.interval.Load()))
		select {
		case <-rest.C:
		case <-n.stop:
			rest.Stop()
			return
		}
		select {
		case <-n.due.reached:
		case <-n.stop:
			return
		}
		if n.due.bytes.Load() < n.snapshotSize() {
			continue
		}
		if err := n.Snapshot(); err != nil && !errors.Is(err, raft.ErrRaftShutdown) {
			n.log.Error("no snapshot", "err", err)
		}
	}
}

// A server that stops takes a snapshot if its next start gains by it: to read one takes a tenth of the time that the log
// takes which it stands for, and to write one less than that.
const (
	restCommands = 4096 // since the last snapshot; they take half a second to apply
	restShare    = 8    // how many times as large as their log the last snapshot may be
)

// snapshotAtRest takes that snapshot. A leader that others wait to succeed does not.
func (n *Node) snapshotAtRest() {
	if n.due.since.Load() < restCommands || n.due.bytes.Load()*restShare < n.snapshotSize() || n.IsLeader() && len(n.Peers()) > 1 {
		return
	}
	if err := n.Snapshot(); err != nil && !errors.Is(err, raft.ErrRaftShutdown) {
		n.log.Error("no snapshot for the next start", "err", err)
	}
}

// snapshotSize returns the bytes of the last snapshot, 0 if there is none.
func (n *Node) snapshotSize() int64 {
	all, err := n.storage.snapshots.List()
	if err != nil || len(all) == 0 {
		return 0
	}
	return all[0].Size
}
