package httpapi

import "net/http"

var statusRoutes = []route{
	{http.MethodGet, "/v1/status/leader", OnServer, "none: load balancers ask", "status.leader", (*API).statusLeader, noNamespace},
	{http.MethodGet, "/v1/status/peers", OnServer, "none: load balancers ask", "status.peers", (*API).statusPeers, noNamespace},
	{http.MethodGet, "/v1/catalog/datacenters", OnServer, "none: names of datacenters are no secret", "catalog.datacenters", (*API).datacenters, noNamespace},
}

// statusLeader handles GET /v1/status/leader.
func (a *API) statusLeader(*request) (any, error) { return a.Agent.Leader(), nil }

// statusPeers handles GET /v1/status/peers.
func (a *API) statusPeers(*request) (any, error) { return append([]string{}, a.Agent.Peers()...), nil }

// datacenters handles GET /v1/catalog/datacenters.
func (a *API) datacenters(*request) (any, error) { return []string{a.Datacenter}, nil }
