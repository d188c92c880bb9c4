package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

var nodeRoutes = []route{
	{http.MethodGet, "/v1/catalog/nodes", OnServer, "node:read", "catalog.nodes", (*API).catalogNodes, 0},
	{http.MethodGet, "/v1/health/node/{node}", OnServer, "node:read", "health.node", (*API).healthNode, 0},
}

// node is a member of the cluster as the catalog shows it (catalog.md section
// 2). Gossip says what is in it, so it has no index of the replicated state.
type node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	Partition       string `json:",omitempty"` // unless default
	CreateIndex     uint64
	ModifyIndex     uint64
}

// healthCheck is the health of a node, or of a service on it (catalog.md section 3).
type healthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  struct{}
	Partition   string `json:",omitempty"` // unless default
	CreateIndex uint64
	ModifyIndex uint64
}

// catalogNodes handles GET /v1/catalog/nodes.
func (a *API) catalogNodes(r *request) (any, error) {
	example := node{TaggedAddresses: map[string]string{}, Meta: map[string]string{}}
	selector, err := authmethod.ParseSelector(r.query.Get("filter"), example.fields())
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, errBadFilter, err)
	}
	list := []node{}
	for _, m := range a.visibleNodes(r) {
		n := a.newNode(m)
		if n.hasMeta(r.query["node-meta"]) && selector.Match(n.fields()) {
			list = append(list, n)
		}
	}
	return list, nil
}

// healthNode handles GET /v1/health/node/:node: whether gossip reaches it.
func (a *API) healthNode(r *request) (any, error) {
	selector, err := authmethod.ParseSelector(r.query.Get("filter"), (&healthCheck{}).fields())
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, errBadFilter, err)
	}
	list := []healthCheck{}
	for _, m := range a.visibleNodes(r) {
		if name := r.PathValue("node"); m.Name != name && m.ID != name {
			continue
		}
		if c := serfHealth(m); selector.Match(c.fields()) {
			list = append(list, c)
		}
	}
	return list, nil
}

// visibleNodes returns the members of the request's partition that have not
// left and that the caller may read.
func (a *API) visibleNodes(r *request) []gossip.Member {
	var list []gossip.Member
	for _, m := range a.Gossip.Members() {
		if m.Partition != r.scope.Partition || m.Status == gossip.Left || m.Status == gossip.None {
			continue
		}
		if !r.caller.Allowed(memberScope(m), acl.NodeRead, m.Name) {
			r.filtered = !r.caller.Anonymous()
			continue
		}
		list = append(list, m)
	}
	return list
}

func (a *API) newNode(m gossip.Member) node {
	lan, wan := "lan_ipv4", "wan_ipv4"
	if addr, err := netip.ParseAddr(m.Addr); err == nil && addr.Unmap().Is6() {
		lan, wan = "lan_ipv6", "wan_ipv6"
	}
	release, _, _ := strings.Cut(m.Tags["build"], ":")
	return node{
		ID: m.ID, Node: m.Name, Address: m.Addr, Datacenter: a.Datacenter, Partition: unlessDefault(m.Partition),
		TaggedAddresses: map[string]string{"lan": m.Addr, lan: m.Addr, "wan": m.Addr, wan: m.Addr},
		Meta:            map[string]string{"consul-network-segment": m.Segment, "consul-version": release},
	}
}

func (n *node) fields() authmethod.Identity {
	return authmethod.Identity{Attributes: map[string]any{
		"ID": n.ID, "Node": n.Node, "Address": n.Address, "Datacenter": n.Datacenter,
		"TaggedAddresses": n.TaggedAddresses, "Meta": n.Meta,
	}}
}

// hasMeta reports whether n has every one of pairs, each key:value.
func (n *node) hasMeta(pairs []string) bool {
	return !slices.ContainsFunc(pairs, func(pair string) bool {
		key, want, _ := strings.Cut(pair, ":")
		got, ok := n.Meta[key]
		return !ok || got != want
	})
}

func serfHealth(m gossip.Member) healthCheck {
	c := healthCheck{
		Node: m.Name, CheckID: "serfHealth", Name: "Serf Health Status", Status: "passing", Output: "Agent alive and reachable",
		ServiceTags: []string{}, Partition: unlessDefault(m.Partition),
	}
	if m.Status == gossip.Failed {
		c.Status, c.Output = "critical", "Agent not live or unreachable"
	}
	return c
}

func (c *healthCheck) fields() authmethod.Identity {
	return authmethod.Identity{Attributes: map[string]any{
		"Node": c.Node, "CheckID": c.CheckID, "Name": c.Name, "Status": c.Status, "Notes": c.Notes, "Output": c.Output,
		"ServiceID": c.ServiceID, "ServiceName": c.ServiceName, "ServiceTags": c.ServiceTags,
	}}
}

// unlessDefault is how a partition is shown where its absence means default.
func unlessDefault(partition string) string {
	if partition == tenancy.DefaultName {
		return ""
	}
	return partition
}
