package httpapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/local"
)

func TestKeysOfARegistration(t *testing.T) {
	tests := []struct {
		name, body string
		code       int
		want       string
	}{
		{"as the client writes them", `{"Name":"web","TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":1}},"EnableTagOverride":true}`, 200, ""},
		{"as files write them", `{"name":"web","tagged_addresses":{"my_lan":{"address":"10.0.0.1","port":1}},"enable_tag_override":true,
			"meta":{"a_b":"c"},"connect":{"sidecar_service":{"proxy":{"config":{"some_key":1},"upstreams":[{"destination_name":"db","local_bind_port":1}]}}},
			"checks":[{"ttl":"1m","deregister_critical_service_after":"1h"}]}`, 200, ""},
		{"one that there is not", `{"Name":"web","Bogus":1}`, 400, `Request decode failed: json: unknown field "Bogus"`},
		{"one of a nested object", `{"Name":"web","Proxy":{"Bogus":1}}`, 400, `json: unknown field "Bogus"`},
		{"two spellings of one", `{"Name":"web","EnableTagOverride":true,"enable_tag_override":false}`, 400, "json: duplicate key"},
		{"the same twice", `{"Name":"web","Name":"db"}`, 400, "json: duplicate key"},
		{"a duration that is none", `{"Name":"web","Check":{"TTL":"abc"}}`, 400, `Request decode failed: time: invalid duration "abc"`},
		{"no JSON", `{`, 400, "Request decode failed: unexpected EOF"},
		{"nothing", ``, 400, "Request decode failed: EOF"},
		{"no name", `{}`, 400, "Missing service name"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.call("PUT", "/v1/agent/service/register", tc.body, asManagement)
			if rec.Code != tc.code || !strings.Contains(rec.Body.String(), tc.want) {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

func TestKeysOfFreeFormDataStay(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/agent/service/register", `{"name":"p","kind":"connect-proxy","port":1,"meta":{"tag_ged":"x"},
		"proxy":{"destination_service_name":"web","config":{"local_connect_timeout_ms":1,"Port":{"Name":2}}}}`, nil)
	var got struct {
		Meta  map[string]string
		Proxy struct{ Config map[string]any }
	}
	w.must("GET", "/v1/agent/service/p", "", &got)
	if text, _ := json.Marshal(got); string(text) != `{"Meta":{"tag_ged":"x"},"Proxy":{"Config":{"Port":{"Name":2},"local_connect_timeout_ms":1}}}` {
		t.Errorf("%s", text)
	}
}

func FuzzCamelCase(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `{"tagged_addresses":{"a_b":{"port":1}}}`, `{"a":[[{"b":null}]]}`, `{"connect":{"sidecar_service":{}}}`, `{"Name":"a","name":"b"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := camelCase(data, &local.ServiceDefinition{})
		if err != nil || checkShape(data) != nil {
			return
		}
		again, err := camelCase(once, &local.ServiceDefinition{})
		if err != nil || string(again) != string(once) {
			t.Errorf("%s becomes %s, then %s (%v)", data, once, again, err)
		}
	})
}

func TestTheHealthOfServicesIsTheStatusCode(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/agent/service/register", `{"Name":"web","Check":{"TTL":"1h"}}`, nil)
	steps := []struct {
		name, put, get string
		code           int
		reason, text   string
	}{
		{"critical", "/v1/agent/check/fail/service:web", "id/web", 503, "critical", "critical"},
		{"warning", "/v1/agent/check/warn/service:web?note=hm", "id/web", 429, "warning", "warning"},
		{"passing", "/v1/agent/check/pass/service:web", "id/web", 200, "passing", "passing"},
		{"passing by name", "/v1/agent/check/pass/service:web", "name/web", 200, "passing", "passing"},
		{"in maintenance", "/v1/agent/service/maintenance/web?enable=true", "name/web", 503, "maintenance", "maintenance"},
		{"out of it", "/v1/agent/service/maintenance/web?enable=false", "name/web", 200, "passing", "passing"},
		{"the node in maintenance", "/v1/agent/maintenance?enable=true", "id/web", 503, "maintenance", "maintenance"},
		{"no such id", "/v1/agent/maintenance?enable=false", "id/nope", 404, "ServiceId nope not found", "ServiceId nope not found"},
		{"no such name", "/v1/agent/maintenance?enable=false", "name/nope", 404, "ServiceName nope Not Found", "ServiceName nope Not Found"},
	}
	for _, s := range steps {
		w.must("PUT", s.put, "", nil)
		rec := w.call("GET", "/v1/agent/health/service/"+s.get, "", asManagement)
		if rec.Code != s.code || rec.Header().Get("X-Consul-Reason") != s.reason || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s: %d %v %s", s.name, rec.Code, rec.Header(), rec.Body)
		}
		if rec := w.call("GET", "/v1/agent/health/service/"+s.get+"?format=text", "", asManagement); rec.Code != s.code || rec.Body.String() != s.text {
			t.Errorf("%s as text: %d %s", s.name, rec.Code, rec.Body)
		}
	}
}

func TestAgentAnswersToWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/agent/service/register", `{"Name":"web","Checks":[{"CheckID":"ttl","TTL":"1h"},{"CheckID":"tcp","TCP":"127.0.0.1:1","Interval":"1h"}]}`, nil)
	tests := []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"PUT", "/v1/agent/maintenance", "", 400, "Missing value for enable"},
		{"PUT", "/v1/agent/maintenance?enable=maybe", "", 400, `Invalid value for enable: "maybe"`},
		{"PUT", "/v1/agent/service/maintenance/?enable=true", "", 400, "Missing service ID"},
		{"PUT", "/v1/agent/service/deregister/nope", "", 404, `Unknown service ID "nope". Ensure that the service ID is passed, not the service name.`},
		{"GET", "/v1/agent/service/nope", "", 404, "unknown service ID: nope"},
		{"PUT", "/v1/agent/check/deregister/nope", "", 404, `Unknown check ID "nope". Ensure that the check ID is passed, not the check name.`},
		{"PUT", "/v1/agent/check/pass/tcp", "", 400, `CheckID "tcp" does not have associated TTL`},
		{"PUT", "/v1/agent/check/update/ttl", `{"Status":"HEALTHY"}`, 400, "Invalid check status: 'HEALTHY'"},
		{"PUT", "/v1/agent/check/register", `{"Name":"c","TTL":"1m","ServiceID":"nosvc"}`, 404, `ServiceID "nosvc" does not exist`},
		{"PUT", "/v1/agent/check/register", `{"TTL":"1m"}`, 400, "Missing check name"},
		{"PUT", "/v1/agent/check/register", `{"Name":"c","TTL":"abc"}`, 400, `Request decode failed: time: invalid duration "abc"`},
		{"GET", "/v1/agent/services?filter=Bogus==1", "", 400, "Failed to create boolean expression evaluator: Selector \"Bogus\" is not valid"},
		{"GET", "/v1/agent/checks?filter=Status==", "", 400, "Failed to create boolean expression evaluator: "},
		{"GET", "/v1/agent/services?partition=east", "", 400, `request targets partition "east"`},
		{"PUT", "/v1/agent/service/register?ns=a", `{"Name":"x","Namespace":"b"}`, 400, "Mismatched partition/namespace"},
		{"PUT", "/v1/agent/service/register?replace-existing-checks=maybe", `{"Name":"x"}`, 400, "Invalid value for replace-existing-checks"},
		{"GET", "/v1/agent/service/web?hash=x&wait=abc", "", 400, "Invalid wait time"},
		{"GET", "/v1/agent/service/register", "", 405, "method GET not allowed"},
	}
	for _, tc := range tests {
		rec := w.call(tc.method, tc.target, tc.body, asManagement)
		if rec.Code != tc.code || !strings.HasPrefix(rec.Body.String(), tc.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.target, rec.Code, rec.Body, tc.code, tc.want)
		}
	}
}

