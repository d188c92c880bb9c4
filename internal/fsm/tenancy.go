package fsm

import (
	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// PartitionSet creates or replaces a partition. A new one gets its default namespace, with the
// policy Management in it if there is one.
type PartitionSet struct {
	Partition  tenancy.Partition
	Management *acl.Policy `codec:",omitempty"`
}

// Apply implements Command. It returns errs.Invalid if the partition is marked for deletion.
func (c PartitionSet) Apply(tx *state.Tx) error {
	old, err := tx.Partition(nil, c.Partition.Name)
	if err != nil {
		return err
	}
	if old != nil && old.DeletedAt != nil {
		return errs.Errorf(errs.Invalid, "Partition %q is marked for deletion", old.Name)
	}
	if err := tx.PutPartition(c.Partition); err != nil || old != nil || c.Management == nil {
		return err
	}
	return tx.PutPolicy(*c.Management)
}

// NamespaceSet creates or replaces a namespace. A new one gets the policy Management if there is one.
type NamespaceSet struct {
	Namespace  tenancy.Namespace
	Management *acl.Policy `codec:",omitempty"`
}

// Apply implements Command. It returns errs.Invalid if the partition does not exist, if the
// namespace is marked for deletion, or if a linked policy or role is not in the
// partition's default namespace (tenancy.md section 2.2).
func (c NamespaceSet) Apply(tx *state.Tx) error {
	root := c.Namespace.Scope().PartitionRoot()
	if err := tx.CheckScope(root); err != nil {
		return err
	}
	old, err := tx.Namespace(nil, c.Namespace.Partition, c.Namespace.Name)
	if err != nil {
		return err
	}
	if old != nil && old.DeletedAt != nil {
		return errs.Errorf(errs.Invalid, "Namespace %q is marked for deletion", old.Name)
	}
	if err := c.checkLinks(tx, root); err != nil {
		return err
	}
	if err := tx.PutNamespace(c.Namespace); err != nil || old != nil || c.Management == nil {
		return err
	}
	return tx.PutPolicy(*c.Management)
}

// checkLinks checks that what the namespace gives to its tokens is in root.
func (c NamespaceSet) checkLinks(tx *state.Tx, root tenancy.Scope) error {
	if c.Namespace.ACLs == nil {
		return nil
	}
	for _, l := range c.Namespace.ACLs.PolicyDefaults {
		p, err := tx.LinkedPolicy(nil, root, l.ID)
		if err != nil {
			return err
		}
		if p == nil {
			return errs.Errorf(errs.Invalid, "Invalid Namespace: no policy with ID %q", l.ID)
		}
	}
	for _, l := range c.Namespace.ACLs.RoleDefaults {
		r, err := tx.Role(nil, root, l.ID)
		if err != nil {
			return err
		}
		if r == nil {
			return errs.Errorf(errs.Invalid, "Invalid Namespace: no role with ID %q", l.ID)
		}
	}
	return nil
}
