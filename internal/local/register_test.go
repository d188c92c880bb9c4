package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestWhatIsWrongWithAService(t *testing.T) {
	tests := []struct{ name, definition, want string }{
		{"no name", `{}`, "Missing service name"},
		{"an address that nobody reaches", `{"Name":"a","Address":"0.0.0.0"}`, "Invalid service address"},
		{"the same of IPv6", `{"Name":"a","Address":"[::]"}`, "Invalid service address"},
		{"the same under a tag", `{"Name":"a","TaggedAddresses":{"wan":{"Address":"::"}}}`, "Invalid service address"},
		{"a key with a space", `{"Name":"a","Meta":{"a b":"1"}}`, "Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters"},
		{"an empty key", `{"Name":"a","Meta":{"":"1"}}`, "Invalid Service Meta: Couldn't load metadata pair ('', '1'): Key cannot be blank"},
		{"a long value", `{"Name":"a","Meta":{"a":"` + strings.Repeat("x", 513) + `"}}`, "Value is too long (limit: 512 characters)"},
		{"no weight", `{"Name":"a","Weights":{"Passing":0,"Warning":1}}`, "Invalid Weights: Passing must be greater than 0"},
		{"a check without an interval", `{"Name":"a","Check":{"HTTP":"http://x"}}`,
			"Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{"a check with two clocks", `{"Name":"a","Check":{"TTL":"1s","Interval":"1s"}}`, "Invalid check: Interval and TTL cannot both be specified"},
		{"two checks of one id", `{"Name":"a","Checks":[{"CheckID":"x","TTL":"1s"},{"CheckID":"x","TTL":"1s"}]}`, `two checks with the ID "x"`},
		{"a script that is not allowed", `{"Name":"a","Check":{"Args":["true"],"Interval":"1s"}}`, "Scripts are disabled on this agent from remote calls"},
		{"a proxy of nothing", `{"Name":"a","Kind":"connect-proxy"}`, "Validation failed: 2 errors occurred:\n\t* Port or SocketPath must be set for a connect-proxy\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n"},
		{"an upstream without a name", `{"Name":"a","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"b","Upstreams":[{"LocalBindPort":1}]}}`,
			"Validation failed: 1 error occurred:\n\t* upstream destination name cannot be empty\n\n"},
		{"an upstream without a listener", `{"Name":"a","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"b","Upstreams":[{"DestinationName":"c"}]}}`,
			"upstream local bind port or local socket path must be defined and nonzero"},
		{"two upstreams at one port", `{"Name":"a","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"b","Upstreams":[
			{"DestinationName":"c","LocalBindPort":1},{"DestinationName":"d","LocalBindPort":1,"LocalBindAddress":"127.0.0.1"}]}}`,
			`upstreams cannot contain duplicates by local bind address and port or unix path; "127.0.0.1:1" is specified twice`},
		{"a gateway with a destination", `{"Name":"a","Kind":"mesh-gateway","Port":1,"Proxy":{"DestinationServiceName":"b"}}`,
			"The Proxy.DestinationServiceName configuration is invalid for a mesh-gateway"},
		{"a gateway without a port", `{"Name":"a","Kind":"mesh-gateway"}`, "Port must be non-zero for a mesh-gateway"},
		{"a sidecar with an id", `{"Name":"a","Connect":{"SidecarService":{"ID":"x"}}}`, "A SidecarService cannot specify an ID as this is managed by the agent"},
		{"a sidecar of a sidecar", `{"Name":"a","Connect":{"SidecarService":{"Connect":{"SidecarService":{}}}}}`, "A SidecarService cannot have a nested SidecarService"},
		{"a sidecar without a listener for its upstream", `{"Name":"a","Connect":{"SidecarService":{"Proxy":{"Upstreams":[{"DestinationName":"c"}]}}}}`,
			"upstream local bind port or local socket path must be defined and nonzero"},
		{"another partition", `{"Name":"a","Partition":"east"}`, `request targets partition "east" which does not match agent partition "default"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			err := w.register(anyone, tc.definition, "", false)
			if errs.KindOf(err) != errs.Invalid || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			if services, checks, _, _ := w.Counts(); services+checks != 0 {
				t.Error("something of it was registered")
			}
		})
	}
}

func TestTheIDsOfEmbeddedChecks(t *testing.T) {
	tests := []struct{ name, definition, ids string }{
		{"none", `{"Name":"r"}`, ""},
		{"none but an empty one, as clients send it", `{"Name":"r","Check":{}}`, ""},
		{"one", `{"Name":"r","Check":{"TTL":"1m"}}`, "service:r"},
		{"one of a list", `{"ID":"r1","Name":"r","Checks":[{"TTL":"1m"}]}`, "service:r1"},
		{"two", `{"Name":"r","Checks":[{"TTL":"1m"},{"TTL":"1m"}]}`, "service:r:1 service:r:2"},
		{"one with its own", `{"Name":"r","Checks":[{"CheckID":"mine","TTL":"1m"},{"TTL":"1m"}]}`, "mine service:r:2"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.add(tc.definition, "")
			if got := w.checkIDs(); got != tc.ids {
				t.Errorf("got %q, want %q", got, tc.ids)
			}
		})
	}
}

func TestOldChecksStayUnlessTheyAreReplaced(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"r","Checks":[{"TTL":"1m"},{"TTL":"1m"}]}`, "")
	w.add(`{"Name":"r","Checks":[{"TTL":"1m"}]}`, "")
	if got := w.checkIDs(); got != "service:r service:r:1 service:r:2" {
		t.Error(got)
	}
	if err := w.register(anyone, `{"Name":"r","Checks":[{"TTL":"1m"}]}`, "", true); err != nil {
		t.Fatal(err)
	}
	if got := w.checkIDs(); got != "service:r" {
		t.Error(got)
	}
}

func TestARegistrationKeepsWhatACheckSaysAlready(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"r","Check":{"TTL":"1m"}}`, "")
	w.report("service:r", "passing", "fine")
	w.add(`{"Name":"r","Port":80,"Check":{"TTL":"2m","Notes":"other"}}`, "")
	c := w.Checks(anyone, tenancy.Default)[0]
	if c.Status != catalog.Passing || c.Output != "fine" || c.Notes != "other" {
		t.Errorf("%+v", c)
	}
}

func TestASidecarAndItsDefaults(t *testing.T) {
	w := newWorld(t)
	w.add(`{"ID":"web1","Name":"web","Port":80,"Tags":["v1"],"Meta":{"a":"b"},"Connect":{"SidecarService":{}}}`, "")
	w.add(`{"Name":"db","Port":21001,"Connect":{"SidecarService":{"Port":7000,"Checks":[{"TTL":"1m"}]}}}`, "")
	w.add(`{"Name":"api","Connect":{"SidecarService":{}}}`, "")
	w.add(`{"ID":"web1","Name":"web","Port":81,"Connect":{"SidecarService":{}}}`, "") // again
	side, err := w.Service(anyone, tenancy.Default, "web1-sidecar-proxy")
	if err != nil {
		t.Fatal(err)
	}
	p := side.Proxy
	if side.Service != "web-sidecar-proxy" || side.Kind != catalog.KindConnectProxy || side.Port != 21000 ||
		p.DestinationServiceName != "web" || p.DestinationServiceID != "web1" || p.LocalServiceAddress != "127.0.0.1" || p.LocalServicePort != 81 {
		t.Errorf("%+v", side)
	}
	if api, err := w.Service(anyone, tenancy.Default, "api-sidecar-proxy"); err != nil || api.Port != 21002 {
		t.Errorf("%+v %v", api, err)
	}
	want := "service:api-sidecar-proxy:1 service:api-sidecar-proxy:2 service:db-sidecar-proxy service:web1-sidecar-proxy:1 service:web1-sidecar-proxy:2"
	if got := w.checkIDs(); got != want {
		t.Errorf("got %s", got)
	}
	if err := w.Deregister(anyone, tenancy.Default, "web1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Service(anyone, tenancy.Default, "web1-sidecar-proxy"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("the sidecar stays: %v", err)
	}
}

func TestThePortsOfSidecarsEnd(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SidecarPorts = Ports{21000, 21001} })
	for n := range 2 {
		w.add(fmt.Sprintf(`{"Name":"s%d","Connect":{"SidecarService":{}}}`, n), "")
	}
	if err := w.register(anyone, `{"Name":"more","Connect":{"SidecarService":{}}}`, "", false); errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestWhoMayRegister(t *testing.T) {
	tests := []struct{ name, rules, there, definition, denied string }{
		{"the service's own", `service "web" { policy = "write" }`, "", `{"Name":"web"}`, ""},
		{"one who may read", `service "web" { policy = "read" }`, "", `{"Name":"web"}`, `'service:write' on "web"`},
		{"of a proxy, for what it stands in for too", `service "p" { policy = "write" }`, "",
			`{"Name":"p","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}`, `'service:write' on "web"`},
		{"of a sidecar, for that too", `service "web" { policy = "write" }`, "", `{"Name":"web","Connect":{"SidecarService":{}}}`, `'service:write' on "web-sidecar-proxy"`},
		{"in the place of another", `service "web" { policy = "write" }`, `{"ID":"x","Name":"db"}`, `{"ID":"x","Name":"web"}`, `'service:write' on "db"`},
		{"with a check in the place of another's", `service "web" { policy = "write" }`, `{"Name":"db","Check":{"CheckID":"x","TTL":"1m"}}`,
			`{"Name":"web","Check":{"CheckID":"x","TTL":"1m"}}`, `'service:write' on "db"`},
		{"before what is wrong", `service "web" { policy = "read" }`, "", `{"Name":"web","Address":"0.0.0.0"}`, `'service:write' on "web"`},
		{"in another namespace", `service "web" { policy = "write" }`, "", `{"Name":"web","Namespace":"team"}`, `in namespace "team"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.there != "" {
				w.add(tc.there, "")
			}
			err := w.register(callerWith(t, tc.rules), tc.definition, "", false)
			switch {
			case tc.denied == "" && err != nil:
				t.Fatal(err)
			case tc.denied != "" && (errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), tc.denied)):
				t.Fatalf("got %v, want %s", err, tc.denied)
			}
		})
	}
}

func TestChecksByThemselves(t *testing.T) {
	web := callerWith(t, `service "web" { policy = "write" }`)
	tests := []struct {
		name string
		who  acl.Caller
		def  check.Definition
		kind errs.Kind
		want string
	}{
		{"of the node, by who may write it", callerWith(t, `node "n1" { policy = "write" }`), check.Definition{Name: "c", TTL: time.Minute}, 0, ""},
		{"of the node, by a service", web, check.Definition{Name: "c", TTL: time.Minute}, errs.Denied, `'node:write' on "n1"`},
		{"of its service", web, check.Definition{Name: "c", TTL: time.Minute, ServiceID: "web"}, 0, ""},
		{"of another service", web, check.Definition{Name: "c", TTL: time.Minute, ServiceID: "db"}, errs.Denied, `'service:write' on "db"`},
		{"of none that exists", web, check.Definition{Name: "c", TTL: time.Minute, ServiceID: "nosvc"}, errs.NotFound, `ServiceID "nosvc" does not exist`},
		{"in the place of the node's", web, check.Definition{Name: "alive", TTL: time.Minute, ServiceID: "web"}, errs.Denied, `'node:write' on "n1"`},
		{"without a name", anyone, check.Definition{TTL: time.Minute}, errs.Invalid, "Missing check name"},
		{"with a bad status", anyone, check.Definition{Name: "c", TTL: time.Minute, Status: "HEALTHY"}, errs.Invalid, "Bad check status"},
		{"without a clock", anyone, check.Definition{Name: "c"}, errs.Invalid, "Invalid check: TTL must be > 0 for TTL checks"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.add(`{"Name":"web"}`, "")
			w.add(`{"Name":"db"}`, "")
			if err := w.RegisterCheck(anyone, check.Definition{Name: "alive", TTL: time.Minute}, tenancy.Default, ""); err != nil {
				t.Fatal(err)
			}
			err := w.RegisterCheck(tc.who, tc.def, tenancy.Default, "")
			if tc.want == "" && err != nil || tc.want != "" && (errs.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestReportsAboutChecks(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Checks":[{"CheckID":"ttl","TTL":"1h"},{"CheckID":"http","HTTP":"http://127.0.0.1:1/","Interval":"1h"}]}`, "")
	web := callerWith(t, `service "web" { policy = "write" }`)
	tests := []struct {
		name, id, status string
		who              acl.Caller
		kind             errs.Kind
		want             string
	}{
		{"a status that there is", "ttl", "warning", web, 0, ""},
		{"one that there is not", "ttl", "HEALTHY", web, errs.Invalid, "Invalid check status: 'HEALTHY'"},
		{"a check that runs itself", "http", "passing", web, errs.Invalid, `CheckID "http" does not have associated TTL`},
		{"no check", "nope", "passing", web, errs.NotFound, `Unknown check ID "nope". Ensure that the check ID is passed, not the check name.`},
		{"somebody else's check", "ttl", "passing", callerWith(t, `service "web" { policy = "read" }`), errs.Denied, `'service:write' on "web"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := w.Report(tc.who, tenancy.Default, tc.id, check.Status{Status: tc.status, Output: "o"})
			if tc.want == "" && err != nil || tc.want != "" && (errs.KindOf(err) != tc.kind || err.Error() == "" || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
		})
	}
	if got := w.status("ttl"); got != catalog.Warning {
		t.Error(got)
	}
}

func TestHealthAddsUp(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Checks":[{"CheckID":"a","TTL":"1h"},{"CheckID":"b","TTL":"1h"}]}`, "")
	w.add(`{"Name":"db"}`, "")
	if err := w.RegisterCheck(anyone, check.Definition{CheckID: "node", Name: "node", TTL: time.Hour}, tenancy.Default, ""); err != nil {
		t.Fatal(err)
	}
	health := func() string {
		_, worst, err := w.HealthByName(anyone, tenancy.Default, "web")
		if err != nil {
			t.Fatal(err)
		}
		return worst
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"nobody has reported", func() {}, catalog.Critical},
		{"the service passes, the node does not", func() { w.report("a", "passing", ""); w.report("b", "passing", "") }, catalog.Critical},
		{"all pass", func() { w.report("node", "passing", "") }, catalog.Passing},
		{"one warns", func() { w.report("a", "warning", "") }, catalog.Warning},
		{"one is critical", func() { w.report("b", "critical", "") }, catalog.Critical},
		{"maintenance", func() { must(t, w.MaintainService(anyone, tenancy.Default, "web", true, "", "")) }, catalog.Maintenance},
		{"maintenance is over", func() { must(t, w.MaintainService(anyone, tenancy.Default, "web", false, "", "")) }, catalog.Critical},
		{"maintenance of the node", func() { must(t, w.MaintainNode(anyone, true, "why", "")) }, catalog.Maintenance},
	}
	for _, s := range steps {
		if s.do(); health() != s.want {
			t.Errorf("%s: %s, want %s", s.name, health(), s.want)
		}
	}
	if _, _, err := w.HealthByName(anyone, tenancy.Default, "nope"); errs.KindOf(err) != errs.NotFound {
		t.Error(err)
	}
	if h, err := w.HealthOf(anyone, tenancy.Default, "db"); err != nil || h.Status != catalog.Maintenance || len(h.Checks) != 2 {
		t.Errorf("%+v %v", h, err)
	}
}

func TestTheSameIDInAnotherNamespaceIsAnotherService(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Port":1,"Check":{"TTL":"1m"}}`, "")
	w.add(`{"Name":"web","Port":2,"Namespace":"team","Check":{"TTL":"1m"}}`, "")
	team := tenancy.Scope{Partition: "default", Namespace: "team"}
	if i, err := w.Service(anyone, team, "web"); err != nil || i.Port != 2 {
		t.Fatalf("%+v %v", i, err)
	}
	if all := w.Services(anyone, tenancy.Scope{Partition: "default", Namespace: "*"}); len(all) != 2 {
		t.Errorf("%v", all)
	}
	must(t, w.Deregister(anyone, tenancy.Default, "web"))
	if list := w.Checks(anyone, team); len(list) != 1 || len(w.Services(anyone, team)) != 1 {
		t.Errorf("%v", list)
	}
}

func TestWhatFilesDefine(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"api"}`, "")
	web, db := ServiceDefinition{Name: "web", Check: &check.Definition{TTL: time.Minute}}, ServiceDefinition{Name: "db"}
	must(t, w.Load([]ServiceDefinition{web, db}, []check.Definition{{Name: "disk", TTL: time.Minute}}))
	w.report("service:web", "passing", "")
	web.Port = 80
	err := w.Load([]ServiceDefinition{web, {Name: "bad", Address: "0.0.0.0"}}, nil)
	if err == nil || !strings.Contains(err.Error(), `Failed to register service "bad": Invalid service address`) {
		t.Errorf("got %v", err)
	}
	var ids []string
	for _, i := range w.Services(anyone, tenancy.Default) {
		ids = append(ids, i.ID)
	}
	if got := strings.Join(ids, " "); got != "api web" || w.checkIDs() != "service:web" {
		t.Errorf("%s; %s", got, w.checkIDs())
	}
	if got := w.status("service:web"); got != catalog.Passing {
		t.Errorf("a reload made the check %s", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
