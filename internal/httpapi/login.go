package httpapi

import (
	"errors"
	"net/http"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/endpoint"
)

var loginRoutes = []route{
	{http.MethodPost, "/v1/acl/login", OnLeader, "none: the bearer token is what is checked", "acl.login", (*API).login, bigBody},
	{http.MethodPost, "/v1/acl/login/explain", OnLeader, "acl:write", "acl.login.explain", (*API).loginExplain, bigBody},
	{http.MethodGet, "/v1/acl/login/{login}", OnLeader, "acl:read", "acl.login.refused", (*API).loginRefused, 0},
	{http.MethodPost, "/v1/acl/logout", OnLeader, "token: ends the token that was sent", "acl.logout", (*API).logout, noDefaultToken | noNamespace},
}

// loginIDHeader names a refused login in its answer. The answer's text is what
// clients match, so that it cannot hold the ID.
const loginIDHeader = "X-Lictor-Login-Id"

// login handles POST /v1/acl/login.
func (a *API) login(r *request) (any, error) {
	var req endpoint.LoginRequest
	if err := r.decodeScoped("Failed to decode request body", &req, &req.Scope); err != nil {
		return nil, err
	}
	proven := audit.Login{AuthMethod: req.AuthMethod}
	req.Source = a.source(r.Request)
	req.Proven = func(principal string) { proven.Principal = principal }
	token, err := a.Logins.Login(r.Context(), req)
	if err == nil {
		proven.AccessorID = token.AccessorID
	}
	noteLogin(r, proven)
	var refused *endpoint.RefusedLogin
	if errors.As(err, &refused) {
		r.header.Set(loginIDHeader, refused.ID)
		a.Log.Info("login refused", "login_id", refused.ID, "partition", req.Partition, "namespace", req.Namespace, "from", r.RemoteAddr)
	}
	return token, err
}

// loginExplain handles POST /v1/acl/login/explain.
func (a *API) loginExplain(r *request) (any, error) {
	var req endpoint.LoginExplain
	if err := r.decodeScoped("Failed to decode request body", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Logins.Explain(r.Context(), r.caller, req)
}

// loginRefused handles GET /v1/acl/login/:id.
func (a *API) loginRefused(r *request) (any, error) {
	return a.Logins.Refused(r.Context(), r.caller, r.scope, r.PathValue("login"))
}

// logout handles POST /v1/acl/logout. The agent's own token is not meant by a
// request that carries none.
func (a *API) logout(r *request) (any, error) {
	return true, a.Logins.Logout(r.Context(), r.caller, r.token)
}
