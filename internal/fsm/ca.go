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

// CASet stores what was chosen about the mesh CA and, if there is a Root, lets that sign from
// now on. It does so only if the root that signs has the ID IfActive, "" for none, and what
// was chosen before the ModifyIndex IfConfig, 0 for nothing.
type CASet struct {
	Config   ca.Config
	Root     *ca.Root
	IfActive string
	IfConfig uint64
}

// Apply implements Command. It returns ErrChanged if a comparison fails.
func (c CASet) Apply(tx *state.Tx) error {
	active, err := tx.ActiveCARoot(nil)
	if err != nil {
		return err
	}
	old, err := tx.CAConfig(nil)
	if err != nil {
		return err
	}
	id := ""
	if active != nil {
		id = active.ID
	}
	if id != c.IfActive || old.ModifyIndex != c.IfConfig {
		return ErrChanged
	}
	if err := tx.PutCAConfig(c.Config); err != nil {
		return err
	}
	switch {
	case c.Root != nil:
		return tx.PutCARoot(*c.Root)
	case active != nil && c.Config.LeafCertTTL > active.LeafTTL:
		longer := *active
		longer.LeafTTL = c.Config.LeafCertTTL
		return tx.PutCARoot(longer)
	}
	return nil
}

// CARootsPrune removes roots of the mesh CA that were rotated out; what signs stays.
type CARootsPrune struct{ IDs []string }

// Apply implements Command.
func (c CARootsPrune) Apply(tx *state.Tx) error {
	for _, id := range c.IDs {
		if err := tx.PruneCARoot(id); err != nil {
			return err
		}
	}
	return nil
}
