package httpapi

import (
	"net/http"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
)

var aclRoutes = []route{
	{http.MethodPut, "/v1/acl/bootstrap", OnLeader, "none: works once, before anybody has a token", "acl.bootstrap", (*API).bootstrap, noNamespace},
	{http.MethodGet, "/v1/acl/replication", OnServer, "none: says whether replication runs", "acl.replication", (*API).replication, noNamespace},
	{http.MethodPost, "/v1/internal/acl/authorize", OnServer, "token: says what the token may do", "acl.authorize", (*API).authorize, 0},
}

// bootstrapAnswer is the first token, with its secret a second time as older
// clients expect it.
type bootstrapAnswer struct {
	ID logging.Secret
	*acl.Token
}

// bootstrap handles PUT /v1/acl/bootstrap. The body is optional.
func (a *API) bootstrap(r *request) (any, error) {
	var body struct{ BootstrapSecret logging.Secret }
	data, err := r.readBody()
	if err != nil {
		return nil, err
	}
	if len(data) > 0 {
		if err := decodeJSON("Request decoding failed", data, &body); err != nil {
			return nil, err
		}
	}
	t, err := a.Bootstraps.Bootstrap(r.Context(), body.BootstrapSecret)
	if err != nil {
		return nil, err
	}
	return bootstrapAnswer{ID: t.SecretID, Token: t}, nil
}

// replicationStatus is the answer of /v1/acl/replication (acl.md section 8).
type replicationStatus struct {
	Enabled              bool
	Running              bool
	SourceDatacenter     string
	ReplicationType      string
	ReplicatedIndex      uint64
	ReplicatedRoleIndex  uint64
	ReplicatedTokenIndex uint64
	LastSuccess          time.Time
	LastError            time.Time
	LastErrorMessage     string
}

// replication handles GET /v1/acl/replication. The primary datacenter
// replicates from nowhere.
func (a *API) replication(*request) (any, error) { return replicationStatus{}, nil }

// authorize handles POST /v1/internal/acl/authorize.
func (a *API) authorize(r *request) (any, error) {
	var asked []endpoint.AuthorizeRequest
	if err := r.decode("Failed to decode request body", &asked); err != nil {
		return nil, err
	}
	return a.Authorizes.Authorize(r.Context(), r.caller, r.scope, asked)
}
