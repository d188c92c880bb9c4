package leader

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

// pool is the members that gossip knows.
type pool struct {
	mu      sync.Mutex
	members []gossip.Member
	changed chan struct{}
}

func (p *pool) Members() []gossip.Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.members)
}

// tell changes a member, or adds one; with status None gossip forgets it.
func (p *pool) tell(m gossip.Member) {
	p.mu.Lock()
	p.members = slices.DeleteFunc(p.members, func(old gossip.Member) bool { return old.Name == m.Name })
	if m.Status != gossip.None {
		p.members = append(p.members, m)
	}
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// member returns a member with an id of its own.
func member(name string, status gossip.Status) gossip.Member {
	return gossip.Member{
		Name: name, ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", name), Addr: "10.0.0.1", Status: status, Partition: "default",
		Tags: map[string]string{"build": "1.2.3:abc"},
	}
}

func serverMember(name string, status gossip.Status) gossip.Member {
	m := member(name, status)
	m.Server, m.ServerAddr, m.ProtocolCur, m.ProtocolMin, m.ProtocolMax = true, "10.0.0.1:8300", 2, 1, 5
	m.Tags = map[string]string{"build": "1.2.3:abc", "raft_vsn": "3", "grpc_port": "8502"}
	return m
}

// kept runs a leader srv1 that keeps the catalog in step with a client agent web and itself.
func kept(t *testing.T) (*server, *pool) {
	p := &pool{changed: make(chan struct{}, 1), members: []gossip.Member{serverMember("srv1", gossip.Alive), member("web", gossip.Alive)}}
	s := newServer(t)
	s.ACLs = false
	s.Nodes = &Nodes{Members: p.Members, Changed: p.changed, Datacenter: "dc1"}
	s.run()
	return s, p
}

// catalogText is every node with its services and the state of serfHealth.
func (s *server) catalogText() string {
	s.t.Helper()
	synctest.Wait()
	tx := s.state.Read()
	partitions, err := tx.Partitions(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var words []string
	for _, p := range partitions {
		nodes, err := tx.Nodes(nil, p.Name)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, n := range nodes {
			word := n.Node
			if p.Name != tenancy.DefaultName {
				word = p.Name + "/" + word
			}
			instances, _ := tx.NodeInstances(nil, tenancy.Scope{Partition: p.Name, Namespace: tenancy.Wildcard}, n.Node)
			for _, i := range instances {
				word += "+" + i.ID
			}
			if c, _ := tx.Check(nil, n.Scope, n.Node, catalog.SerfHealth); c != nil {
				word += "=" + c.Status
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

func (s *server) wantCatalog(when, want string) {
	s.t.Helper()
	if got := s.catalogText(); got != want {
		s.t.Errorf("%s: %s, want %s", when, got, want)
	}
}

// write applies a command as somebody else.
func (s *server) write(cmd fsm.Command) {
	s.t.Helper()
	if _, err := s.raft.Propose(context.Background(), cmd); err != nil {
		s.t.Fatal(err)
	}
}

func TestTheCatalogFollowsMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		s.wantCatalog("at first", "srv1+consul=passing web=passing")
		p.tell(member("db", gossip.Alive))
		s.wantCatalog("one joined", "db=passing srv1+consul=passing web=passing")
		p.tell(member("web", gossip.Failed))
		s.wantCatalog("one failed", "db=passing srv1+consul=passing web=critical")
		p.tell(member("web", gossip.Alive))
		s.wantCatalog("it is back", "db=passing srv1+consul=passing web=passing")
		p.tell(member("web", gossip.Leaving))
		s.wantCatalog("it is about to leave", "db=passing srv1+consul=passing web=passing")
		p.tell(member("web", gossip.Left))
		s.wantCatalog("it left", "db=passing srv1+consul=passing")
		p.tell(member("db", gossip.Failed))
		p.tell(member("db", gossip.None))
		s.wantCatalog("one is forgotten", "srv1+consul=passing")
		p.tell(serverMember("srv1", gossip.Left))
		s.wantCatalog("the leader leaves", "srv1+consul=passing")
		p.tell(member("stranger", gossip.Failed))
		s.wantCatalog("one that nobody has met failed", "srv1+consul=passing")
	})
}

func TestWhatIsWrittenAboutMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		v6 := member("six", gossip.Alive)
		v6.Addr = "fd00::6"
		p.tell(v6)
		synctest.Wait()
		tx := s.state.Read()
		n, _ := tx.Node(nil, "default", "web")
		if n == nil || n.ID != member("web", 0).ID || n.Address != "10.0.0.1" || n.Datacenter != "dc1" || n.TaggedAddresses["lan_ipv4"] != "10.0.0.1" ||
			n.TaggedAddresses["wan"] != "10.0.0.1" || n.Meta["consul-version"] != "1.2.3" || n.Meta["consul-network-segment"] != "" {
			t.Errorf("web is %+v", n)
		}
		if n, _ := tx.Node(nil, "default", "six"); n == nil || n.TaggedAddresses["lan_ipv6"] != "fd00::6" || n.TaggedAddresses["lan_ipv4"] != "" {
			t.Errorf("six is %+v", n)
		}
		c, _ := tx.Check(nil, tenancy.Default, "web", "serfHealth")
		if c == nil || c.Name != "Serf Health Status" || c.Output != "Agent alive and reachable" || c.Type != "" {
			t.Errorf("its check is %+v", c)
		}
		i, _ := tx.Instance(nil, tenancy.Default, "srv1", "consul")
		if i == nil || i.Service.Service != "consul" || i.Port != 8300 || i.Weights.Passing != 1 ||
			fmt.Sprint(i.Meta) != "map[grpc_port:8502 non_voter:false raft_version:3 read_replica:false serf_protocol_current:2 serf_protocol_max:5 serf_protocol_min:1 version:1.2.3]" {
			t.Errorf("the server is %+v", i)
		}
		p.tell(member("web", gossip.Failed))
		synctest.Wait()
		if c, _ := s.state.Read().Check(nil, tenancy.Default, "web", "serfHealth"); c.Output != "Agent not live or unreachable" {
			t.Errorf("its check is %+v", c)
		}
	})
}

