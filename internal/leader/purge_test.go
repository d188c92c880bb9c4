package leader

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

// doom makes a namespace with policies and marks it for deletion.
func (s *server) doom(name string, policies int) {
	s.t.Helper()
	where := tenancy.Scope{Partition: "default", Namespace: name}
	commands := []fsm.Command{fsm.NamespaceSet{Namespace: tenancy.Namespace{Partition: "default", Name: name}}}
	for i := range policies {
		id := fmt.Sprint(name, i)
		commands = append(commands, fsm.PolicySet{Policy: acl.Policy{ID: id, Name: id, Scope: where}})
	}
	commands = append(commands, fsm.NamespaceDelete{Partition: "default", Name: name, Now: time.Now()})
	for _, c := range commands {
		if _, err := s.raft.Propose(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) namespaces() string {
	s.t.Helper()
	list, err := s.state.Read().Namespaces(nil, "default")
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, n := range list {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}

func TestDeletedNamespacesAreEmptiedAndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.doom("before", batch+1) // another leader's work
		s.run()
		defer s.stop()
		if got := s.namespaces(); got != "default" {
			t.Errorf("after the start: %s", got)
		}
		if log := s.take(); !strings.Contains(log, `msg="removed a deleted namespace" namespace=before partition=default`) {
			t.Error(log)
		}
		s.doom("while", 1)
		synctest.Wait()
		if got := s.namespaces(); got != "default" {
			t.Errorf("while it leads: %s", got)
		}
	})
}

func TestAPurgeThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs = false
		s.doom("stuck", 1)
		s.raft.refusals = 2
		s.run()
		defer s.stop()
		time.Sleep(lastRetry)
		synctest.Wait()
		if got := s.namespaces(); got != "default" {
			t.Errorf("got %s", got)
		}
	})
}
