package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
)

// CARoots shows the roots of the mesh CA: a server its own, a client agent what
// it last heard of them.
type CARoots interface {
	List(ctx context.Context, who acl.Caller, r endpoint.Read) (endpoint.CARootList, endpoint.Meta, error)
}

// Mesh is this agent's part in the service mesh.
type Mesh interface {
	// Leaf returns the leaf of a service and its age; hit says that the agent had it already.
	Leaf(ctx context.Context, q endpoint.LeafRead) (leaf endpoint.Leaf, age time.Duration, hit bool, err error)
	// Authorize decides about a connection. Token is what who was made from.
	Authorize(ctx context.Context, who acl.Caller, token logging.Secret, c endpoint.ConnectAuthorize) (*endpoint.ConnectDecision, error)
}

const noRootsPermission = "none: whoever connects to a service has to know them"

var connectRoutes = []route{
	{http.MethodGet, "/v1/connect/ca/roots", OnServer, noRootsPermission, "connect.ca.roots", (*API).caRoots, noNamespace},
	{http.MethodGet, "/v1/connect/ca/configuration", OnServer, "operator:write", "connect.ca.configuration.read", (*API).caConfigRead, 0},
	{http.MethodPut, "/v1/connect/ca/configuration", OnLeader, "operator:write", "connect.ca.configuration.set", (*API).caConfigSet, 0},
	{http.MethodGet, "/v1/agent/connect/ca/roots", Local, noRootsPermission, "agent.connect.ca.roots", (*API).agentCARoots, localRead},
	{http.MethodGet, "/v1/agent/connect/ca/leaf/{service...}", Local, "service:write", "agent.connect.ca.leaf", (*API).agentLeaf, localRead | localNamespace},
	{http.MethodPost, "/v1/agent/connect/authorize", Local, "service:write", "agent.connect.authorize", (*API).agentAuthorize, localNamespace},
}

// caRoots handles GET /v1/connect/ca/roots; with ?pem=true the answer is the certificates alone,
// the active one first.
func (a *API) caRoots(r *request) (any, error) {
	list, meta, err := a.CARoots.List(r.Context(), r.caller, r.read)
	if err != nil {
		return nil, err
	}
	r.meta = &meta
	if r.query.Get("pem") != "true" {
		return list, nil
	}
	var chain strings.Builder
	for _, root := range list.Roots {
		chain.WriteString(root.RootCert)
	}
	return document{"application/pem-certificate-chain", chain.String()}, nil
}

// agentCARoots handles GET /v1/agent/connect/ca/roots. What the agent knows is as new as what
// servers say: it is told of each change.
func (a *API) agentCARoots(r *request) (any, error) {
	r.header.Set("X-Cache", "HIT")
	r.header.Set("Age", "0")
	return a.caRoots(r)
}

// caConfigRead handles GET /v1/connect/ca/configuration.
func (a *API) caConfigRead(r *request) (any, error) {
	return r.answer(a.CAConfigs.Read(r.Context(), r.caller, r.read))
}

// caConfigSet handles PUT /v1/connect/ca/configuration.
func (a *API) caConfigSet(r *request) (any, error) {
	var body endpoint.CAConfig
	if err := r.decodeAnyCase("Request decode failed", &body); err != nil {
		return nil, err
	}
	return empty{}, a.CAConfigs.Set(r.Context(), r.caller, body)
}

// agentLeaf handles GET /v1/agent/connect/ca/leaf/:service.
func (a *API) agentLeaf(r *request) (any, error) {
	leaf, age, hit, err := a.Mesh.Leaf(r.Context(), endpoint.LeafRead{
		Caller: r.caller, Token: r.token, Service: r.PathValue("service"), Scope: r.scope, Read: r.read,
	})
	if err != nil {
		return nil, err
	}
	r.header.Set("X-Cache", "MISS")
	if hit {
		r.header.Set("X-Cache", "HIT")
		r.header.Set("Age", strconv.Itoa(int(age.Seconds())))
	}
	r.meta = &endpoint.Meta{Index: leaf.ModifyIndex, KnownLeader: true}
	return leaf, nil
}

// agentAuthorize handles POST /v1/agent/connect/authorize.
func (a *API) agentAuthorize(r *request) (any, error) {
	var body endpoint.ConnectAuthorize
	if err := r.decode("Request decode failed", &body); err != nil {
		return nil, err
	}
	if err := r.localScope(&body.Scope); err != nil {
		return nil, err
	}
	return a.Mesh.Authorize(r.Context(), r.caller, r.token, body)
}
