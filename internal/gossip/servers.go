package gossip

import (
	"sync"

	"github.com/hashicorp/serf/serf"
)

// servers remembers the living servers between two changes among them: who
// forwards a request asks for them each time, and there are thousands of members.
type servers struct {
	mu    sync.Mutex
	known bool
	alive []Member
}

// changed forgets the servers if one of them is among members.
func (s *servers) changed(members []serf.Member) {
	for _, m := range members {
		if m.Tags["role"] == roleServer {
			s.mu.Lock()
			s.known = false
			s.mu.Unlock()
			return
		}
	}
}

// Servers returns the servers that answer, sorted by name, for reading alone.
// It knows of a change once Run has seen it.
func (g *Gossip) Servers() []Member {
	g.servers.mu.Lock()
	defer g.servers.mu.Unlock()
	if !g.servers.known {
		g.servers.alive = nil
		for _, m := range g.Members() {
			if m.Server && m.Status == Alive {
				g.servers.alive = append(g.servers.alive, m)
			}
		}
		g.servers.known = true
	}
	return g.servers.alive
}

// Size is how many members of the cluster answer, of every partition.
func (g *Gossip) Size() int { return g.serf.Memberlist().NumMembers() }
