package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/tenancy"
)

const registerWeb = `{"ID":"aaaaaaaa-0000-4000-8000-000000000001","Node":"n/1","Address":"10.0.0.1","Datacenter":"dc1",
	"TaggedAddresses":{"lan":"10.0.0.1"},"NodeMeta":{"rack":"<1>"},
	"Service":{"ID":"web-1","Service":"web","Tags":["v1"],"Address":"10.0.0.2","Port":8080,"Meta":{"a":"b"},
		"TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}}},
	"Checks":[{"CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Output":"Agent alive and reachable"},
		{"Name":"web","ServiceID":"web-1","Status":"passing","Notes":"\"ü\"","Type":"http",
		 "Definition":{"HTTP":"http://x/","Interval":"10s","Timeout":1000000000,"Header":{"A":["b"]}}}]}`

const (
	nodeJSON = `{"ID":"aaaaaaaa-0000-4000-8000-000000000001","Node":"n/1","Address":"10.0.0.1","Datacenter":"dc1",` +
		`"TaggedAddresses":{"lan":"10.0.0.1"},"Meta":{"rack":"\u003c1\u003e"},"CreateIndex":12,"ModifyIndex":12}`
	serviceJSON = `{"ID":"web-1","Service":"web","Tags":["v1"],"Address":"10.0.0.2","TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}},` +
		`"Meta":{"a":"b"},"Port":8080,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,` +
		`"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":12,"ModifyIndex":12}`
	nodeCheckJSON = `{"Node":"n/1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable",` +
		`"ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":12,"ModifyIndex":12}`
	webCheckJSON = `{"Node":"n/1","CheckID":"web","Name":"web","Status":"passing","Notes":"\"ü\"","Output":"","ServiceID":"web-1","ServiceName":"web",` +
		`"ServiceTags":["v1"],"Type":"http","Interval":"","Timeout":"","ExposedPort":0,` +
		`"Definition":{"HTTP":"http://x/","Header":{"A":["b"]},"Interval":"10s","Timeout":"1s"},"CreateIndex":12,"ModifyIndex":12}`
	serviceNodeJSON = `{"ID":"aaaaaaaa-0000-4000-8000-000000000001","Node":"n/1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1"},` +
		`"NodeMeta":{"rack":"\u003c1\u003e"},"ServiceKind":"","ServiceID":"web-1","ServiceName":"web","ServiceTags":["v1"],"ServiceAddress":"10.0.0.2",` +
		`"ServiceTaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}},"ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{"a":"b"},"ServicePort":8080,` +
		`"ServiceSocketPath":"","ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},` +
		`"ServiceLocality":null,"CreateIndex":12,"ModifyIndex":12}`
)

