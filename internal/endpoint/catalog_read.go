package endpoint

import (
	"context"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ServiceNode is an instance and its node in one. Its JSON is the API's
// (catalog.md section 2).
type ServiceNode struct {
	ID                       string // of the node
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              catalog.Kind
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]catalog.ServiceAddress `json:",omitempty"`
	ServiceWeights           catalog.Weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             catalog.Proxy
	ServiceConnect           catalog.Connect
	ServiceLocality          *catalog.Locality
	Namespace                string `json:",omitempty"` // "" is default
	Partition                string `json:",omitempty"` // "" is default
	CreateIndex              uint64
	ModifyIndex              uint64
}

// NodeServices is a node and its instances. Both are shared and read-only.
type NodeServices struct {
	Node     *catalog.Node
	Services []*catalog.Service
}

// GatewayService is a service that a gateway leads to. Its JSON is the API's.
type GatewayService struct {
	Gateway, Service CompoundName
	GatewayKind      catalog.Kind
	Port             int      `json:",omitempty"`
	Protocol         string   `json:",omitempty"`
	Hosts            []string `json:",omitempty"`
	CAFile           string   `json:",omitempty"`
	CertFile         string   `json:",omitempty"`
	KeyFile          string   `json:",omitempty"`
	SNI              string   `json:",omitempty"`
	FromWildcard     bool     `json:",omitempty"`
	AutoHostRewrite  bool     `json:",omitempty"`
	CreateIndex      uint64
	ModifyIndex      uint64
}

// CompoundName is a service's name with its scope. "" is default.
type CompoundName struct {
	Name      string
	Namespace string `json:",omitempty"`
	Partition string `json:",omitempty"`
}

// Nodes returns the nodes of a partition, by name or by how near they are.
func (e *Catalog) Nodes(ctx context.Context, who acl.Caller, f Find) ([]*catalog.Node, Meta, error) {
	var out []*catalog.Node
	meta, err := e.look(ctx, who, &f, catalog.Node{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		rows, err := v.tx.Nodes(ws, f.Partition)
		out = make([]*catalog.Node, 0, len(rows))
		for _, n := range rows {
			if v.readsNode(n.Scope, n.Node) && v.suits(n) && v.filter.Match(n) {
				out = append(out, n)
			}
		}
		return v.tx.LastIndex(state.TableNodes), err
	})
	sortNear(e, &f, out, func(n *catalog.Node) string { return n.Node })
	return out, meta, err
}

// ServiceNames returns the services of a namespace, each with the tags that any of
// its instances has.
func (e *Catalog) ServiceNames(ctx context.Context, who acl.Caller, f Find) (map[string][]string, Meta, error) {
	var out map[string][]string
	meta, err := e.look(ctx, who, &f, ServiceNode{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		rows, err := v.tx.ServiceNames(ws, f.Scope)
		if err != nil {
			return 0, err
		}
		rows = slices.DeleteFunc(rows, func(row catalog.ServiceName) bool { return !v.readsService(row.Scope, row.Name) })
		out = make(map[string][]string, len(rows))
		if !v.filter.All() || len(f.NodeMeta) > 0 {
			return v.someNames(ws, rows, out)
		}
		for i := range rows {
			out[rows[i].Name] = append([]string{}, rows[i].Tags...)
		}
		return v.tx.LastIndex(state.TableServiceNames), nil
	})
	return out, meta, err
}

// someNames adds to out those of the services of which an instance is asked for.
func (v *view) someNames(ws memdb.WatchSet, services []catalog.ServiceName, out map[string][]string) (uint64, error) {
	if _, err := v.tx.Instances(ws, v.Scope); err != nil {
		return 0, err
	}
	if _, err := v.tx.Nodes(ws, v.Partition); err != nil {
		return 0, err
	}
	for i := range services {
		tags, some, err := v.tagsOf(&services[i])
		if err != nil {
			return 0, err
		}
		if some {
			out[services[i].Name] = tags
		}
	}
	return v.tx.LastIndex(state.TableServiceNames, state.TableInstances, state.TableNodes), nil
}