func TestAgentListsAreFiltered(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{`{"Name":"web","Tags":["v1"],"Check":{"TTL":"1h"}}`, `{"Name":"db","Meta":{"env":"prod"},"Check":{"TTL":"1h"}}`, `{"Name":"web","Namespace":"team"}`} {
		w.must("PUT", "/v1/agent/service/register", body, nil)
	}
	tests := []struct{ target, want string }{
		{"/v1/agent/services", "db web"},
		{`/v1/agent/services?filter="v1"+in+Tags`, "web"},
		{`/v1/agent/services?filter=Meta.env+==+prod`, "db"},
		{`/v1/agent/services?ns=team`, "web"},
		{`/v1/agent/services?ns=*`, "db team/web web"},
		{"/v1/agent/checks", "service:db service:web"},
		{`/v1/agent/checks?filter=ServiceName+==+db`, "service:db"},
	}
	for _, tc := range tests {
		var got map[string]json.RawMessage
		w.must("GET", tc.target, "", &got)
		if keys := strings.Join(slices.Sorted(maps.Keys(got)), " "); keys != tc.want {
			t.Errorf("%s: %s, want %s", tc.target, keys, tc.want)
		}
	}
	secret := w.token("db-reader", `service "db" { policy = "read" }`)
	rec := w.call("GET", "/v1/agent/services", "", "X-Consul-Token: "+secret)
	if rec.Code != http.StatusOK || strings.Contains(rec.Body.String(), "web") || rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestNoTokenIsShown(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/agent/service/register", `{"Name":"web","Token":"in-the-body","Check":{"TTL":"1h","Token":"in-the-check"}}`, nil)
	for _, target := range []string{"/v1/agent/services", "/v1/agent/service/web", "/v1/agent/checks", "/v1/agent/health/service/id/web"} {
		body := w.call("GET", target, "", asManagement).Body.String()
		for _, secret := range []string{"Token", "in-the-", management} {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %s: %s", target, secret, body)
			}
		}
	}
}

