package autopilot

import (
	"cmp"
	"slices"
	"time"
)

// View is what the leader has learnt.
type View struct {
	Now     time.Time
	Leader  string           // its ID
	Peers   []Peer           // the servers that replicate
	Members []Member         // the servers that gossip knows
	Stats   map[string]Stats // by ID, of those that have answered where their member is
}

// Judge returns the state that v amounts to. before is the state that it
// returned last in this term, empty the first time.
func (c Config) Judge(v View, before State) State {
	s := State{At: v.Now, Leader: v.Leader}
	for _, m := range v.unique() {
		peer, replicates := find(v.Peers, m.ID)
		if replicates || m.Status == Alive {
			s.Servers = append(s.Servers, Server{Member: m, Peer: replicates, Voter: peer.Voter})
		}
	}
	for _, p := range v.Peers {
		if s.Server(p.ID) == nil {
			s.Servers = append(s.Servers, Server{Member: Member{ID: p.ID, Address: p.Address}, Peer: true, Voter: p.Voter})
		}
	}
	slices.SortFunc(s.Servers, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	leader := v.Stats[v.Leader]
	for i := range s.Servers {
		one := &s.Servers[i]
		one.Leader = one.ID == v.Leader
		one.Log, one.Answered = v.Stats[one.ID]
		one.Healthy = c.healthy(one, leader)
		one.since(v.Now, before.Server(one.ID))
	}
	return s
}

// unique returns one member for each ID. A server that was renamed is alive under
// one name and gone under another; and as a member can say of itself what it likes, the one at
// the address that is known comes before others.
func (v *View) unique() []Member {
	rank := func(m Member) int {
		if p, _ := find(v.Peers, m.ID); p.Address == m.Address {
			return 2 * m.Status.rank()
		}
		return 2*m.Status.rank() + 1
	}
	sorted := slices.Clone(v.Members)
	slices.SortStableFunc(sorted, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(rank(a), rank(b)))
	})
	return slices.CompactFunc(sorted, func(a, b Member) bool { return a.ID == b.ID })
}

func find(peers []Peer, id string) (Peer, bool) {
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.ID == id })
	if i < 0 {
		return Peer{}, false
	}
	return peers[i], true
}

// healthy reports whether gossip sees s alive, and it hears the leader and keeps up with it.
func (c Config) healthy(s *Server, leader Stats) bool {
	if s.Status != Alive || !s.Answered {
		return false
	}
	if s.Leader {
		return true
	}
	return s.Log.LastContact != Never && s.Log.LastContact <= c.LastContactThreshold &&
		s.Log.LastTerm == leader.LastTerm && s.Log.LastIndex+c.MaxTrailingLogs >= leader.LastIndex
}

// since notes the times at which something about s changed; old is what was
// known before, nil for nothing.
func (s *Server) since(now time.Time, old *Server) {
	s.StableSince = now
	if old != nil && old.Healthy == s.Healthy {
		s.StableSince = old.StableSince
	}
	if s.Status == Alive || s.Status == Leaving {
		return
	}
	s.goneSince = now
	if old != nil && !old.goneSince.IsZero() {
		s.goneSince = old.goneSince
	}
}
