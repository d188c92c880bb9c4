package raftnode

import (
	"context"
	"errors"
	"io"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
)

// SaveSnapshot takes a snapshot of what this server has applied and returns
// what it is, and its content, meta.Size bytes that the caller has to close. It
// works on every server, with a leader or without.
func (n *Node) SaveSnapshot(ctx context.Context) (meta *raft.SnapshotMeta, content io.ReadCloser, err error) {
	var f raft.SnapshotFuture
	err = unless(ctx, func() error {
		f = n.raft.Snapshot()
		return f.Error()
	})
	if err != nil {
		return nil, nil, asSnapshotError("take a snapshot", err)
	}
	if meta, content, err = f.Open(); err != nil {
		return nil, nil, asSnapshotError("open the snapshot", err)
	}
	return meta, content, nil
}

// Restore replaces the state of the whole cluster by a snapshot, of this
// cluster or another; the servers stay who they are. It returns when a majority of
// them has it; ErrNoLeader if this server does not lead. content has to be verified: the
// process ends if the state machine refuses it. raft reads it while it does nothing
// else, so it must not come over a network. Where ctx ends first, the snapshot may still be restored.
func (n *Node) Restore(ctx context.Context, meta *raft.SnapshotMeta, content io.Reader) error {
	return asSnapshotError("restore the snapshot", unless(ctx, func() error { return n.raft.Restore(meta, content, 0) }))
}

// unless returns what do returns, or ctx's error if that ends first.
func unless(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asSnapshotError gives an error of raft the kind that callers act on.
func asSnapshotError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrRaftShutdown):
		return ErrNoLeader
	case errors.Is(err, raft.ErrLeadershipLost): // while it was under way
		return ErrLeadershipLost
	case errors.Is(err, raft.ErrNothingNewToSnapshot):
		return errs.New(errs.Unavailable, "there is nothing to take a snapshot of yet")
	}
	return errs.Errorf(errs.Unavailable, "%s: %w", what, err)
}
