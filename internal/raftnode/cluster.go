package raftnode

import (
	"context"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
)

// Server is a member of the cluster that replicates.
type Server struct {
	ID      string
	Address string // host:port of its server port
	Voter   bool
}

var errNoPeer = errs.New(errs.Invalid, "cannot find peer")

// Configuration returns the cluster's servers as this one knows them, and the
// index of the log entry that says so; 0 if that is not known.
func (n *Node) Configuration() (servers []Server, index uint64) {
	f := n.raft.GetConfiguration()
	for _, s := range f.Configuration().Servers {
		servers = append(servers, Server{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return servers, f.Index()
}

// HasState reports whether this server is, or ever was, part of a cluster.
func (n *Node) HasState() bool { return n.raft.LastIndex() > 0 }

// BootstrapWith begins a cluster of servers, this one among them, on a server
// that HasState is false for. Every one of them may do it, with the same list: the
// result is one cluster. It returns errs.Conflict on a server that has a state.
func (n *Node) BootstrapWith(servers []Server) error {
	var c raft.Configuration
	for _, s := range servers {
		suffrage := raft.Nonvoter
		if s.Voter {
			suffrage = raft.Voter
		}
		c.Servers = append(c.Servers, raft.Server{Suffrage: suffrage, ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Address)})
	}
	if n.HasState() {
		return errs.New(errs.Conflict, "this server is part of a cluster already")
	}
	if err := n.raft.BootstrapCluster(c).Error(); err != nil {
		return errs.Errorf(errs.Conflict, "begin a cluster: %w", err)
	}
	first := slices.MinFunc(c.Servers, func(a, b raft.Server) int {
		return cmpVoters(a, b)
	})
	if first.ID == n.id() {
		n.campaign()
	}
	return nil
}

// cmpVoters orders voters by id, in front of everybody else.
func cmpVoters(a, b raft.Server) int {
	if a.Suffrage != b.Suffrage {
		return int(a.Suffrage) - int(b.Suffrage)
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// AddVoter makes a server part of the cluster, or changes its address. It
// returns when the cluster has agreed; ErrNoLeader if this server does not lead.
func (n *Node) AddVoter(ctx context.Context, id, addr string) error {
	return n.wait(ctx, func() raft.Future {
		return n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0)
	})
}

// RemoveServer takes a server out of the cluster; one that is not in it is no
// error. It returns when the cluster has agreed; ErrNoLeader if this server does not
// lead. A leader that removes itself ceases to lead.
func (n *Node) RemoveServer(ctx context.Context, id string) error {
	return n.wait(ctx, func() raft.Future { return n.raft.RemoveServer(raft.ServerID(id), 0, 0) })
}

// TransferLeadership lets another server lead: the voter with an id, or with ""
// the one that is furthest. It returns errs.Invalid if there is none, ErrNoLeader if
// this server does not lead, and errs.Unavailable if the other did not take over in time: this server
// goes on to lead then.
func (n *Node) TransferLeadership(ctx context.Context, id string) error {
	term := n.leads()
	if term == 0 {
		return ErrNoLeader
	}
	servers := n.servers()
	at := slices.IndexFunc(servers, func(s raft.Server) bool {
		return s.Suffrage == raft.Voter && s.ID != n.id() && (id == "" || string(s.ID) == id)
	})
	if at < 0 {
		return errNoPeer
	}
	n.transferred.Store(term)
	n.transferring.Add(1)
	defer n.transferring.Add(-1)
	return n.wait(ctx, func() raft.Future {
		if id == "" {
			return n.raft.LeadershipTransfer()
		}
		return n.raft.LeadershipTransferToServer(servers[at].ID, servers[at].Address)
	})
}

// Route says where a write has to go: self if this server leads, else addr,
// the leader's, empty if nobody is known to lead. A leader that is handing on does not
// count: it accepts no write.
func (n *Node) Route() (addr string, self bool) {
	if n.IsLeader() {
		return "", n.transferring.Load() == 0
	}
	addr, id := n.Leader()
	if id == n.cfg.ID { // elected, but not ready
		addr = ""
	}
	return addr, false
}

func (n *Node) id() raft.ServerID { return raft.ServerID(n.cfg.ID) }

// servers returns the cluster's servers; they may not be changed.
func (n *Node) servers() []raft.Server { return n.raft.GetConfiguration().Configuration().Servers }

func (n *Node) raftLeads() bool { return n.raft.State() == raft.Leader }
