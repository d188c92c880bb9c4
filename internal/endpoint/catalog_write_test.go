package endpoint

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestRegistrationsThatAreRefused(t *testing.T) {
	w := town(t)
	node := catalog.Node{Node: "ext", Address: "10.1.1.1"}
	for _, c := range []struct {
		name string
		reg  Registration
		text string
	}{
		{"without a node", Registration{}, "Must provide node"},
		{"without an address", Registration{Node: catalog.Node{Node: "ext"}}, "Must provide address if SkipNodeUpdate is not set"},
		{"with a short id", Registration{Node: catalog.Node{Node: "ext", Address: "x", ID: "abc"}}, "Bad node ID: uuid string is wrong length"},
		{"with an odd id", Registration{Node: catalog.Node{Node: "ext", Address: "x", ID: strings.Repeat("x", 36)}}, "Bad node ID: uuid is improperly formatted"},
		{"with a service that has an id alone", Registration{Node: node, Service: &catalog.Service{ID: "x"}},
			"Must provide service name (Service.Service) when service ID is provided"},
		{"with a service that is everywhere", Registration{Node: node, Service: &catalog.Service{Service: "x", Address: "0.0.0.0"}}, "Invalid service address"},
		{"with a proxy for nothing", Registration{Node: node, Service: &catalog.Service{Service: "x", Kind: catalog.KindConnectProxy}},
			"Proxy.DestinationServiceName must be non-empty for Connect proxy services"},
		{"with a check of an unknown service", Registration{Node: node, Checks: []catalog.Check{{CheckID: "c", ServiceID: "nosvc"}}},
			"Unknown service ID 'nosvc' for check ID 'c'"},
		{"with a check of another node", Registration{Node: node, Checks: []catalog.Check{{CheckID: "c1", Node: "other"}}},
			"Node 'other' for check 'c1' doesn't match register request node 'ext'"},
		{"with a check without a name", Registration{Node: node, Checks: []catalog.Check{{}}}, "Must provide check ID or name"},
		{"with a check in an odd state", Registration{Node: node, Checks: []catalog.Check{{CheckID: "c", Status: "fine"}}}, "Invalid check status: 'fine'"},
		{"in a namespace that does not exist", Registration{Node: node, Scope: tenancy.Scope{Partition: "default", Namespace: "luke"}, Service: &catalog.Service{Service: "x"}},
			`Namespace "luke" does not exist`},
		{"of another node with the name of one that is healthy", Registration{Node: catalog.Node{Node: "a", Address: "10.0.0.9", ID: idB[:35] + "9"}},
			`failed inserting node: Error while renaming Node ID: "` + idB[:35] + `9": Node name a is reserved by node ` + idA + ` with name a (10.0.0.1)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.reg.Scope == (tenancy.Scope{}) {
				c.reg.Scope = tenancy.Default
			}
			wantError(t, w.catalog.Register(ctx, w.root, c.reg), errs.Invalid, c.text)
		})
	}
}

func TestWhatARegistrationMayLeaveOut(t *testing.T) {
	w := newCatalogWorld(t)
	w.register(Registration{Node: catalog.Node{Node: "ext", Address: "10.1.1.1", Datacenter: "dc9"}, Service: &catalog.Service{Service: "web"},
		Checks: []catalog.Check{{Name: "ping"}, {Name: "web", ServiceID: "web", Status: "passing"}}})
	answer, _, err := w.catalog.ServiceHealth(ctx, w.root, Find{Scope: tenancy.Default, Name: "web"})
	if err != nil || len(answer.Rows) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	e := answer.Rows[0]
	if e.Node.Datacenter != "dc1" || e.Service.ID != "web" || e.Service.Weights != (catalog.Weights{Passing: 1, Warning: 1}) {
		t.Errorf("%+v %+v", e.Node, e.Service)
	}
	if c := e.Checks[0]; c.CheckID != "ping" || c.Status != "critical" || c.Node != "ext" || c.ServiceName != "" {
		t.Errorf("%+v", c)
	}
	if c := e.Checks[1]; c.CheckID != "web" || c.ServiceName != "web" {
		t.Errorf("%+v", c)
	}
}

// Each row is what somebody does, with what it takes. With less it is refused.
func TestWhoMayRegister(t *testing.T) {
	a := catalog.Node{Node: "a", Address: "10.0.0.1", ID: idA, Meta: map[string]string{"rack": "1", "zone": "x"}}
	moved := a
	moved.Address = "10.0.0.7"
	renamed := a
	renamed.Node = "z"
	const (
		nodeA = `node "a" { policy = "write" }`
		web   = `service "web" { policy = "write" }`
		db    = `service "db" { policy = "write" }`
	)
	for _, c := range []struct {
		name  string
		reg   Registration
		rules string
		less  map[string]string // rules that do not suffice, and what they lack
	}{
		{"a new node", Registration{Node: catalog.Node{Node: "new", Address: "10.0.0.5"}}, `node "new" { policy = "write" }`,
			map[string]string{nodeA: `'node:write' on "new"`}},
		{"a node that is there", Registration{Node: a}, nodeA, map[string]string{web: `'node:write' on "a"`}},
		{"a node with another address", Registration{Node: moved, Service: &catalog.Service{ID: "web-1", Service: "web"}}, nodeA + web,
			map[string]string{web: `'node:write' on "a"`, nodeA: `'service:write' on "web"`}},
		{"a node with another name", Registration{Node: renamed}, nodeA + `node "z" { policy = "write" }`,
			map[string]string{`node "z" { policy = "write" }`: `'node:write' on "a"`}},
		{"a service on a node as it is", Registration{Node: a, Service: &catalog.Service{ID: "web-1", Service: "web"}}, web,
			map[string]string{db: `'service:write' on "web"`}},
		{"a service on a node that is not looked at", Registration{Node: catalog.Node{Node: "A"}, SkipNodeUpdate: true, Service: &catalog.Service{Service: "web"}}, web,
			map[string]string{db: `'service:write' on "web"`}},
		{"a service on a node that is not there", Registration{Node: catalog.Node{Node: "new"}, SkipNodeUpdate: true, Service: &catalog.Service{Service: "web"}},
			web + `node "new" { policy = "write" }`, map[string]string{web: `'node:write' on "new"`}},
		{"a service in place of another", Registration{Node: a, Service: &catalog.Service{ID: "web-1", Service: "db"}}, web + db,
			map[string]string{db: `'node:write' on "a"`, db + `service "web" { policy = "read" }`: `'service:write' on "web"`, web: `'service:write' on "db"`}},
		{"a proxy", Registration{Node: a, Service: &catalog.Service{Service: "p", Kind: catalog.KindConnectProxy, Proxy: catalog.Proxy{DestinationServiceName: "db"}}},
			db + `service "p" { policy = "write" }`, map[string]string{`service "p" { policy = "write" }`: `'service:write' on "db"`}},
		{"a check of a service", Registration{Node: a, Checks: []catalog.Check{{CheckID: "c", ServiceID: "web-1"}}}, web,
			map[string]string{`service_prefix "" { policy = "read" }`: `'service:write' on "web"`, db: `'node:write' on "a"`}},
		{"a check of a node", Registration{Node: a, Checks: []catalog.Check{{CheckID: "c"}}}, nodeA,
			map[string]string{web: `'node:write' on "a"`}},
		{"a check that takes another's id", Registration{Node: a, Service: &catalog.Service{Service: "db"}, Checks: []catalog.Check{{CheckID: "web:1", ServiceID: "db"}}}, web + db,
			map[string]string{db: `'node:write' on "a"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := town(t)
			c.reg.Scope = tenancy.Default
			for rules, lacks := range c.less {
				err := w.catalog.Register(ctx, w.caller(tenancy.Default, rules), clone(c.reg))
				if !denied(err) || !strings.HasSuffix(err.Error(), "lacks permission "+lacks) {
					t.Errorf("with %s: %v", rules, err)
				}
			}
			if err := w.catalog.Register(ctx, w.caller(tenancy.Default, c.rules), clone(c.reg)); err != nil {
				t.Errorf("with %s: %v", c.rules, err)
			}
		})
	}
}

