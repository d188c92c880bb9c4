package raftnode

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// acks remembers when each other server last confirmed the term of this one as
// leader. Times are those at which the confirmed request was sent: a request that
// was on its way for long says nothing about now.
type acks struct {
	mu   sync.Mutex
	last map[raft.ServerID]ack
}

type ack struct {
	term uint64
	sent time.Time
}

func (a *acks) note(id raft.ServerID, term uint64, sent time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[raft.ServerID]ack{}
	}
	if old := a.last[id]; term > old.term || term == old.term && sent.After(old.sent) {
		a.last[id] = ack{term, sent}
	}
}

// quorum returns the latest time such that a majority of servers, self among
// them, has confirmed term since. It is now for a cluster of one, and zero if there is no such time.
func (a *acks) quorum(term uint64, servers []raft.Server, self raft.ServerID) time.Time {
	now := time.Now()
	times := make([]time.Time, 0, 8)
	a.mu.Lock()
	for _, s := range servers {
		switch last := a.last[s.ID]; {
		case s.Suffrage != raft.Voter:
		case s.ID == self:
			times = append(times, now)
		case last.term == term:
			times = append(times, last.sent)
		default:
			times = append(times, time.Time{})
		}
	}
	a.mu.Unlock()
	if len(times) == 0 {
		return time.Time{}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[len(times)/2]
}

// transport is a raft.Transport that a lease can rest on. It notes what the
// others confirm. And because a server that starts again has forgotten which leader it confirmed,
// it votes for nobody until no lease from before can last.
type transport struct {
	raft.Transport
	acks *acks

	silent    time.Time // until then this server votes for nobody; set before open
	rpcs      chan raft.RPC
	later     atomic.Pointer[raft.AppendEntriesRequest] // to inject once the entry that it speaks of is there
	stop      chan struct{}
	receiving sync.WaitGroup
}

func newTransport(inner raft.Transport, a *acks) *transport {
	return &transport{Transport: inner, acks: a, rpcs: make(chan raft.RPC), stop: make(chan struct{})}
}

// open begins to pass requests on.
func (t *transport) open() { t.receiving.Go(t.receive) }

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpcs }

// inject hands raft a request, unless stop is closed first.
func (t *transport) inject(rpc raft.RPC, stop <-chan struct{}) {
	select {
	case t.rpcs <- rpc:
	case <-stop:
	}
}

// receive passes requests on until close.
func (t *transport) receive() {
	for {
		select {
		case rpc := <-t.Transport.Consumer():
			if t.refuse(rpc) {
				continue
			}
			next := t.due(rpc)
			t.inject(rpc, t.stop)
			if next != nil {
				t.inject(unanswered(next), t.stop)
			}
		case <-t.stop:
			return
		}
	}
}

// due returns what is to be injected after rpc, or nil.
func (t *transport) due(rpc raft.RPC) *raft.AppendEntriesRequest {
	req, ok := rpc.Command.(*raft.AppendEntriesRequest)
	later := t.later.Load()
	if !ok || later == nil || len(req.Entries) == 0 || req.Entries[len(req.Entries)-1].Index < later.PrevLogEntry {
		return nil
	}
	if !t.later.CompareAndSwap(later, nil) {
		return nil
	}
	return later
}

// refuse answers a request for this server's vote if it came too early. The
// leader itself may ask for another to take over at any time.
func (t *transport) refuse(rpc raft.RPC) bool {
	if !time.Now().Before(t.silent) {
		return false
	}
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
	switch req := rpc.Command.(type) {
	case *raft.RequestVoteRequest:
		if req.LeadershipTransfer {
			return false
		}
		rpc.Respond(&raft.RequestVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	case *raft.RequestPreVoteRequest:
		rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	default:
		return false
	}
	return true
}

// AppendEntries implements raft.Transport. Every heartbeat is one.
func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := time.Now()
	err := t.Transport.AppendEntries(id, to, req, resp)
	if err == nil && resp.Success && resp.Term == req.Term {
		t.acks.note(id, req.Term, sent)
	}
	return err
}

func (t *transport) close() error {
	close(t.stop)
	t.receiving.Wait()
	return closeTransport(t.Transport)
}

// votingTransport is a transport whose inner one can ask before an election
// whether it would be won.
type votingTransport struct {
	*transport
	raft.WithPreVote
}

// raft returns t as raft wants to see it: what it can do decides what raft does.
func (t *transport) raft() raft.Transport {
	if pre, ok := t.Transport.(raft.WithPreVote); ok {
		return votingTransport{t, pre}
	}
	return t
}
