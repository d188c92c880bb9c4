package httpapi

import (
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
)

// Profiles of the process, in the form that go tool pprof reads.
var debugRoutes = []route{
	{http.MethodGet, "/debug/pprof/{profile}", Local, "operator:read", "debug.profile", (*API).debugProfile, 0},
}

// longestProfile is how long a profile may be taken.
const longestProfile = 10 * time.Minute

var errDebugOff = errs.New(errs.NotFound, "profiles need enable_debug = true on an agent without ACLs")

// debugProfile handles GET /debug/pprof/:profile. Where nobody has a token, the
// agent has to be configured for it.
func (a *API) debugProfile(r *request) (any, error) {
	if err := r.caller.Require(r.scope, acl.OperatorRead, ""); err != nil {
		return nil, err
	}
	if enabled, _ := a.Resolver.ACLs(); !enabled && !a.Debug {
		return nil, errDebugOff
	}
	if r.PathValue("profile") == "cmdline" { // arguments may hold a token, or the gossip key
		return nil, errs.New(errs.NotFound, "the command line is not shown")
	}
	return stream(func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestProfile)) // where it can be set
		switch name := r.PathValue("profile"); name {
		case "profile":
			pprof.Profile(w, r.Request)
		case "trace":
			pprof.Trace(w, r.Request)
		case "symbol":
			pprof.Symbol(w, r.Request)
		default:
			pprof.Handler(name).ServeHTTP(w, r.Request)
		}
	}), nil
}
