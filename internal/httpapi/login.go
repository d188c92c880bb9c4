package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/endpoint"
)

var loginRoutes = []route{
	{http.MethodPost, "/v1/acl/login", OnLeader, "none: the bearer token is what is checked", "acl.login", (*API).login, bigBody},
	{http.MethodPost, "/v1/acl/logout", OnLeader, "token: ends the token that was sent", "acl.logout", (*API).logout, noDefaultToken},
}

// login handles POST /v1/acl/login.
func (a *API) login(r *request) (any, error) {
	var req endpoint.LoginRequest
	if err := r.decodeScoped("Failed to decode request body", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Logins.Login(r.Context(), req)
}

// logout handles POST /v1/acl/logout. The agent's own token is not meant by a
// request that carries none.
func (a *API) logout(r *request) (any, error) {
	return true, a.Logins.Logout(r.Context(), r.caller, r.token)
}
