package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/endpoint"
)

var authMethodRoutes = []route{
	{http.MethodPut, "/v1/acl/auth-method", OnLeader, "acl:write", "acl.auth_method.set", (*API).authMethodSet, 0},
	{http.MethodGet, "/v1/acl/auth-method/{auth_method}", OnServer, "acl:read", "acl.auth_method.read", (*API).authMethodRead, 0},
	{http.MethodPut, "/v1/acl/auth-method/{auth_method}", OnLeader, "acl:write", "acl.auth_method.set", (*API).authMethodSet, 0},
	{http.MethodDelete, "/v1/acl/auth-method/{auth_method}", OnLeader, "acl:write", "acl.auth_method.delete", (*API).authMethodDelete, 0},
	{http.MethodGet, "/v1/acl/auth-methods", OnServer, "acl:read", "acl.auth_method.list", (*API).authMethodList, anyNamespace},
}

// authMethodSet handles PUT /v1/acl/auth-method and /v1/acl/auth-method/:name.
func (a *API) authMethodSet(r *request) (any, error) {
	var m authmethod.Method
	if err := r.decodeScoped("AuthMethod decoding failed", &m, &m.Scope); err != nil {
		return nil, err
	}
	return a.AuthMethods.Set(r.Context(), r.caller, r.PathValue("auth_method"), m)
}

// authMethodRead handles GET /v1/acl/auth-method/:name.
func (a *API) authMethodRead(r *request) (any, error) {
	return r.answer(a.AuthMethods.Read(r.Context(), r.caller, endpoint.AuthMethodRead{
		Scope: r.scope, Name: r.PathValue("auth_method"), Read: r.read,
	}))
}

// authMethodDelete handles DELETE /v1/acl/auth-method/:name.
func (a *API) authMethodDelete(r *request) (any, error) {
	return true, a.AuthMethods.Delete(r.Context(), r.caller, r.scope, r.PathValue("auth_method"))
}

// authMethodList handles GET /v1/acl/auth-methods.
func (a *API) authMethodList(r *request) (any, error) {
	return r.answer(a.AuthMethods.List(r.Context(), r.caller, endpoint.AuthMethodList{Scope: r.scope, Read: r.read}))
}
