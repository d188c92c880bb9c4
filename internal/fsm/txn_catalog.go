package fsm

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
)

// TxnResult is what an operation of a transaction has found or stored: one field is set.
type TxnResult struct {
	KV      *kv.Pair
	Node    *catalog.Node
	Service *catalog.Instance
	Check   *catalog.Check
}

// NodeOp is an operation on a node: kv.Set, kv.CAS, kv.Get, kv.Delete or kv.DeleteCAS. The node is
// named by Node.Node or, to get and delete one, by Node.ID; Node.ModifyIndex is what the two with CAS expect.
type NodeOp struct {
	Verb kv.Verb
	Node catalog.Node
}

// ServiceOp is NodeOp for an instance on a node.
type ServiceOp struct {
	Verb    kv.Verb
	Service catalog.Instance
}

// CheckOp is NodeOp for a check.
type CheckOp struct {
	Verb  kv.Verb
	Check catalog.Check
}

// catalogOp is what the three have in common.
type catalogOp struct {
	verb   kv.Verb
	what   string // names the thing in errors, such as `node "n"`
	exists bool
	index  uint64 // of the thing that exists
	want   uint64
	set    func() error
	remove func() error
}

// run does the operation. shown says whether the thing is part of the result.
func (o catalogOp) run() (shown bool, err error) {
	current := o.exists && o.index == o.want
	switch o.verb {
	case kv.Get:
		if !o.exists {
			return false, errs.Errorf(errs.Conflict, "%s doesn't exist", o.what)
		}
		return true, nil
	case kv.Set:
		return true, o.set()
	case kv.CAS:
		if !current && (o.exists || o.want != 0) {
			return false, errs.Errorf(errs.Conflict, "failed to set %s, index is stale", o.what)
		}
		return true, o.set()
	case kv.Delete:
		return false, o.remove()
	case kv.DeleteCAS:
		if !current {
			return false, errs.Errorf(errs.Conflict, "failed to delete %s, index is stale", o.what)
		}
		return false, o.remove()
	}
	return false, errs.Errorf(errs.Invalid, "unknown operation on %s: %s", o.what, o.verb)
}

func (c *NodeOp) apply(tx *state.Tx) ([]TxnResult, error) {
	n := c.Node
	old, err := c.find(tx)
	if err != nil {
		return nil, err
	}
	op := catalogOp{verb: c.Verb, exists: old != nil, want: n.ModifyIndex, what: quote("node", n.Node, n.ID)}
	if old != nil {
		op.index, n.Node = old.ModifyIndex, old.Node
	}
	op.set = func() error { return Register{Node: n}.Apply(tx) }
	op.remove = func() error { return Deregister{Scope: n.PartitionRoot(), Node: n.Node}.Apply(tx) }
	if shown, err := op.run(); err != nil || !shown {
		return nil, err
	}
	stored, err := tx.Node(nil, n.Partition, n.Node)
	return []TxnResult{{Node: stored}}, err
}

// find returns the node by its name, or by its ID where it is not named.
func (c *NodeOp) find(tx *state.Tx) (*catalog.Node, error) {
	if c.Node.Node == "" {
		return tx.NodeByID(nil, c.Node.Partition, c.Node.ID)
	}
	return tx.Node(nil, c.Node.Partition, c.Node.Node)
}

func (c *ServiceOp) apply(tx *state.Tx) ([]TxnResult, error) {
	s := c.Service
	old, err := tx.Instance(nil, s.Scope, s.Node, s.ID)
	if err != nil {
		return nil, err
	}
	op := catalogOp{verb: c.Verb, exists: old != nil, want: s.ModifyIndex, what: quote("service", s.ID, "") + onNode(s.Node)}
	if old != nil {
		op.index = old.ModifyIndex
	}
	op.set = func() error { return registerOn(tx, s.Partition, s.Node, Register{Instance: &s}) }
	op.remove = func() error { return Deregister{Scope: s.Scope, Node: s.Node, ServiceID: s.ID}.Apply(tx) }
	if shown, err := op.run(); err != nil || !shown {
		return nil, err
	}
	stored, err := tx.Instance(nil, s.Scope, s.Node, s.ID)
	return []TxnResult{{Service: stored}}, err
}

func (c *CheckOp) apply(tx *state.Tx) ([]TxnResult, error) {
	k := c.Check
	old, err := tx.Check(nil, k.Scope, k.Node, k.CheckID)
	if err != nil {
		return nil, err
	}
	op := catalogOp{verb: c.Verb, exists: old != nil, want: k.ModifyIndex, what: quote("check", k.CheckID, "") + onNode(k.Node)}
	if old != nil {
		op.index = old.ModifyIndex
	}
	op.set = func() error { return registerOn(tx, k.Partition, k.Node, Register{Checks: []catalog.Check{k}}) }
	op.remove = func() error { return Deregister{Scope: k.Scope, Node: k.Node, CheckID: k.CheckID}.Apply(tx) }
	if shown, err := op.run(); err != nil || !shown {
		return nil, err
	}
	stored, err := tx.Check(nil, k.Scope, k.Node, k.CheckID)
	return []TxnResult{{Check: stored}}, err
}

// registerOn registers r on a node that has to exist.
func registerOn(tx *state.Tx, partition, node string, r Register) error {
	n, err := tx.Node(nil, partition, node)
	if err != nil {
		return err
	}
	if n == nil {
		return errs.New(errs.Invalid, "Missing node registration")
	}
	r.Node, r.SkipNodeUpdate = *n, true
	return r.Apply(tx)
}

func quote(kind, name, otherwise string) string {
	if name == "" {
		name = otherwise
	}
	return kind + ` "` + name + `"`
}

func onNode(node string) string { return ` on node "` + node + `"` }
