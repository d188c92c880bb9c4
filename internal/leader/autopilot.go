package leader

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/raftnode"
)

const (
	roundTime = 2 * time.Second // between looks at the servers where nothing has changed
	askTime   = time.Second     // for their answers
	stepTime  = 5 * time.Second // for the cluster to agree on a change
	maxSteps  = 16              // of one round
)

// Peers are the servers that replicate, and the ways to change them. Each change
// returns when the cluster has agreed.
type Peers interface {
	Configuration() (servers []raftnode.Server, index uint64)
	AddVoter(ctx context.Context, id, addr string) error
	AddNonvoter(ctx context.Context, id, addr string) error
	RemoveServer(ctx context.Context, id string) error
}

// Autopilot keeps the servers that replicate in step with those that gossip knows,
// and judges their health. Changed and Initial may be left out.
type Autopilot struct {
	Peers   Peers
	Members func() []gossip.Member
	Changed <-chan struct{} // receives after a member has changed
	Asker   *autopilot.Asker
	Initial autopilot.Config // what counts before an operator has chosen; zero is the defaults

	state   atomic.Pointer[autopilot.State]
	refused map[string]bool // IDs of strangers that were spoken of; of steer alone
}

// State returns what was found at the last look. ok is false on a server that does
// not lead, and until the first look.
func (a *Autopilot) State() (s autopilot.State, ok bool) {
	last := a.state.Load()
	if last == nil {
		return autopilot.State{}, false
	}
	return *last, true
}

// steer looks at the servers and makes the changes that are due, each time that
// gossip has news and every roundTime, until ctx is done.
func (l *Leader) steer(ctx context.Context) {
	defer l.Autopilot.state.Store(nil)
	l.Autopilot.refused = map[string]bool{}
	ticker := time.NewTicker(roundTime)
	defer ticker.Stop()
	for {
		l.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-l.Autopilot.Changed:
		case <-ticker.C:
		}
	}
}

// round makes the changes that are due now. What fails is tried again in the next round.
func (l *Leader) round(ctx context.Context) {
	a := l.Autopilot
	for range maxSteps {
		stored, err := l.Store.Read().Autopilot(nil)
		if err != nil {
			l.Log.Error("autopilot configuration cannot be read", "error", err)
			return
		}
		config := autopilot.Choose(stored, a.Initial)
		peers := a.peers()
		before, _ := a.State()
		state := config.Judge(a.look(ctx, l.now, peers), before)
		if ctx.Err() != nil {
			return
		}
		a.state.Store(&state)
		l.refuse(state, peers)
		step, due := config.Next(state, peers)
		if !due {
			return
		}
		if err := a.take(ctx, step); err != nil {
			if ctx.Err() == nil {
				l.Log.Warn("the servers that replicate could not be changed", "change", step.Action, "id", step.Peer.ID, "error", err)
			}
			return
		}
		l.Log.Info("changed the servers that replicate",
			"change", step.Action, "id", step.Peer.ID, "address", step.Peer.Address, "reason", step.Why)
	}
}

// refuse says once of each server that is part of another cluster that it is not added to this one.
func (l *Leader) refuse(state autopilot.State, peers []autopilot.Peer) {
	for i := range state.Servers {
		one := &state.Servers[i]
		if one.Stranger(peers) && !l.Autopilot.refused[one.ID] {
			l.Autopilot.refused[one.ID] = true
			l.Log.Error("a server is part of another cluster and is not added to this one: it needs an empty data directory",
				"server", one.Name, "id", one.ID, "address", one.Address)
		}
	}
}

func (a *Autopilot) peers() []autopilot.Peer {
	servers, _ := a.Peers.Configuration()
	peers := make([]autopilot.Peer, len(servers))
	for i, s := range servers {
		peers[i] = autopilot.Peer(s)
	}
	return peers
}

// look asks everybody.
func (a *Autopilot) look(ctx context.Context, now func() time.Time, peers []autopilot.Peer) autopilot.View {
	members := ServerMembers(a.Members())
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	logs := a.Asker.Ask(ask, members)
	return autopilot.View{Now: now(), Leader: a.Asker.Self, Peers: peers, Members: members, Stats: logs}
}

func (a *Autopilot) take(ctx context.Context, step autopilot.Step) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	switch {
	case step.Action == autopilot.Remove:
		return a.Peers.RemoveServer(ctx, step.Peer.ID)
	case step.Peer.Voter:
		return a.Peers.AddVoter(ctx, step.Peer.ID, step.Peer.Address)
	default:
		return a.Peers.AddNonvoter(ctx, step.Peer.ID, step.Peer.Address)
	}
}

// ServerMembers returns the servers among the members that gossip knows.
func ServerMembers(all []gossip.Member) []autopilot.Member {
	var servers []autopilot.Member
	for _, m := range all {
		if !m.Server {
			continue
		}
		version, _, _ := strings.Cut(m.Tags["build"], ":")
		servers = append(servers, autopilot.Member{
			ID: m.ID, Name: m.Name, Address: m.ServerAddr, Version: version, Status: autopilot.Status(m.Status),
			Expect: m.Expect, Alone: m.Bootstrap,
		})
	}
	return servers
}
