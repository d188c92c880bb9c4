package leader

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// withSessions starts a leader with a node. It returns how to make a session with a
// TTL, and whether a session is there.
func withSessions(t *testing.T) (s *server, make func(id, ttl string), there func(id string) bool) {
	s = newServer(t)
	s.Renewals = &kv.Renewals{}
	s.run()
	propose := func(cmd fsm.Command) {
		t.Helper()
		if _, err := s.raft.Propose(context.Background(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	propose(fsm.Register{Node: catalog.Node{Node: "n1", Address: "10.0.0.1", Scope: tenancy.Default}})
	make = func(id, ttl string) {
		t.Helper()
		s.Renewals.Note(id, time.Now())
		propose(fsm.SessionCreate{Session: kv.Session{ID: id, Node: "n1", Behavior: kv.Release, TTL: ttl, Scope: tenancy.Default}})
	}
	there = func(id string) bool {
		t.Helper()
		synctest.Wait()
		found, err := s.state.Read().Session(nil, tenancy.Default, id)
		if err != nil {
			t.Fatal(err)
		}
		return found != nil
	}
	return s, make, there
}

func TestSessionsEndBetweenOnceAndTwiceTheirTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, make, there := withSessions(t)
		defer s.stop()
		make("short", "10s")
		make("long", "30s")
		make("forever", "")
		time.Sleep(9 * time.Second)
		s.Renewals.Note("long", time.Now())
		time.Sleep(time.Second)
		if !there("short") {
			t.Error("a session ended before its TTL")
		}
		time.Sleep(10 * time.Second)
		if there("short") || !there("long") {
			t.Error("after 20 seconds the session with a TTL of 10 has to be gone, and that with 30 to be there")
		}
		time.Sleep(19 * time.Second) // 39 since it was made, 30 since it was renewed
		if !there("long") {
			t.Error("a session that was renewed ended before its TTL")
		}
		time.Sleep(30 * time.Second)
		if there("long") || !there("forever") {
			t.Error("the wrong sessions are there after 69 seconds")
		}
	})
}

func TestRenewalsKeepASessionWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, make, there := withSessions(t)
		defer s.stop()
		make("s", "10s")
		before := s.raft.proposed()
		for range 100 {
			time.Sleep(9 * time.Second)
			s.Renewals.Note("s", time.Now())
		}
		if !there("s") || s.raft.proposed() != before {
			t.Errorf("there: %v, after %d writes", there("s"), s.raft.proposed()-before)
		}
	})
}

// A server that begins to lead knows of no renewal: every session has its whole time again.
func TestSessionsOutliveAChangeOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, make, there := withSessions(t)
		defer s.stop()
		make("s", "10s")
		time.Sleep(14 * time.Second)
		s.raft.leads <- true
		time.Sleep(10 * time.Second)
		if !there("s") {
			t.Error("a session ended before its TTL under the new leader")
		}
		time.Sleep(10 * time.Second)
		if there("s") {
			t.Error("a session has outlived twice its TTL")
		}
	})
}
