package httpapi

import (
	"net/http"
	"slices"
)

// OwnHandler returns the handler of what the agent itself asks of the catalog,
// here or on another server: nothing that the configuration says about callers counts.
func (a *API) OwnHandler() http.Handler {
	return a.inside().handlerOf(slices.Concat(catalogRoutes, healthRoutes))
}

// ProxyHandler returns the handler of what the agent asks for a proxy, with the proxy's token. The trail of
// what is audited has the proxy's stream, not each of these.
func (a *API) ProxyHandler() http.Handler { return a.inside().handlerOf(routes) }

// inside returns the API for requests of the agent itself.
func (a *API) inside() *API {
	own := *a
	own.Config = Config{LeaderHold: a.Config.LeaderHold}
	own.UIEnabled, own.Dev, own.Audit = false, false, nil
	return &own
}
