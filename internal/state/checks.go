package state

import (
	"cmp"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func checkAt(c *catalog.Check) (tenancy.Scope, string) { return c.Scope, onNode(c.Node, c.CheckID) }

var (
	checksByNode = store.Many("node", func(c *catalog.Check, add func(tenancy.Scope, string)) {
		add(c.PartitionRoot(), fold(c.Node))
	})
	// Checks of a node itself have the owner "".
	checksByOwner = store.Many("owner", func(c *catalog.Check, add func(tenancy.Scope, string)) {
		add(c.Scope, onNode(c.Node, c.ServiceID))
	})
	checksByService = store.Many("service", func(c *catalog.Check, add func(tenancy.Scope, string)) {
		if c.ServiceID != "" {
			add(c.Scope, fold(c.ServiceName))
		}
	})
	checksByStatus = store.Many("status", func(c *catalog.Check, add func(tenancy.Scope, string)) {
		add(c.Scope, c.Status)
	})

	checks = &resource[catalog.Check]{
		name:    TableChecks,
		at:      checkAt,
		rows:    store.NewTable("checks", checkAt, checksByNode, checksByOwner, checksByService, checksByStatus),
		indexes: func(c *catalog.Check) (*uint64, *uint64) { return &c.CreateIndex, &c.ModifyIndex },
	}
)

// Check returns the check with an ID on a node. Those of the node itself are in the partition's
// default namespace.
func (tx *Tx) Check(ws memdb.WatchSet, s tenancy.Scope, node, id string) (*catalog.Check, error) {
	return checks.rows.Get(tx.db, ws, s, onNode(node, id))
}

// NodeChecks returns a node's own checks and those of its instances in s, by
// CheckID. s may be the wildcard namespace. ws hears of other namespaces too.
func (tx *Tx) NodeChecks(ws memdb.WatchSet, s tenancy.Scope, node string) ([]*catalog.Check, error) {
	all, err := checks.rows.By(tx.db, ws, checksByNode, s.PartitionRoot(), fold(node))
	if s.Namespace != tenancy.Wildcard {
		all = slices.DeleteFunc(all, func(c *catalog.Check) bool { return c.ServiceID != "" && c.Scope != s })
	}
	return byCheckID(all), err
}

// InstanceChecks returns the checks that an instance's health is made of: its
// node's own and its own, by CheckID.
func (tx *Tx) InstanceChecks(ws memdb.WatchSet, i *catalog.Instance) ([]*catalog.Check, error) {
	ofNode, err := checks.rows.By(tx.db, ws, checksByOwner, i.PartitionRoot(), onNode(i.Node, ""))
	if err != nil {
		return nil, err
	}
	own, err := tx.ownChecks(ws, i)
	return byCheckID(append(ofNode, own...)), err
}

func (tx *Tx) ownChecks(ws memdb.WatchSet, i *catalog.Instance) ([]*catalog.Check, error) {
	return checks.rows.By(tx.db, ws, checksByOwner, i.Scope, onNode(i.Node, i.ID))
}

func byCheckID(rows []*catalog.Check) []*catalog.Check {
	slices.SortFunc(rows, func(a, b *catalog.Check) int {
		return cmp.Or(cmp.Compare(a.CheckID, b.CheckID), cmp.Compare(a.Namespace, b.Namespace))
	})
	return rows
}

// ServiceChecks returns the checks of the instances with a service name, in any case, by node and
// CheckID; those of their nodes are not among them. s may be the wildcard namespace.
func (tx *Tx) ServiceChecks(ws memdb.WatchSet, s tenancy.Scope, service string) ([]*catalog.Check, error) {
	return checks.by(tx, ws, checksByService, s, fold(service))
}

// ChecksInState returns the checks with a status, or all for catalog.Any, by node and
// CheckID. s may be the wildcard namespace.
func (tx *Tx) ChecksInState(ws memdb.WatchSet, s tenancy.Scope, status string) ([]*catalog.Check, error) {
	if status == catalog.Any {
		return checks.rows.List(tx.db, ws, s)
	}
	return checks.by(tx, ws, checksByStatus, s, status)
}

// Checked returns the instance that a check with a ServiceID is about. It returns errs.Invalid if there
// is none.
func (tx *Tx) Checked(c catalog.Check) (*catalog.Instance, error) {
	i, err := tx.Instance(nil, c.Scope, c.Node, c.ServiceID)
	if err == nil && i == nil {
		err = errs.Errorf(errs.Invalid, "Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.CheckID)
	}
	return i, err
}

// PutCheck creates or replaces the check with its ID on its node, which has to exist. A check without a
// ServiceID is the node's own. One with it gets its service's name and tags; it returns
// errs.Invalid, with nothing changed, if there is no such instance. Sessions that depend on a check end when
// it turns critical.
func (tx *Tx) PutCheck(c catalog.Check) error {
	if c.ServiceID == "" {
		c.Scope, c.ServiceName, c.ServiceTags = c.PartitionRoot(), "", nil
	} else {
		i, err := tx.Checked(c)
		if err != nil {
			return err
		}
		c.ServiceName, c.ServiceTags = i.Service.Service, i.Tags
	}
	old, err := tx.Check(nil, c.Scope, c.Node, c.CheckID)
	if err != nil {
		return err
	}
	changed, err := checks.change(tx, c)
	if err != nil || !changed {
		return err
	}
	if old != nil && old.ServiceID != c.ServiceID {
		if err := tx.checkGone(old); err != nil {
			return err
		}
	}
	if c.Status == catalog.Critical && (old == nil || old.Status != catalog.Critical) {
		if err := tx.invalidateSessions(c.Partition, c.Node, &c); err != nil {
			return err
		}
	}
	return tx.checkChanged(&c)
}

// DeleteCheck removes a check, if it exists, and ends the sessions that depend on it.
func (tx *Tx) DeleteCheck(s tenancy.Scope, node, id string) error {
	old, err := tx.Check(nil, s, node, id)
	if err != nil || old == nil {
		return err
	}
	if err := checks.remove(tx, s, onNode(node, id)); err != nil {
		return err
	}
	return tx.checkGone(old)
}

func (tx *Tx) checkGone(c *catalog.Check) error {
	if err := tx.invalidateSessions(c.Partition, c.Node, c); err != nil {
		return err
	}
	return tx.checkChanged(c)
}

// checkChanged marks what a check is about.
func (tx *Tx) checkChanged(c *catalog.Check) error {
	if c.ServiceID == "" {
		return tx.nodeChanged(c.Partition, c.Node)
	}
	if err := tx.mark(c.PartitionRoot(), markNode, c.Node); err != nil {
		return err
	}
	i, err := tx.Instance(nil, c.Scope, c.Node, c.ServiceID)
	if err != nil || i == nil {
		return err
	}
	return tx.markServices(i)
}

// relabelChecks gives an instance's checks its name and tags.
func (tx *Tx) relabelChecks(i *catalog.Instance) error {
	own, err := tx.ownChecks(nil, i)
	if err != nil {
		return err
	}
	for _, c := range own {
		next := *c
		next.ServiceName, next.ServiceTags = i.Service.Service, i.Tags
		if err := checks.put(tx, next); err != nil {
			return err
		}
	}
	return nil
}
