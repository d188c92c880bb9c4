package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/endpoint"
)

// parts are values for what varies in a path. They exist nowhere, so that a
// route which forgets its permission answers 404 or worse.
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
	"{node}", "nobody",
)

// open are the answers of the routes that need no permission, by who asks: no
// token, one without rights, one that does not exist.
var open = map[string][3]string{
	"GET /v1/acl/token/self":          {"403 token does not exist: ACL not found", "200", "403 token does not exist: ACL not found"},
	"PUT /v1/acl/bootstrap":           all3("403 Permission denied: ACL bootstrap no longer allowed"),
	"GET /v1/acl/replication":         all3("200"),
	"POST /v1/acl/login":              all3(`403 ACL not found: auth method "" not found`),
	"POST /v1/acl/logout":             {"401 Supplied token does not exist", "403 Permission denied: token wasn't created via login", "403 ACL not found"},
	"POST /v1/acl/token/renew":        {"403 Permission denied: token wasn't created via login", "403 Permission denied: token wasn't created via login", "403 ACL not found"},
	"POST /v1/internal/acl/authorize": {"200 []", "200 []", "403 ACL not found"},
	"POST /v1/acl/explain":            {`400 invalid resource ""`, `400 invalid resource ""`, "403 ACL not found"},
	"GET /v1/agent/version":           all3("200"),
	"GET /v1/status/leader":           all3("200"),
	"GET /v1/status/peers":            all3("200"),
	"GET /v1/catalog/datacenters":     all3("200"),
	"GET /v1/connect/ca/roots":        all3("200"),
	"GET /v1/agent/connect/ca/roots":  all3("200"),
	// filtered to nothing
	"GET /v1/namespaces":             {"200 []", "200 []", "403 ACL not found"},
	"GET /v1/agent/members":          {"200 []", "200 []", "403 ACL not found"},
	"GET /v1/catalog/nodes":          {"200 []", "200 []", "403 ACL not found"},
	"GET /v1/health/node/{node}":     {"200 []", "200 []", "403 ACL not found"},
	"GET /v1/coordinate/nodes":       {"200 []", "200 []", "403 ACL not found"},
	"GET /v1/coordinate/node/{node}": {"404 ", "404 ", "403 ACL not found"},
	"GET /v1/coordinate/datacenters": all3("200"),
}

func all3(answer string) [3]string { return [3]string{answer, answer, answer} }

func TestCVE_2020_7955_EveryRouteAsksForItsPermission(t *testing.T) {
	const denied = "403 Permission denied: "
	w := newWorld(t)
	tokens := map[string]string{
		"an unrelated token": w.token("unrelated", `acl = "deny"`),
		"an unknown token":   "bbbbbbbb-0000-4000-8000-000000000000",
	}
	for _, row := range routes {
		for i, who := range []string{"no token", "an unrelated token", "an unknown token"} {
			name := row.method + " " + row.path
			t.Run(name+" with "+who, func(t *testing.T) {
				body := "{}"
				if row.operation == "acl.authorize" {
					body = "[]"
				}
				rec := w.call(row.method, parts.Replace(row.path), body, "X-Consul-Token: "+tokens[who])
				got := fmt.Sprint(rec.Code, " ", rec.Body)
				want := denied
				if who == "an unknown token" {
					want = "403 ACL not found"
				}
				if answers, isOpen := open[name]; isOpen {
					want = answers[i]
				}
				if !strings.HasPrefix(got, want) {
					t.Fatalf("got %s, want %s", got, want)
				}
				if want == denied && !strings.Contains(got, "lacks permission '"+row.permission+"'") {
					t.Fatalf("the row says %s, the answer %s", row.permission, got)
				}
			})
		}
	}
	if strings.Contains(w.log.String(), errUndecided.Error()) {
		t.Fatalf("an answer was made without a decision: %s", w.log)
	}
}

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
