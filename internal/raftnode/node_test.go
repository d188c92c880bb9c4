package raftnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

const nodeID = "11111111-2222-3333-4444-555555555555"

// server is a node and its state.
type server struct {
	*Node
	store *state.Store
}

// start opens a server and waits until it leads. It is closed when the test ends.
func start(t testing.TB, cfg Config) *server {
	t.Helper()
	s, err := tryStart(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.lead(t)
	return s
}

func tryStart(cfg Config) (*server, error) {
	if cfg.ID == "" {
		cfg.ID = nodeID
	}
	cfg.Bootstrap = true
	store := state.New()
	n, err := Open(cfg, fsm.New(store))
	return &server{Node: n, store: store}, err
}

func (s *server) lead(t testing.TB) {
	t.Helper()
	select {
	case ok := <-s.LeaderCh():
		if !ok || !s.IsLeader() {
			t.Fatal("it does not lead")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no leader")
	}
}

func numbered(i int) fsm.PolicySet {
	name := fmt.Sprintf("policy-%06d", i)
	return fsm.PolicySet{Policy: acl.Policy{ID: name, Name: name, Scope: tenancy.Default}}
}

func (s *server) propose(t testing.TB, cmd fsm.Command) uint64 {
	t.Helper()
	index, err := s.Propose(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func (s *server) has(t testing.TB, i int) bool {
	t.Helper()
	p, err := s.store.Read().PolicyByName(nil, tenancy.Default, fmt.Sprintf("policy-%06d", i))
	if err != nil {
		t.Fatal(err)
	}
	return p != nil
}

func TestAWriteIsReadableWhenItReturns(t *testing.T) {
	for _, tc := range []struct{ name, dir string }{{"in memory", ""}, {"on disk", t.TempDir()}} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, Config{DataDir: tc.dir})
			last := uint64(0)
			for i := range 20 {
				index := s.propose(t, numbered(i))
				p, err := s.store.Read().PolicyByName(nil, tenancy.Default, fmt.Sprintf("policy-%06d", i))
				if err != nil || p == nil || p.CreateIndex != index || index <= last {
					t.Fatalf("write %d at %d: %+v, %v", i, index, p, err)
				}
				last = index
			}
			if addr, id := s.Leader(); addr == "" || id != nodeID || s.LastContact() != 0 {
				t.Errorf("leader %s at %s", id, addr)
			}
			if index, err := s.ReadIndex(t.Context()); err != nil || index < last {
				t.Errorf("read index %d after %d: %v", index, last, err)
			}
			if err := s.Barrier(t.Context()); err != nil {
				t.Error(err)
			}
			if s.Stats()["state"] != "Leader" {
				t.Errorf("stats: %v", s.Stats())
			}
		})
	}
}

func TestACommandsErrorComesBackAsItIs(t *testing.T) {
	s := start(t, Config{})
	cmd := numbered(1)
	cmd.IfIndex = 99
	if _, err := s.Propose(t.Context(), cmd); !errors.Is(err, fsm.ErrChanged) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("got %v", err)
	}
	big := numbered(2)
	big.Policy.Rules = strings.Repeat("x", maxCommandBytes)
	if _, err := s.Propose(t.Context(), big); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a huge command: %v", err)
	}
}

func TestARestartKeepsEverything(t *testing.T) {
	tests := []struct {
		name     string
		snapshot bool
	}{{"from the log", false}, {"from a snapshot and the log after it", true}}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Config{DataDir: t.TempDir(), TrailingLogs: 1}
			s := start(t, cfg)
			for i := range 10 {
				s.propose(t, numbered(i))
			}
			if tc.snapshot {
				for range 2 { // the second has nothing to do
					if err := s.Snapshot(); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.propose(t, numbered(10))
			s.propose(t, fsm.PolicyDelete{Scope: tenancy.Default, ID: "policy-000000"})
			index := s.store.Read().LastIndex(state.TablePolicies)
			for range 2 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s = start(t, cfg)
			for i := range 12 {
				if want := i > 0 && i < 11; s.has(t, i) != want {
					t.Errorf("policy %d: %v", i, !want)
				}
			}
			if got := s.store.Read().LastIndex(state.TablePolicies); got != index {
				t.Errorf("index %d, was %d", got, index)
			}
		})
	}
}

func TestADataDirectoryBelongsToOneServer(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{DataDir: dir})
	if _, err := tryStart(Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := tryStart(Config{DataDir: dir, ID: "other"})
	if want := "belongs to server " + nodeID + ", not to other"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with another id: %v", err)
	}
	start(t, Config{DataDir: dir})
	if _, err := Open(Config{}, fsm.New(state.New())); err == nil {
		t.Error("a server without an id starts")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(Config{DataDir: file}); err == nil {
		t.Error("a file is taken for a data directory")
	}
}

func TestConcurrentWritesShareLogEntries(t *testing.T) {
	s := start(t, Config{DataDir: t.TempDir()})
	const writers, each = 64, 20
	indexes := make([][]uint64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				index, err := s.Propose(t.Context(), numbered(w*each+i))
				if err != nil {
					t.Error(err)
				}
				indexes[w] = append(indexes[w], index)
			}
		})
	}
	wg.Wait()
	entries := map[uint64]bool{}
	for _, own := range indexes {
		for i, index := range own {
			entries[index] = true
			if i > 0 && index <= own[i-1] {
				t.Errorf("a later write is at %d, after %d", index, own[i-1])
			}
		}
	}
	if len(entries) > writers*each/4 {
		t.Errorf("%d writes took %d entries", writers*each, len(entries))
	}
	for i := range writers * each {
		if !s.has(t, i) {
			t.Errorf("write %d is lost", i)
		}
	}
}

