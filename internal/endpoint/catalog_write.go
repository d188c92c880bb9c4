package endpoint

import (
	"context"
	"maps"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Registration is a node with a service on it and checks, all but the node
// optional (catalog.md section 2.1). The scope of its parts is that of the registration.
type Registration struct {
	tenancy.Scope
	Node           catalog.Node
	Service        *catalog.Service
	Checks         []catalog.Check
	SkipNodeUpdate bool // a node that exists stays as it is
}

// Deregistration names what is removed: a service with its checks, else a check, else
// the node with all that is on it. The checks of a node itself are in the default namespace.
type Deregistration struct {
	tenancy.Scope
	Node, ServiceID, CheckID string
}

var errNoNode = errs.New(errs.Invalid, "Must provide node")

// Register adds to the catalog, or replaces, what r holds. Who changes the node or its
// checks needs node:write on it, who registers a service or a check of it service:write on the
// service, and for a proxy on what it stands in for. What is wrong with r is errs.Invalid.
func (e *Catalog) Register(ctx context.Context, who acl.Caller, r Registration) error {
	if r.Node.Node == "" {
		return errNoNode
	}
	r.Node.Datacenter = e.Datacenter
	if err := r.complete(); err != nil {
		return err
	}
	tx := e.Store.Read()
	if err := r.authorize(tx, who); err != nil {
		return err
	}
	if err := r.validate(); err != nil {
		return err
	}
	if err := tx.CheckScope(r.Scope); err != nil {
		return err
	}
	cmd := fsm.Register{Node: r.Node, Checks: r.Checks, SkipNodeUpdate: r.SkipNodeUpdate}
	if r.Service != nil {
		cmd.Instance = &catalog.Instance{Node: r.Node.Node, Service: *r.Service}
	}
	_, err := e.Raft.Propose(ctx, cmd)
	return err
}

// complete fills in what a registration may leave out.
func (r *Registration) complete() error {
	r.Node.Scope = r.PartitionRoot()
	r.Node.ID = strings.ToLower(r.Node.ID)
	if s := r.Service; s != nil {
		s.Scope = r.Scope
		if s.ID == "" {
			s.ID = s.Service
		}
		if s.Weights == (catalog.Weights{}) {
			s.Weights = catalog.Weights{Passing: 1, Warning: 1}
		}
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.CheckID == "" {
			c.CheckID = c.Name
		}
		if c.Node == "" {
			c.Node = r.Node.Node
		}
		if !strings.EqualFold(c.Node, r.Node.Node) {
			return errs.Errorf(errs.Invalid, "Node '%s' for check '%s' doesn't match register request node '%s'", c.Node, c.CheckID, r.Node.Node)
		}
		if c.Status == "" {
			c.Status = catalog.Critical
		}
		c.Scope = r.Scope
		if c.ServiceID == "" {
			c.Scope = r.PartitionRoot()
		}
		if s := r.Service; s != nil && c.ServiceID == s.ID {
			c.ServiceName, c.ServiceTags = s.Service, s.Tags
		}
	}
	return nil
}

// authorize decides whether who may register r, and overwrite what is there.
func (r *Registration) authorize(tx *state.Tx, who acl.Caller) error {
	if err := r.authorizeNode(tx, who); err != nil {
		return err
	}
	if s := r.Service; s != nil {
		if err := who.Require(r.Scope, acl.ServiceWrite, s.Service); err != nil {
			return err
		}
		if to := s.Proxy.DestinationServiceName; s.Kind == catalog.KindConnectProxy && to != "" {
			if err := who.Require(r.Scope, acl.ServiceWrite, to); err != nil {
				return err
			}
		}
		if err := requireOn(tx, who, r.Scope, r.Node.Node, s.ID); err != nil {
			return err
		}
	}
	return r.authorizeChecks(tx, who)
}

// authorizeNode asks for node:write, unless the node stays as it is and something of a
// service is registered on it. A node that loses its name is changed too.
func (r *Registration) authorizeNode(tx *state.Tx, who acl.Caller) error {
	old, err := tx.Node(nil, r.Partition, r.Node.Node)
	if err != nil {
		return err
	}
	changes := r.changes(old)
	if changes || r.Service == nil && len(r.Checks) == 0 {
		if err := who.Require(r.PartitionRoot(), acl.NodeWrite, r.Node.Node); err != nil {
			return err
		}
	}
	if !changes {
		return nil
	}
	other, err := tx.NodeByID(nil, r.Partition, r.Node.ID)
	if err != nil || other == nil || strings.EqualFold(other.Node, r.Node.Node) {
		return err
	}
	return who.Require(r.PartitionRoot(), acl.NodeWrite, other.Node)
}

// changes reports whether registering r makes old another node.
func (r *Registration) changes(old *catalog.Node) bool {
	if old == nil || r.SkipNodeUpdate {
		return old == nil
	}
	n := &r.Node
	return n.ID != "" && !strings.EqualFold(n.ID, old.ID) || n.Node != old.Node || n.Address != old.Address ||
		!maps.Equal(n.TaggedAddresses, old.TaggedAddresses) || !maps.Equal(n.Meta, old.Meta) ||
		(n.Locality == nil) != (old.Locality == nil) || n.Locality != nil && *n.Locality != *old.Locality
}

// authorizeChecks asks for each check for the permission on what it belongs to, and on
// what a check with its id has belonged to before.
func (r *Registration) authorizeChecks(tx *state.Tx, who acl.Caller) error {
	for i := range r.Checks {
		c := &r.Checks[i]
		if s := r.Service; s == nil || c.ServiceID != s.ID {
			if err := requireOn(tx, who, c.Scope, r.Node.Node, c.ServiceID); err != nil {
				return err
			}
			if c.ServiceID == "" {
				if err := who.Require(c.Scope, acl.NodeWrite, r.Node.Node); err != nil {
					return err
				}
			}
		}
		old, err := tx.Check(nil, c.Scope, r.Node.Node, c.CheckID)
		if err != nil {
			return err
		}
		if old == nil {
			continue
		}
		if err := requireCheck(who, old); err != nil {
			return err
		}
	}
	return nil
}

// requireOn asks for service:write on the service that an instance is of, if it exists.
func requireOn(tx *state.Tx, who acl.Caller, s tenancy.Scope, node, id string) error {
	if id == "" {
		return nil
	}
	i, err := tx.Instance(nil, s, node, id)
	if err != nil {
		return err
	}
	if i == nil {
		return nil
	}
	return requireService(who, s, node, i.Service.Service)
}

// requireService asks for service:write on a service that is found on a node. The
// denial does not name it to somebody who may not know of it.
func requireService(who acl.Caller, s tenancy.Scope, node, service string) error {
	denied := who.Require(s, acl.ServiceWrite, service)
	if denied != nil && !who.Allowed(s, acl.ServiceRead, service) {
		if err := who.Require(s.PartitionRoot(), acl.NodeWrite, node); err != nil {
			return err
		}
	}
	return denied
}

// requireCheck asks for the permission to change a check.
func requireCheck(who acl.Caller, c *catalog.Check) error {
	if c.ServiceID != "" {
		return requireService(who, c.Scope, c.Node, c.ServiceName)
	}
	return who.Require(c.Scope.PartitionRoot(), acl.NodeWrite, c.Node)
}

// validate checks what can be said without the state.
func (r *Registration) validate() error {
	n := &r.Node
	switch {
	case n.Address == "" && !r.SkipNodeUpdate:
		return errs.New(errs.Invalid, "Must provide address if SkipNodeUpdate is not set")
	case n.ID != "" && len(n.ID) != 36:
		return errs.New(errs.Invalid, "Bad node ID: uuid string is wrong length")
	case n.ID != "" && !uuid.Valid(n.ID):
		return errs.New(errs.Invalid, "Bad node ID: uuid is improperly formatted")
	}
	if s := r.Service; s != nil {
		switch {
		case s.Service == "":
			return errs.New(errs.Invalid, "Must provide service name (Service.Service) when service ID is provided")
		case s.Address == "0.0.0.0" || s.Address == "::" || s.Address == "[::]":
			return errs.New(errs.Invalid, "Invalid service address")
		case s.Kind == catalog.KindConnectProxy && s.Proxy.DestinationServiceName == "":
			return errs.New(errs.Invalid, "Proxy.DestinationServiceName must be non-empty for Connect proxy services")
		}
	}
	for i := range r.Checks {
		switch c := &r.Checks[i]; c.Status {
		case catalog.Passing, catalog.Warning, catalog.Critical:
			if c.CheckID == "" {
				return errs.New(errs.Invalid, "Must provide check ID or name")
			}
		default:
			return errs.Errorf(errs.Invalid, "Invalid check status: '%s'", c.Status)
		}
	}
	return nil
}

// Deregister removes what d names. What is not there is no error. It needs
// node:write on the node; for a service or a check of it service:write on the service suffices.
func (e *Catalog) Deregister(ctx context.Context, who acl.Caller, d Deregistration) error {
	if d.Node == "" {
		return errNoNode
	}
	if err := d.authorize(e.Store.Read(), who); err != nil {
		return err
	}
	_, err := e.Raft.Propose(ctx, fsm.Deregister{Scope: d.Scope, Node: d.Node, ServiceID: d.ServiceID, CheckID: d.CheckID})
	return err
}

func (d *Deregistration) authorize(tx *state.Tx, who acl.Caller) error {
	denied := who.Require(d.PartitionRoot(), acl.NodeWrite, d.Node)
	if denied == nil {
		return nil
	}
	switch {
	case d.ServiceID != "":
		i, err := tx.Instance(nil, d.Scope, d.Node, d.ServiceID)
		if err != nil {
			return err
		}
		if i != nil {
			return requireService(who, d.Scope, d.Node, i.Service.Service)
		}
	case d.CheckID != "":
		c, err := tx.Check(nil, d.Scope, d.Node, d.CheckID)
		if err != nil {
			return err
		}
		if c != nil {
			return requireCheck(who, c)
		}
	}
	return denied
}
