package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
)

const (
	readsServices  = "service:read, node:read"
	writesServices = "service:write, node:write"
)

var catalogRoutes = []route{
	{http.MethodPut, "/v1/catalog/register", OnLeader, writesServices, "catalog.register", (*API).catalogRegister, 0},
	{http.MethodPut, "/v1/catalog/deregister", OnLeader, writesServices, "catalog.deregister", (*API).catalogDeregister, 0},
	{http.MethodGet, "/v1/catalog/nodes", OnServer, "node:read", "catalog.nodes", (*API).catalogNodes, fromNode},
	{http.MethodGet, "/v1/catalog/services", OnServer, "service:read", "catalog.services", (*API).catalogServices, 0},
	{http.MethodGet, "/v1/catalog/service/{service...}", OnServer, readsServices, "catalog.service", (*API).catalogService, fromNode},
	{http.MethodGet, "/v1/catalog/connect/{service...}", OnServer, readsServices, "catalog.connect", (*API).catalogConnect, fromNode},
	{http.MethodGet, "/v1/catalog/node/{node...}", OnServer, readsServices, "catalog.node", (*API).catalogNode, 0},
	{http.MethodGet, "/v1/catalog/node-services/{node...}", OnServer, readsServices, "catalog.node_services", (*API).catalogNodeServices, anyNamespace},
	{http.MethodGet, "/v1/catalog/gateway-services/{gateway...}", OnServer, "service:read", "catalog.gateway_services", (*API).catalogGatewayServices, anyNamespace},
	{http.MethodGet, "/v1/operator/usage", OnServer, "operator:read", "operator.usage", (*API).operatorUsage, 0},
}

var errPassing = errs.New(errs.Invalid, "Invalid value for ?passing")

// find reads what of the catalog a request asks for; part is the part of the
// path that names it, "" for none (catalog.md section 1.6).
func (a *API) find(r *request, part string) (endpoint.Find, error) {
	f := endpoint.Find{
		Scope: r.scope, Name: r.PathValue(part), Tags: r.query["tag"], NodeMeta: r.query["node-meta"],
		Near: r.query.Get("near"), Filter: r.query.Get("filter"), Read: r.read,
	}
	if r.query.Has("merge-central-config") {
		f.Central = r.query.Get("merge-central-config") != "false"
	}
	if f.Near == nearAgent {
		f.Near = a.askedNode(r)
	}
	if peer := r.query.Get("peer"); peer != "" {
		return f, errs.Errorf(errs.Invalid, "unknown peer %q", peer)
	}
	if r.query.Has("passing") {
		f.Passing = true
		if text := r.query.Get("passing"); text != "" {
			var err error
			if f.Passing, err = strconv.ParseBool(text); err != nil {
				return f, errPassing
			}
		}
	}
	return f, nil
}

// nearAgent stands for the agent that was asked.
const nearAgent = "_agent"

// found is answer for reads of the catalog: they say how they were made. Every answer is
// fresh, as far as the request asks for that, so ?cached never hits.
func found[V any](r *request, v V, m endpoint.Meta, err error) (any, error) {
	r.header.Set("X-Consul-Effective-Consistency", consistency(r.read))
	if r.query.Has("cached") {
		r.header.Set("X-Cache", "MISS")
	}
	return r.answer(v, m, err)
}

// consistency is the word for how a read was made.
func consistency(r endpoint.Read) string {
	switch {
	case r.Consistent:
		return "consistent"
	case r.Stale:
		return "stale"
	}
	return "leader"
}

// catalogNodes handles GET /v1/catalog/nodes.
func (a *API) catalogNodes(r *request) (any, error) {
	f, err := a.find(r, "")
	if err != nil {
		return nil, err
	}
	list, meta, err := a.Catalog.Nodes(r.Context(), r.caller, f)
	return found(r, nodeList(list), meta, err)
}

// catalogServices handles GET /v1/catalog/services.
func (a *API) catalogServices(r *request) (any, error) {
	f, err := a.find(r, "")
	if err != nil {
		return nil, err
	}
	names, meta, err := a.Catalog.ServiceNames(r.Context(), r.caller, f)
	return found(r, names, meta, err)
}

// catalogService handles GET /v1/catalog/service/:service.
func (a *API) catalogService(r *request) (any, error) { return a.serviceNodes(r, false) }

// catalogConnect handles GET /v1/catalog/connect/:service.
func (a *API) catalogConnect(r *request) (any, error) { return a.serviceNodes(r, true) }

func (a *API) serviceNodes(r *request, connect bool) (any, error) {
	f, err := a.find(r, "service")
	if err != nil {
		return nil, err
	}
	f.Connect = connect
	list, meta, err := a.Catalog.Service(r.Context(), r.caller, f)
	return found(r, list, meta, err)
}

// catalogNode handles GET /v1/catalog/node/:node: its services by id. A node that is
// unknown or hidden is null.
func (a *API) catalogNode(r *request) (any, error) {
	f, err := a.find(r, "node")
	if err != nil {
		return nil, err
	}
	node, meta, err := a.Catalog.Node(r.Context(), r.caller, f)
	return found(r, serviceMap{node}, meta, err)
}

// catalogNodeServices handles GET /v1/catalog/node-services/:node.
func (a *API) catalogNodeServices(r *request) (any, error) {
	f, err := a.find(r, "node")
	if err != nil {
		return nil, err
	}
	node, meta, err := a.Catalog.Node(r.Context(), r.caller, f)
	return found(r, serviceList{node}, meta, err)
}

// catalogGatewayServices handles GET /v1/catalog/gateway-services/:gateway.
func (a *API) catalogGatewayServices(r *request) (any, error) {
	f, err := a.find(r, "gateway")
	if err != nil {
		return nil, err
	}
	list, meta, err := a.Catalog.Gateway(r.Context(), r.caller, f)
	return found(r, list, meta, err)
}

// usage is the answer of GET /v1/operator/usage. A cluster is one datacenter.
type usage struct {
	Usage       map[string]*endpoint.Usage
	Index       uint64
	LastContact time.Duration // nanoseconds
	KnownLeader bool
}

// operatorUsage handles GET /v1/operator/usage.
func (a *API) operatorUsage(r *request) (any, error) {
	u, m, err := a.Catalog.Usage(r.Context(), r.caller, r.read)
	return r.answer(usage{map[string]*endpoint.Usage{a.Datacenter: u}, m.Index, m.LastContact, m.KnownLeader}, m, err)
}
