package raftnode

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestQuorumIsAsOldAsItsOldestPart(t *testing.T) {
	voter := func(id raft.ServerID) raft.Server { return raft.Server{ID: id, Suffrage: raft.Voter} }
	three := []raft.Server{voter("self"), voter("b"), voter("c")}
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	tests := []struct {
		name    string
		servers []raft.Server
		acks    map[raft.ServerID]ack
		want    time.Time // zero is none
	}{
		{"nobody has confirmed", three, nil, time.Time{}},
		{"one of two others", three, map[raft.ServerID]ack{"b": {7, ago(time.Second)}}, ago(time.Second)},
		{"the later of two others", three, map[raft.ServerID]ack{"b": {7, ago(time.Second)}, "c": {7, ago(time.Minute)}}, ago(time.Second)},
		{"another term", three, map[raft.ServerID]ack{"b": {6, now}, "c": {8, now}}, time.Time{}},
		{"not a voter", []raft.Server{voter("self"), voter("b"), voter("c"), {ID: "d", Suffrage: raft.Nonvoter}},
			map[raft.ServerID]ack{"d": {7, now}}, time.Time{}},
		{"two of four others", []raft.Server{voter("self"), voter("b"), voter("c"), voter("d"), voter("e")},
			map[raft.ServerID]ack{"b": {7, ago(time.Second)}, "c": {7, ago(time.Minute)}}, ago(time.Minute)},
		{"one of four others", []raft.Server{voter("self"), voter("b"), voter("c"), voter("d"), voter("e")},
			map[raft.ServerID]ack{"b": {7, now}}, time.Time{}},
		{"an even number needs more than half", []raft.Server{voter("self"), voter("b"), voter("c"), voter("d")},
			map[raft.ServerID]ack{"b": {7, now}}, time.Time{}},
		{"no servers", nil, nil, time.Time{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a := &acks{last: tc.acks}
			if got := a.quorum(7, tc.servers, "self"); !got.Equal(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	alone := &acks{}
	if got := alone.quorum(7, []raft.Server{voter("self")}, "self"); time.Since(got) > time.Minute {
		t.Errorf("alone: %v", got)
	}
}

func TestOldConfirmationsDoNotReplaceNewOnes(t *testing.T) {
	now := time.Now()
	a := &acks{}
	for _, n := range []ack{{2, now}, {2, now.Add(-time.Second)}, {1, now.Add(time.Second)}} {
		a.note("b", n.term, n.sent)
		if a.last["b"] != (ack{2, now}) {
			t.Errorf("after %v: %v", n, a.last["b"])
		}
	}
}

// slowTransport answers an AppendEntries when it is told to.
type slowTransport struct {
	raft.Transport
	answer chan raft.AppendEntriesResponse
}

func (s *slowTransport) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, _ *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	answer, ok := <-s.answer
	if !ok {
		return errors.New("connection lost")
	}
	*resp = answer
	return nil
}

// The time of a confirmation is that of the question: the answer may have been
// on its way, or this process stopped, while the others chose another leader.
func TestAConfirmationIsAsOldAsItsQuestion(t *testing.T) {
	slow := &slowTransport{answer: make(chan raft.AppendEntriesResponse)}
	a := &acks{}
	tr := newTransport(slow, a)
	send := func(answer *raft.AppendEntriesResponse) (before time.Time) {
		done := make(chan struct{})
		go func() {
			_ = tr.AppendEntries("b", "addr-b", &raft.AppendEntriesRequest{Term: 7}, &raft.AppendEntriesResponse{})
			close(done)
		}()
		if answer == nil {
			close(slow.answer)
		} else {
			slow.answer <- *answer
		}
		before = time.Now() // the question was sent before this
		<-done
		return before
	}
	if before := send(&raft.AppendEntriesResponse{Term: 7, Success: true}); a.last["b"].term != 7 || a.last["b"].sent.After(before) {
		t.Errorf("noted %v, asked before %v", a.last["b"], before)
	}
	first := a.last["b"]
	send(&raft.AppendEntriesResponse{Term: 8, Success: false})
	send(&raft.AppendEntriesResponse{Term: 7, Success: false})
	send(nil)
	if a.last["b"] != first {
		t.Errorf("a refusal counts as a confirmation: %v", a.last["b"])
	}
}

func TestAServerThatStartsAgainKeepsItsVote(t *testing.T) {
	_, link := raft.NewInmemTransport("addr-a")
	defer link.Close()
	tr := newTransport(link, &acks{})
	ask := func(command any) raft.RPC {
		answers := make(chan raft.RPCResponse, 1)
		return raft.RPC{Command: command, RespChan: answers}
	}
	tests := []struct {
		name    string
		command any
		refused bool
	}{
		{"a vote", &raft.RequestVoteRequest{Term: 3}, true},
		{"a vote that the leader asks for", &raft.RequestVoteRequest{Term: 3, LeadershipTransfer: true}, false},
		{"the question before a vote", &raft.RequestPreVoteRequest{Term: 3}, true},
		{"entries", &raft.AppendEntriesRequest{}, false},
		{"a snapshot", &raft.InstallSnapshotRequest{}, false},
	}
	for _, tc := range tests {
		tr.silent = time.Now().Add(time.Hour)
		if got := tr.refuse(ask(tc.command)); got != tc.refused {
			t.Errorf("%s right after the start: refused %v", tc.name, got)
		}
		tr.silent = time.Now()
		if tr.refuse(ask(tc.command)) {
			t.Errorf("%s later is refused", tc.name)
		}
	}
}

// A patient leader may not answer alone for longer than the most impatient server waits.
func TestALeaseDoesNotGrowWithPatience(t *testing.T) {
	for _, tc := range []struct {
		name            string
		heartbeat, want time.Duration
	}{
		{"the default", 0, DefaultHeartbeat / 2},
		{"servers on one machine", FastHeartbeat, FastHeartbeat / 2},
		{"ten times as patient", 10 * DefaultHeartbeat, DefaultHeartbeat / 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{HeartbeatTimeout: tc.heartbeat}
			if got := c.lease(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
