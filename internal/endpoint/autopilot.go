package endpoint

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Autopilots are the operations on what the leader does about the servers of its
// cluster. They need the operator permission of the default partition.
type Autopilots struct {
	*Backend
	Initial autopilot.Config                    // what counts before an operator has chosen; zero is the defaults
	Look    func() (s autopilot.State, ok bool) // what the leader has found; ok is false on every other server
}

// Read returns what an operator has chosen, or what counts until then, with
// indexes of 0. It needs operator:read.
func (e *Autopilots) Read(ctx context.Context, who acl.Caller, r Read) (*autopilot.Config, Meta, error) {
	var out autopilot.Config
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := who.Require(tenancy.Default, acl.OperatorRead, ""); err != nil {
			return 0, err
		}
		stored, err := tx.Autopilot(ws)
		out = autopilot.Choose(stored, e.Initial)
		return tx.LastIndex(state.TableAutopilot), err
	})
	return &out, meta, err
}

// Set stores what an operator chooses. With cas, it does so only if what is
// stored has that ModifyIndex, 0 if nothing is, and reports whether it did. It needs operator:write.
func (e *Autopilots) Set(ctx context.Context, who acl.Caller, c autopilot.Config, cas *uint64) (done bool, err error) {
	if err := who.Require(tenancy.Default, acl.OperatorWrite, ""); err != nil {
		return false, err
	}
	if err := c.Validate(); err != nil {
		return false, err
	}
	cmd := fsm.AutopilotSet{Config: c, Compare: cas != nil}
	if cas != nil {
		cmd.IfIndex = *cas
	}
	_, err = e.Raft.Propose(ctx, cmd)
	if errors.Is(err, fsm.ErrChanged) {
		return false, nil
	}
	return err == nil, err
}

// durationText is a duration that the API shows as text.
type durationText time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d durationText) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// AutopilotHealth is how healthy the servers are, as the API shows it.
type AutopilotHealth struct {
	Healthy          bool
	FailureTolerance int
	Servers          []ServerHealth
}

// ServerHealth is how healthy a server is.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact durationText // -1ns if it never heard of a leader
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// Health returns how healthy the servers are. It needs operator:read.
func (e *Autopilots) Health(who acl.Caller) (*AutopilotHealth, error) {
	s, err := e.look(who)
	if err != nil {
		return nil, err
	}
	out := &AutopilotHealth{Healthy: s.Healthy(), FailureTolerance: s.FailureTolerance(), Servers: []ServerHealth{}}
	for _, one := range s.Servers {
		out.Servers = append(out.Servers, ServerHealth{
			ID: one.ID, Name: one.Name, Address: one.Address, SerfStatus: one.Status.String(), Version: one.Version,
			Leader: one.Leader, LastContact: durationText(one.Log.LastContact), LastTerm: one.Log.LastTerm, LastIndex: one.Log.LastIndex,
			Healthy: one.Healthy, Voter: one.Voter, StableSince: one.StableSince.UTC(),
		})
	}
	return out, nil
}

// AutopilotState is what the leader knows about the servers, as the API shows it.
type AutopilotState struct {
	Healthy                    bool
	FailureTolerance           int
	OptimisticFailureTolerance int // the same: no server stands by to replace a voter
	Servers                    map[string]ServerState
	Leader                     string
	Voters                     []string
}

// ServerState is what the leader knows about a server.
type ServerState struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string
	Version     string
	LastContact durationText // -1ns if it never heard of a leader
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool
	Status      string // leader, voter, non-voter or none
	Meta        map[string]string
	NodeType    string // what it is to become
}

// State returns what the leader knows about the servers. It needs operator:read.
func (e *Autopilots) State(who acl.Caller) (*AutopilotState, error) {
	s, err := e.look(who)
	if err != nil {
		return nil, err
	}
	out := &AutopilotState{
		Healthy: s.Healthy(), FailureTolerance: s.FailureTolerance(), OptimisticFailureTolerance: s.FailureTolerance(),
		Servers: map[string]ServerState{}, Leader: s.Leader, Voters: s.Voters(),
	}
	for _, one := range s.Servers {
		out.Servers[one.ID] = ServerState{
			ID: one.ID, Name: one.Name, Address: one.Address, NodeStatus: one.Status.String(), Version: one.Version,
			LastContact: durationText(one.Log.LastContact), LastTerm: one.Log.LastTerm, LastIndex: one.Log.LastIndex,
			Healthy: one.Healthy, StableSince: one.StableSince.UTC(), Status: one.Role(), Meta: map[string]string{"consul-network-segment": "", "consul-version": one.Version}, NodeType: "voter",
		}
	}
	return out, nil
}

func (e *Autopilots) look(who acl.Caller) (autopilot.State, error) {
	if err := who.Require(tenancy.Default, acl.OperatorRead, ""); err != nil {
		return autopilot.State{}, err
	}
	s, ok := e.Look()
	if !ok {
		return s, errs.New(errs.Unavailable, "the leader has not looked at the servers yet")
	}
	return s, nil
}
