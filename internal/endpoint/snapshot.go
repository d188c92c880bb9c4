package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/snapshot"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// restoreTime bounds how long the cluster may take to install a snapshot.
const restoreTime = 10 * time.Minute

// SnapshotNode takes and restores snapshots of the state (package raftnode).
type SnapshotNode interface {
	SaveSnapshot(ctx context.Context) (*raft.SnapshotMeta, io.ReadCloser, error)
	Restore(ctx context.Context, meta *raft.SnapshotMeta, content io.Reader) error
}

// Snapshots are the operations that save a cluster's whole state and bring it
// back. A snapshot holds every secret, so that it takes acl:write, which rules have to
// grant: a default policy of allow does not (acl.md section 10.3).
type Snapshots struct {
	*Backend
	Node SnapshotNode
	// TempDir is where an archive is kept until it is verified; "" is the
	// system's directory for such files.
	TempDir string

	restoring sync.Mutex // held by the one restore at a time
}

// Snapshot is one that was taken. Close it.
type Snapshot struct {
	meta    *raft.SnapshotMeta
	content io.ReadCloser
}

// Write writes the snapshot's archive to w.
func (s *Snapshot) Write(w io.Writer) error { return snapshot.Write(w, s.meta, s.content) }

// Close releases the snapshot.
func (s *Snapshot) Close() error { return s.content.Close() }

// Save takes a snapshot of what this server has, which is as fresh as r asks
// for. Its Meta's index is the snapshot's. It needs acl:write.
func (e *Snapshots) Save(ctx context.Context, who acl.Caller, r Read) (*Snapshot, Meta, error) {
	r.MinIndex = 0
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, _ *state.Tx, _ memdb.WatchSet) (uint64, error) {
		return 0, who.Require(tenancy.Default, acl.ACLWrite, "")
	})
	if err != nil {
		return nil, meta, err
	}
	about, content, err := e.Node.SaveSnapshot(ctx)
	if err != nil {
		return nil, meta, err
	}
	meta.Index = max(about.Index, 1)
	return &Snapshot{about, content}, meta, nil
}

// Restore replaces the state of the whole cluster by that of an archive. Nothing
// changes before the archive was read to its end, and each row of it understood. It
// returns errs.Invalid for what is no archive of a snapshot, errs.Conflict while another is being
// restored. It needs acl:write, still when the archive is there.
func (e *Snapshots) Restore(ctx context.Context, who acl.Caller, archive io.Reader) error {
	if err := who.Require(tenancy.Default, acl.ACLWrite, ""); err != nil {
		return err
	}
	if !e.restoring.TryLock() {
		return errs.New(errs.Conflict, "another snapshot is being restored")
	}
	defer e.restoring.Unlock()
	file, err := tempFile(e.TempDir)
	if err != nil {
		return err
	}
	defer file.Close()
	meta, err := snapshot.Read(archive, file)
	if err != nil {
		return err
	}
	if err := verify(file); err != nil {
		return err
	}
	if who, err = e.Resolver.again(e.Store.Read(), nil, who); err != nil {
		return err
	}
	if err := who.Require(tenancy.Default, acl.ACLWrite, ""); err != nil {
		return err
	}
	// A caller who goes away now does not leave half of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	return e.Node.Restore(ctx, meta, file)
}

// verify returns why the state machine could not restore what is in file, and goes back to its beginning.
func verify(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := fsm.Verify(file); err != nil {
		return errs.Errorf(errs.Invalid, "%w", err)
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}

// tempFile makes a file that has no name any more, so that nobody else can open it and nothing
// is left of it once it is closed.
func tempFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "restore-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("keep the snapshot: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the snapshot: %w", err), file.Close())
	}
	return file, nil
}
