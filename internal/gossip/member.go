package gossip

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/hashicorp/serf/serf"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Status is how the cluster sees a member; the numbers are those of the API
// (agent.md section 8).
type Status int

// The statuses.
const (
	None Status = iota
	Alive
	Leaving
	Left
	Failed
)

var statusNames = [...]string{"none", "alive", "leaving", "left", "failed"}

// String returns the word that consul members prints.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status(%d)", int(s))
	}
	return statusNames[s]
}

// Member is an agent of the cluster as gossip knows it.
type Member struct {
	Name   string
	ID     string // UUID; empty if it did not say
	Addr   string // IP address
	Port   uint16 // of gossip
	Status Status
	Tags   map[string]string // read-only

	Server     bool
	ServerAddr string // of a server, "ip:port" of its server port; empty if it did not say
	Datacenter string
	Partition  string // "default" for servers
	Segment    string
	Bootstrap  bool
	Expect     int

	// Versions of the gossip protocol, and of serf's in it.
	ProtocolMin, ProtocolMax, ProtocolCur uint8
	DelegateMin, DelegateMax, DelegateCur uint8
}

// Members returns every agent that this one sees, sorted by name. A client
// agent sees the servers and the agents of its own partition (tenancy.md section 4.1).
func (g *Gossip) Members() []Member {
	all := g.serf.Members()
	seen := make([]Member, 0, len(all))
	for _, m := range all {
		if member := newMember(m); g.sees(member) {
			seen = append(seen, member)
		}
	}
	slices.SortFunc(seen, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return seen
}

// Self returns this agent as the others see it.
func (g *Gossip) Self() Member { return newMember(g.serf.LocalMember()) }

// member returns the member of a name that this agent sees.
func (g *Gossip) member(name string) (Member, error) {
	for _, m := range g.Members() {
		if m.Name == name {
			return m, nil
		}
	}
	return Member{}, errs.Errorf(errs.NotFound, "agent: No node found with name '%s'", name)
}

func (g *Gossip) sees(m Member) bool {
	return g.cfg.Server || m.Server || m.Partition == orDefault(g.cfg.Partition)
}

func newMember(m serf.Member) Member {
	t := parseTags(m.Tags)
	out := Member{
		Name: m.Name, ID: t.NodeID, Addr: m.Addr.String(), Port: m.Port, Status: Status(m.Status), Tags: maps.Clone(m.Tags),
		Server: t.Server, Datacenter: t.Datacenter, Partition: t.Partition, Segment: t.Segment,
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
	if t.Server {
		out.Partition, out.Bootstrap, out.Expect = tenancy.DefaultName, t.Bootstrap, t.Expect
		if t.ServerPort > 0 {
			out.ServerAddr = net.JoinHostPort(out.Addr, strconv.Itoa(t.ServerPort))
		}
	}
	return out
}