func TestShapesOfTheCatalog(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/catalog/register", registerWeb, nil)
	for target, want := range map[string]string{
		"/v1/catalog/nodes":                             "[" + nodeJSON + "]",
		"/v1/catalog/services":                          `{"web":["v1"]}`,
		"/v1/catalog/service/web":                       "[" + serviceNodeJSON + "]",
		"/v1/catalog/service/nosuch":                    "[]",
		"/v1/catalog/connect/web":                       "[]",
		"/v1/catalog/node/n/1":                          `{"Node":` + nodeJSON + `,"Services":{"web-1":` + serviceJSON + `}}`,
		"/v1/catalog/node/n%2F1":                        `{"Node":` + nodeJSON + `,"Services":{"web-1":` + serviceJSON + `}}`,
		"/v1/catalog/node/nosuch":                       "null",
		"/v1/catalog/node-services/n%2f1":               `{"Node":` + nodeJSON + `,"Services":[` + serviceJSON + `]}`,
		"/v1/catalog/node-services/n/1?ns=*":            `{"Node":` + nodeJSON + `,"Services":[` + serviceJSON + `]}`,
		"/v1/catalog/node-services/nosuch":              `{"Node":null,"Services":null}`,
		"/v1/catalog/gateway-services/gw":               "[]",
		"/v1/health/node/n/1":                           "[" + nodeCheckJSON + "," + webCheckJSON + "]",
		"/v1/health/checks/web":                         "[" + webCheckJSON + "]",
		"/v1/health/service/web":                        `[{"Node":` + nodeJSON + `,"Service":` + serviceJSON + `,"Checks":[` + nodeCheckJSON + "," + webCheckJSON + `]}]`,
		"/v1/health/service/web?passing=false":          `[{"Node":` + nodeJSON + `,"Service":` + serviceJSON + `,"Checks":[` + nodeCheckJSON + "," + webCheckJSON + `]}]`,
		"/v1/health/service/web?tag=v1&tag=v2":          "[]",
		"/v1/health/service/web?filter=Service.Port==1": "[]",
		"/v1/health/service/web?merge-central-config&passing&node-meta=rack:2": "[]",
		"/v1/health/connect/web":   "[]",
		"/v1/health/ingress/web":   "[]",
		"/v1/health/state/passing": "[" + nodeCheckJSON + "," + webCheckJSON + "]",
		"/v1/health/state/bogus":   "[]",
	} {
		rec := w.call("GET", target, "", asManagement)
		if rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%s:\ngot  %d %s\nwant %s", target, rec.Code, rec.Body, want)
		}
		if rec.Header().Get("X-Consul-Effective-Consistency") != "leader" || rec.Header().Get("X-Consul-Index") == "" || rec.Header().Get("X-Cache") != "" {
			t.Errorf("%s: headers %v", target, rec.Header())
		}
	}
	rec := w.call("GET", "/v1/operator/usage", "", asManagement)
	if !strings.HasPrefix(rec.Body.String(), `{"Usage":{"dc1":{"Nodes":1,"Services":1,"ServiceInstances":1,"ConnectServiceInstances":{"api-gateway":0,"connect-native":0,`) {
		t.Errorf("usage: %s", rec.Body)
	}
}

func TestHeadersOfTheCatalog(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string][2]string{
		"?stale": {"stale", ""}, "?consistent": {"consistent", ""}, "?cached": {"leader", "MISS"}, "?stale&cached": {"stale", "MISS"},
	} {
		rec := w.call("GET", "/v1/health/service/web"+query, "", asManagement)
		if got := [2]string{rec.Header().Get("X-Consul-Effective-Consistency"), rec.Header().Get("X-Cache")}; got != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	rec := w.call("GET", "/v1/catalog/datacenters", "")
	if _, told := rec.Header()["X-Consul-Effective-Consistency"]; told {
		t.Errorf("datacenters: headers %v", rec.Header())
	}
}

func TestWhatTheCatalogRefuses(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/v1/health/service/web?passing=maybe", "", "400 Invalid value for ?passing"},
		{"GET", "/v1/health/service/web?filter=Bogus==1", "", `400 Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"GET", "/v1/health/service/web?peer=x", "", `400 unknown peer "x"`},
		{"GET", "/v1/health/service/", "", "400 Missing service name"},
		{"GET", "/v1/catalog/node/", "", "400 Missing node name"},
		{"GET", "/v1/health/state/", "", "400 Missing check state"},
		{"GET", "/v1/catalog/nodes?dc=dc2", "", "500 No path to datacenter"},
		{"PUT", "/v1/catalog/register", `{"Address":"x"}`, "400 Must provide node"},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Bogus":1}`, `400 Request decode failed: json: unknown field "Bogus"`},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Address":"x","Datacenter":"dc2"}`, "500 No path to datacenter"},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Address":"x","Service":{"Service":"s","Namespace":"a"},"Check":{"Name":"c","Namespace":"b"}}`, "400 Mismatched partition/namespace"},
		{"PUT", "/v1/catalog/register?ns=a", `{"Node":"n","Address":"x","Service":{"Service":"s","Namespace":"b"}}`, "400 Mismatched partition/namespace"},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Address":"x","Check":{"Name":"c","Definition":{"Interval":"soon"}}}`, `400 Request decode failed: time: invalid duration "soon"`},
		{"PUT", "/v1/catalog/deregister", `{}`, "400 Must provide node"},
		{"PUT", "/v1/catalog/deregister", `{"Node":"nosuch","ServiceID":"x"}`, "200 true"},
	} {
		rec := w.call(c.method, c.target, c.body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); got != c.want {
			t.Errorf("%s %s %s:\ngot  %s\nwant %s", c.method, c.target, c.body, got, c.want)
		}
	}
}

