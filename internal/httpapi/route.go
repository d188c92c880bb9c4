package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// Served says which agents answer a route from what they have themselves.
type Served uint8

// Where a route is served.
const (
	Local    Served = iota // on the agent that is asked
	OnServer               // on any server
	OnLeader               // on the leader
)

// String returns the word for it in the reference.
func (s Served) String() string { return [...]string{"agent", "server", "leader"}[s] }

// Route is a row of the table, as the reference and tests see it.
type Route struct {
	Method string
	Path   string // with {name} for a part that varies, {name...} for one that may hold a slash
	Served Served
	// Permission is what the caller needs, such as "acl:write". It begins with
	// "none: " where the token of the request is not looked at, with "token: "
	// where it has to be valid and nothing more is asked; a reason follows.
	Permission string
	Operation  string // its name in the audit log
}

// handler answers a request with a value to encode as JSON, with empty{}, or
// with an error.
type handler func(*API, *request) (any, error)

// options are what sets a route's request apart from others.
type options uint16

const (
	anyNamespace   options = 1 << iota // ns=* is allowed
	bigBody                            // a body may be as large as a login's
	noDefaultToken                     // the agent's own token is not used in place of none
	localRead                          // the agent itself answers, and may be asked to wait for a change
	anyPartition                       // a server answers for any partition, though the route is Local
	fromAgent                          // only agents of this datacenter may call it, by their certificate
	longBody                           // a body may take as long as it needs while it makes progress; the handler bounds it
	noNamespace                        // it does not matter which namespace a request names
	localNamespace                     // what the agent itself answers about is in the namespace that a request names
	primary                            // what is global is written here, whichever datacenter a request names
	kvBody                             // a body may be as large as limits.kv_max_value_size says
	txnBody                            // the same for limits.txn_max_req_len
	fromNode                           // which agent was asked makes a difference
	entryBody                          // a body may be as large as a config entry's
	eventBody                          // a body may be as large as a user event's payload
)

type route struct {
	method, path string
	served       Served
	permission   string
	operation    string
	handle       handler
	options      options
}

var routes = slices.Concat(tokenRoutes, policyRoutes, roleRoutes, templateRoutes, authMethodRoutes,
	bindingRuleRoutes, loginRoutes, aclRoutes, explainRoutes, tenancyRoutes, agentRoutes, statusRoutes, connectRoutes,
	memberRoutes, keyringRoutes, eventRoutes, coordinateRoutes, catalogRoutes, healthRoutes, configEntryRoutes, intentionRoutes, kvRoutes, sessionRoutes, txnRoutes, agentServiceRoutes, agentCheckRoutes,
	snapshotRoutes, operatorRoutes, auditRoutes, debugRoutes)

// Routes returns every row of the table, ordered by path and method.
func Routes() []Route {
	rows := make([]Route, len(routes))
	for i, r := range routes {
		rows[i] = Route{Method: r.method, Path: r.path, Served: r.served, Permission: r.permission, Operation: r.operation}
	}
	slices.SortFunc(rows, func(a, b Route) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return rows
}

// needsToken reports whether the caller is looked up before the handler.
func (r *route) needsToken() bool { return !strings.HasPrefix(r.permission, "none: ") }

// needsDecision reports whether an answer may leave only after the caller was
// asked what they may do.
func (r *route) needsDecision() bool {
	return r.needsToken() && !strings.HasPrefix(r.permission, "token: ")
}

// needsACLs reports whether the route answers only where ACLs are on.
func (r *route) needsACLs() bool {
	return strings.HasPrefix(r.path, "/v1/acl/") || strings.HasPrefix(r.path, "/v1/agent/token/") ||
		strings.HasPrefix(r.path, "/v1/internal/acl/")
}

// namespaced reports whether it matters to the route which namespace a request
// names: agents, nodes and what operators do belong to a partition or to the datacenter.
func (r *route) namespaced() bool {
	resource, _, _ := strings.Cut(r.permission, ":")
	return r.options&noNamespace == 0 && !slices.Contains([]string{"agent", "keyring", "node", "operator"}, resource)
}

// byPath groups rows by path, in table order.
func byPath(rows []route) map[string][]*route {
	grouped := map[string][]*route{}
	for i := range rows {
		grouped[rows[i].path] = append(grouped[rows[i].path], &rows[i])
	}
	return grouped
}

// withoutLastPart returns the pattern that matches a path whose varying last
// part is missing, for paths that end in one.
func withoutLastPart(pattern string) (string, bool) {
	slash := strings.LastIndexByte(pattern, '/')
	last := pattern[slash+1:]
	if !strings.HasPrefix(last, "{") || strings.HasSuffix(last, "...}") {
		return "", false
	}
	return pattern[:slash+1] + "{$}", true
}

// missingParts is the answer to a path without a part that its route needs.
var missingParts = map[string]string{
	"accessor":           "Missing token AccessorID",
	"policy_id":          "Missing policy ID",
	"policy_name":        "Missing policy Name",
	"role_id":            "Missing role ID",
	"role_name":          "Missing role Name",
	"auth_method":        "Missing auth method name",
	"binding_rule":       "Missing binding rule ID",
	"login":              "Missing login ID",
	"template_name":      "Missing templated policy Name",
	"namespace":          "Missing namespace name",
	"partition":          "Missing partition name",
	"kind":               "Missing token kind",
	"addr":               "Missing address to join",
	"agent_service":      "Missing service ID",
	"agent_service_name": "Missing service Name",
	"agent_check":        "Missing check ID",
	"node":               "Missing node name",
	"service":            "Missing service name",
	"session":            "Missing session",
	"gateway":            "Missing gateway name",
	"state":              "Missing check state",
	"entry_kind":         "Missing config entry kind",
	"intention":          "Missing intention ID",
	"profile":            "Missing profile",
	"event":              "Missing name",
}

// rowsHandler answers all methods of one path.
type rowsHandler struct {
	api  *API
	rows []*route
}

func (h *rowsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", h.allow())
		w.WriteHeader(http.StatusOK)
		return
	}
	for _, row := range h.rows {
		if row.method == r.Method {
			h.api.serve(w, r, row)
			return
		}
	}
	w.Header().Set("Allow", h.allow())
	writeText(w, http.StatusMethodNotAllowed, "method "+r.Method+" not allowed")
}

func (h *rowsHandler) allow() string {
	methods := []string{http.MethodOptions}
	for _, row := range h.rows {
		methods = append(methods, row.method)
	}
	return strings.Join(methods, ",")
}

// missingPart returns the answer to a request whose path lacks a part, or "".
func (r *route) missingPart(req *http.Request) string {
	_, last, varies := strings.Cut(r.path, "{")
	if !varies {
		return ""
	}
	name, _, _ := strings.Cut(last, "}")
	name = strings.TrimSuffix(name, "...")
	if req.PathValue(name) != "" {
		return ""
	}
	return missingParts[name]
}
