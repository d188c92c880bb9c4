package httpapi

import (
	"net/http"
	"net/url"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
)

var policyRoutes = []route{
	{http.MethodPut, "/v1/acl/policy", OnLeader, "acl:write", "acl.policy.create", (*API).policyCreate, 0},
	{http.MethodGet, "/v1/acl/policy/{policy_id}", OnServer, "acl:read", "acl.policy.read", (*API).policyRead, 0},
	{http.MethodPut, "/v1/acl/policy/{policy_id}", OnLeader, "acl:write", "acl.policy.update", (*API).policyUpdate, 0},
	{http.MethodDelete, "/v1/acl/policy/{policy_id}", OnLeader, "acl:write", "acl.policy.delete", (*API).policyDelete, 0},
	{http.MethodGet, "/v1/acl/policy/name/{policy_name...}", OnServer, "acl:read", "acl.policy.read", (*API).policyRead, 0},
	{http.MethodGet, "/v1/acl/policies", OnServer, "acl:read", "acl.policy.list", (*API).policyList, anyNamespace},
}

// policyCreate handles PUT /v1/acl/policy.
func (a *API) policyCreate(r *request) (any, error) {
	var p acl.Policy
	if err := r.decodeScoped("Policy decoding failed", &p, &p.Scope); err != nil {
		return nil, err
	}
	return a.Policies.Create(r.Context(), r.caller, p)
}

// policyRead handles GET /v1/acl/policy/:id and /v1/acl/policy/name/:name.
func (a *API) policyRead(r *request) (any, error) {
	return r.answer(a.Policies.Read(r.Context(), r.caller, endpoint.PolicyRead{
		Scope: r.scope, ID: r.PathValue("policy_id"), Name: unescape(r.PathValue("policy_name")), Read: r.read,
	}))
}

// unescape undoes the second escaping that the public client gives to a name
// in a path. No name has a percent sign of its own.
func unescape(name string) string {
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// policyUpdate handles PUT /v1/acl/policy/:id.
func (a *API) policyUpdate(r *request) (any, error) {
	var p acl.Policy
	if err := r.decodeScoped("Policy decoding failed", &p, &p.Scope); err != nil {
		return nil, err
	}
	return a.Policies.Update(r.Context(), r.caller, r.PathValue("policy_id"), p)
}

// policyDelete handles DELETE /v1/acl/policy/:id.
func (a *API) policyDelete(r *request) (any, error) {
	return true, a.Policies.Delete(r.Context(), r.caller, r.scope, r.PathValue("policy_id"))
}

// policyList handles GET /v1/acl/policies.
func (a *API) policyList(r *request) (any, error) {
	return r.answer(a.Policies.List(r.Context(), r.caller, endpoint.PolicyList{Scope: r.scope, Read: r.read}))
}