// clone returns a registration that shares nothing that Register completes.
func clone(r Registration) Registration {
	if r.Service != nil {
		s := *r.Service
		r.Service = &s
	}
	r.Checks = append([]catalog.Check(nil), r.Checks...)
	return r
}

func TestWhoMayDeregister(t *testing.T) {
	for _, c := range []struct {
		name  string
		what  Deregistration
		rules string
		may   bool
	}{
		{"a node with node:write", Deregistration{Node: "a"}, `node "a" { policy = "write" }`, true},
		{"a node with service:write", Deregistration{Node: "a"}, `service_prefix "" { policy = "write" }`, false},
		{"a service with node:write", Deregistration{Node: "a", ServiceID: "web-1"}, `node "a" { policy = "write" }`, true},
		{"a service with service:write", Deregistration{Node: "a", ServiceID: "web-1"}, `service "web" { policy = "write" }`, true},
		{"a service with service:write on another", Deregistration{Node: "a", ServiceID: "web-1"}, `service "db" { policy = "write" }`, false},
		{"a service with a check of another", Deregistration{Node: "b", ServiceID: "web-2", CheckID: "_service_maintenance:db"}, `service "db" { policy = "write" }`, false},
		{"an unknown service with service:write", Deregistration{Node: "a", ServiceID: "nosuch"}, `service_prefix "" { policy = "write" }`, false},
		{"an unknown service with node:write", Deregistration{Node: "a", ServiceID: "nosuch"}, `node "a" { policy = "write" }`, true},
		{"a service's check with service:write", Deregistration{Node: "a", CheckID: "web:1"}, `service "web" { policy = "write" }`, true},
		{"a node's check with service:write", Deregistration{Node: "a", CheckID: "serfHealth"}, `service_prefix "" { policy = "write" }`, false},
		{"an unknown node with node:write", Deregistration{Node: "nosuch"}, `node_prefix "" { policy = "write" }`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := town(t)
			c.what.Scope = tenancy.Default
			before, _, _ := w.find(w.root, "state", Find{Name: "any"})
			err := w.catalog.Deregister(ctx, w.caller(tenancy.Default, c.rules), c.what)
			after, _, _ := w.find(w.root, "state", Find{Name: "any"})
			if c.may != (err == nil) || !c.may && (!denied(err) || before != after) {
				t.Errorf("got %v; checks before %s, after %s", err, before, after)
			}
		})
	}
	w := town(t)
	wantError(t, w.catalog.Deregister(ctx, w.root, Deregistration{Scope: tenancy.Default}), errs.Invalid, "Must provide node")
	if err := w.catalog.Deregister(ctx, w.root, Deregistration{Scope: tenancy.Default, Node: "b", ServiceID: "web-2"}); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := w.find(w.root, "node", Find{Name: "b"}); got != "b db web-proxy" {
		t.Errorf("on b is left %q", got)
	}
	if got, _, _ := w.find(w.root, "node checks", Find{Name: "b"}); got != "b/_service_maintenance:db b/serfHealth" {
		t.Errorf("checks left %q", got)
	}
}