// Nothing is written where nothing has changed: not in an hour, not by another term.
func TestACatalogInStepIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		p.tell(member("db", gossip.Failed))
		synctest.Wait()
		before := s.raft.proposed()
		time.Sleep(time.Hour)
		p.tell(member("web", gossip.Alive))
		synctest.Wait()
		s.raft.leads <- false
		s.raft.leads <- true
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.raft.proposed() - before; n != 0 {
			t.Errorf("%d commands", n)
		}
		s.wantCatalog("in the end", "srv1+consul=passing web=passing")
	})
}

func TestWhatAnAgentHasToldStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		own := catalog.Node{
			Node: "web", ID: member("web", 0).ID, Address: "10.0.0.1", Datacenter: "dc1", TaggedAddresses: map[string]string{"lan": "10.0.0.1", "wan": "1.2.3.4"},
			Meta: map[string]string{"rack": "1"}, Scope: tenancy.Default,
		}
		s.write(fsm.Register{Node: own, Instance: &catalog.Instance{Service: catalog.Service{ID: "s", Service: "s", Scope: tenancy.Default}}})
		for _, status := range []gossip.Status{gossip.Failed, gossip.Alive} {
			p.tell(member("web", status))
			synctest.Wait()
			if n, _ := s.state.Read().Node(nil, "default", "web"); n.Meta["rack"] != "1" || n.TaggedAddresses["wan"] != "1.2.3.4" {
				t.Errorf("after %s: %+v", status, n)
			}
		}
		moved := member("web", gossip.Alive)
		moved.Addr = "10.0.0.2"
		p.tell(moved)
		synctest.Wait()
		if n, _ := s.state.Read().Node(nil, "default", "web"); n.Address != "10.0.0.1" {
			t.Errorf("the agent was not given time to tell its address: %+v", n)
		}
		time.Sleep(reconcileEvery)
		synctest.Wait()
		if n, _ := s.state.Read().Node(nil, "default", "web"); n.Meta["rack"] != "1" || n.Address != "10.0.0.2" || n.TaggedAddresses["lan"] != "10.0.0.2" {
			t.Errorf("at another address: %+v", n)
		}
		s.wantCatalog("in the end", "srv1+consul=passing web+s=passing")
	})
}

// What an agent tells between the leader's look at a node and its write stays.
func TestAnAgentIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		own := catalog.Node{Node: "db", ID: member("db", 0).ID, Address: "10.0.0.1", Meta: map[string]string{"rack": "1"}, Scope: tenancy.Default}
		once := sync.OnceFunc(func() { s.write(fsm.Register{Node: own}) })
		s.raft.before = func(cmd fsm.Command) {
			if r, ok := cmd.(fsm.Register); ok && r.Node.Node == "db" && len(r.Checks) > 0 {
				once()
			}
		}
		p.tell(member("db", gossip.Alive))
		s.wantCatalog("in the end", "db=passing srv1+consul=passing web=passing")
		if n, _ := s.state.Read().Node(nil, "default", "db"); n.Meta["rack"] != "1" {
			t.Errorf("db is %+v", n)
		}
	})
}

