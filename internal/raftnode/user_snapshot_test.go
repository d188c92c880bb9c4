package raftnode

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
)

// save returns a snapshot of s.
func (s *server) save(t *testing.T) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	meta, content, err := s.SaveSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil || int64(len(data)) != meta.Size {
		t.Fatalf("%d bytes, not %d: %v", len(data), meta.Size, err)
	}
	return meta, data
}

// content returns everything that s stores.
func (s *server) content(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, s.store.Read()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestASnapshotComesBackOnAnotherServer(t *testing.T) {
	for _, tc := range []struct{ name, from, to string }{
		{"in memory", "", ""}, {"on disk", t.TempDir(), t.TempDir()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := start(t, Config{DataDir: tc.from})
			for i := range 10 {
				old.propose(t, numbered(i))
			}
			meta, data := old.save(t)
			want := old.content(t)
			cfg := Config{DataDir: tc.to, ID: "66666666-2222-3333-4444-555555555555"}
			s := start(t, cfg)
			s.propose(t, numbered(77))
			abandoned := s.store.Abandoned()
			if err := s.Restore(t.Context(), meta, bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-abandoned:
			default:
				t.Error("nobody was told")
			}
			if !bytes.Equal(s.content(t), want) {
				t.Error("the tables differ")
			}
			if index := s.propose(t, numbered(78)); index <= meta.Index {
				t.Errorf("the next write is at %d, the snapshot was at %d", index, meta.Index)
			}
			if tc.to == "" {
				return
			}
			want = s.content(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if again := start(t, cfg); !bytes.Equal(again.content(t), want) {
				t.Error("the tables differ after a restart")
			}
		})
	}
}

func TestASnapshotGoesBackInTime(t *testing.T) {
	s := start(t, Config{})
	s.propose(t, numbered(1))
	meta, data := s.save(t)
	last := s.propose(t, numbered(2))
	if err := s.Restore(t.Context(), meta, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if !s.has(t, 1) || s.has(t, 2) {
		t.Error("this is not the state of the snapshot")
	}
	if index := s.propose(t, numbered(3)); index <= last {
		t.Errorf("index %d is used twice, after %d", index, last)
	}
}

func TestASnapshotCanBeTakenAfterAChangeOfServers(t *testing.T) {
	s := start(t, Config{})
	s.propose(t, numbered(1))
	if err := s.AddNonvoter(t.Context(), "another", "10.255.255.1:8300"); err != nil {
		t.Fatal(err)
	}
	if meta, _ := s.save(t); len(meta.Configuration.Servers) != 2 {
		t.Errorf("servers %+v", meta.Configuration.Servers)
	}
}

func TestSnapshotsOfAServerWithoutACluster(t *testing.T) {
	n, err := Open(Config{ID: nodeID}, fsm.New(state.New()))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.SaveSnapshot(t.Context()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("save: %v", err)
	}
	if err := n.Restore(t.Context(), &raft.SnapshotMeta{Version: 1}, bytes.NewReader(nil)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("restore: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.SaveSnapshot(t.Context()); !errors.Is(err, ErrNoLeader) {
		t.Errorf("save when closed: %v", err)
	}
}

func TestASnapshotThatTakesTooLong(t *testing.T) {
	s := start(t, Config{})
	s.propose(t, numbered(1))
	meta, _ := s.save(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	slow, end := io.Pipe()
	err := s.Restore(ctx, meta, slow)
	if errs.KindOf(err) != errs.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_ = end.CloseWithError(errors.New("gone"))
	s.propose(t, numbered(2))
	if !s.has(t, 1) {
		t.Error("half a snapshot was restored")
	}
}
