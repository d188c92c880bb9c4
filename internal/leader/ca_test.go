package leader

import (
	"strings"
	"testing"
	"testing/synctest"

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

func TestTheMeshCAGetsOneRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs, s.MeshCA = false, true
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
	first, err := ca.NewMeshRoot("0f1e2d3c-0000-4000-8000-000000000001", s.now(), ca.MeshRootLife)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.raft.Propose(t.Context(), fsm.CARootSet{Root: first}); err != nil {
		t.Fatal(err)
	}
	s.Store = stale
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