// A namespace's rights on services are no way to another's, nor to the node.
func TestAttack_ServicesOfOneNamespaceDoNotReachAnother(t *testing.T) {
	w := town(t)
	team := w.in("default", "team")
	who := w.caller(team, `service_prefix "" { policy = "write" } node_prefix "" { policy = "read" }`)
	for _, s := range []tenancy.Scope{tenancy.Default, w.in("pay", "default"), w.in("pay", "team")} {
		reg := Registration{Scope: s, Node: catalog.Node{Node: "a"}, SkipNodeUpdate: true, Service: &catalog.Service{Service: "web"}}
		if err := w.catalog.Register(ctx, who, reg); !denied(err) {
			t.Errorf("registered in %s: %v", s, err)
		}
		if err := w.catalog.Deregister(ctx, who, Deregistration{Scope: s, Node: "a", ServiceID: "web-1"}); !denied(err) {
			t.Errorf("deregistered in %s: %v", s, err)
		}
	}
	check := Registration{Scope: team, Node: catalog.Node{Node: "a"}, SkipNodeUpdate: true, Checks: []catalog.Check{{CheckID: catalog.SerfHealth, Status: "critical"}}}
	if err := w.catalog.Register(ctx, who, check); !denied(err) {
		t.Errorf("wrote a check of the node: %v", err)
	}
	own := Registration{Scope: team, Node: catalog.Node{Node: "a"}, SkipNodeUpdate: true, Service: &catalog.Service{Service: "web"}}
	if err := w.catalog.Register(ctx, who, own); err != nil {
		t.Errorf("its own namespace: %v", err)
	}
}
