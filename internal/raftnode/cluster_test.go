package raftnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
)

// testHeartbeat makes elections short.
const testHeartbeat = 350 * time.Millisecond

// cluster is servers that reach each other in memory. Tests of several servers run in a bubble, whose time stands while
// somebody works: a server that a busy machine gives no time would be taken for gone.
type cluster struct {
	t       testing.TB
	servers map[string]*server
	links   map[string]*raft.InmemTransport
	dirs    map[string]string // of servers on disk
}

// newCluster starts servers a, b, c and so on, without a state.
func newCluster(t testing.TB, n int, onDisk bool) *cluster {
	c := &cluster{t: t, servers: map[string]*server{}, links: map[string]*raft.InmemTransport{}, dirs: map[string]string{}}
	for i := range n {
		id := string(rune('a' + i))
		if onDisk {
			c.dirs[id] = t.TempDir()
		}
		c.open(id)
	}
	return c
}

// open starts a server, connected to all that run.
func (c *cluster) open(id string) *server {
	c.t.Helper()
	s, err := c.tryOpen(id)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cluster) tryOpen(id string) (*server, error) {
	_, link := raft.NewInmemTransportWithTimeout(raft.ServerAddress("addr-"+id), testHeartbeat)
	link.Connect(link.LocalAddr(), link)
	c.links[id] = link
	store := state.New()
	n, err := Open(Config{
		ID: id, Addr: "addr-" + id, DataDir: c.dirs[id], Transport: link,
		HeartbeatTimeout: testHeartbeat, TrailingLogs: 1,
	}, fsm.New(store))
	if err != nil {
		return nil, err
	}
	s := &server{Node: n, store: store}
	c.servers[id] = s
	c.t.Cleanup(func() { _ = s.Close() })
	for other := range c.servers {
		c.connect(id, other)
	}
	return s, nil
}

func (c *cluster) connect(a, b string) {
	c.links[a].Connect(c.links[b].LocalAddr(), c.links[b])
	c.links[b].Connect(c.links[a].LocalAddr(), c.links[a])
}

// isolate cuts a server off.
func (c *cluster) isolate(id string) {
	for other := range c.servers {
		if other != id {
			c.links[id].Disconnect(c.links[other].LocalAddr())
			c.links[other].Disconnect(c.links[id].LocalAddr())
		}
	}
}

// stop closes a server, which others find gone.
func (c *cluster) stop(id string) {
	c.t.Helper()
	c.isolate(id)
	if err := c.servers[id].Close(); err != nil {
		c.t.Fatal(err)
	}
	delete(c.servers, id)
}

// all returns every server as a member.
func (c *cluster) all() (list []Server) {
	for id := range c.servers {
		list = append(list, Server{ID: id, Address: "addr-" + id, Voter: true})
	}
	return list
}

// begin makes the servers one cluster and returns its leader.
func (c *cluster) begin() *server {
	c.t.Helper()
	for _, s := range c.servers {
		if err := s.BootstrapWith(c.all()); err != nil && !errors.Is(err, raft.ErrCantBootstrap) && errs.KindOf(err) != errs.Conflict {
			c.t.Fatal(err)
		}
	}
	return c.leader()
}

// leader waits until a server leads.
func (c *cluster) leader() *server {
	c.t.Helper()
	var leader *server
	c.eventually("a leader", func() bool {
		for _, s := range c.servers {
			if s.IsLeader() {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// others returns the servers beside s.
func (c *cluster) others(s *server) (list []*server) {
	for _, o := range c.servers {
		if o != s {
			list = append(list, o)
		}
	}
	return list
}

// eventually waits until ok, which has no event to wait for.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: not in time", what)
		}
	}
}

func TestServersBecomeOneCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		for id, s := range c.servers {
			if s.HasState() {
				t.Errorf("%s has a state", id)
			}
			if addr, self := s.Route(); addr != "" || self {
				t.Errorf("%s knows a leader: %q, %v", id, addr, self)
			}
		}
		leader := c.begin()
		index := leader.propose(t, numbered(1))
		for _, s := range c.others(leader) {
			if err := s.WaitApplied(t.Context(), index); err != nil || !s.has(t, 1) || s.Applied() < index {
				t.Errorf("a follower has not applied %d but %d: %v", index, s.Applied(), err)
			}
			if addr, self := s.Route(); addr != "addr-"+leader.cfg.ID || self {
				t.Errorf("a follower takes %q for the leader, %v", addr, self)
			}
			if _, err := s.Propose(t.Context(), numbered(2)); !errors.Is(err, ErrNoLeader) {
				t.Errorf("a follower proposes: %v", err)
			}
			if err := s.BootstrapWith(c.all()); errs.KindOf(err) != errs.Conflict || !s.HasState() {
				t.Errorf("a follower begins a cluster: %v", err)
			}
		}
		if _, self := leader.Route(); !self {
			t.Error("the leader does not know it")
		}
		if servers, _ := leader.Configuration(); len(servers) != 3 || !servers[0].Voter || servers[0].Address == "" {
			t.Errorf("configuration %v", servers)
		}
	})
}

func TestServersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, false)
		a := c.begin()
		index := a.propose(t, numbered(1))
		for _, id := range []string{"b", "c"} {
			s := c.open(id)
			if err := a.AddVoter(t.Context(), id, "addr-"+id); err != nil {
				t.Fatal(err)
			}
			if err := s.WaitApplied(t.Context(), index); err != nil || !s.has(t, 1) {
				t.Errorf("%s has not caught up: %v", id, err)
			}
			if err := s.AddVoter(t.Context(), "z", "addr-z"); !errors.Is(err, ErrNoLeader) {
				t.Errorf("a follower adds a server: %v", err)
			}
		}
		if err := a.TransferLeadership(t.Context(), "nobody"); errs.KindOf(err) != errs.Invalid || err.Error() != "cannot find peer" {
			t.Errorf("a transfer to nobody: %v", err)
		}
		if err := a.TransferLeadership(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		b := c.servers["b"]
		c.eventually("b leads", b.IsLeader)
		if err := a.TransferLeadership(t.Context(), ""); !errors.Is(err, ErrNoLeader) {
			t.Errorf("a follower transfers: %v", err)
		}
		if err := b.RemoveServer(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := b.RemoveServer(t.Context(), "a"); err != nil {
			t.Errorf("removed again: %v", err)
		}
		if servers, _ := b.Configuration(); len(servers) != 2 {
			t.Errorf("configuration %v", servers)
		}
		if err := b.RemoveServer(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		c.eventually("c leads", c.servers["c"].IsLeader)
		if !c.servers["c"].has(t, 1) {
			t.Error("a write is lost")
		}
		if _, err := b.Propose(t.Context(), numbered(2)); !errors.Is(err, ErrNoLeader) {
			t.Errorf("a leader that was removed: %v", err)
		}
		if err := c.servers["c"].TransferLeadership(t.Context(), ""); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a transfer without others: %v", err)
		}
		if err := c.servers["c"].AddVoter(t.Context(), "b", "addr-b"); err != nil {
			t.Fatal(err)
		}
		if err := b.WaitApplied(t.Context(), c.servers["c"].propose(t, numbered(3))); err != nil || !b.has(t, 3) {
			t.Errorf("the leader that was removed is back and has not caught up: %v", err)
		}
	})
}

func TestReadIndexesAreTheLeadersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		leader := c.begin()
		for i := range 20 {
			at := leader.propose(t, numbered(i))
			for name, ask := range map[string]func(context.Context) (uint64, error){"lease": leader.LeaseIndex, "proof": leader.ReadIndex} {
				index, err := ask(t.Context())
				if err != nil || index < at {
					t.Fatalf("by %s: index %d after a write at %d, %v", name, index, at, err)
				}
				for _, s := range c.others(leader) {
					if err := s.WaitApplied(t.Context(), index); err != nil || !s.has(t, i) {
						t.Fatalf("by %s: a follower does not have write %d: %v", name, i, err)
					}
				}
			}
		}
		for _, s := range c.others(leader) {
			if _, err := s.LeaseIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
				t.Errorf("a follower has a lease: %v", err)
			}
			if _, err := s.ReadIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
				t.Errorf("a follower proves that it leads: %v", err)
			}
		}
	})
}

// A leader that was cut off must not answer once another can have written.
func TestALeaseEndsBeforeTheNextLeaderBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		old := c.begin()
		old.propose(t, numbered(1))
		c.isolate(old.cfg.ID)
		next := make(chan *server)
		others := c.others(old)
		go func() {
			tick := time.NewTicker(100 * time.Microsecond)
			defer tick.Stop()
			for ; ; <-tick.C {
				for _, s := range others {
					if s.IsLeader() {
						next <- s
						return
					}
				}
			}
		}()
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case s := <-next:
				s.propose(t, numbered(2))
				for name, ask := range map[string]func(context.Context) (uint64, error){"lease": old.LeaseIndex, "proof": old.ReadIndex} {
					if index, err := ask(t.Context()); errs.KindOf(err) != errs.Unavailable {
						t.Errorf("by %s the old leader still answers %d, %v", name, index, err)
					}
				}
				return
			case <-tick.C:
				_, _ = old.LeaseIndex(t.Context()) // may answer
			}
		}
	})
}

func TestALeaseDoesNotOutliveATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		old := c.begin()
		old.propose(t, numbered(1))
		old.transferred.Store(old.term.Load()) // as if the other was slow to take over
		for _, s := range c.others(old) {
			c.links[old.cfg.ID].Disconnect("addr-" + raft.ServerAddress(s.cfg.ID))
		}
		time.Sleep(time.Nanosecond) // of the bubble: what was confirmed is not of now
		if index, err := old.LeaseIndex(t.Context()); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("index %d without asking anybody, %v", index, err)
		}
	})
}

