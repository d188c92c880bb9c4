package httpapi

import "net/http"

var statusRoutes = []route{
	{http.MethodGet, "/v1/status/leader", OnServer, "none: load balancers ask", "status.leader", (*API).statusLeader, noNamespace},
	{http.MethodGet, "/v1/status/peers", OnServer, "none: load balancers ask", "status.peers", (*API).statusPeers, noNamespace},
	{http.MethodGet, "/v1/status/ready", Local, "none: load balancers ask", "status.ready", (*API).statusReady, 0},
	{http.MethodGet, "/v1/catalog/datacenters", OnServer, "none: names of datacenters are no secret", "catalog.datacenters", (*API).datacenters, noNamespace},
}

// statusLeader handles GET /v1/status/leader.
func (a *API) statusLeader(*request) (any, error) { return a.Agent.Leader(), nil }

// statusPeers handles GET /v1/status/peers.
func (a *API) statusPeers(*request) (any, error) { return append([]string{}, a.Agent.Peers()...), nil }

// statusReady handles GET /v1/status/ready: 200 while this agent can answer reads, 503 while it
// knows no leader, or on a client agent no server.
func (a *API) statusReady(*request) (any, error) {
	if a.Agent.Ready != nil && !a.Agent.Ready() {
		return coded{http.StatusServiceUnavailable, readiness{}}, nil
	}
	return readiness{Ready: true}, nil
}

type readiness struct{ Ready bool }

// datacenters handles GET /v1/catalog/datacenters.
func (a *API) datacenters(*request) (any, error) { return []string{a.Datacenter}, nil }
