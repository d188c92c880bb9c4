package raftnode

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
)

// follower is a server whose leader, a, is played by the test.
type follower struct {
	*server
	t    *testing.T
	link *raft.InmemTransport // of a
	last raft.Log
}

func newFollower(t *testing.T) *follower {
	_, own := raft.NewInmemTransport("addr-b")
	_, link := raft.NewInmemTransport("addr-a")
	link.Connect("addr-b", own)
	store := state.New()
	n, err := Open(Config{ID: "b", Addr: "addr-b", Transport: own, HeartbeatTimeout: time.Hour}, fsm.New(store))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	err = n.BootstrapWith([]Server{{ID: "a", Address: "addr-a", Voter: true}, {ID: "b", Address: "addr-b", Voter: true}})
	if err != nil {
		t.Fatal(err)
	}
	return &follower{server: &server{Node: n, store: store}, t: t, link: link, last: raft.Log{Index: 1, Term: 1}}
}

// replicate sends a command as the leader of term, without saying that it is committed.
func (f *follower) replicate(term uint64, cmd fsm.Command) *raft.Log {
	f.t.Helper()
	data, err := fsm.Encode(cmd)
	if err != nil {
		f.t.Fatal(err)
	}
	entry := raft.Log{Index: f.last.Index + 1, Term: term, Type: raft.LogCommand, Data: data}
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("addr-a")},
		Term:      term, PrevLogEntry: f.last.Index, PrevLogTerm: f.last.Term, Entries: []*raft.Log{&entry},
	}
	var resp raft.AppendEntriesResponse
	if err := f.link.AppendEntries("b", "addr-b", req, &resp); err != nil || !resp.Success {
		f.t.Fatalf("replicate: %+v, %v", resp, err)
	}
	f.last = entry
	return &entry
}

// heard returns once raft has dealt with everything that it was told before.
func (f *follower) heard(term uint64) {
	f.t.Helper()
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("addr-a")},
		Term:      term, PrevLogEntry: f.last.Index, PrevLogTerm: f.last.Term,
	}
	if err := f.link.AppendEntries("b", "addr-b", req, &raft.AppendEntriesResponse{}); err != nil {
		f.t.Fatal(err)
	}
}

func word(entry *raft.Log, leaderTerm uint64) Commitment {
	return Commitment{Index: entry.Index, Term: entry.Term, LeaderTerm: leaderTerm, LeaderID: "a", LeaderAddr: "addr-a"}
}

func TestTheLeadersWordCommitsWhatIsHereAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		first := f.replicate(2, numbered(1))
		second := f.replicate(2, numbered(2))
		f.Learn(t.Context(), word(first, 2))
		if err := f.WaitApplied(t.Context(), first.Index); err != nil || !f.has(t, 1) {
			t.Errorf("not applied: %v", err)
		}
		f.heard(2)
		synctest.Wait()
		if f.has(t, 2) {
			t.Error("more was applied than is committed")
		}
		f.Learn(t.Context(), word(second, 3)) // of a later leader, whose first message this is
		if err := f.WaitApplied(t.Context(), second.Index); err != nil || !f.has(t, 2) || f.raft.CurrentTerm() != 3 {
			t.Errorf("not applied: %v", err)
		}
		f.Learn(t.Context(), word(first, 3)) // known
	})
}

func TestTheLeadersWordWaitsForItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		f.Learn(t.Context(), Commitment{Index: 3, Term: 2, LeaderTerm: 2, LeaderID: "a", LeaderAddr: "addr-a"})
		f.replicate(2, numbered(1))
		f.heard(2)
		synctest.Wait()
		if f.has(t, 1) {
			t.Error("applied too early")
		}
		f.replicate(2, numbered(2))
		if err := f.WaitApplied(t.Context(), 3); err != nil || !f.has(t, 1) || !f.has(t, 2) {
			t.Errorf("not applied: %v", err)
		}
	})
}

// A word that does not fit this server's log, or comes from a leader of the
// past, commits nothing.
func TestAWordThatDoesNotHoldCommitsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		word func(*raft.Log) Commitment
	}{
		{"another entry at the index", func(l *raft.Log) Commitment {
			c := word(l, 5)
			c.Term = 4
			return c
		}},
		{"a leader of the past", func(l *raft.Log) Commitment { return word(l, 2) }},
		{"nothing is known of the entry", func(l *raft.Log) Commitment {
			c := word(l, 5)
			c.Term = 0
			return c
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFollower(t)
				f.replicate(2, numbered(1))
				entry := f.replicate(3, numbered(2))
				f.Learn(t.Context(), tc.word(entry))
				f.heard(max(5, f.raft.CurrentTerm()))
				synctest.Wait()
				if f.has(t, 1) || f.has(t, 2) || f.Applied() != 0 {
					t.Error("it was applied")
				}
			})
		})
	}
}

func TestCommitmentsAreTheLeadersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		leader := c.begin()
		at := leader.propose(t, numbered(1))
		for _, verify := range []bool{false, true} {
			got, err := leader.Commitment(t.Context(), verify)
			if err != nil || got.Index < at || got.Term != got.LeaderTerm || got.LeaderID != leader.cfg.ID || got.LeaderAddr != "addr-"+leader.cfg.ID {
				t.Errorf("%+v, %v", got, err)
			}
			for _, s := range c.others(leader) {
				if _, err := s.Commitment(context.Background(), verify); err != ErrNoLeader {
					t.Errorf("a follower: %v", err)
				}
				s.Learn(t.Context(), got)
				if err := s.WaitApplied(t.Context(), got.Index); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
