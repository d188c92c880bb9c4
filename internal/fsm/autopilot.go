package fsm

import (
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/state"
)

// AutopilotSet stores what an operator chooses about the cluster's servers. With
// Compare it does so only if what is stored has the ModifyIndex IfIndex; nothing stored has 0.
type AutopilotSet struct {
	Config  autopilot.Config
	Compare bool
	IfIndex uint64
}

// Apply implements Command. It returns ErrChanged if the comparison fails.
func (c AutopilotSet) Apply(tx *state.Tx) error {
	old, err := tx.Autopilot(nil)
	if err != nil {
		return err
	}
	index := uint64(0)
	if old != nil {
		index = old.ModifyIndex
	}
	if c.Compare && c.IfIndex != index {
		return ErrChanged
	}
	return tx.PutAutopilot(c.Config)
}
