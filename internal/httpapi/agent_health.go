package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/local"
)

// agentHealth is a service on this agent with its checks and the worst of them.
type agentHealth struct {
	AggregatedStatus string
	Service          *agentService
	Checks           []agentCheck
}

func (a *API) newAgentHealth(h *local.Health) agentHealth {
	return agentHealth{h.Status, a.newAgentService(&h.Service), agentChecks(h.Checks)}
}

// agentHealthID handles GET /v1/agent/health/service/id/:service_id.
func (a *API) agentHealthID(r *request) (any, error) {
	id := r.PathValue("agent_service")
	h, err := a.Local.HealthOf(r.caller, r.scope, id)
	if errs.KindOf(err) == errs.NotFound {
		return r.health(http.StatusNotFound, "ServiceId "+id+" not found", agentHealth{AggregatedStatus: catalog.Critical}), nil
	}
	if err != nil {
		return nil, err
	}
	return r.health(healthCode(h.Status), h.Status, a.newAgentHealth(&h)), nil
}

// agentHealthName handles GET /v1/agent/health/service/name/:service_name.
func (a *API) agentHealthName(r *request) (any, error) {
	list, worst, err := a.Local.HealthByName(r.caller, r.scope, r.PathValue("agent_service_name"))
	if errs.KindOf(err) == errs.NotFound {
		return r.health(http.StatusNotFound, err.Error(), []agentHealth{}), nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]agentHealth, len(list))
	for n := range list {
		out[n] = a.newAgentHealth(&list[n])
	}
	return r.health(healthCode(worst), worst, out), nil
}

// healthCode is the status code that says a health.
func healthCode(status string) int {
	switch status {
	case catalog.Passing:
		return http.StatusOK
	case catalog.Warning:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// health is an answer whose status code says it all; with ?format=text its body is the reason alone.
func (r *request) health(code int, reason string, v any) any {
	r.header.Set("X-Consul-Reason", reason)
	if r.query.Get("format") == "text" {
		v = document{"text/plain; charset=utf-8", reason}
	}
	return coded{code, v}
}
