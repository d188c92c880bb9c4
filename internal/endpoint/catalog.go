package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Catalog are the operations on nodes, services and their health (catalog.md
// sections 2 and 3). What a list returns is what the caller may read: nodes with node:read, services
// with service:read, and what belongs to both with both.
type Catalog struct {
	*Backend
	Datacenter string
	// Coordinates says where the members are, for Find.Near. nil knows of nobody's place.
	Coordinates func() []gossip.NodeCoordinate

	answers healthAnswers
}

// Find says what of the catalog is asked for. What does not apply to an
// operation is ignored.
type Find struct {
	tenancy.Scope
	Name     string   // of the service or gateway, the name or id of the node, or the state
	Tags     []string // an instance has to have all of these, in any case
	NodeMeta []string // key:value; its node has to have all of these
	Near     string   // a node's name: what is nearest to it comes first
	Passing  bool     // all checks of an instance have to pass
	Connect  bool     // what takes part in the mesh for the service, instead of the service itself
	Filter   string   // an expression over what is answered
	Central  bool     // proxies are answered with what config entries say about them
	Read
}

// view is the catalog at one moment as one caller sees it.
type view struct {
	*Find
	who    acl.Caller
	tx     *state.Tx
	filter filter.Filter
	hidden bool // something was left out that who may not read
}

// look answers f by read, as often as Block does. example is what f.Filter is about.
func (e *Catalog) look(ctx context.Context, who acl.Caller, f *Find, example any, read func(*view, memdb.WatchSet) (uint64, error)) (Meta, error) {
	expression, err := filter.Parse(f.Filter, example)
	if err != nil {
		return Meta{}, err
	}
	hidden := false
	meta, err := e.Block(ctx, who, f.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		v := &view{Find: f, who: who, tx: tx, filter: expression}
		index, err := read(v, ws)
		hidden = v.hidden
		return index, err
	})
	meta.FilteredByACLs = hidden && !who.Anonymous()
	return meta, err
}

// readsNode reports whether a node may be seen, asked for from s.
func (v *view) readsNode(s tenancy.Scope, node string) bool {
	ok := v.who.Allowed(s, acl.NodeRead, node)
	v.hidden = v.hidden || !ok
	return ok
}

// readsService reports whether a service may be seen.
func (v *view) readsService(s tenancy.Scope, service string) bool {
	ok := v.who.Allowed(s, acl.ServiceRead, service)
	v.hidden = v.hidden || !ok
	return ok
}

// readsCheck reports whether a check may be seen: of a node with the node, of a
// service with both.
func (v *view) readsCheck(c *catalog.Check) bool {
	return v.readsNode(c.Scope, c.Node) && (c.ServiceID == "" || v.readsService(c.Scope, c.ServiceName))
}

// suits reports whether a node has the meta that is asked for.
func (v *view) suits(n *catalog.Node) bool {
	for _, pair := range v.NodeMeta {
		key, want, _ := strings.Cut(pair, ":")
		if got, ok := n.Meta[key]; !ok || got != want {
			return false
		}
	}
	return true
}

// tagged reports whether an instance has the tags that are asked for.
func (v *view) tagged(i *catalog.Instance) bool {
	for _, tag := range v.Tags {
		if !slices.ContainsFunc(i.Tags, func(own string) bool { return strings.EqualFold(own, tag) }) {
			return false
		}
	}
	return true
}

// node returns the node with a name, or else with an id, and watches it.
func (v *view) node(ws memdb.WatchSet) (*catalog.Node, uint64, error) {
	n, err := v.tx.Node(nil, v.Partition, v.Name)
	if err == nil && n == nil && uuid.Valid(v.Name) {
		n, err = v.tx.NodeByID(ws, v.Partition, strings.ToLower(v.Name))
	}
	if err != nil {
		return nil, 0, err
	}
	name := v.Name
	if n != nil {
		name = n.Node
	}
	index, err := v.tx.WatchNode(ws, v.Partition, name)
	return n, index, err
}

// instances calls each with every instance of the service that is asked for and may be
// seen, and with its node.
func (v *view) instances(ws memdb.WatchSet, each func(*catalog.Instance, *catalog.Node) error) (uint64, error) {
	index, err := v.watchInstances(ws)
	if err != nil {
		return 0, err
	}
	return index, v.eachInstance(each)
}

// watchInstances watches all that the instances of the service and their health depend on, and
// returns its index.
func (v *view) watchInstances(ws memdb.WatchSet) (uint64, error) {
	watch := v.tx.WatchService
	if v.Connect {
		watch = v.tx.WatchConnect
	}
	index, err := watch(ws, v.Scope, v.Name)
	if err != nil {
		return 0, err
	}
	if index, err = v.watchExports(ws, index); err != nil {
		return 0, err
	}
	return v.watchCentral(ws, index)
}

func (v *view) eachInstance(each func(*catalog.Instance, *catalog.Node) error) error {
	list := v.tx.ServiceInstances
	if v.Connect {
		list = v.tx.ConnectInstances
	}
	rows, err := list(nil, v.Scope, v.Name)
	if err != nil || len(rows) == 0 {
		return err
	}
	imported, err := v.imported()
	if err != nil || !imported && !v.readsService(v.Scope, v.Name) {
		return err
	}
	for _, i := range rows {
		if !v.tagged(i) || !imported && (!v.readsNode(i.Scope, i.Node) || v.Connect && !v.readsService(i.Scope, i.Service.Service)) {
			continue
		}
		n, err := v.tx.Node(nil, i.Partition, i.Node)
		if err != nil {
			return err
		}
		if n == nil || !v.suits(n) {
			continue
		}
		if i, err = v.central(i); err != nil {
			return err
		}
		if err := each(i, n); err != nil {
			return err
		}
	}
	return nil
}
