package raftnode

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
)

// progress is how far the local store is: the index of the last command, or of
// the snapshot, that it has applied. raft's own index tells only what was handed to the
// state machine, and counts entries that are no commands.
type progress struct {
	index atomic.Uint64 // written with mu

	mu      sync.Mutex
	term    uint64        // of the entry at index
	changed chan struct{} // closed by the next advance; nil while nobody waits
}

func (p *progress) load() uint64 { return p.index.Load() }

// last returns the index and the term of that entry.
func (p *progress) last() (index, term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index.Load(), p.term
}

// advance moves to the entry of term at index.
func (p *progress) advance(index, term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index < p.index.Load() {
		return
	}
	p.index.Store(index)
	p.term = term
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// wait returns when index was reached, or ctx's error.
func (p *progress) wait(ctx context.Context, index uint64) error {
	for p.load() < index {
		p.mu.Lock()
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		if p.load() >= index { // advanced before it could see that somebody waits
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// machine is the state machine with its progress.
type machine struct {
	*fsm.FSM
	progress *progress
	due      *due
}

func (m machine) Apply(l *raft.Log) any {
	result := m.FSM.Apply(l)
	m.due.count(len(result.(fsm.Applied).Errors), len(l.Data))
	m.progress.advance(l.Index, l.Term)
	return result
}

// Snapshot implements raft.FSM.
func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	m.due.reset()
	return m.FSM.Snapshot()
}

// Restore implements raft.FSM for snapshots that a snapshotStore opened.
func (m machine) Restore(r io.ReadCloser) error {
	from := snapshotMeta(r)
	if err := m.FSM.Restore(r); err != nil {
		return err
	}
	if from != nil {
		m.progress.advance(from.Index, from.Term)
	}
	return nil
}

// snapshotMeta returns what a snapshot says of itself, nil if that is not known.
// raft wraps what the store opened.
func snapshotMeta(r io.ReadCloser) *raft.SnapshotMeta {
	for {
		switch s := r.(type) {
		case *openSnapshot:
			return s.meta
		case raft.ReadCloserWrapper:
			r = s.WrappedReadCloser()
		default:
			return nil
		}
	}
}

// snapshotStore opens snapshots so that the content tells what it is.
type snapshotStore struct{ raft.SnapshotStore }

type openSnapshot struct {
	io.ReadCloser
	meta *raft.SnapshotMeta
}

func (s snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, content, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, &openSnapshot{ReadCloser: content, meta: meta}, nil
}

// Applied returns the index of the last command that the local store has applied.
func (n *Node) Applied() uint64 { return n.progress.load() }

// WaitApplied returns once the local store has applied the command at index, which
// LeaseIndex or ReadIndex of the leader gave. It returns errs.Unavailable if ctx ends first
// or n is closed.
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	if n.progress.load() >= index {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.life, func() { cancel(ErrNoLeader) })()
	if err := n.progress.wait(ctx, index); err != nil {
		return errs.Errorf(errs.Unavailable, "this server is at index %d and has not caught up with %d: %w",
			n.progress.load(), index, context.Cause(ctx))
	}
	return nil
}
