package raftnode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// storage is where a server keeps its log, its votes and its snapshots.
type storage struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	closers   []func() error // in the order of closing
}

func (s *storage) close() error {
	var all []error
	for _, c := range s.closers {
		all = append(all, c())
	}
	return errors.Join(all...)
}

// openStorage opens what dir holds, or makes it; an empty dir is memory. The
// directory is for this process alone until close: it returns an error if
// another process has it.
func openStorage(cfg *Config) (*storage, error) {
	if cfg.DataDir == "" {
		s := raft.NewInmemStore()
		return &storage{logs: s, stable: s, snapshots: raft.NewInmemSnapshotStore()}, nil
	}
	dir := filepath.Join(cfg.DataDir, "raft")
	segments := filepath.Join(dir, "wal")
	if err := os.MkdirAll(segments, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	for _, d := range []string{cfg.DataDir, dir} {
		if err := syncDir(d); err != nil {
			return nil, fmt.Errorf("make the log's directory: %w", err)
		}
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", cfg.DataDir, err)
	}
	log, err := wal.Open(segments, wal.WithLogger(cfg.bridge()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the log in %s: %w", segments, err), unlock())
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, cfg.bridge())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the snapshots in %s: %w", dir, err), log.Close(), unlock())
	}
	return &storage{logs: log, stable: log, snapshots: snapshots, closers: []func() error{log.Close, unlock}}, nil
}

// syncDir makes the entries of dir outlive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
