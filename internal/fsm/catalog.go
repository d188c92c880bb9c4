package fsm

import (
	"strings"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Register creates or replaces a node, at most one instance on it, and checks of it and of
// its instances (catalog.md section 2.1). Instance and checks are taken to be on the node, whatever they
// name, but a check that names another node is refused. With SkipNodeUpdate a node that exists
// stays as it is.
type Register struct {
	Node           catalog.Node
	Instance       *catalog.Instance
	Checks         []catalog.Check
	SkipNodeUpdate bool
}

// Apply implements Command. Content that is stored already changes nothing. It returns errs.Invalid if a
// scope does not exist, if another node has the name, or if a check's instance does not exist.
func (c Register) Apply(tx *state.Tx) error {
	if err := c.checkScopes(tx); err != nil {
		return err
	}
	own := make([]catalog.Check, len(c.Checks))
	for i, check := range c.Checks {
		var err error
		if own[i], err = c.ownCheck(tx, check); err != nil {
			return err
		}
	}
	if err := registerNode(tx, c.Node, c.SkipNodeUpdate); err != nil {
		return err
	}
	n, err := tx.Node(nil, c.Node.Partition, c.Node.Node)
	if err != nil {
		return err
	}
	if c.Instance != nil {
		i := *c.Instance
		i.Node = n.Node
		if err := tx.PutInstance(i); err != nil {
			return err
		}
	}
	for _, check := range own {
		check.Node = n.Node
		if err := tx.PutCheck(check); err != nil {
			return err
		}
	}
	return nil
}

func (c Register) checkScopes(tx *state.Tx) error {
	root := c.Node.PartitionRoot()
	scopes := []tenancy.Scope{root}
	if c.Instance != nil {
		scopes = append(scopes, c.Instance.Scope)
	}
	for _, check := range c.Checks {
		if check.ServiceID != "" {
			scopes = append(scopes, check.Scope)
		}
	}
	for i, s := range scopes {
		if s.Partition != root.Partition {
			return errs.New(errs.Invalid, "Mismatched partition/namespace")
		}
		if i > 0 && s == scopes[i-1] {
			continue
		}
		if err := tx.CheckScope(s); err != nil {
			return err
		}
	}
	return nil
}

// ownCheck returns a check with its defaults, on c's node.
func (c Register) ownCheck(tx *state.Tx, check catalog.Check) (catalog.Check, error) {
	if check.CheckID == "" {
		check.CheckID = check.Name
	}
	if check.Status == "" {
		check.Status = catalog.Critical
	}
	if check.Node != "" && !strings.EqualFold(check.Node, c.Node.Node) {
		return check, errs.Errorf(errs.Invalid, "Node '%s' for check '%s' doesn't match register request node '%s'",
			check.Node, check.CheckID, c.Node.Node)
	}
	check.Node = c.Node.Node
	if check.ServiceID == "" {
		check.Scope = c.Node.PartitionRoot()
		return check, nil
	}
	if i := c.Instance; i != nil && i.ID == check.ServiceID && i.Scope == check.Scope {
		return check, nil
	}
	_, err := tx.Checked(check)
	return check, err
}

// registerNode creates or replaces the node with n's name. A node with n's ID and another name becomes
// this one, and what was on it is gone. A request without an ID keeps the ID that there is. It
// returns errs.Invalid, with nothing changed, if a node with another ID has the name and is not known to be dead.
func registerNode(tx *state.Tx, n catalog.Node, skipUpdate bool) error {
	old, err := tx.Node(nil, n.Partition, n.Node)
	if err != nil || (old != nil && skipUpdate) {
		return err
	}
	if n.ID == "" && old != nil {
		n.ID = old.ID
	}
	if old != nil && old.ID != "" && !strings.EqualFold(old.ID, n.ID) {
		dead, err := isDead(tx, old)
		if err != nil {
			return err
		}
		if !dead {
			return errs.Errorf(errs.Invalid, "failed inserting node: Error while renaming Node ID: %q: Node name %s is reserved by node %s with name %s (%s)",
				n.ID, n.Node, old.ID, old.Node, old.Address)
		}
	}
	same, err := tx.NodeByID(nil, n.Partition, n.ID)
	if err != nil {
		return err
	}
	if same != nil && !strings.EqualFold(same.Node, n.Node) {
		if err := tx.DeleteNode(same.Partition, same.Node); err != nil {
			return err
		}
	}
	return tx.PutNode(n)
}

// isDead reports whether gossip lost sight of a node.
func isDead(tx *state.Tx, n *catalog.Node) (bool, error) {
	c, err := tx.Check(nil, n.Scope, n.Node, catalog.SerfHealth)
	return c != nil && c.ServiceID == "" && c.Status == catalog.Critical, err
}

// Deregister removes an instance with its checks if ServiceID is set, else a check if
// CheckID is set, else the node with all that is on it. Scope is where the instance or the check
// is: for a check of a node itself, and for a node, the default namespace of its partition.
type Deregister struct {
	Scope     tenancy.Scope
	Node      string
	ServiceID string
	CheckID   string
}

// Apply implements Command. What does not exist is no error.
func (c Deregister) Apply(tx *state.Tx) error {
	switch {
	case c.ServiceID != "":
		return tx.DeleteInstance(c.Scope, c.Node, c.ServiceID)
	case c.CheckID != "":
		return tx.DeleteCheck(c.Scope, c.Node, c.CheckID)
	}
	return tx.DeleteNode(c.Scope.Partition, c.Node)
}