// What was on its way into the log when the leader was cut off may apply or not:
// its proposer has to be told so, and not that it did not.
func TestACommandUnderWayHasAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, false)
		old := c.begin()
		c.isolate(old.cfg.ID)
		if _, err := old.Propose(t.Context(), numbered(1)); !errors.Is(err, ErrLeadershipLost) || errs.KindOf(err) != errs.Unavailable {
			t.Errorf("cut off: %v", err)
		}
		c.eventually("it steps down", func() bool { return !old.IsLeader() })
		if _, err := old.Propose(t.Context(), numbered(2)); !errors.Is(err, ErrNoLeader) {
			t.Errorf("without a leader: %v", err)
		}
	})
}

// A leader that began from a snapshot knows the index of the snapshot, which
// may be that of an entry that is no command. Followers must not wait for it in vain.
func TestFollowersReachALeaderThatBeganFromASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, true)
		leader := c.begin()
		leader.propose(t, numbered(1))
		var back string
		for _, s := range c.others(leader) {
			back = s.cfg.ID
		}
		if err := leader.AddVoter(t.Context(), "z", "addr-z"); err != nil { // an entry that is no command
			t.Fatal(err)
		}
		if err := leader.RemoveServer(t.Context(), "z"); err != nil {
			t.Fatal(err)
		}
		s := c.servers[back]
		c.eventually("it has everything", func() bool { return s.raft.AppliedIndex() == leader.raft.LastIndex() })
		if err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
		c.stop(back)
		s = c.open(back)
		c.eventually("it is back", func() bool { return s.has(t, 1) && leader.TransferLeadership(t.Context(), back) == nil })
		c.eventually("it leads", s.IsLeader)
		index, err := s.LeaseIndex(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range c.others(s) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := o.WaitApplied(ctx, index); err != nil {
				t.Error(err)
			}
			cancel()
		}
	})
}

func TestWaitAppliedEndsWithItsContextAndTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, false)
		a := c.begin()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- a.WaitApplied(ctx, 1<<40) }()
		go func() { done <- a.WaitApplied(context.Background(), 1<<40) }()
		cancel()
		if err := <-done; errs.KindOf(err) != errs.Unavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; errs.KindOf(err) != errs.Unavailable {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestPeersFileRecoversALostMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, true)
		leader := c.begin()
		index := leader.propose(t, numbered(1))
		for _, s := range c.others(leader) {
			if err := s.WaitApplied(t.Context(), index); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			c.stop(id)
		}
		file := filepath.Join(c.dirs["b"], "raft", "peers.json")
		for _, bad := range []struct{ content, why string }{
			{"{", "unexpected EOF"},
			{"[]", "at least one voter"},
			{`[{"id":"a","address":"addr-a"}]`, "not in it"},
			{`[{"id":"b","address":"addr-b"},{"id":"b","address":"addr-b"}]`, "duplicate"},
		} {
			if err := os.WriteFile(file, []byte(bad.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := c.tryOpen("b")
			if err == nil || !strings.Contains(err.Error(), "peers.json") || !strings.Contains(err.Error(), bad.why) {
				t.Errorf("peers.json %s: %v", bad.content, err)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("peers.json %s is gone: %v", bad.content, err)
			}
		}
		if err := os.WriteFile(file, []byte(`[{"id":"b","address":"addr-b","non_voter":false}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		b := c.open("b")
		b.lead(t)
		if !b.has(t, 1) {
			t.Error("an acknowledged write is lost")
		}
		b.propose(t, numbered(2))
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("peers.json is still there: %v", err)
		}
		c.stop("b")
		if b = c.open("b"); !b.HasState() {
			t.Error("it has no state")
		}
		b.lead(t)
		if !b.has(t, 1) || !b.has(t, 2) {
			t.Error("a write is lost after the recovery")
		}

		empty := filepath.Join(t.TempDir(), "raft")
		if err := os.MkdirAll(empty, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(empty, "peers.json"), []byte(`[{"id":"b","address":"addr-b"}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		c.dirs["b"] = filepath.Dir(empty)
		if _, err := c.tryOpen("b"); err == nil || !strings.Contains(err.Error(), "no initial state") {
			t.Errorf("recovered without a state: %v", err)
		}
	})
}

func TestElectionsTakeAboutASecond(t *testing.T) {
	for name, cfg := range map[string]Config{"a real cluster": {}, "on one machine": {HeartbeatTimeout: FastHeartbeat}} {
		r := cfg.raft()
		r.LocalID = "a"
		if err := raft.ValidateConfig(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Followers begin between one and two of these after the last heartbeat.
		if r.HeartbeatTimeout > 800*time.Millisecond || 2*r.LeaderLeaseTimeout > r.HeartbeatTimeout {
			t.Errorf("%s: heartbeat %v, lease %v", name, r.HeartbeatTimeout, r.LeaderLeaseTimeout)
		}
	}
}

// BenchmarkReadIndex asks the leader of three servers.
func BenchmarkReadIndex(b *testing.B) {
	c := newCluster(b, 3, false)
	leader := c.begin()
	for name, ask := range map[string]func(context.Context) (uint64, error){"lease": leader.LeaseIndex, "proof": leader.ReadIndex} {
		for _, workers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/x%d", name, workers), func(b *testing.B) {
				inParallel(b, workers, func() error {
					_, err := ask(b.Context())
					return err
				})
			})
		}
	}
}