func TestOneFailingWriteDoesNotTouchTheOthers(t *testing.T) {
	s := start(t, Config{})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			cmd := numbered(i)
			if i%2 == 0 {
				cmd.IfIndex = 1
			}
			if _, err := s.Propose(t.Context(), cmd); (err != nil) != (i%2 == 0) {
				t.Errorf("write %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range 64 {
		if s.has(t, i) != (i%2 == 1) {
			t.Errorf("write %d is wrong", i)
		}
	}
}

// gate is a log store that lets entries through one by one, or fails.
type gate struct {
	raft.LogStore
	mu      sync.Mutex
	err     error         // returned instead of storing
	entered chan struct{} // signals a StoreLogs
	leave   chan struct{} // if set, StoreLogs waits for it
}

func (g *gate) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

func (g *gate) StoreLogs(logs []*raft.Log) error {
	g.mu.Lock()
	err, entered, leave := g.err, g.entered, g.leave
	g.mu.Unlock()
	if leave != nil {
		entered <- struct{}{}
		<-leave
	}
	if err != nil {
		return err
	}
	return g.LogStore.StoreLogs(logs)
}

func (g *gate) set(err error, leave chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.leave = err, leave
}

// startGated is start with a gate before the log.
func startGated(t *testing.T) (*server, *gate) {
	t.Helper()
	cfg := Config{ID: nodeID, Bootstrap: true}
	st, err := openStorage(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{LogStore: st.logs, entered: make(chan struct{})}
	st.logs = g
	s := &server{Node: newNode(cfg, st), store: state.New()}
	if err := s.start(fsm.New(s.store)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.lead(t)
	return s, g
}

func TestACancelledCallerLeavesTheOthersAlone(t *testing.T) {
	s, g := startGated(t)
	leave := make(chan struct{})
	g.set(nil, leave)
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 4)
	ask := func(ctx context.Context, i int) {
		go func() {
			_, err := s.Propose(ctx, numbered(i))
			answers <- err
		}()
	}
	ask(ctx, 1)
	<-g.entered // it is being written
	ask(ctx, 2) // these wait behind it
	ask(t.Context(), 3)
	cancel()
	var texts []string
	for range 2 {
		err := <-answers
		if errs.KindOf(err) != errs.Unavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		texts = append(texts, fmt.Sprint(err))
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "outcome unknown") {
		t.Errorf("the answers are\n%s", all)
	}
	close(leave)
	go func() {
		for range g.entered {
		}
	}()
	if err := <-answers; err != nil {
		t.Errorf("not cancelled: %v", err)
	}
	if !s.has(t, 1) || !s.has(t, 3) {
		t.Error("what was written is lost")
	}
	g.set(nil, nil)
	if _, err := s.Propose(ctx, numbered(4)); errs.KindOf(err) != errs.Unavailable || s.has(t, 4) {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestAFullDiskIsNoAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := startGated(t)
		s.propose(t, numbered(1))
		g.set(syscall.ENOSPC, nil)
		_, err := s.Propose(t.Context(), numbered(2))
		if errs.KindOf(err) != errs.Unavailable || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
		if lead := <-s.LeaderCh(); lead {
			t.Error("it still leads")
		}
		if _, err := s.Propose(t.Context(), numbered(3)); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("without a leader: %v", err)
		}
		if _, err := s.ReadIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
			t.Errorf("read index: %v", err)
		}
		g.set(nil, nil)
		s.lead(t) // space again: it elects itself
		s.propose(t, numbered(4))
		if s.has(t, 2) || s.has(t, 3) || !s.has(t, 4) {
			t.Error("a refused write is there, or an acknowledged one is not")
		}
	})
}

func TestAServerThatLostItsLeaderSaysSo(t *testing.T) {
	s := start(t, Config{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Propose(t.Context(), numbered(1))
	if !errors.Is(err, ErrNoLeader) || err.Error() != "No cluster leader" || errs.KindOf(err) != errs.Unavailable {
		t.Errorf("propose: %v", err)
	}
	if err := s.Barrier(t.Context()); !errors.Is(err, ErrNoLeader) {
		t.Errorf("barrier: %v", err)
	}
	if s.IsLeader() {
		t.Error("it leads")
	}
	store := state.New()
	n, err := Open(Config{ID: "follower"}, fsm.New(store)) // no bootstrap: it waits for a cluster
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Propose(t.Context(), numbered(1)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("without a cluster: %v", err)
	}
	if addr, id := n.Leader(); addr != "" || id != "" {
		t.Errorf("leader %s at %s", id, addr)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := start(t, Config{DataDir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s.IsLeader() {
		t.Error("it still leads")
	}
}

func TestAClosedServerLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		s := start(t, Config{DataDir: t.TempDir()})
		s.propose(t, numbered(1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second) // raft's last goroutines end on their own
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestRaftLogsThroughSlog(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	h := slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(b)
	}), nil)
	s := start(t, Config{DataDir: t.TempDir(), Logger: slog.New(h)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := out.String(); !strings.Contains(text, "entering leader state") || !strings.Contains(text, "raft") {
		t.Errorf("logged:\n%s", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
