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

// Answering is a command that has something to tell whoever proposed it. Answer takes the place of
// Apply; what it returns leaves this server no more than its error does.
type Answering interface {
	Command
	Answer(tx *state.Tx) (any, error)
}

// Applied is what became of the commands of a log entry, one element a command.
type Applied struct {
	Errors  []error // nil, or why the command changed nothing
	Answers []any   // of commands that are Answering
}

// FSM applies the log to a store. It implements raft.FSM.
type FSM struct {
	store *state.Store
}

// New returns the state machine that changes s. Nothing else may write to s.
func New(s *state.Store) *FSM { return &FSM{store: s} }

// Apply applies the commands of a log entry and returns an Applied. It panics if the entry holds a command that this
// binary does not know: going on would make this server differ from the others.
func (f *FSM) Apply(l *raft.Log) any {
	cmds, err := Decode(l.Data)
	if err != nil {
		panic(fmt.Sprintf("log entry %d: %v", l.Index, err))
	}
	steps := make([]func(*state.Tx) error, len(cmds))
	answers := make([]any, len(cmds))
	for i, c := range cmds {
		steps[i] = c.Apply
		if c, ok := c.(Answering); ok {
			steps[i] = func(tx *state.Tx) (err error) {
				answers[i], err = c.Answer(tx)
				return err
			}
		}
	}
	return Applied{Errors: f.store.Apply(l.Index, l.AppendedAt, steps), Answers: answers}
}

// StoreConfiguration implements raft.ConfigurationStore. The servers of the cluster are no
// part of the state; it is there so that a change of them counts as applied, without
// which raft takes no snapshot until the next command.
func (f *FSM) StoreConfiguration(uint64, raft.Configuration) {}
