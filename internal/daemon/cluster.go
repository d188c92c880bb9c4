package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/tenancy"
)

// beginAgain is how often servers that wait for a cluster to begin look at each
// other when gossip has no news.
const beginAgain = time.Second

// lookTime is how long a server that may begin a cluster by itself looks for one
// that there is.
const lookTime = 15 * time.Second

// watchMembers says in the log who comes and goes, and wakes whoever acts on it.
func (s *server) watchMembers(ctx context.Context) error {
	log := logging.Named(s.log, "server")
	for {
		select {
		case e := <-s.gossip.Events():
			if s.raft.IsLeader() {
				logMember(log, e)
			}
			wake(s.members)
			wake(s.nodes)
			wake(s.candidates)
		case <-ctx.Done():
			return nil
		}
	}
}

// logMember says what the leader has heard (spec: agent.md section 7).
func logMember(log *slog.Logger, e gossip.Event) {
	member := slog.String("member", e.Member.Name)
	partition := slog.String(logging.Partition, e.Member.Partition)
	switch e.Type {
	case gossip.Join:
		log.Info("member joined, marking health alive", member, partition)
	case gossip.Fail:
		log.Info("member failed, marking health critical", member, partition)
	case gossip.Leave, gossip.Reap:
		log.Info("deregistering member", member, partition, slog.String("reason", e.Member.Status.String()))
	}
}

// wake makes a receiver look once, however often it is called before it does.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin begins a new cluster once the servers are there that bootstrap_expect
// waits for, unless this one is part of one by then.
func (s *server) begin(ctx context.Context) error {
	if s.alone() {
		return errors.Join(s.beginAlone(ctx), s.gossip.KeepKeyring())
	}
	said := ""
	for !s.raft.HasState() {
		members := s.servers()
		asking, cancel := context.WithTimeout(ctx, beginAgain)
		peers, ok, err := autopilot.Begin(s.nodeID, s.cfg.BootstrapExpect, members, s.asker.Ask(asking, members))
		cancel()
		if err != nil && err.Error() != said {
			said = err.Error()
			s.log.Warn("waiting to begin a cluster", logging.Err, err)
		}
		if ok {
			return s.beginWith(peers)
		}
		select {
		case <-s.candidates:
		case <-time.After(beginAgain):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// beginAlone begins a cluster of this server, unless a server that it joins has
// begun one: this one then waits to be added to that.
func (s *server) beginAlone(ctx context.Context) error {
	if s.raft.HasState() {
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, lookTime)
	err := s.gossip.RetryJoin(looking, s.cfg.RetryJoin, beginAgain/10, 1)
	cancel()
	if err != nil {
		s.log.Info("nobody is there to be joined")
	}
	members := s.servers()
	asking, cancel := context.WithTimeout(ctx, beginAgain)
	others := s.asker.Ask(asking, members)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	for _, m := range members {
		if m.ID != s.nodeID && others[m.ID].LastIndex > 0 {
			s.log.Error("a server is part of a cluster already, so bootstrap has no effect: this one waits to be added to it", slog.String("server", m.Name))
			return nil
		}
	}
	return s.beginWith([]autopilot.Peer{{ID: s.nodeID, Address: s.advertise().String(), Voter: true}})
}

func (s *server) beginWith(peers []autopilot.Peer) error {
	servers := make([]raftnode.Server, len(peers))
	for i, p := range peers {
		servers[i] = raftnode.Server{ID: p.ID, Address: p.Address, Voter: p.Voter}
	}
	s.log.Info("found the servers that were expected, beginning a cluster", slog.Int("servers", len(servers)))
	return s.raft.BootstrapWith(servers)
}

// trustMesh lets client agents in whose certificates the mesh CA has signed.
func (s *server) trustMesh(ctx context.Context) error {
	if !s.tls.Enabled() {
		return nil
	}
	return s.roots.Follow(ctx, func(roots [][]byte) error { return s.tls.SetMesh(roots, nil) })
}

// awaitLeader tells that requests can be answered: on the leader once it has made
// what a cluster begins with, on the others once they have that.
func (s *server) awaitLeader(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.consistency.CatchUp(ctx); err == nil && s.hasBegun() {
			close(s.usable)
			return nil
		}
		select {
		case <-s.led:
			close(s.usable)
			return nil
		case <-time.After(beginAgain / 10):
		case <-ctx.Done():
		}
	}
	return nil
}

// hasBegun reports whether some leader has made what a cluster begins with.
func (s *server) hasBegun() bool {
	if _, self := s.raft.Route(); self {
		return false // this one says so itself
	}
	if !s.cfg.ACL.Enabled {
		return true
	}
	p, err := s.store.Read().Policy(nil, tenancy.Default, acl.GlobalManagementID)
	return err == nil && p != nil
}