func TestClientCatalog(t *testing.T) {
	c := newWorld(t).client(management)
	sent := &api.CatalogRegistration{
		Node: "ext", Address: "10.0.0.1", NodeMeta: map[string]string{"external-node": "true"}, Locality: &api.Locality{Region: "r", Zone: "z"},
		Service: &api.AgentService{
			Service: "web", Kind: api.ServiceKindConnectProxy, Port: 20000, Weights: api.AgentWeights{Passing: 3, Warning: 1},
			Proxy: &api.AgentServiceConnectProxyConfig{
				DestinationServiceName: "app", LocalServicePort: 80, Mode: api.ProxyModeTransparent,
				TransparentProxy: &api.TransparentProxyConfig{OutboundListenerPort: 15001},
				Config:           map[string]any{"protocol": "http", "deep": map[string]any{"n": float64(1)}},
				Upstreams:        []api.Upstream{{DestinationType: "service", DestinationName: "db", LocalBindPort: 9000, MeshGateway: api.MeshGatewayConfig{Mode: "local"}}},
				Expose:           api.ExposeConfig{Paths: []api.ExposePath{{Path: "/health", ListenerPort: 21500, LocalPathPort: 80}}},
				AccessLogs:       &api.AccessLogsConfig{Enabled: true},
			},
			Connect: &api.AgentServiceConnect{}, Locality: &api.Locality{Region: "r", Zone: "z"},
		},
		Checks: api.HealthChecks{
			{Node: "ext", CheckID: "c", Name: "c", Status: api.HealthPassing, ServiceID: "web",
				Definition: api.HealthCheckDefinition{TCP: "x:1", IntervalDuration: 5 * time.Second, DeregisterCriticalServiceAfterDuration: time.Minute}},
		},
		Check: &api.AgentCheck{Node: "ext", CheckID: "n", Name: "n", Status: api.HealthPassing},
	}
	_, err := c.Catalog().Register(sent, nil)
	check(t, err)
	list, meta, err := c.Health().Connect("app", "", true, nil)
	check(t, err)
	if len(list) != 1 || meta.LastIndex == 0 || len(list[0].Checks) != 2 || list[0].Node.Locality == nil {
		t.Fatalf("%+v %+v", list, meta)
	}
	got := list[0].Service
	if !reflect.DeepEqual(got.Proxy, sent.Service.Proxy) || got.Weights.Passing != 3 || *got.Locality != *sent.Service.Locality ||
		got.TaggedAddresses["consul-virtual"].Address != "240.0.0.1" {
		t.Errorf("service %+v, proxy %+v", got, got.Proxy)
	}
	if d := list[0].Checks[0].Definition; d.TCP != "x:1" || d.IntervalDuration != 5*time.Second || d.DeregisterCriticalServiceAfterDuration != time.Minute {
		t.Errorf("definition %+v", d)
	}
	node, _, err := c.Catalog().Node("ext", nil)
	check(t, err)
	if node == nil || node.Services["web"] == nil {
		t.Errorf("%+v", node)
	}
	// What is read may be written back.
	entries, _, err := c.Catalog().Service("web", "", nil)
	check(t, err)
	sent.Service, sent.Checks = got, list[0].Checks
	sent.Check = nil
	_, err = c.Catalog().Register(sent, nil)
	check(t, err)
	again, _, err := c.Catalog().Service("web", "", nil)
	check(t, err)
	if len(entries) != 1 || !reflect.DeepEqual(entries, again) {
		t.Errorf("%+v is not %+v", again, entries)
	}
	_, err = c.Catalog().Deregister(&api.CatalogDeregistration{Node: "ext"}, nil)
	check(t, err)
	if node, _, err = c.Catalog().Node("ext", nil); err != nil || node != nil {
		t.Errorf("%+v, %v", node, err)
	}
}

