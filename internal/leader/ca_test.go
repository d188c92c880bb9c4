package leader

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
)

func (s *server) roots() []*ca.Root {
	s.t.Helper()
	roots, err := s.state.Read().CARoots(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return roots
}

func builtIn() *MeshCA {
	return &MeshCA{Providers: ca.BuiltInProviders(), Initial: ca.Settings{Config: ca.DefaultConfig()}}
}

func TestTheMeshCAGetsOneRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs, s.MeshCA = false, builtIn()
		s.run()
		s.raft.leads <- true // for another term
		synctest.Wait()
		defer s.stop()
		roots := s.roots()
		if len(roots) != 1 || !roots[0].Active || !strings.HasSuffix(roots[0].TrustDomain, ".consul") {
			t.Fatalf("got %+v", roots)
		}
		if text := s.take(); strings.Contains(text, "PRIVATE KEY") || strings.Count(text, "initialized primary datacenter CA") != 1 {
			t.Errorf("logged %s", text)
		}
	})
}

// Two servers may each think that they lead first: the log decides whose root it is.
func TestTheFirstRootInTheLogCounts(t *testing.T) {
	s := newServer(t)
	stale := &staleStore{Store: s.state, tx: s.state.Read()}
	first, err := ca.BuiltIn{}.NewRoot(t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: "0f1e2d3c-0000-4000-8000-000000000001"}, Now: s.now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.raft.Propose(t.Context(), fsm.CARootSet{Root: first}); err != nil {
		t.Fatal(err)
	}
	s.Store, s.MeshCA = stale, builtIn()
	if err := s.initCA(t.Context()); err != nil {
		t.Error(err)
	}
	if roots := s.roots(); len(roots) != 1 || roots[0].ID != first.ID {
		t.Errorf("got %d roots", len(roots))
	}
}

func TestNoRootIsMadeWithoutNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run()
		defer s.stop()
		if n := len(s.roots()); n > 0 {
			t.Errorf("%d roots", n)
		}
	})
}

// staleStore shows the state as it was.
type staleStore struct {
	*state.Store
	tx *state.Tx
}

func (s *staleStore) Read() *state.Tx { return s.tx }

func TestOldRootsAreRemovedWhenNothingThatTheySignedIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs, s.MeshCA = false, builtIn()
		s.MeshCA.Initial.LeafCertTTL = time.Hour
		s.Now = time.Now // of the bubble
		s.run()
		synctest.Wait()
		defer s.stop()
		rotate := func() {
			t.Helper()
			config, err := s.state.Read().CAConfig(nil)
			if err != nil {
				t.Fatal(err)
			}
			active, err := s.state.Read().ActiveCARoot(nil)
			if err != nil {
				t.Fatal(err)
			}
			next, err := ca.BuiltIn{}.NewRoot(t.Context(), ca.RootSpec{TrustDomain: active.TrustDomain, Settings: ca.Settings{Config: *config}, Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if next, err = ca.CrossSign(t.Context(), ca.BuiltIn{}, active, next, time.Hour, time.Now()); err != nil {
				t.Fatal(err)
			}
			cmd := fsm.CASet{Config: *config, Root: &next, IfActive: active.ID, IfConfig: config.ModifyIndex}
			if _, err := s.raft.Propose(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		rotate()
		time.Sleep(time.Hour)
		rotate()
		for _, step := range []struct {
			after time.Duration
			roots int
			cross int // of the one that signs
		}{{0, 3, 2}, {time.Hour - time.Second, 3, 2}, {2 * time.Second, 2, 1}, {time.Hour, 1, 0}, {24 * time.Hour, 1, 0}} {
			time.Sleep(step.after)
			synctest.Wait()
			active, err := s.state.Read().ActiveCARoot(nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(s.roots()); n != step.roots || len(active.CrossCerts) != step.cross {
				t.Errorf("after %v more there are %d roots, and %d certificates lead to the last, want %+v", step.after, n, len(active.CrossCerts), step)
			}
		}
	})
}