// A member with the name of another is another: what that had is gone.
func TestAMemberWithANewIDIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		s.write(fsm.Register{Node: catalog.Node{Node: "web", Scope: tenancy.Default}, SkipNodeUpdate: true,
			Instance: &catalog.Instance{Service: catalog.Service{ID: "s", Service: "s", Scope: tenancy.Default}}})
		s.wantCatalog("before", "srv1+consul=passing web+s=passing")
		again := member("web", gossip.Alive)
		again.ID = member("other", 0).ID
		p.tell(again)
		s.wantCatalog("after", "srv1+consul=passing web=passing")
		if n, _ := s.state.Read().Node(nil, "default", "web"); n.ID != again.ID {
			t.Errorf("web is %+v", n)
		}
		renamed := again
		renamed.Name = "web2"
		p.tell(gossip.Member{Name: "web"})
		p.tell(renamed)
		s.wantCatalog("renamed", "srv1+consul=passing web2=passing")
		silent := renamed
		silent.ID = ""
		p.tell(silent)
		before := s.raft.proposed()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.raft.proposed() - before; n != 0 {
			t.Errorf("%d commands about a member that says no id", n)
		}
	})
}

// Nodes without an agent are nobody's business, also if their name is that of an
// agent that left.
func TestNodesWithoutAnAgentStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		for _, name := range []string{"ext", "gone"} {
			s.write(fsm.Register{Node: catalog.Node{Node: name, Address: "10.9.9.9", Scope: tenancy.Default},
				Checks: []catalog.Check{{CheckID: "own", Status: "passing"}}})
		}
		p.tell(member("gone", gossip.Left))
		time.Sleep(time.Hour)
		s.wantCatalog("an hour later", "ext gone srv1+consul=passing web=passing")
	})
}

// A new leader waits before it removes nodes that it has not met.
func TestANewLeaderGivesStrangersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs = false
		p := &pool{changed: make(chan struct{}, 1), members: []gossip.Member{serverMember("srv1", gossip.Alive)}}
		s.Nodes = &Nodes{Members: p.Members, Changed: p.changed, Datacenter: "dc1"}
		for _, name := range []string{"back", "never"} {
			s.write(fsm.Register{Node: catalog.Node{Node: name, Address: "10.0.0.1", Scope: tenancy.Default},
				Checks: []catalog.Check{{CheckID: catalog.SerfHealth, Status: "passing"}}})
		}
		s.run()
		defer s.stop()
		s.wantCatalog("at first", "back=passing never=passing srv1+consul=passing")
		time.Sleep(time.Minute)
		p.tell(member("back", gossip.Alive))
		s.wantCatalog("after a minute", "back=passing never=passing srv1+consul=passing")
		time.Sleep(3 * time.Minute)
		s.wantCatalog("later", "back=passing srv1+consul=passing")
	})
}

func TestMembersOfPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		pay := member("pay1", gossip.Alive)
		pay.Partition = "pay"
		p.tell(pay)
		s.wantCatalog("there is no such partition", "srv1+consul=passing web=passing")
		s.write(fsm.PartitionSet{Partition: tenancy.Partition{Name: "pay"}})
		s.wantCatalog("there is now", "srv1+consul=passing web=passing pay/pay1=passing")
		s.write(fsm.PartitionDelete{Name: "pay", Now: time.Now()})
		s.wantCatalog("it is deleted", "srv1+consul=passing web=passing")
		moved := member("pay1", gossip.Alive)
		p.tell(moved)
		s.wantCatalog("its member is in the default one", "pay1=passing srv1+consul=passing web=passing")
	})
}

// What somebody takes out of the catalog, or what fails, comes back.
func TestTheCatalogIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := kept(t)
		defer s.stop()
		synctest.Wait()
		s.write(fsm.Deregister{Scope: tenancy.Default, Node: "srv1"})
		time.Sleep(reconcileEvery + time.Second)
		s.wantCatalog("a minute later", "srv1+consul=passing web=passing")
		s.raft.mu.Lock()
		s.raft.refusals = 2
		s.raft.mu.Unlock()
		p.tell(member("db", gossip.Alive))
		time.Sleep(2 * time.Second)
		s.wantCatalog("after failures", "db=passing srv1+consul=passing web=passing")
		if got := s.take(); strings.Count(got, "the catalog could not be brought in step with the members") != 2 {
			t.Errorf("logged %s", got)
		}
	})
}
