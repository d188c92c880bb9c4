package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/catalog"
	checks "github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/tenancy"
)

// What a check belongs to is what the permission is for.
const (
	readsCheck  = "service:read or node:read"
	writesCheck = "service:write or node:write"
)

var agentCheckRoutes = []route{
	{http.MethodGet, "/v1/agent/checks", Local, readsCheck, "agent.checks", (*API).agentChecks, localNamespace | anyNamespace | localRead},
	{http.MethodPut, "/v1/agent/check/register", Local, writesCheck, "agent.check.register", (*API).agentCheckRegister, localNamespace},
	{http.MethodPut, "/v1/agent/check/deregister/{agent_check...}", Local, writesCheck, "agent.check.deregister", (*API).agentCheckDeregister, localNamespace},
	{http.MethodPut, "/v1/agent/check/pass/{agent_check...}", Local, writesCheck, "agent.check.pass", reports(checks.Passing), localNamespace},
	{http.MethodPut, "/v1/agent/check/warn/{agent_check...}", Local, writesCheck, "agent.check.warn", reports(checks.Warning), localNamespace},
	{http.MethodPut, "/v1/agent/check/fail/{agent_check...}", Local, writesCheck, "agent.check.fail", reports(checks.Critical), localNamespace},
	{http.MethodPut, "/v1/agent/check/update/{agent_check...}", Local, writesCheck, "agent.check.update", (*API).agentCheckUpdate, localNamespace},
	{http.MethodGet, "/v1/agent/health/service/id/{agent_service...}", Local, "service:read", "agent.health.id", (*API).agentHealthID, localNamespace},
	{http.MethodGet, "/v1/agent/health/service/name/{agent_service_name...}", Local, "service:read", "agent.health.name", (*API).agentHealthName, localNamespace},
}

// agentCheck is a check as its agent shows it (agent.md section 16.4).
type agentCheck struct{ *catalog.Check }

// MarshalJSON implements json.Marshaler.
func (c agentCheck) MarshalJSON() ([]byte, error) { return appendCheck(nil, c.Check) }

func agentChecks(list []catalog.Check) []agentCheck {
	out := make([]agentCheck, len(list))
	for n := range list {
		out[n] = agentCheck{&list[n]}
	}
	return out
}

// agentChecks handles GET /v1/agent/checks.
func (a *API) agentChecks(r *request) (any, error) {
	expression, err := filter.Parse(r.query.Get("filter"), catalog.Check{})
	if err != nil {
		return nil, err
	}
	return a.onHash(r, func() (any, error) {
		out := map[string]agentCheck{}
		for _, c := range agentChecks(a.Local.Checks(r.caller, r.scope)) {
			if expression.Match(*c.Check) {
				out[localName(r, c.Scope, c.CheckID)] = c
			}
		}
		return out, nil
	})
}

// agentCheckRegister handles PUT /v1/agent/check/register.
func (a *API) agentCheckRegister(r *request) (any, error) {
	var body checks.Definition
	if err := r.decode(decodeFailed, &body); err != nil {
		return nil, err
	}
	in := tenancy.Scope{Namespace: body.Namespace, Partition: body.Partition}
	if err := r.localScope(&in); err != nil {
		return nil, err
	}
	return empty{}, refusedCheck(a.Local.RegisterCheck(r.caller, body, in, r.ownToken()))
}

// agentCheckDeregister handles PUT /v1/agent/check/deregister/:check_id.
func (a *API) agentCheckDeregister(r *request) (any, error) {
	return empty{}, a.Local.DeregisterCheck(r.caller, r.scope, r.PathValue("agent_check"))
}

// reports returns the handler of PUT /v1/agent/check/pass, warn and fail.
func reports(status string) handler {
	return func(a *API, r *request) (any, error) {
		return empty{}, a.Local.Report(r.caller, r.scope, r.PathValue("agent_check"), checks.Status{Status: status, Output: r.query.Get("note")})
	}
}

// agentCheckUpdate handles PUT /v1/agent/check/update/:check_id.
func (a *API) agentCheckUpdate(r *request) (any, error) {
	var body checks.Status
	if err := r.decode(decodeFailed, &body); err != nil {
		return nil, err
	}
	return empty{}, a.Local.Report(r.caller, r.scope, r.PathValue("agent_check"), body)
}
