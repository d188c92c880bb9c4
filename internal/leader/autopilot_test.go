package leader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/raftnode"
)

// cluster is servers as gossip and raft know them. All that are alive answer.
type cluster struct {
	mu      sync.Mutex
	servers []raftnode.Server
	members []gossip.Member
	refuse  error
	changed chan struct{}
}

func (c *cluster) Configuration() ([]raftnode.Server, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.servers), 1
}

func (c *cluster) set(id, addr string, voter bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return c.refuse
	}
	c.servers = slices.DeleteFunc(c.servers, func(s raftnode.Server) bool { return s.ID == id })
	c.servers = append(c.servers, raftnode.Server{ID: id, Address: addr, Voter: voter})
	return nil
}

func (c *cluster) AddVoter(_ context.Context, id, addr string) error { return c.set(id, addr, true) }
func (c *cluster) AddNonvoter(_ context.Context, id, addr string) error {
	return c.set(id, addr, false)
}

func (c *cluster) RemoveServer(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = slices.DeleteFunc(c.servers, func(s raftnode.Server) bool { return s.ID == id })
	return c.refuse
}

func (c *cluster) Members() []gossip.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

func addressOf(id string) string { return "10.0.0." + id[1:] + ":8300" }

// gossip changes a member, or adds one, and tells it.
func (c *cluster) gossip(id string, status gossip.Status) {
	c.mu.Lock()
	c.members = slices.DeleteFunc(c.members, func(m gossip.Member) bool { return m.ID == id })
	c.members = append(c.members, gossip.Member{
		ID: id, Name: "node-" + id, Server: true, ServerAddr: addressOf(id), Status: status, Expect: 3,
		Tags: map[string]string{"build": "1.2.3:abc"},
	})
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// String is who replicates; nonvoters are in parentheses.
func (c *cluster) String() string {
	servers, _ := c.Configuration()
	var words []string
	for _, s := range servers {
		if s.Address != addressOf(s.ID) {
			s.ID += "@" + s.Address
		}
		if !s.Voter {
			s.ID = "(" + s.ID + ")"
		}
		words = append(words, s.ID)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// steered runs a leader s1 of a cluster of three servers.
func steered(t *testing.T) (*server, *cluster) {
	c := &cluster{changed: make(chan struct{}, 1)}
	for _, id := range []string{"s1", "s2", "s3"} {
		c.gossip(id, gossip.Alive)
		_ = c.set(id, addressOf(id), true)
	}
	c.members = append(c.members, gossip.Member{ID: "c1", Name: "client", Status: gossip.Alive})
	s := newServer(t)
	s.ACLs = false
	s.Autopilot = &Autopilot{
		Peers: c, Members: c.Members, Changed: c.changed,
		Asker: &autopilot.Asker{
			Self:  "s1",
			Local: func() autopilot.Stats { return autopilot.Stats{ID: "s1", LastTerm: 2, LastIndex: 100} },
			Remote: func(_ context.Context, addr string) (autopilot.Stats, error) {
				for _, m := range c.Members() {
					if m.ServerAddr == addr {
						return autopilot.Stats{ID: m.ID, LastTerm: 2, LastIndex: 100}, nil
					}
				}
				return autopilot.Stats{}, errors.New("connection refused")
			},
		},
	}
	s.run()
	return s, c
}

func (c *cluster) want(t *testing.T, when, want string) {
	t.Helper()
	synctest.Wait()
	if got := c.String(); got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

func TestServersFollowMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := steered(t)
		defer s.stop()
		c.want(t, "at first", "s1 s2 s3")
		c.gossip("s4", gossip.Alive)
		c.want(t, "one joined", "(s4) s1 s2 s3")
		time.Sleep(9 * time.Second)
		c.want(t, "a while later", "(s4) s1 s2 s3")
		time.Sleep(3 * time.Second)
		c.want(t, "when it is stable", "s1 s2 s3 s4")
		c.gossip("s2", gossip.Left)
		c.want(t, "one left", "s1 s3 s4")
		c.gossip("s3", gossip.Failed)
		time.Sleep(9 * time.Second)
		c.want(t, "one failed", "s1 s3 s4")
		time.Sleep(3 * time.Second)
		c.want(t, "when it is dead", "s1 s4")
		c.gossip("s3", gossip.Alive)
		time.Sleep(2 * time.Second)
		c.want(t, "it comes back to a cluster that lacks one", "s1 s3 s4")
		const logged = `msg="changed the servers that replicate" change=add id=s4 address=10.0.0.4:8300 reason="it joined"
msg="changed the servers that replicate" change=promote id=s4 address=10.0.0.4:8300 reason="it is healthy"
msg="changed the servers that replicate" change=remove id=s2 address=10.0.0.2:8300 reason="it left"
msg="changed the servers that replicate" change=remove id=s3 address=10.0.0.3:8300 reason="it is dead"
msg="changed the servers that replicate" change=add id=s3 address=10.0.0.3:8300 reason="it joined"
msg="changed the servers that replicate" change=promote id=s3 address=10.0.0.3:8300 reason="it is healthy"
`
		if got := s.take(); got != elected+logged {
			t.Errorf("logged\n%s", got)
		}
	})
}

func TestAnOperatorsChoiceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := steered(t)
		defer s.stop()
		config := autopilot.Default()
		config.CleanupDeadServers = false
		if _, err := s.raft.Propose(t.Context(), fsm.AutopilotSet{Config: config}); err != nil {
			t.Fatal(err)
		}
		c.gossip("s3", gossip.Failed)
		time.Sleep(time.Minute)
		c.want(t, "without clean-up", "s1 s2 s3")
		config.CleanupDeadServers = true
		if _, err := s.raft.Propose(t.Context(), fsm.AutopilotSet{Config: config}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		c.want(t, "with it", "s1 s2")
	})
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := steered(t)
		defer s.stop()
		synctest.Wait()
		c.mu.Lock()
		c.refuse = errors.New("no quorum")
		c.mu.Unlock()
		c.gossip("s4", gossip.Alive)
		c.want(t, "it is refused", "s1 s2 s3")
		if got := s.take(); !strings.Contains(got, `msg="the servers that replicate could not be changed" change=add id=s4 error="no quorum"`) {
			t.Errorf("logged %s", got)
		}
		c.mu.Lock()
		c.refuse = nil
		c.mu.Unlock()
		time.Sleep(3 * time.Second)
		c.want(t, "in the next round", "(s4) s1 s2 s3")
	})
}

func TestStateIsTheLeadersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := steered(t)
		defer s.stop()
		c.want(t, "at first", "s1 s2 s3")
		state, ok := s.Autopilot.State()
		if !ok || !state.Healthy() || state.FailureTolerance() != 1 || state.Leader != "s1" {
			t.Errorf("%t %+v", ok, state)
		}
		one := state.Server("s2")
		if got := fmt.Sprint(one.Name, one.Version, one.Role(), one.Log.LastIndex); got != "node-s21.2.3voter100" {
			t.Errorf("s2 is %s", got)
		}
		since := one.StableSince
		time.Sleep(time.Minute)
		synctest.Wait()
		if state, _ = s.Autopilot.State(); !state.Server("s2").StableSince.Equal(since) {
			t.Error("it was not stable")
		}
		s.raft.leads <- false
		synctest.Wait()
		if _, ok := s.Autopilot.State(); ok {
			t.Error("a server that does not lead has a state")
		}
	})
}

func TestTasksBeginAnewAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		empty := newServer(t)
		var snapshot bytes.Buffer
		if err := fsm.WriteSnapshot(&snapshot, empty.state.Read()); err != nil {
			t.Fatal(err)
		}
		s := newServer(t)
		s.InitialManagement = "secret"
		s.run()
		defer s.stop()
		s.take()
		if err := s.raft.fsm.Restore(struct {
			*bytes.Buffer
			nothing
		}{&snapshot, nothing{}}); err != nil {
			t.Fatal(err)
		}
		if got := s.take(); s.token("secret") == nil || strings.Contains(got, "leader") {
			t.Errorf("logged %s", got)
		}
	})
}

// nothing is to be closed.
type nothing struct{}

func (nothing) Close() error { return nil }
