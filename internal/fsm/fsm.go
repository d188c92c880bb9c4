// Package fsm is the replicated state machine: a list of typed commands, how a log
// entry carries them, and snapshots. Applying a command depends on the command
// and the state alone, so that every server ends up with the same.
package fsm

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/state"
)

// Command is one change of state. Whoever proposes it has chosen every id,
// secret and time in it. Apply checks what has to hold at this point of the log
// before it changes anything; its error goes to the proposer as it is.
type Command interface {
	Apply(tx *state.Tx) error
}

// FSM applies the log to a store. It implements raft.FSM.
type FSM struct {
	store *state.Store
}

// New returns the state machine that changes s. Nothing else may write to s.
func New(s *state.Store) *FSM { return &FSM{store: s} }

// Apply applies the commands of a log entry and returns a []error, one a command:
// nil, or why that command changed nothing. It panics if the entry holds a command that this
// binary does not know: going on would make this server differ from the others.
func (f *FSM) Apply(l *raft.Log) any {
	cmds, err := Decode(l.Data)
	if err != nil {
		panic(fmt.Sprintf("log entry %d: %v", l.Index, err))
	}
	steps := make([]func(*state.Tx) error, len(cmds))
	for i, c := range cmds {
		steps[i] = c.Apply
	}
	return f.store.Apply(l.Index, steps)
}

// StoreConfiguration implements raft.ConfigurationStore. The servers of the cluster are no
// part of the state; it is there so that a change of them counts as applied, without
// which raft takes no snapshot until the next command.
func (f *FSM) StoreConfiguration(uint64, raft.Configuration) {}
