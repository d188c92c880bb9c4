package httpapi

import (
	"context"
	"net/http"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
)

var healthRoutes = []route{
	{http.MethodGet, "/v1/health/node/{node...}", OnServer, readsServices, "health.node", (*API).healthNode, anyNamespace},
	{http.MethodGet, "/v1/health/checks/{service...}", OnServer, readsServices, "health.checks", (*API).healthChecks, fromNode},
	{http.MethodGet, "/v1/health/service/{service...}", OnServer, readsServices, "health.service", (*API).healthService, fromNode},
	{http.MethodGet, "/v1/health/connect/{service...}", OnServer, readsServices, "health.connect", (*API).healthConnect, fromNode},
	{http.MethodGet, "/v1/health/ingress/{service...}", OnServer, readsServices, "health.ingress", (*API).healthIngress, fromNode},
	{http.MethodGet, "/v1/health/state/{state}", OnServer, readsServices, "health.state", (*API).healthState, fromNode},
}

// healthNode handles GET /v1/health/node/:node.
func (a *API) healthNode(r *request) (any, error) { return a.checks(r, "node", a.Catalog.NodeChecks) }

// healthChecks handles GET /v1/health/checks/:service.
func (a *API) healthChecks(r *request) (any, error) {
	return a.checks(r, "service", a.Catalog.ServiceChecks)
}

// healthState handles GET /v1/health/state/:state.
func (a *API) healthState(r *request) (any, error) {
	return a.checks(r, "state", a.Catalog.ChecksInState)
}

// checks answers with the checks that list finds by a part of the path.
func (a *API) checks(r *request, part string, list func(context.Context, acl.Caller, endpoint.Find) ([]*catalog.Check, endpoint.Meta, error)) (any, error) {
	f, err := a.find(r, part)
	if err != nil {
		return nil, err
	}
	checks, meta, err := list(r.Context(), r.caller, f)
	return found(r, checkList(checks), meta, err)
}

// healthService handles GET /v1/health/service/:service.
func (a *API) healthService(r *request) (any, error) { return a.serviceHealth(r, false) }

// healthConnect handles GET /v1/health/connect/:service.
func (a *API) healthConnect(r *request) (any, error) { return a.serviceHealth(r, true) }

func (a *API) serviceHealth(r *request, connect bool) (any, error) {
	f, err := a.find(r, "service")
	if err != nil {
		return nil, err
	}
	f.Connect = connect
	answer, meta, err := a.Catalog.ServiceHealth(r.Context(), r.caller, f)
	return found(r, sharedHealth{answer}, meta, err)
}

// healthIngress handles GET /v1/health/ingress/:service.
func (a *API) healthIngress(r *request) (any, error) {
	f, err := a.find(r, "service")
	if err != nil {
		return nil, err
	}
	list, meta, err := a.Catalog.IngressHealth(r.Context(), r.caller, f)
	return found(r, healthList(list), meta, err)
}
