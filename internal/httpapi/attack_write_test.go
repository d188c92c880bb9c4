package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// A proxy for a service is that service to everybody who connects. Whoever registers one needs the permission
// for both, on every path that writes.
func TestCVE_2021_38698_NobodyRegistersAProxyForAnotherService(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/catalog/register", `{"Node":"n","Address":"192.0.2.1"}`, nil)
	evil := w.token("evil", `node_prefix "" { policy = "write" } service "evil" { policy = "write" } service "evil-sidecar-proxy" { policy = "write" }`)
	both := w.token("both", `node_prefix "" { policy = "write" } service "evil" { policy = "write" } service "web" { policy = "write" }`)
	for _, c := range []struct{ name, target, body string }{
		{"the catalog", "/v1/catalog/register",
			`{"Node":"n","Address":"192.0.2.1","Service":{"Service":"evil","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}}`},
		{"a transaction", "/v1/txn",
			`[{"Service":{"Verb":"set","Node":"n","Service":{"ID":"evil","Service":"evil","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}}}]`},
		{"a transaction that compares", "/v1/txn",
			`[{"Service":{"Verb":"cas","Node":"n","Service":{"ID":"evil","Service":"evil","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}}}]`},
		{"an agent", "/v1/agent/service/register",
			`{"Name":"evil","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := w.call("PUT", c.target, c.body, "X-Consul-Token: "+evil)
			if rec.Code != http.StatusForbidden && !(rec.Code == http.StatusConflict && strings.Contains(rec.Body.String(), "Permission denied")) {
				t.Errorf("without the permission for the destination: %d %s", rec.Code, rec.Body)
			}
			if strings.HasSuffix(c.name, "compares") {
				return // there is nothing to compare with
			}
			if rec := w.call("PUT", c.target, c.body, "X-Consul-Token: "+both); rec.Code != http.StatusOK {
				t.Errorf("with both permissions: %d %s", rec.Code, rec.Body)
			}
		})
	}
}

// A registration, a transaction or a deregistration that names a check of another service, or of the node, by its
// id is decided as one of what is there, not of what the request says that it is.
func TestCVE_2026_105608_UpdatesOfOthersChecksAreDecided(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/catalog/register", `{"Node":"n","Address":"192.0.2.1","Service":{"ID":"db","Service":"db"},
		"Checks":[{"CheckID":"c","Name":"c","ServiceID":"db","Status":"critical"},{"CheckID":"node","Name":"node","Status":"critical"}]}`, nil)
	mine := "X-Consul-Token: " + w.token("mine", `service "web" { policy = "write" }`)
	w.must("PUT", "/v1/catalog/register", `{"Node":"n","SkipNodeUpdate":true,"Service":{"ID":"web","Service":"web"}}`, nil)
	for _, c := range []struct{ name, target, body string }{
		{"a service's check, said to be of one's own", "/v1/catalog/register",
			`{"Node":"n","SkipNodeUpdate":true,"Check":{"CheckID":"c","Name":"c","ServiceID":"web","Status":"passing"}}`},
		{"a service's check", "/v1/catalog/register",
			`{"Node":"n","SkipNodeUpdate":true,"Check":{"CheckID":"c","Name":"c","ServiceID":"db","Status":"passing"}}`},
		{"a node's check, said to be of one's own service", "/v1/catalog/register",
			`{"Node":"n","SkipNodeUpdate":true,"Check":{"CheckID":"node","Name":"node","ServiceID":"web","Status":"passing"}}`},
		{"beside one's own", "/v1/catalog/register",
			`{"Node":"n","SkipNodeUpdate":true,"Service":{"ID":"web","Service":"web"},"Checks":[{"CheckID":"c","Name":"c","ServiceID":"web","Status":"passing"}]}`},
		{"in a transaction", "/v1/txn", `[{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"c","Name":"c","ServiceID":"web","Status":"passing"}}}]`},
		{"a node's check in a transaction", "/v1/txn", `[{"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"node","Name":"node","ServiceID":"web","Status":"passing"}}}]`},
		{"taken away", "/v1/catalog/deregister", `{"Node":"n","CheckID":"c"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if rec := w.call("PUT", c.target, c.body, mine); rec.Code == http.StatusOK {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			var checks []struct{ CheckID, ServiceID, Status string }
			w.must("GET", "/v1/health/node/n", "", &checks)
			if len(checks) != 2 {
				t.Fatalf("checks are now %v", checks)
			}
			for _, check := range checks {
				if check.Status != "critical" || check.ServiceID == "web" {
					t.Errorf("changed to %+v", check)
				}
			}
		})
	}
}

// A key is where its permission says, however its path is written.
func TestCVE_2025_11392_AKeyStaysBelowItsPrefix(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/kv/secret/a", "untouched", nil)
	mine := "X-Consul-Token: " + w.token("mine", `key_prefix "mine/" { policy = "write" }`)
	for _, path := range []string{
		"mine/../secret/a", "mine/%2e%2e/secret/a", "mine/..%2fsecret/a", "mine%2f..%2fsecret%2fa", "mine/%252e%252e/secret/a", "mine/.%2e/secret/a",
		"mine//../secret/a", "mine/./../secret/a", "mine/%5c..%5csecret/a", "./secret/a", "/secret/a", "mine/..;/secret/a", "mine/%00/../../secret/a",
	} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			rec := w.call(method, "/v1/kv/"+path, "mine", mine)
			for range 3 { // as a client follows what it is told
				if rec.Code != http.StatusMovedPermanently {
					break
				}
				rec = w.call(method, rec.Header().Get("Location"), "mine", mine)
			}
			if strings.Contains(rec.Body.String(), "dW50b3VjaGVk") {
				t.Errorf("%s %s reads the key: %s", method, path, rec.Body)
			}
			var pairs []struct{ Value string }
			w.must("GET", "/v1/kv/secret/a", "", &pairs)
			if len(pairs) != 1 || pairs[0].Value != "dW50b3VjaGVk" {
				t.Fatalf("%s %s left %v", method, path, pairs)
			}
		}
	}
	var keys []string
	w.must("GET", "/v1/kv/?keys", "", &keys)
	for _, key := range keys {
		if key != "secret/a" && !strings.HasPrefix(key, "mine/") {
			t.Errorf("a key was made at %q", key)
		}
	}
}
