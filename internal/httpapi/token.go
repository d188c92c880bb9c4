package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/endpoint"
)

var tokenRoutes = []route{
	{http.MethodPut, "/v1/acl/token", OnLeader, "acl:write", "acl.token.create", (*API).tokenCreate, 0},
	{http.MethodGet, "/v1/acl/token/self", OnServer, "none: shows the token that was sent", "acl.token.self", (*API).tokenSelf, 0},
	{http.MethodGet, "/v1/acl/token/{accessor}", OnServer, "acl:read", "acl.token.read", (*API).tokenRead, 0},
	{http.MethodPut, "/v1/acl/token/{accessor}", OnLeader, "acl:write", "acl.token.update", (*API).tokenUpdate, 0},
	{http.MethodDelete, "/v1/acl/token/{accessor}", OnLeader, "acl:write", "acl.token.delete", (*API).tokenDelete, 0},
	{http.MethodPut, "/v1/acl/token/{accessor}/clone", OnLeader, "acl:write", "acl.token.clone", (*API).tokenClone, 0},
	{http.MethodGet, "/v1/acl/tokens", OnServer, "acl:read", "acl.token.list", (*API).tokenList, anyNamespace},
}

// tokenCreate handles PUT /v1/acl/token.
func (a *API) tokenCreate(r *request) (any, error) {
	var req endpoint.TokenWrite
	if err := r.decodeScoped("Token decoding failed", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Tokens.Create(r.Context(), r.caller, req)
}

// tokenSelf handles GET /v1/acl/token/self.
func (a *API) tokenSelf(r *request) (any, error) {
	return r.answer(a.Tokens.Self(r.Context(), r.token, r.read))
}

// tokenRead handles GET /v1/acl/token/:accessor.
func (a *API) tokenRead(r *request) (any, error) {
	return r.answer(a.Tokens.Read(r.Context(), r.caller, endpoint.TokenRead{
		Scope: r.scope, AccessorID: r.PathValue("accessor"), Expanded: r.query.Has("expanded"), Read: r.read,
	}))
}

// tokenUpdate handles PUT /v1/acl/token/:accessor.
func (a *API) tokenUpdate(r *request) (any, error) {
	var req endpoint.TokenWrite
	if err := r.decodeScoped("Token decoding failed", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Tokens.Update(r.Context(), r.caller, r.PathValue("accessor"), req)
}

// tokenClone handles PUT /v1/acl/token/:accessor/clone.
func (a *API) tokenClone(r *request) (any, error) {
	var req endpoint.TokenWrite
	if err := r.decodeScoped("Token decoding failed", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Tokens.Clone(r.Context(), r.caller, r.PathValue("accessor"), req)
}

// tokenDelete handles DELETE /v1/acl/token/:accessor.
func (a *API) tokenDelete(r *request) (any, error) {
	return true, a.Tokens.Delete(r.Context(), r.caller, r.scope, r.PathValue("accessor"))
}

// tokenList handles GET /v1/acl/tokens.
func (a *API) tokenList(r *request) (any, error) {
	return r.answer(a.Tokens.List(r.Context(), r.caller, endpoint.TokenList{
		Scope: r.scope, Policy: r.query.Get("policy"), Role: r.query.Get("role"),
		ServiceName: r.query.Get("servicename"), AuthMethod: r.query.Get("authmethod"),
		AuthMethodNamespace: r.query.Get("authmethod-ns"), Read: r.read,
	}))
}
