package fsm

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// SessionCreate creates a session.
type SessionCreate struct{ Session kv.Session }

// Apply implements Command. It returns errs.Invalid unless the node is there and the
// checks are there and not critical, with the texts of catalog.md section 7.
func (c SessionCreate) Apply(tx *state.Tx) error {
	s := &c.Session
	if err := tx.CheckScope(s.Scope); err != nil {
		return err
	}
	old, err := tx.Session(nil, s.Scope, s.ID)
	if err != nil {
		return err
	}
	if old != nil {
		return errs.Errorf(errs.Conflict, "session %q exists already", s.ID)
	}
	node, err := tx.Node(nil, s.Partition, s.Node)
	if err != nil {
		return err
	}
	if node == nil {
		return errs.New(errs.Invalid, "apply failed: Missing node registration")
	}
	for _, id := range s.NodeChecks {
		if err := checkHolds(tx, s.PartitionRoot(), s.Node, id); err != nil {
			return err
		}
	}
	for _, check := range s.ServiceChecks {
		if err := checkHolds(tx, s.CheckScope(check), s.Node, check.ID); err != nil {
			return err
		}
	}
	return tx.PutSession(*s)
}

// checkHolds refuses a check that is not there, or is critical.
func checkHolds(tx *state.Tx, at tenancy.Scope, node, id string) error {
	c, err := tx.Check(nil, at, node, id)
	switch {
	case err != nil:
		return err
	case c == nil:
		return errs.Errorf(errs.Invalid, "apply failed: Missing check '%s' registration", id)
	case c.Status == catalog.Critical:
		return errs.Errorf(errs.Invalid, "apply failed: Check '%s' is in critical state", id)
	}
	return nil
}

// SessionDestroy ends a session, if it exists.
type SessionDestroy struct {
	Scope tenancy.Scope
	ID    string
}

// Apply implements Command.
func (c SessionDestroy) Apply(tx *state.Tx) error { return tx.EndSession(c.Scope, c.ID) }

// SessionsExpire ends sessions that nobody has renewed in time.
type SessionsExpire struct{ Sessions []SessionDestroy }

// Apply implements Command.
func (c SessionsExpire) Apply(tx *state.Tx) error {
	for _, s := range c.Sessions {
		if err := s.Apply(tx); err != nil {
			return err
		}
	}
	return nil
}
