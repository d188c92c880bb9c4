package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

// Coordinates is where the members are, as this agent has measured it.
type Coordinates interface {
	Coordinates() []gossip.NodeCoordinate
}

var coordinateRoutes = []route{
	{http.MethodGet, "/v1/coordinate/datacenters", Local, "none: where servers are is no secret", "coordinate.datacenters", (*API).coordinateDatacenters, 0},
	{http.MethodGet, "/v1/coordinate/nodes", OnServer, "node:read", "coordinate.list", (*API).coordinateNodes, 0},
	{http.MethodGet, "/v1/coordinate/node/{node}", OnServer, "node:read", "coordinate.read", (*API).coordinateNode, 0},
	{http.MethodPut, "/v1/coordinate/update", OnLeader, "node:write", "coordinate.update", (*API).coordinateUpdate, 0},
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
	list, meta, err := a.coordinates(r)
	if r.query.Has("segment") {
		segment := r.query.Get("segment")
		list = slices.DeleteFunc(list, func(e coordinateEntry) bool { return e.Segment != segment })
	}
	return r.answer(list, meta, err)
}

// coordinateNode handles GET /v1/coordinate/node/:node. A node that the caller
// may not see is as unknown as one that is not there.
func (a *API) coordinateNode(r *request) (any, error) {
	name := r.PathValue("node")
	list, meta, err := a.coordinates(r)
	list = slices.DeleteFunc(list, func(e coordinateEntry) bool { return !strings.EqualFold(e.Node, name) })
	if err == nil && len(list) == 0 {
		r.meta = &meta
		return nil, &statusError{http.StatusNotFound, ""}
	}
	return r.answer(list, meta, err)
}

// coordinates returns where the nodes are that the caller may see, in the
// partition that the request is about.
func (a *API) coordinates(r *request) ([]coordinateEntry, endpoint.Meta, error) {
	all, meta, err := a.Coordinates.List(r.Context(), r.caller, r.scope, r.read)
	list := []coordinateEntry{}
	for _, c := range all {
		list = append(list, newEntry(c))
	}
	return list, meta, err
}

// coordinateUpdate handles PUT /v1/coordinate/update.
func (a *API) coordinateUpdate(r *request) (any, error) {
	var body coordinateEntry
	if err := r.decodeAnyCase(decodeFailed, &body); err != nil {
		return nil, err
	}
	where := tenancy.Scope{Partition: body.Partition}
	if err := r.bodyScope(&where); err != nil {
		return nil, err
	}
	c := catalog.Coordinate{Node: body.Node, Segment: body.Segment, Scope: where.PartitionRoot()}
	if at := body.Coord; at != nil {
		c.Vec, c.Error, c.Adjustment, c.Height = at.Vec, at.Error, at.Adjustment, at.Height
	}
	return empty{}, a.Coordinates.Set(r.Context(), r.caller, c)
}

func newEntry(c gossip.NodeCoordinate) coordinateEntry {
	e := coordinateEntry{Node: c.Node, Segment: c.Segment, Coord: c.Coord}
	if c.Partition != tenancy.DefaultName {
		e.Partition = c.Partition
	}
	return e
}
