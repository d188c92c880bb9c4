package endpoint

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	raftProtocol = "3"
	unknownNode  = "(unknown)" // the name of a server that gossip does not know
	askTime      = time.Second // for the servers to say how far their logs are
)

// RaftPeers are the servers that replicate (package raftnode).
type RaftPeers interface {
	Configuration() (servers []raftnode.Server, index uint64)
	Leader() (addr, id string)
	RemoveServer(ctx context.Context, id string) error
	TransferLeadership(ctx context.Context, id string) error
}

// RaftServers are the operations on the servers that replicate. They need the
// operator permission of the default partition.
type RaftServers struct {
	*Backend
	Peers   RaftPeers
	Members func() []autopilot.Member // the servers that gossip knows
	Asker   *autopilot.Asker
}

// RaftConfiguration are the servers that replicate, as the API shows them.
type RaftConfiguration struct {
	Servers []RaftServer
	Index   uint64 // of the log entry that says so
}

// RaftServer is one of the servers that replicate.
type RaftServer struct {
	ID              string
	Node            string // its name, "(unknown)" if gossip does not know it
	Address         string
	Leader          bool
	ProtocolVersion string
	Voter           bool
	LastIndex       uint64 // of its log; 0 if it does not say
}

// Configuration returns the servers that replicate, the way this server knows
// them. A stale read is answered without a leader too. It needs operator:read.
func (e *RaftServers) Configuration(ctx context.Context, who acl.Caller, r Read) (*RaftConfiguration, Meta, error) {
	r.MinIndex = 0
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, _ *state.Tx, _ memdb.WatchSet) (uint64, error) {
		return 0, who.Require(tenancy.Default, acl.OperatorRead, "")
	})
	if err != nil {
		return nil, meta, err
	}
	servers, index := e.Peers.Configuration()
	_, leader := e.Peers.Leader()
	members := e.Members()
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	logs := e.Asker.Ask(ask, members)
	out := &RaftConfiguration{Servers: []RaftServer{}, Index: index}
	for _, s := range servers {
		out.Servers = append(out.Servers, RaftServer{
			ID: s.ID, Node: nameOf(members, s.ID), Address: s.Address, Leader: s.ID == leader,
			ProtocolVersion: raftProtocol, Voter: s.Voter, LastIndex: logs[s.ID].LastIndex,
		})
	}
	return out, meta, nil
}

func nameOf(members []autopilot.Member, id string) string {
	name := unknownNode
	for _, m := range members {
		if m.ID == id && (name == unknownNode || m.Status == autopilot.Alive) {
			name = m.Name
		}
	}
	return name
}

// Remove takes the server with an id, or with an address, out of those that
// replicate: exactly one of the two is given. A server that is still there will be added again
// by autopilot. It returns errs.Invalid if there is no such server. It needs operator:write.
func (e *RaftServers) Remove(ctx context.Context, who acl.Caller, id, address string) error {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return err
	}
	switch {
	case id == "" && address == "":
		return errs.New(errs.Invalid, "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case id != "" && address != "":
		return errs.New(errs.Invalid, "Must specify only one of ?id or ?address")
	}
	servers, _ := e.Peers.Configuration()
	at := slices.IndexFunc(servers, func(s raftnode.Server) bool { return s.ID == id || id == "" && s.Address == address })
	if at < 0 {
		what, value := "id", id
		if id == "" {
			what, value = "address", address
		}
		return errs.Errorf(errs.Invalid, "%s %q was not found in the Raft configuration", what, value)
	}
	return e.Peers.RemoveServer(ctx, servers[at].ID)
}

// Transfer lets another server lead: the one with an id, any with "". It returns
// errs.Invalid if there is none that could. It needs operator:write.
func (e *RaftServers) Transfer(ctx context.Context, who acl.Caller, id string) error {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return err
	}
	servers, _ := e.Peers.Configuration()
	if id != "" && !slices.ContainsFunc(servers, func(s raftnode.Server) bool { return s.ID == id }) {
		return errs.Errorf(errs.Invalid, "Could not find address for server id %s", id)
	}
	return e.Peers.TransferLeadership(ctx, id)
}
