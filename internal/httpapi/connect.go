package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
)

// CARoots shows the roots of the mesh CA: a server its own, a client agent what
// it last heard of them.
type CARoots interface {
	List(ctx context.Context, who acl.Caller, r endpoint.Read) (endpoint.CARootList, endpoint.Meta, error)
}

var connectRoutes = []route{
	{http.MethodGet, "/v1/connect/ca/roots", OnServer, "none: whoever connects to a service has to know them", "connect.ca.roots", (*API).caRoots, noNamespace},
	{http.MethodGet, "/v1/agent/connect/ca/roots", Local, "none: whoever connects to a service has to know them", "agent.connect.ca.roots", (*API).caRoots, localRead},
}

// caRoots handles GET /v1/connect/ca/roots and /v1/agent/connect/ca/roots; with
// ?pem=true the answer is the certificates alone, the active one first.
func (a *API) caRoots(r *request) (any, error) {
	list, meta, err := a.CARoots.List(r.Context(), r.caller, r.read)
	if err != nil {
		return nil, err
	}
	r.meta = &meta
	if r.query.Get("pem") != "true" {
		return list, nil
	}
	var chain strings.Builder
	for _, root := range list.Roots {
		chain.WriteString(root.RootCert)
	}
	return document{"application/pem-certificate-chain", chain.String()}, nil
}