// tagsOf returns the tags of those instances of a service that are asked for, sorted,
// and whether there are some.
func (v *view) tagsOf(service *catalog.ServiceName) (tags []string, some bool, err error) {
	rows, err := v.tx.ServiceInstances(nil, service.Scope, service.Name)
	tags = []string{}
	for _, i := range rows {
		n, err := v.tx.Node(nil, i.Partition, i.Node)
		if err != nil {
			return nil, false, err
		}
		if n == nil || !v.readsNode(i.Scope, i.Node) || !v.suits(n) || !v.filter.All() && !v.filter.Match(newServiceNode(n, i)) {
			continue
		}
		some = true
		tags = append(tags, i.Tags...)
	}
	slices.Sort(tags)
	return slices.Compact(tags), some, err
}

// Service returns the instances of a service, or with f.Connect what takes part in
// the mesh for it. A service that nobody knows has none.
func (e *Catalog) Service(ctx context.Context, who acl.Caller, f Find) ([]*ServiceNode, Meta, error) {
	var out []*ServiceNode
	meta, err := e.look(ctx, who, &f, ServiceNode{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		out = []*ServiceNode{}
		return v.instances(ws, func(i *catalog.Instance, n *catalog.Node) error {
			if row := newServiceNode(n, i); v.filter.Match(row) {
				out = append(out, row)
			}
			return nil
		})
	})
	sortNear(e, &f, out, func(row *ServiceNode) string { return row.Node })
	return out, meta, err
}

func newServiceNode(n *catalog.Node, i *catalog.Instance) *ServiceNode {
	return &ServiceNode{
		ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: n.Datacenter,
		TaggedAddresses: orEmpty(n.TaggedAddresses), NodeMeta: orEmpty(n.Meta),
		ServiceKind: i.Kind, ServiceID: i.ID, ServiceName: i.Service.Service, ServiceTags: append([]string{}, i.Tags...),
		ServiceAddress: i.Address, ServiceTaggedAddresses: i.TaggedAddresses, ServiceWeights: i.Weights,
		ServiceMeta: orEmpty(i.Meta), ServicePort: i.Port, ServiceSocketPath: i.SocketPath,
		ServiceEnableTagOverride: i.EnableTagOverride, ServiceProxy: i.Proxy, ServiceConnect: i.Connect, ServiceLocality: i.Locality,
		Namespace: unlessDefault(i.Namespace), Partition: unlessDefault(i.Partition),
		CreateIndex: i.CreateIndex, ModifyIndex: i.ModifyIndex,
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// unlessDefault is how a partition or namespace is shown where its absence means default.
func unlessDefault(name string) string {
	if name == tenancy.DefaultName {
		return ""
	}
	return name
}

// Node returns a node and its instances in a namespace, or in all with "*", by id. It returns nil
// for a node that does not exist or that the caller may not read.
func (e *Catalog) Node(ctx context.Context, who acl.Caller, f Find) (*NodeServices, Meta, error) {
	var out *NodeServices
	meta, err := e.look(ctx, who, &f, catalog.Service{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		out = nil
		n, index, err := v.node(ws)
		name := f.Name
		if n != nil {
			name = n.Node
		}
		if !v.who.Allowed(f.PartitionRoot(), acl.NodeRead, name) {
			v.hidden = v.hidden || n != nil
			n = nil
		}
		if err != nil || n == nil {
			return index, err
		}
		rows, err := v.tx.NodeInstances(nil, f.Scope, n.Node)
		out = &NodeServices{Node: n, Services: make([]*catalog.Service, 0, len(rows))}
		for _, i := range rows {
			if !v.readsService(i.Scope, i.Service.Service) {
				continue
			}
			if i, err = v.central(i); err != nil {
				return 0, err
			}
			if v.filter.Match(&i.Service) {
				out.Services = append(out.Services, &i.Service)
			}
		}
		if err != nil {
			return 0, err
		}
		return v.watchCentral(ws, index)
	})
	return out, meta, err
}

// Gateway returns the services that a gateway leads to. Config entries say which
// these are; as long as none says so, there are none.
func (e *Catalog) Gateway(ctx context.Context, who acl.Caller, f Find) ([]GatewayService, Meta, error) {
	meta, err := e.look(ctx, who, &f, GatewayService{}, func(v *view, ws memdb.WatchSet) (uint64, error) {
		return v.tx.WatchService(ws, f.PartitionRoot(), f.Name)
	})
	return []GatewayService{}, meta, err
}
