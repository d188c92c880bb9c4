package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/telemetry"
)

// applied are the metrics of operations where they are carried out, by the names that dashboards use.
var applied = map[string]string{
	"kv.write": "kvs.apply", "kv.delete": "kvs.apply", "txn": "txn.apply",
	"catalog.register": "catalog.register", "catalog.deregister": "catalog.deregister",
	"acl.login": "acl.login", "acl.logout": "acl.logout",
	"acl.token.create": "acl.token.upsert", "acl.token.update": "acl.token.upsert", "acl.token.clone": "acl.token.clone", "acl.token.delete": "acl.token.delete",
	"acl.policy.create": "acl.policy.upsert", "acl.policy.update": "acl.policy.upsert", "acl.policy.delete": "acl.policy.delete",
	"acl.role.create": "acl.role.upsert", "acl.role.update": "acl.role.upsert", "acl.role.delete": "acl.role.delete",
	"acl.auth_method.set": "acl.authmethod.upsert", "acl.auth_method.delete": "acl.authmethod.delete",
	"acl.binding_rule.create": "acl.bindingrule.upsert", "acl.binding_rule.update": "acl.bindingrule.upsert", "acl.binding_rule.delete": "acl.bindingrule.delete",
	"session.create": "session.apply", "session.destroy": "session.apply", "session.renew": "session.renew",
}

// measure notes what became of a request of row. path is the row's up to what varies; outcome is "ok",
// "forwarded" or the kind of an error.
func (a *API) measure(row *route, begun time.Time, outcome string) {
	m := a.Agent.Metrics
	if m == nil {
		return
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(row.path, "/"), "{")
	if !a.peer {
		m.Since("api.http", begun,
			telemetry.Label{Name: "method", Value: row.method}, telemetry.Label{Name: "path", Value: strings.ReplaceAll(path, "/", "_")})
	}
	m.Since("http.operation", begun, telemetry.Label{Name: "operation", Value: row.operation}, telemetry.Label{Name: "outcome", Value: outcome})
	if name := applied[row.operation]; name != "" && outcome != "forwarded" {
		m.Since(name, begun)
	}
	a.countRPC(m, row, outcome)
}

// countRPC counts what comes to a server from other agents, and what a client agent passes on.
func (a *API) countRPC(m *telemetry.Metrics, row *route, outcome string) {
	failed := outcome == "internal" || outcome == "unavailable"
	switch {
	case a.peer:
		m.Count("rpc.request", 1)
		if row.method == http.MethodGet {
			m.Count("rpc.query", 1)
		}
		if failed {
			m.Count("rpc.request_error", 1)
		}
	case !a.Server && row.served != Local:
		m.Count("client.rpc", 1)
		if failed {
			m.Count("client.rpc.failed", 1)
		}
	}
}
