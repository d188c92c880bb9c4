package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/endpoint"
)

// parts are values for what varies in a path. They exist nowhere.
var parts = strings.NewReplacer(
	"{accessor}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{policy_id}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{policy_name...}", "nobody",
	"{role_id}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{role_name}", "nobody",
	"{auth_method}", "nobody",
	"{login}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{binding_rule}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{template_name...}", "nobody",
	"{namespace}", "nobody",
	"{partition}", "nobody",
	"{kind}", "nobody",
	"{addr}", "127.0.0.1",
	"{agent_service...}", "nobody",
	"{agent_service_name...}", "nobody",
	"{agent_check...}", "nobody",
	"{node}", "nobody",
	"{node...}", "nobody",
	"{service...}", "nobody",
	"{key...}", "nobody",
	"{session}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{gateway...}", "nobody",
	"{state}", "any",
	"{entry_kind}", "mesh",
	"{entry_name...}", "nobody",
	"{intention}", "aaaaaaaa-0000-4000-8000-000000000000",
	"{profile}", "heap",
	"{event...}", "nobody",
)

func TestEveryRowIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Routes() {
		name := r.Method + " " + r.Path
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if r.Operation == "" || r.Served.String() == "" {
			t.Errorf("%s has no operation", name)
		}
		resource, reason, _ := strings.Cut(r.Permission, ":")
		if strings.TrimSpace(reason) == "" || resource == "" {
			t.Errorf("%s: permission %q says no reason", name, r.Permission)
		}
		if strings.Contains(parts.Replace(r.Path), "{") {
			t.Errorf("%s has a part without a value in this test", name)
		}
	}
	if len(seen) < 40 {
		t.Fatalf("only %d rows", len(seen))
	}
}

func TestEveryVaryingLastPartMayBeMissing(t *testing.T) {
	w := newWorld(t)
	for _, row := range routes {
		base, part, varies := strings.Cut(row.path, "{")
		if !varies || strings.Contains(part, "/") {
			continue
		}
		rec := w.call(row.method, base, "{}")
		if rec.Code != http.StatusBadRequest || !strings.HasPrefix(rec.Body.String(), "Missing ") {
			t.Errorf("%s %s: %d %s", row.method, base, rec.Code, rec.Body)
		}
	}
}

func TestEveryACLRouteWithoutACLs(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Resolver.(*endpoint.Resolver).Enabled = false })
	for _, row := range routes {
		rec := w.call(row.method, parts.Replace(row.path), "{}", "X-Consul-Token: whatever")
		if !row.needsACLs() {
			if rec.Code == http.StatusUnauthorized || rec.Code == http.StatusForbidden || strings.Contains(w.log.String(), errUndecided.Error()) {
				t.Errorf("%s %s: %d %s", row.method, row.path, rec.Code, rec.Body)
			}
			continue
		}
		if rec.Code != http.StatusUnauthorized || rec.Body.String() != "ACL support disabled" {
			t.Errorf("%s %s: %d %s", row.method, row.path, rec.Code, rec.Body)
		}
		if rec.Header().Get("X-Consul-Default-Acl-Policy") != "allow" {
			t.Errorf("%s %s: headers %v", row.method, row.path, rec.Header())
		}
	}
}

func TestWriteWithoutAQuorum(t *testing.T) {
	w := newWorld(t)
	w.raft.down = true
	rec := w.call("PUT", "/v1/acl/policy", `{"Name":"p"}`, asManagement)
	if rec.Code != http.StatusServiceUnavailable || rec.Body.String() != "no quorum" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}
