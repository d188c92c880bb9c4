package raftnode

import (
	"context"

	"github.com/hashicorp/raft"
)

// Commitment is the leader's word that a log entry is committed. Its JSON travels
// between servers.
type Commitment struct {
	Index, Term uint64 // of the entry
	LeaderTerm  uint64
	LeaderID    string
	LeaderAddr  string // as other servers dial it
}

// Commitment returns the last command that was acknowledged to anybody: what a
// read on another server has to have applied. It trusts the lease (see LeaseIndex), or with verify
// proves that this server leads. It returns ErrNoLeader if it does not.
func (n *Node) Commitment(ctx context.Context, verify bool) (Commitment, error) {
	since := n.leaseBegin
	if verify {
		since = now
	}
	return n.readIndex(ctx, since)
}

// Learn takes the leader's word for what is committed. Otherwise a server hears of it
// with the leader's next message only. It does not wait for anything to be applied.
func (n *Node) Learn(ctx context.Context, c Commitment) {
	if c.Index <= n.progress.load() || c.Term == 0 {
		return
	}
	// What the leader itself would send at this moment: raft checks that the
	// entry is the same here, and that nobody leads in a later term.
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax,
			ID:              []byte(c.LeaderID),
			Addr:            n.transport.EncodePeer(raft.ServerID(c.LeaderID), raft.ServerAddress(c.LeaderAddr)),
		},
		Term:              c.LeaderTerm,
		PrevLogEntry:      c.Index,
		PrevLogTerm:       c.Term,
		LeaderCommitIndex: c.Index,
	}
	if n.raft.LastIndex() < c.Index { // the entry is on its way
		n.transport.later.Store(req)
		if n.raft.LastIndex() < c.Index || !n.transport.later.CompareAndSwap(req, nil) {
			return
		}
	}
	n.transport.inject(unanswered(req), ctx.Done())
}

// unanswered is a request to raft whose answer nobody waits for.
func unanswered(command any) raft.RPC {
	return raft.RPC{Command: command, RespChan: make(chan raft.RPCResponse, 1)}
}
