package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// NamespaceDelete marks a namespace for deletion. From then on it counts as gone:
// its tokens work no more, and nothing can be made in it.
type NamespaceDelete struct {
	Partition, Name string
	Now             time.Time
}

// Apply implements Command. It returns errs.NotFound for an unknown namespace, and errs.Invalid for
// the default one, which goes with its partition alone.
func (c NamespaceDelete) Apply(tx *state.Tx) error {
	n, err := tx.Namespace(nil, c.Partition, c.Name)
	switch {
	case err != nil:
		return err
	case c.Name == tenancy.DefaultName:
		return errs.Errorf(errs.Invalid, "Cannot delete the %q namespace", c.Name)
	case n == nil:
		return errs.New(errs.NotFound, "Namespace not found")
	}
	return markNamespace(tx, n, c.Now)
}

// PartitionDelete marks a partition and all of its namespaces for deletion.
type PartitionDelete struct {
	Name string
	Now  time.Time
}

// Apply implements Command. It returns errs.NotFound for an unknown partition, and errs.Invalid for
// the default one.
func (c PartitionDelete) Apply(tx *state.Tx) error {
	p, err := tx.Partition(nil, c.Name)
	switch {
	case err != nil:
		return err
	case c.Name == tenancy.DefaultName:
		return errs.Errorf(errs.Invalid, "Cannot delete the %q partition", c.Name)
	case p == nil:
		return errs.New(errs.NotFound, "Partition not found")
	}
	if p.DeletedAt == nil {
		marked := *p
		marked.DeletedAt = &c.Now
		if err := tx.PutPartition(marked); err != nil {
			return err
		}
	}
	all, err := tx.Namespaces(nil, c.Name)
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := markNamespace(tx, n, c.Now); err != nil {
			return err
		}
	}
	return nil
}

func markNamespace(tx *state.Tx, n *tenancy.Namespace, now time.Time) error {
	if n.DeletedAt != nil {
		return nil
	}
	marked := *n
	marked.DeletedAt = &now
	return tx.PutNamespace(marked)
}

// NamespacePurge removes at most Limit things from a namespace that is marked
// for deletion, and the namespace once nothing is left (tenancy.md section 5).
type NamespacePurge struct {
	Scope tenancy.Scope
	Limit uint64
}

// Apply implements Command.
func (c NamespacePurge) Apply(tx *state.Tx) error { return tx.PurgeNamespace(c.Scope, int(c.Limit)) }