func TestTenancyOfARegistration(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/partition/pay", "{}", nil)
	w.must("PUT", "/v1/namespace?partition=pay", `{"Name":"team"}`, nil)
	for _, c := range []struct{ target, body string }{
		{"?partition=pay&ns=team", `{"Node":"a","Address":"x","Service":{"Service":"s"}}`},
		{"", `{"Node":"b","Address":"x","Partition":"pay","Service":{"Service":"s","Namespace":"team"}}`},
		{"?ns=team", `{"Node":"c","Address":"x","Service":{"Service":"s","Namespace":"team","Partition":"pay"},"Check":{"Name":"c","ServiceID":"s","Namespace":"team","Partition":"pay"}}`},
	} {
		w.must("PUT", "/v1/catalog/register"+c.target, c.body, nil)
	}
	var list []api.CatalogService
	w.must("GET", "/v1/catalog/service/s?partition=pay&ns=team", "", &list)
	if got := names(list, func(s api.CatalogService) string { return s.Node + s.Namespace + s.Partition }); got != "ateampay bteampay cteampay" {
		t.Errorf("got %s", got)
	}
	if rec := w.call("GET", "/v1/catalog/nodes?partition=pay", "", asManagement); strings.Count(rec.Body.String(), `"Partition":"pay"`) != 3 || strings.Contains(rec.Body.String(), "Namespace") {
		t.Errorf("nodes: %s", rec.Body)
	}
}

func TestNearTheAgentThatWasAsked(t *testing.T) {
	g := cluster()
	w := newWorld(t, withGossip(g), onServer, func(a *API) { a.NodeName = "srv2" })
	for _, name := range []string{"srv1", "srv2", "web1"} {
		w.must("PUT", "/v1/catalog/register", `{"Node":"`+name+`","Address":"x"}`, nil)
	}
	g.coords[0].Coord.Vec[0], g.coords[1].Coord.Vec[0], g.coords[2].Coord.Vec[0] = 9, 0, 1
	var list []api.Node
	w.must("GET", "/v1/catalog/nodes?near=_agent", "", &list)
	if got := names(list, func(n api.Node) string { return n.Node }); got != "srv2 web1 srv1" {
		t.Errorf("got %s", got)
	}
	forwarded := httptest.NewRequest("GET", "/v1/catalog/nodes?near=_agent", nil)
	forwarded.Header.Set("X-Consul-Token", management)
	forwarded.Header.Set(agentHeader, "web1")
	rec := httptest.NewRecorder()
	w.api.PeerHandler().ServeHTTP(rec, onPort(forwarded, peer.Agent))
	check(t, json.Unmarshal(rec.Body.Bytes(), &list))
	if got := names(list, func(n api.Node) string { return n.Node }); got != "web1 srv2 srv1" {
		t.Errorf("from a client agent: %s", got)
	}
}

