package raftnode

import (
	"context"
	"time"
)

// LeaseIndex returns the index that a default read has to have applied. It
// trusts the leader's lease: as long as a majority has heard from this server within
// half the time after which it would elect another, no other leader can be. Where the lease has run out
// it does as ReadIndex does. It returns ErrNoLeader if this server does not lead.
func (n *Node) LeaseIndex(ctx context.Context) (uint64, error) {
	c, err := n.readIndex(ctx, n.leaseBegin)
	return c.Index, err
}

// ReadIndex proves that this server leads and returns the index that a
// consistent read has to have applied. It returns ErrNoLeader if this server does not lead.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	c, err := n.readIndex(ctx, now)
	return c.Index, err
}

// leaseBegin returns since when a majority has to have confirmed the term of a
// lease that lasts.
func (n *Node) leaseBegin(term uint64) time.Time {
	if n.transferred.Load() == term { // the next leader does not wait for a lease to end
		return time.Now()
	}
	return time.Now().Add(-n.lease)
}

func now(uint64) time.Time { return time.Now() }

// readIndex returns the last command that was acknowledged to anybody: a
// leader has applied what it acknowledges, and first what others did. It counts if a
// majority has confirmed the term since a time.
func (n *Node) readIndex(ctx context.Context, since func(term uint64) time.Time) (Commitment, error) {
	term := n.leads()
	if term == 0 {
		return Commitment{}, ErrNoLeader
	}
	index, of := n.progress.last()
	if err := n.confirm(ctx, term, since(term)); err != nil {
		return Commitment{}, err
	}
	return Commitment{Index: index, Term: of, LeaderTerm: term, LeaderID: n.cfg.ID, LeaderAddr: string(n.addr())}, nil
}

// confirm returns once a majority has confirmed term since a time.
func (n *Node) confirm(ctx context.Context, term uint64, since time.Time) error {
	for n.acks.quorum(term, n.servers(), n.id()).Before(since) {
		// This makes raft send heartbeats now. Its own answer may rest on one that was under way.
		if err := n.wait(ctx, n.raft.VerifyLeader); err != nil {
			return err
		}
		if n.leads() != term {
			return ErrNoLeader
		}
	}
	return nil
}

// leads returns the term that this server leads in, having applied everything
// that was committed before it; 0 if it does not lead.
func (n *Node) leads() uint64 {
	term := n.term.Load()
	if term == 0 || !n.raftLeads() || n.raft.CurrentTerm() != term {
		return 0
	}
	return term
}
