package autopilot

import (
	"encoding/json"
	"slices"
	"time"
)

// Status is how gossip sees a server. The numbers are gossip's own.
type Status uint8

// The statuses.
const (
	Unknown Status = iota // gossip does not know the server, or no longer
	Alive
	Leaving
	Left
	Failed
)

var statusNames = [...]string{"none", "alive", "leaving", "left", "failed"}

// String returns the word that operators know.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[Unknown]
}

// rank orders statuses: the more it is there, the less.
func (s Status) rank() int { return slices.Index([]Status{Alive, Leaving, Failed, Left, Unknown}, s) }

// Member is what gossip says about a server.
type Member struct {
	ID      string
	Name    string // of the node
	Address string // host:port of the server port
	Version string
	Status  Status
	Expect  int  // bootstrap_expect; 0 is none
	Alone   bool // it begins a cluster by itself: bootstrap
}

// Peer is a server that replicates.
type Peer struct {
	ID      string
	Address string
	Voter   bool
}

// Never is the LastContact of a server that has not heard of a leader.
const Never time.Duration = -1

// Stats are what a server says about its log.
type Stats struct {
	ID          string        // the server's
	LastContact time.Duration // since it heard of the leader; 0 on the leader itself, Never if it did not
	LastTerm    uint64        // of its log's last entry
	LastIndex   uint64        // of its log's last entry; 0 is an empty log
	Peers       []string      // IDs of the servers that replicate, as its log says
}

// Server is what is known about a server.
type Server struct {
	Member
	Log      Stats
	Peer     bool // it replicates
	Voter    bool
	Leader   bool
	Answered bool // Log is what it says itself, at Address and in this moment
	Healthy  bool

	StableSince time.Time // when Healthy changed last
	goneSince   time.Time // when gossip lost it; zero while it is there
}

// Stranger reports whether s is part of a cluster that none of peers is known in. It can
// never be added: two logs that were written apart do not make one.
func (s *Server) Stranger(peers []Peer) bool {
	if s.Peer || !s.Answered || s.Log.LastIndex == 0 || len(s.Log.Peers) == 0 {
		return false
	}
	return !slices.ContainsFunc(peers, func(p Peer) bool { return slices.Contains(s.Log.Peers, p.ID) })
}

// Role says what a server is to the cluster, in the word that operators know.
func (s *Server) Role() string {
	switch {
	case s.Leader:
		return "leader"
	case s.Voter:
		return "voter"
	case s.Peer:
		return "non-voter"
	}
	return "none"
}

// State is what the leader knows about its cluster at one moment.
type State struct {
	At      time.Time
	Leader  string   // its ID
	Servers []Server // sorted by ID: those that replicate and those that gossip knows to be alive
}

// Server returns the server with an ID, nil if there is none.
func (s *State) Server(id string) *Server {
	for i := range s.Servers {
		if s.Servers[i].ID == id {
			return &s.Servers[i]
		}
	}
	return nil
}

// Healthy reports whether every server is.
func (s *State) Healthy() bool {
	for i := range s.Servers {
		if !s.Servers[i].Healthy {
			return false
		}
	}
	return len(s.Servers) > 0
}

// Voters returns the IDs of the servers that vote.
func (s *State) Voters() []string {
	ids := []string{}
	for i := range s.Servers {
		if s.Servers[i].Voter {
			ids = append(ids, s.Servers[i].ID)
		}
	}
	return ids
}

// FailureTolerance returns how many of the healthy voters may fail before there
// is no quorum.
func (s *State) FailureTolerance() int {
	voters, healthy := 0, 0
	for i := range s.Servers {
		if s.Servers[i].Voter {
			voters++
			if s.Servers[i].Healthy {
				healthy++
			}
		}
	}
	return max(0, healthy-quorum(voters))
}

// quorum returns how many of n voters are a majority.
func quorum(n int) int { return n/2 + 1 }

// statsJSON is how Stats travel between servers.
type statsJSON struct {
	ID          string
	LastContact string // as time.Duration prints it, "never" for Never
	LastTerm    uint64
	LastIndex   uint64
	Peers       []string `json:",omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (s Stats) MarshalJSON() ([]byte, error) {
	out := statsJSON{ID: s.ID, LastContact: "never", LastTerm: s.LastTerm, LastIndex: s.LastIndex, Peers: s.Peers}
	if s.LastContact != Never {
		out.LastContact = s.LastContact.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler. What newer servers add is passed over.
func (s *Stats) UnmarshalJSON(data []byte) error {
	var in statsJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Stats{ID: in.ID, LastContact: Never, LastTerm: in.LastTerm, LastIndex: in.LastIndex, Peers: in.Peers}
	if in.LastContact == "never" {
		return nil
	}
	var err error
	s.LastContact, err = time.ParseDuration(in.LastContact)
	return err
}
