package peer

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// counter is a state machine that keeps what it applied.
type counter struct {
	mu      sync.Mutex
	applied []string
}

func (c *counter) Apply(entry *raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = append(c.applied, string(entry.Data))
	return nil
}

func (c *counter) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.applied)
}

func (c *counter) Snapshot() (raft.FSMSnapshot, error)  { return c, nil }
func (c *counter) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (c *counter) Release()                             {}
func (c *counter) Restore(r io.ReadCloser) error        { return r.Close() }

type member struct {
	*raft.Raft
	port *port
	fsm  *counter
	id   raft.ServerID
}

// cluster starts raft on n ports and returns its members when one of them leads.
func cluster(t *testing.T, n int, cfg func() *TLS) []*member {
	t.Helper()
	var servers []raft.Server
	var members []*member
	for i := range n {
		p := open(t, cfg(), defaultLimits, whoami)
		m := &member{port: p, fsm: &counter{}, id: raft.ServerID(fmt.Sprintf("s%d", i))}
		servers = append(servers, raft.Server{ID: m.id, Address: raft.ServerAddress(p.addr())})
		members = append(members, m)
	}
	for _, m := range members {
		conf := raft.DefaultConfig()
		conf.LocalID = m.id
		conf.LogOutput = io.Discard
		conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 250*time.Millisecond
		store := raft.NewInmemStore()
		transport := raft.NewNetworkTransport(m.port.Raft(nil), 3, 2*time.Second, io.Discard)
		if err := raft.BootstrapCluster(conf, store, store, raft.NewDiscardSnapshotStore(), transport, raft.Configuration{Servers: servers}); err != nil {
			t.Fatal(err)
		}
		node, err := raft.NewRaft(conf, m.fsm, store, store, raft.NewDiscardSnapshotStore(), transport)
		m.Raft = must(t, node, err)
		t.Cleanup(func() {
			if err := m.Shutdown().Error(); err != nil {
				t.Error(err)
			}
			if err := transport.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return members
}

// apply applies n entries through whoever leads.
func apply(t *testing.T, members []*member, n int) {
	t.Helper()
	for i := 0; i < n; {
		var leader *member
		eventually(t, "somebody leads", func() bool {
			for _, m := range members {
				if m.State() == raft.Leader {
					leader = m
				}
			}
			return leader != nil
		})
		if leader.Apply([]byte(fmt.Sprint(i)), time.Second).Error() == nil {
			i++
		}
	}
}

func TestRaftReplicatesOverThePort(t *testing.T) {
	ours := newAuthority(t)
	forms := map[string]func() *TLS{
		"TLS":          func() *TLS { return newTLS(t, strict(ours.server(t, "dc1"), ours)) },
		"in the clear": func() *TLS { return nil },
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members := cluster(t, 3, form)
			apply(t, members, 50)
			for _, m := range members {
				eventually(t, "everybody has them", func() bool { return m.fsm.len() >= 50 })
				if _, body, err := get(t, newClient(t, form()), m.port.addr(), "/"); err != nil || body == "nobody" {
					t.Errorf("HTTP/2 on the same port: %q, %v", body, err)
				}
			}
			// Without its leader's port, the rest goes on.
			for i, m := range members {
				if m.State() == raft.Leader {
					_ = m.port.Raft(nil).Close()
					if err := m.Shutdown().Error(); err != nil {
						t.Error(err)
					}
					members = append(members[:i:i], members[i+1:]...)
					break
				}
			}
			apply(t, members, 10)
		})
	}
}

// Whoever had a certificate of the CA could speak raft. Here a server that holds a
// client's does not get into the cluster's.
func TestCVE_2021_37219_RaftRefusesAClientAgent(t *testing.T) {
	ours := newAuthority(t)
	members := cluster(t, 1, func() *TLS { return newTLS(t, strict(ours.server(t, "dc1"), ours)) })
	apply(t, members, 1)
	intruder := open(t, newTLS(t, strict(ours.client(t, "dc1"), ours)), defaultLimits, http.NotFoundHandler())
	transport := raft.NewNetworkTransport(intruder.Raft(nil), 3, time.Second, io.Discard)
	defer transport.Close()
	to := members[0]
	req := raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, Term: 1000}
	if err := transport.RequestVote(to.id, raft.ServerAddress(to.port.addr()), &req, &raft.RequestVoteResponse{}); err == nil {
		t.Error("a vote was answered")
	}
	to.port.log.wait(t, "raft is for servers")
	if to.State() != raft.Leader {
		t.Error("the leader stepped down")
	}
}
