package httpapi

import (
	"net/http"
	"slices"
)

// OwnHandler returns the handler of what the agent itself asks of the catalog,
// here or on another server: nothing that the configuration says about callers counts.
func (a *API) OwnHandler() http.Handler {
	own := *a
	own.Config = Config{LeaderHold: a.Config.LeaderHold}
	own.UIEnabled, own.Dev, own.Audit = false, false, nil
	return own.handlerOf(slices.Concat(catalogRoutes, healthRoutes))
}
