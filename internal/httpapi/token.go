package httpapi

import (
	"net/http"
	"strconv"

	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
)

var tokenRoutes = []route{
	{http.MethodPut, "/v1/acl/token", OnLeader, "acl:write", "acl.token.create", (*API).tokenCreate, primary},
	{http.MethodGet, "/v1/acl/token/self", OnServer, "none: shows the token that was sent", "acl.token.self", (*API).tokenSelf, noNamespace},
	{http.MethodPost, "/v1/acl/token/renew", OnLeader, "token: renews the token that was sent", "acl.token.renew", (*API).tokenRenew, noDefaultToken | noNamespace},
	{http.MethodPut, "/v1/acl/token/renew", OnLeader, "token: renews the token that was sent", "acl.token.renew", (*API).tokenRenew, noDefaultToken | noNamespace}, // the published client cannot POST
	{http.MethodGet, "/v1/acl/token/{accessor}", OnServer, "acl:read", "acl.token.read", (*API).tokenRead, 0},
	{http.MethodPut, "/v1/acl/token/{accessor}", OnLeader, "acl:write", "acl.token.update", (*API).tokenUpdate, primary},
	{http.MethodDelete, "/v1/acl/token/{accessor}", OnLeader, "acl:write", "acl.token.delete", (*API).tokenDelete, 0},
	{http.MethodPut, "/v1/acl/token/{accessor}/clone", OnLeader, "acl:write", "acl.token.clone", (*API).tokenClone, 0},
	{http.MethodGet, "/v1/acl/tokens", OnServer, "acl:read", "acl.token.list", (*API).tokenList, anyNamespace},
}

// tokenCreate handles PUT /v1/acl/token.
func (a *API) tokenCreate(r *request) (any, error) {
	req, err := r.tokenToWrite()
	if err != nil {
		return nil, err
	}
	return a.Tokens.Create(r.Context(), r.caller, req)
}

// tokenSelf handles GET /v1/acl/token/self.
func (a *API) tokenSelf(r *request) (any, error) {
	return r.answer(a.Tokens.Self(r.Context(), r.token, r.read))
}

// tokenRenew handles POST and PUT /v1/acl/token/renew. The agent's own token is not
// meant by a request that carries none.
func (a *API) tokenRenew(r *request) (any, error) { return a.Tokens.Renew(r.Context(), r.caller) }

// tokenRead handles GET /v1/acl/token/:accessor.
func (a *API) tokenRead(r *request) (any, error) {
	return r.answer(a.Tokens.Read(r.Context(), r.caller, endpoint.TokenRead{
		Scope: r.scope, AccessorID: r.PathValue("accessor"), Expanded: r.query.Has("expanded"), Read: r.read,
	}))
}

// tokenToWrite decodes a token. A global one is written in the primary datacenter,
// whichever a request names; a local one where the request says (acl.md section 4.2).
func (r *request) tokenToWrite() (endpoint.TokenWrite, error) {
	var req endpoint.TokenWrite
	if err := r.decodeScoped("Token decoding failed", &req, &req.Scope); err != nil {
		return req, err
	}
	if req.Local && r.otherDC {
		return req, errNoPath
	}
	return req, nil
}

// tokenUpdate handles PUT /v1/acl/token/:accessor.
func (a *API) tokenUpdate(r *request) (any, error) {
	req, err := r.tokenToWrite()
	if err != nil {
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
	page, err := r.page()
	if err != nil {
		return nil, err
	}
	return r.answer(a.Tokens.List(r.Context(), r.caller, endpoint.TokenList{
		Page:  page,
		Scope: r.scope, Policy: r.query.Get("policy"), Role: r.query.Get("role"),
		ServiceName: r.query.Get("servicename"), AuthMethod: r.query.Get("authmethod"),
		AuthMethodNamespace: r.query.Get("authmethod-ns"), Read: r.read,
	}))
}

// page returns the part of a list that the query asks for.
func (r *request) page() (endpoint.Page, error) {
	p := endpoint.Page{After: r.query.Get("after")}
	if text := r.query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, errs.New(errs.Invalid, "Invalid limit")
		}
		p.Limit = n
	}
	return p, nil
}