// What is encoded by hand has the fields and values that encoding/json finds.
func TestOwnEncodingAgreesWithEncodingJSON(t *testing.T) {
	var n catalog.Node
	var s catalog.Service
	var c catalog.Check
	fillAll(reflect.ValueOf(&n).Elem(), 1)
	fillAll(reflect.ValueOf(&s).Elem(), 1)
	fillAll(reflect.ValueOf(&c).Elem(), 1)
	own, err := healthList{{Node: &n, Service: &s, Checks: []*catalog.Check{&c}}}.appendJSON(nil)
	check(t, err)
	var got []struct{ Node, Service, Checks any }
	check(t, json.Unmarshal(own, &got))
	asMap := func(v any) map[string]any {
		text, err := json.Marshal(v)
		check(t, err)
		var m map[string]any
		check(t, json.Unmarshal(text, &m))
		return m
	}
	node, service, one := asMap(n), asMap(s), asMap(c)
	delete(node, "Namespace")
	service["PeerName"] = ""
	definition := one["Definition"].(map[string]any)
	for _, key := range []string{"Interval", "Timeout", "DeregisterCriticalServiceAfter"} {
		definition[key] = time.Duration(definition[key].(float64)).String()
	}
	for _, pair := range [][2]any{{got[0].Node, node}, {got[0].Service, service}, {got[0].Checks, []any{one}}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("got  %v\nwant %v", pair[0], pair[1])
		}
	}
	for _, text := range []string{"", "plain", `q"uo\te`, "<&>", "tab\t", "ü", "\u2028", "\xff", "\x7f"} {
		want, _ := json.Marshal(text)
		if got := string(appendString(nil, text)); got != string(want) && text != "\x7f" {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// fillAll sets every field to something with special characters.
func fillAll(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(v.Field(i), n+i)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillAll(v.Index(0), n)
		fillAll(v.Index(1), n+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 12 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillAll(key, n+i)
			fillAll(value, n+i)
			v.SetMapIndex(key, value)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf("any"))
	case reflect.String:
		v.SetString(fmt.Sprint("<ü> & \"", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint64:
		v.SetUint(uint64(n))
	}
}

// BenchmarkHealthService is a service of 10 instances among 5,000 on 500 nodes, from the handler
// to the state and to JSON.
func BenchmarkHealthService(b *testing.B) {
	w := newWorld(b)
	for i := range 5000 {
		name := fmt.Sprintf("svc-%d", i%500)
		body := fmt.Sprintf(`{"Node":"node-%d","Address":"10.0.0.1","SkipNodeUpdate":true,"Service":{"ID":"%s-%d","Service":"%s","Port":8080,"Tags":["v1"],"Meta":{"version":"1"}},
			"Checks":[{"CheckID":"serfHealth","Status":"passing","Output":"Agent alive and reachable"},{"CheckID":"%s-%d","ServiceID":"%s-%d","Status":"passing"}]}`,
			i/10, name, i, name, name, i, name, i)
		if rec := w.call("PUT", "/v1/catalog/register", body, asManagement); rec.Code != 200 {
			b.Fatal(rec.Code, rec.Body)
		}
	}
	var list []api.ServiceEntry
	w.must("GET", "/v1/health/service/svc-7", "", &list)
	if len(list) != 10 {
		b.Fatal(len(list))
	}
	req := httptest.NewRequest("GET", "/v1/health/service/svc-7", nil)
	req.Header.Set("X-Consul-Token", management)
	out := &sink{header: map[string][]string{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(out.header)
		w.http.ServeHTTP(out, req)
		if out.code > 200 {
			b.Fatal(out.code)
		}
	}
}

// BenchmarkHealthEncoding compares with encoding/json.
func BenchmarkHealthEncoding(b *testing.B) {
	row := endpoint.ServiceHealth{
		Node:    &catalog.Node{Node: "n1", Address: "10.0.0.1", Datacenter: "dc1", TaggedAddresses: map[string]string{"lan": "10.0.0.1", "wan": "10.0.0.1"}, Scope: tenancy.Default},
		Service: &catalog.Service{ID: "web", Service: "web", Tags: []string{"v1"}, Port: 80, Scope: tenancy.Default},
		Checks:  []*catalog.Check{{Node: "n1", CheckID: "serfHealth", Status: "passing", Scope: tenancy.Default}, {Node: "n1", CheckID: "web", Status: "passing", Scope: tenancy.Default}},
	}
	list := slices.Repeat([]endpoint.ServiceHealth{row}, 10)
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		var buffer []byte
		for b.Loop() {
			buffer, _ = healthList(list).appendJSON(buffer[:0])
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(list)
		}
	})
}

func TestHealthIsTheSameForEveryEncoding(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", "/v1/catalog/register", registerWeb, nil)
	plain := w.call("GET", "/v1/health/service/web", "", asManagement)
	for range 2 {
		zipped := w.call("GET", "/v1/health/service/web", "", asManagement, "Accept-Encoding: gzip")
		z, err := gzip.NewReader(zipped.Body)
		check(t, err)
		if got := text(z); got != plain.Body.String() || zipped.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%v %s", zipped.Header(), got)
		}
	}
	var compact bytes.Buffer
	check(t, json.Compact(&compact, w.call("GET", "/v1/health/service/web?pretty", "", asManagement).Body.Bytes()))
	if compact.String() != plain.Body.String() {
		t.Errorf("pretty: %s", &compact)
	}
}

func TestTheTokenOfABodyDoesNotCount(t *testing.T) {
	w := newWorld(t)
	body := `{"Node":"n1","Address":"10.0.0.1","WriteRequest":{"Token":"` + management + `"}}`
	for _, path := range []string{"/v1/catalog/register", "/v1/catalog/deregister"} {
		if rec := w.call("PUT", path, body); rec.Code != 403 {
			t.Errorf("%s with a token in the body alone: %d %s", path, rec.Code, rec.Body)
		}
		if rec := w.call("PUT", path, body, asManagement); rec.Code != 200 {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
