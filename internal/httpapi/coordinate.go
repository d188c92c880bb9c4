package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

// Coordinates is where the members are, as this agent has measured it.
type Coordinates interface {
	Coordinates() []gossip.NodeCoordinate
}

var coordinateRoutes = []route{
	{http.MethodGet, "/v1/coordinate/datacenters", Local, "none: where servers are is no secret", "coordinate.datacenters", (*API).coordinateDatacenters, 0},
	{http.MethodGet, "/v1/coordinate/nodes", Local, "node:read", "coordinate.list", (*API).coordinateNodes, anyPartition},
	{http.MethodGet, "/v1/coordinate/node/{node}", Local, "node:read", "coordinate.read", (*API).coordinateNode, anyPartition},
}

// coordinateEntry is where a node is (catalog.md section 10).
type coordinateEntry struct {
	Node      string
	Segment   string
	Partition string `json:",omitempty"` // unless default
	Coord     *gossip.Coordinate
}

// datacenterCoordinates is where a datacenter's servers are.
type datacenterCoordinates struct {
	Datacenter  string
	AreaID      string
	Coordinates []coordinateEntry
}

// coordinateDatacenters handles GET /v1/coordinate/datacenters.
func (a *API) coordinateDatacenters(*request) (any, error) {
	answer := datacenterCoordinates{Datacenter: a.Datacenter, AreaID: "wan", Coordinates: []coordinateEntry{}}
	servers := map[string]bool{}
	for _, m := range a.Gossip.Members() {
		servers[m.Name] = m.Server
	}
	for _, c := range a.Gossip.Coordinates() {
		if servers[c.Node] {
			answer.Coordinates = append(answer.Coordinates, newEntry(c))
		}
	}
	return []datacenterCoordinates{answer}, nil
}

// coordinateNodes handles GET /v1/coordinate/nodes.
func (a *API) coordinateNodes(r *request) (any, error) {
	list := a.coordinates(r)
	if r.query.Has("segment") {
		segment := r.query.Get("segment")
		list = slices.DeleteFunc(list, func(e coordinateEntry) bool { return e.Segment != segment })
	}
	return list, nil
}

// coordinateNode handles GET /v1/coordinate/node/:node. A node that the caller
// may not see is as unknown as one that is not there.
func (a *API) coordinateNode(r *request) (any, error) {
	name := r.PathValue("node")
	list := slices.DeleteFunc(a.coordinates(r), func(e coordinateEntry) bool { return !strings.EqualFold(e.Node, name) })
	if len(list) == 0 {
		return nil, &statusError{http.StatusNotFound, ""}
	}
	return list, nil
}

// coordinates returns where the nodes are that the caller may see, in the
// partition that the request is about.
func (a *API) coordinates(r *request) []coordinateEntry {
	list := []coordinateEntry{}
	for _, c := range a.Gossip.Coordinates() {
		if c.Partition != r.scope.Partition {
			continue
		}
		if !r.caller.Allowed(r.scope.PartitionRoot(), acl.NodeRead, c.Node) {
			r.filtered = !r.caller.Anonymous()
			continue
		}
		list = append(list, newEntry(c))
	}
	return list
}

func newEntry(c gossip.NodeCoordinate) coordinateEntry {
	e := coordinateEntry{Node: c.Node, Segment: c.Segment, Coord: c.Coord}
	if c.Partition != tenancy.DefaultName {
		e.Partition = c.Partition
	}
	return e
}
