package fsm

import (
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/state"
)

// CARootSet creates or replaces a root of the mesh CA, if the one that signs at
// this point of the log has the ID IfActive; "" is none. So the first root is
// made once, whoever led when.
type CARootSet struct {
	Root     ca.Root
	IfActive string
}

// Apply implements Command. It returns ErrChanged if another root is active.
func (c CARootSet) Apply(tx *state.Tx) error {
	active, err := tx.ActiveCARoot(nil)
	if err != nil {
		return err
	}
	id := ""
	if active != nil {
		id = active.ID
	}
	if id != c.IfActive {
		return ErrChanged
	}
	return tx.PutCARoot(c.Root)
}