// A hash that is known makes the answer wait for another, for the end of the wait, or for the end of
// the permission.
func TestAnswersWaitForAnotherHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.must("PUT", "/v1/agent/service/register", `{"Name":"web","Port":1}`, nil)
		reader := "X-Consul-Token: " + w.token("web-reader", `service "web" { policy = "read" }`)
		var policy struct{ ID string }
		w.must("GET", "/v1/acl/policy/name/web-reader", "", &policy)
		get := func(query string) (hash string, code int, took time.Duration) {
			began := time.Now()
			rec := w.call("GET", "/v1/agent/service/web?"+query, "", reader)
			return rec.Header().Get("X-Consul-ContentHash"), rec.Code, time.Since(began)
		}
		after := func(d time.Duration, do func()) {
			go func() {
				time.Sleep(d) // of the bubble's clock
				do()
			}()
		}
		first, _, _ := get("")
		if _, _, took := get("hash=another&wait=1m"); first == "" || took != 0 {
			t.Errorf("hash %q, took %v", first, took)
		}
		if hash, _, took := get("hash=" + first + "&wait=16s"); hash != first || took < 16*time.Second || took > 17*time.Second+time.Millisecond {
			t.Errorf("hash %q after %v", hash, took)
		}
		after(10*time.Second, func() { w.must("PUT", "/v1/agent/service/register", `{"Name":"db"}`, nil) })
		after(20*time.Second, func() { w.must("PUT", "/v1/agent/service/register", `{"Name":"web","Port":2}`, nil) })
		second, _, took := get("hash=" + first + "&wait=1m")
		if second == first || took != 20*time.Second {
			t.Errorf("hash %q after %v", second, took)
		}
		after(10*time.Second, func() { w.must("PUT", "/v1/acl/policy/"+policy.ID, `{"Name":"web-reader","Rules":""}`, nil) })
		after(20*time.Second, func() { w.must("PUT", "/v1/agent/service/deregister/db", "", nil) })
		if _, code, took := get("hash=" + second + "&wait=1m"); code != http.StatusForbidden || took != 20*time.Second {
			t.Errorf("%d after %v", code, took)
		}
	})
}

func TestThePublishedClientOfAnAgent(t *testing.T) {
	w := newWorld(t)
	agent := w.client(management).Agent()
	check(t, agent.ServiceRegister(&api.AgentServiceRegistration{
		Name: "web", Port: 80, Weights: &api.AgentWeights{Passing: 2, Warning: 1},
		Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{}},
		Checks:  api.AgentServiceChecks{{TTL: "15s"}, {HTTP: "http://127.0.0.1:1/", Interval: "10m", Header: map[string][]string{"A": {"b"}}}},
	}))
	check(t, agent.CheckRegister(&api.AgentCheckRegistration{Name: "disk", AgentServiceCheck: api.AgentServiceCheck{TTL: "15s"}}))
	check(t, agent.UpdateTTL("disk", "fine", api.HealthPassing))
	check(t, agent.EnableServiceMaintenance("web", "repair"))
	services, err := agent.Services()
	check(t, err)
	checks, err := agent.Checks()
	check(t, err)
	if len(services) != 2 || services["web-sidecar-proxy"].Proxy.LocalServicePort != 80 || services["web"].Weights.Passing != 2 || len(checks) != 6 {
		t.Errorf("%v %v", services, checks)
	}
	if c := checks["disk"]; c.Status != api.HealthPassing || c.Output != "fine" || c.Type != "ttl" {
		t.Errorf("%+v", c)
	}
	if state, info, err := agent.AgentHealthServiceByID("web"); err != nil || state != api.HealthCritical || info.AggregatedStatus != api.HealthMaint {
		t.Errorf("%s %+v %v", state, info, err)
	}
	service, meta, err := agent.Service("web", nil)
	check(t, err)
	if service.ContentHash == "" || meta.LastContentHash != service.ContentHash {
		t.Errorf("%+v %+v", service, meta)
	}
	check(t, agent.ServiceDeregister("web"))
	refused(t, agent.ServiceDeregister("web"), "404 (Unknown service ID")
}
