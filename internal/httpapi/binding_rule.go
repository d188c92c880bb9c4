package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/endpoint"
)

var bindingRuleRoutes = []route{
	{http.MethodPut, "/v1/acl/binding-rule", OnLeader, "acl:write", "acl.binding_rule.create", (*API).bindingRuleCreate, 0},
	{http.MethodGet, "/v1/acl/binding-rule/{binding_rule}", OnServer, "acl:read", "acl.binding_rule.read", (*API).bindingRuleRead, 0},
	{http.MethodPut, "/v1/acl/binding-rule/{binding_rule}", OnLeader, "acl:write", "acl.binding_rule.update", (*API).bindingRuleUpdate, 0},
	{http.MethodDelete, "/v1/acl/binding-rule/{binding_rule}", OnLeader, "acl:write", "acl.binding_rule.delete", (*API).bindingRuleDelete, 0},
	{http.MethodGet, "/v1/acl/binding-rules", OnServer, "acl:read", "acl.binding_rule.list", (*API).bindingRuleList, anyNamespace},
}

// bindingRuleCreate handles PUT /v1/acl/binding-rule.
func (a *API) bindingRuleCreate(r *request) (any, error) {
	var rule authmethod.BindingRule
	if err := r.decodeScoped("BindingRule decoding failed", &rule, &rule.Scope); err != nil {
		return nil, err
	}
	return a.BindingRules.Create(r.Context(), r.caller, rule)
}

// bindingRuleRead handles GET /v1/acl/binding-rule/:id.
func (a *API) bindingRuleRead(r *request) (any, error) {
	return r.answer(a.BindingRules.Read(r.Context(), r.caller, endpoint.BindingRuleRead{
		Scope: r.scope, ID: r.PathValue("binding_rule"), Read: r.read,
	}))
}

// bindingRuleUpdate handles PUT /v1/acl/binding-rule/:id.
func (a *API) bindingRuleUpdate(r *request) (any, error) {
	var rule authmethod.BindingRule
	if err := r.decodeScoped("BindingRule decoding failed", &rule, &rule.Scope); err != nil {
		return nil, err
	}
	return a.BindingRules.Update(r.Context(), r.caller, r.PathValue("binding_rule"), rule)
}

// bindingRuleDelete handles DELETE /v1/acl/binding-rule/:id.
func (a *API) bindingRuleDelete(r *request) (any, error) {
	return true, a.BindingRules.Delete(r.Context(), r.caller, r.scope, r.PathValue("binding_rule"))
}

// bindingRuleList handles GET /v1/acl/binding-rules.
func (a *API) bindingRuleList(r *request) (any, error) {
	return r.answer(a.BindingRules.List(r.Context(), r.caller, endpoint.BindingRuleList{
		Scope: r.scope, AuthMethod: r.query.Get("authmethod"), Read: r.read,
	}))
}
