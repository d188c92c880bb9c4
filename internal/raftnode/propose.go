package raftnode

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
)

// Bounds of one log entry.
const (
	maxBatchCommands = 256
	maxBatchBytes    = 512 << 10
	maxCommandBytes  = 8 << 20
)

// proposal is a command on its way into the log. Either its proposer gives it up or
// commitLoop takes it, never both.
type proposal struct {
	part    []byte
	claimed atomic.Bool
	done    chan outcome
}

type outcome struct {
	index  uint64
	answer any
	err    error
}

// ErrLeadershipLost is the answer to a command that was being replicated when
// this server ceased to lead. The next leader may or may not apply it.
var ErrLeadershipLost = errs.New(errs.Unavailable, "leadership lost while committing log")

// Propose replicates cmd. When it returns without error, cmd is on disk on a majority and the
// local store has applied it at the index returned. It returns cmd's own error as
// it is; ErrNoLeader if this server does not lead, and only if cmd will never apply; ErrLeadershipLost;
// errs.Unavailable if the log cannot be written or ctx ends first, and then says whether
// the command may still apply.
func (n *Node) Propose(ctx context.Context, cmd fsm.Command) (uint64, error) {
	o := n.propose(ctx, cmd)
	return o.index, o.err
}

// Ask is Propose for a command that answers; it returns the answer too.
func (n *Node) Ask(ctx context.Context, cmd fsm.Answering) (answer any, index uint64, err error) {
	o := n.propose(ctx, cmd)
	return o.answer, o.index, o.err
}

func (n *Node) propose(ctx context.Context, cmd fsm.Command) outcome {
	part, err := fsm.EncodeCommand(cmd)
	if err != nil {
		return outcome{err: err}
	}
	if len(part) > maxCommandBytes {
		return outcome{err: errs.Errorf(errs.Invalid, "the request is too large: %d bytes, at most %d", len(part), maxCommandBytes)}
	}
	p := &proposal{part: part, done: make(chan outcome, 1)}
	select {
	case n.queue <- p:
	case <-ctx.Done():
		return outcome{err: errs.Errorf(errs.Unavailable, "not proposed: %w", ctx.Err())}
	case <-n.stopped:
		return outcome{err: ErrNoLeader}
	}
	select {
	case o := <-p.done:
		return o
	case <-ctx.Done():
		if p.claimed.CompareAndSwap(false, true) {
			return outcome{err: errs.Errorf(errs.Unavailable, "not proposed: %w", ctx.Err())}
		}
		return outcome{err: errs.Errorf(errs.Unavailable, "proposed, outcome unknown: %w", ctx.Err())}
	case <-n.stopped:
		if p.claimed.CompareAndSwap(false, true) {
			return outcome{err: ErrNoLeader}
		}
		return <-p.done // whoever claimed it has answered
	}
}

// commitLoop puts everything that waits into one log entry at a time, so that all
// of it shares one write to disk: while an entry is written, the next gathers.
func (n *Node) commitLoop() {
	for {
		select {
		case p := <-n.queue:
			n.commit(n.gather(p))
		case <-n.stop:
			return
		}
	}
}

// gather returns first and what else waits, within the bounds of an entry.
func (n *Node) gather(first *proposal) []*proposal {
	batch := make([]*proposal, 0, 1+len(n.queue))
	size := 0
	for p := first; ; {
		if p.claimed.CompareAndSwap(false, true) {
			batch = append(batch, p)
			size += len(p.part)
		}
		if len(batch) >= maxBatchCommands || size >= maxBatchBytes {
			return batch
		}
		select {
		case p = <-n.queue:
		default:
			return batch
		}
	}
}

// commit writes batch as one entry and tells each proposer the outcome.
func (n *Node) commit(batch []*proposal) {
	if len(batch) == 0 {
		return
	}
	parts := make([][]byte, len(batch))
	for i, p := range batch {
		parts[i] = p.part
	}
	f := n.raft.Apply(fsm.Join(parts...), 0)
	if err := n.settle(f); err != nil {
		n.fail(batch, err)
		return
	}
	applied := f.Response().(fsm.Applied)
	for i, p := range batch {
		p.done <- outcome{index: f.Index(), answer: applied.Answers[i], err: applied.Errors[i]}
	}
}

// settle returns the outcome of f.
func (n *Node) settle(f raft.Future) error {
	return n.await(context.Background(), func() raft.Future { return f })
}

// await asks raft and returns what comes of it, or ctx's error. What is handed to raft in the moment in which
// it stops never gets an answer: then it is raft.ErrRaftShutdown.
func (n *Node) await(ctx context.Context, ask func() raft.Future) error {
	settled := make(chan error, 1)
	go func() { settled <- ask().Error() }()
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.halted:
	}
	select {
	case err := <-settled:
		return err
	default:
		return raft.ErrRaftShutdown
	}
}

func (n *Node) fail(batch []*proposal, err error) {
	answer := asUnavailable(err)
	switch {
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		answer = ErrLeadershipLost // it was under way
	case answer != ErrNoLeader:
		n.log.Error("log not written", "err", err)
	}
	for _, p := range batch {
		p.done <- outcome{err: answer}
	}
}

var _ raft.FSM = (*fsm.FSM)(nil)
