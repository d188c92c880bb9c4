package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/event"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
)

// Resolver turns a request's token into its caller. Servers look it up, client
// agents ask a server.
type Resolver interface {
	// Resolve returns who presents secret; "" is the anonymous token. It
	// returns acl.ErrNotFound, or an error that wraps it, for a secret that no token has.
	Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error)
	// ACLs says whether they are on, and whether the default policy is to allow.
	ACLs() (enabled, defaultAllow bool)
}

// API is what the routes are served from. Resolver, the operations, NodeName,
// Datacenter and Log have to be set; the zero value of the rest works. Set the fields before
// the first call of Handler.
type API struct {
	Resolver     Resolver
	Tokens       *endpoint.Tokens
	Policies     *endpoint.Policies
	Roles        *endpoint.Roles
	Templates    *endpoint.Templates
	AuthMethods  *endpoint.AuthMethods
	BindingRules *endpoint.BindingRules
	Logins       *endpoint.Logins
	Bootstraps   *endpoint.Bootstraps
	Partitions   *endpoint.Partitions
	Namespaces   *endpoint.Namespaces
	Authorizes   *endpoint.Authorizes
	CARoots      CARoots
	CAConfigs    *endpoint.CAConfigs
	Mesh         Mesh
	Snapshots    *endpoint.Snapshots
	RaftServers  *endpoint.RaftServers
	Autopilots   *endpoint.Autopilots
	Catalog      *endpoint.Catalog
	Entries      *endpoint.ConfigEntries
	Intentions   *endpoint.Intentions
	KVs          *endpoint.KVs
	Sessions     *endpoint.Sessions
	Txns         *endpoint.Txns
	Coordinates  *endpoint.Coordinates
	Local        *local.State // what is registered with this agent
	Events       *event.Log   // nil outside the default partition, which alone has user events

	Datacenter string
	NodeName   string
	Partition  string // of this agent; empty is default
	Server     bool   // it sees the members of every partition
	Dev        bool   // answers are pretty-printed without being asked
	UIEnabled  bool
	Debug      bool // profiles may be taken also where ACLs are off
	Log        *slog.Logger

	Agent   Agent
	Gossip  Gossip
	Config  Config
	Cluster Cluster        // of a server; see PeerHandler
	Forward Forward        // of what this agent does not serve; nil on a server that is alone
	Audit   *audit.Log     // nil writes no audit trail
	Limits  *RequestLimits // nil: none

	peer        bool          // this is the API of the server port
	bodyTimeout time.Duration // 0 is the constant of that name
}

// Config is the http_config stanza.
type Config struct {
	BlockEndpoints     []string          // path prefixes that are refused
	ResponseHeaders    map[string]string // added to every answer
	AllowWriteHTTPFrom []netip.Prefix    // who may call methods other than GET; empty is everybody
	KVMaxValueSize     int64             // bytes of a key's value; 0 is 512 KiB
	TxnMaxReqLen       int64             // bytes of a transaction; 0 is 512 KiB
	LeaderHold         time.Duration     // for how long a request waits for a leader; 0 is 7 seconds
}

// Handler returns the handler of every route. It is safe for concurrent use.
func (a *API) Handler() http.Handler { return a.handlerOf(routes) }

func (a *API) handlerOf(table []route) http.Handler {
	mux := http.NewServeMux()
	for pattern, rows := range byPath(table) {
		h := &rowsHandler{api: a, rows: rows}
		mux.Handle(pattern, h)
		if base, ok := withoutLastPart(pattern); ok {
			mux.Handle(base, h)
		}
	}
	mux.HandleFunc("/ui/", a.ui)
	mux.HandleFunc("/", a.unknownPath)
	return a.audited(mux, a.guard(mux))
}

// guard does what comes before the choice of a route: panics, the headers of
// every answer, clean paths, and block_endpoints.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.recoverPanic(w, r)
		a.commonHeaders(w.Header())
		if !a.peer {
			r.Header.Del(peer.HopsHeader)
			r.Header.Del(peer.SourceHeader)
		}
		if a.Audit == nil && !a.peer {
			r.Header.Del(peer.RequestIDHeader)
		}
		r = a.limitBody(w, r)
		if r.RequestURI == "*" && r.Method == http.MethodOptions { // of the server as a whole
			w.Header().Set("Content-Length", "0")
			return
		}
		if to := cleanPath(r); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		for _, prefix := range a.Config.BlockEndpoints {
			if strings.HasPrefix(r.URL.Path, prefix) {
				writeText(w, http.StatusForbidden, "Endpoint is blocked by agent configuration")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// commonHeaders sets what every answer carries.
func (a *API) commonHeaders(h http.Header) {
	for name, value := range a.Config.ResponseHeaders {
		h.Set(name, value)
	}
	h["Vary"], h["X-Content-Type-Options"] = valueVary, valueNoSniff
	policy := valueDeny
	if enabled, allow := a.Resolver.ACLs(); !enabled || allow {
		policy = valueAllow
	}
	h["X-Consul-Default-Acl-Policy"] = policy
}

// cleanPath returns where to send a request whose path has empty parts or
// dots, or "". The path "/" goes to the UI.
func cleanPath(r *http.Request) string {
	escaped := r.URL.EscapedPath()
	clean := escaped
	if !strings.HasPrefix(clean, "/") {
		clean = "/" + clean
	}
	clean = path.Clean(clean)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	switch {
	case clean == "/":
		clean = "/ui/"
	case clean == escaped:
		return ""
	}
	if r.URL.RawQuery != "" {
		clean += "?" + r.URL.RawQuery
	}
	return clean
}

// unknownPath answers for what is no route.
func (a *API) unknownPath(w http.ResponseWriter, r *http.Request) {
	text := "not a recognized HTTP API endpoint"
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		text = "if attempting to use the HTTP API, ensure the path starts with '/v1/'"
	}
	writeText(w, http.StatusNotFound, "Invalid URL path: "+text+"\n")
}

// ui answers for the web UI: this build has none.
func (a *API) ui(w http.ResponseWriter, r *http.Request) {
	if !a.UIEnabled || r.URL.Path != "/ui/" {
		a.unknownPath(w, r)
		return
	}
	writeText(w, http.StatusOK, "This build has no web UI. The HTTP API is below /v1/, and `consul` is its command line.\n")
}
