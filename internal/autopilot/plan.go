package autopilot

import "time"

// Action is a change of the servers that replicate.
type Action uint8

// The actions.
const (
	Remove  Action = iota // take it out
	Add                   // let it replicate, without a vote
	Promote               // let it vote
	Move                  // it has another address
)

var actionNames = [...]string{"remove", "add", "promote", "move"}

// String returns a word for logs.
func (a Action) String() string { return actionNames[a] }

// Step is one change and why it is due.
type Step struct {
	Action Action
	Peer   Peer // as it is to be, for Remove as it is
	Why    string
}

// Next returns the change that is due first, if any. Each changes what is known, so
// that the one after it needs a new State. peers are those that s was made from.
// What gossip says of a new server or a new address counts once that server has answered there: whoever
// can gossip can say anything, but only a server has a server's certificate.
//
// What is gone goes first: then its address is free for who has it now. A server that joined replicates
// at once, without a vote. It votes when it is healthy: for ServerStabilizationTime
// where the cluster has all voters that it was begun with, at once where some are missing.
func (c Config) Next(s State, peers []Peer) (Step, bool) {
	for _, rule := range []func(State, []Peer) (Step, bool){c.remove, move, add, c.promote} {
		if step, due := rule(s, peers); due {
			return step, true
		}
	}
	return Step{}, false
}

// remove finds a server that left, whose address another has now, or that is dead.
func (c Config) remove(s State, peers []Peer) (Step, bool) {
	for _, p := range peers {
		one := s.Server(p.ID)
		switch {
		case one == nil || one.Leader:
		case one.Status == Left:
			return Step{Remove, p, "it left"}, true
		case one.Status != Alive && taken(s, p):
			return Step{Remove, p, "another server has its address"}, true
		case c.CleanupDeadServers && one.dead(s.At, c.ServerStabilizationTime) && c.spare(p, s):
			return Step{Remove, p, "it is dead"}, true
		}
	}
	return Step{}, false
}

func taken(s State, p Peer) bool {
	for i := range s.Servers {
		if one := &s.Servers[i]; one.Answered && one.ID != p.ID && one.Address == p.Address {
			return true
		}
	}
	return false
}

// dead reports whether gossip lost s at least a while ago.
func (s *Server) dead(now time.Time, a time.Duration) bool {
	return !s.goneSince.IsZero() && now.Sub(s.goneSince) >= a
}

// spare reports whether the cluster can do without a dead server: the voters that live are a majority
// with it, so they are one without it, and MinQuorum remain.
func (c Config) spare(p Peer, s State) bool {
	if !p.Voter {
		return true
	}
	voters, alive := 0, 0
	for i := range s.Servers {
		if one := &s.Servers[i]; one.Voter {
			voters++
			if one.Status == Alive {
				alive++
			}
		}
	}
	return alive >= quorum(voters) && uint64(voters) > c.MinQuorum
}

// move finds a server that has come back with another address.
func move(s State, peers []Peer) (Step, bool) {
	for _, p := range peers {
		if one := s.Server(p.ID); one != nil && one.Answered && one.Address != p.Address {
			p.Address = one.Address
			return Step{Move, p, "it has another address"}, true
		}
	}
	return Step{}, false
}

// add finds a server that joined.
func add(s State, peers []Peer) (Step, bool) {
	for i := range s.Servers {
		one := &s.Servers[i]
		if one.Peer || one.Status != Alive || !one.Answered || one.Stranger(peers) {
			continue
		}
		p := Peer{ID: one.ID, Address: one.Address}
		if !held(peers, p.Address) {
			return Step{Add, p, "it joined"}, true
		}
	}
	return Step{}, false
}

// held reports whether a server that replicates has an address.
func held(peers []Peer, address string) bool {
	for _, p := range peers {
		if p.Address == address {
			return true
		}
	}
	return false
}

// promote finds a server that may vote.
func (c Config) promote(s State, _ []Peer) (Step, bool) {
	voters, expect := 0, 0
	for i := range s.Servers {
		one := &s.Servers[i]
		if one.Voter {
			voters++
		}
		if one.Status == Alive {
			expect = max(expect, one.Expect)
		}
	}
	wait := c.ServerStabilizationTime
	if voters < expect {
		wait = 0
	}
	for i := range s.Servers {
		one := &s.Servers[i]
		if one.Peer && !one.Voter && one.Healthy && s.At.Sub(one.StableSince) >= wait {
			return Step{Promote, Peer{ID: one.ID, Address: one.Address, Voter: true}, "it is healthy"}, true
		}
	}
	return Step{}, false
}
