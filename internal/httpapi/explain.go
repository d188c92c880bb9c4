package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/endpoint"
)

var explainRoutes = []route{
	{http.MethodPost, "/v1/acl/explain", OnServer, "token: explains the token that was sent; any other one needs acl:read", "acl.explain", (*API).explain, 0},
}

// explain handles POST /v1/acl/explain.
func (a *API) explain(r *request) (any, error) {
	var req endpoint.ExplainRequest
	if err := r.decodeScoped("Failed to decode request body", &req, &req.Scope); err != nil {
		return nil, err
	}
	return a.Authorizes.Explain(r.Context(), r.caller, req)
}
