package fsm

import (
	"io"

	"github.com/hashicorp/raft"
)

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return nil, nil }

// Restore implements raft.FSM.
func (f *FSM) Restore(r io.ReadCloser) error { return nil }
