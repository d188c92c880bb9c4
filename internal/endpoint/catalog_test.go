package endpoint

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/tenancy"
)

// catalogWorld is a world with a catalog.
type catalogWorld struct {
	*world
	catalog *Catalog
}

func newCatalogWorld(t testing.TB) *catalogWorld {
	w := newWorld(t)
	return &catalogWorld{w, &Catalog{Backend: w.Backend, Datacenter: "dc1"}}
}

func (w *catalogWorld) register(r Registration) {
	w.t.Helper()
	if r.Scope == (tenancy.Scope{}) {
		r.Scope = tenancy.Default
	}
	if err := w.catalog.Register(ctx, w.root, r); err != nil {
		w.t.Fatal(err)
	}
}

const (
	idA = "aaaaaaaa-0000-4000-8000-000000000001"
	idB = "bbbbbbbb-0000-4000-8000-000000000002"
)

// town is two nodes that serve web, one of them badly, a database, and a proxy.
func town(t testing.TB) *catalogWorld {
	w := newCatalogWorld(t)
	a := catalog.Node{ID: idA, Node: "a", Address: "10.0.0.1", Meta: map[string]string{"rack": "1", "zone": "x"}}
	b := catalog.Node{ID: idB, Node: "b", Address: "10.0.0.2", Meta: map[string]string{"rack": "2", "zone": "x"}}
	w.register(Registration{Node: a, Service: &catalog.Service{ID: "web-1", Service: "web", Tags: []string{"v1", "Blue"}, Port: 80},
		Checks: []catalog.Check{{CheckID: catalog.SerfHealth, Status: "passing"}, {CheckID: "web:1", ServiceID: "web-1", Status: "passing"}}})
	w.register(Registration{Node: b, Service: &catalog.Service{ID: "web-2", Service: "web", Tags: []string{"v2"}, Port: 81},
		Checks: []catalog.Check{{CheckID: catalog.SerfHealth, Status: "passing"}, {CheckID: "web:2", ServiceID: "web-2", Status: "warning"}}})
	w.register(Registration{Node: b, Service: &catalog.Service{Service: "db", Port: 5432},
		Checks: []catalog.Check{{CheckID: "_service_maintenance:db", ServiceID: "db", Status: "critical"}}})
	w.register(Registration{Node: b, Service: &catalog.Service{ID: "web-proxy", Service: "web-sidecar-proxy", Kind: catalog.KindConnectProxy, Port: 20000,
		Proxy: catalog.Proxy{DestinationServiceName: "web"}}})
	return w
}

// find looks for something by every operation that takes the same request, and
// returns what it finds as words.
func (w *catalogWorld) find(who acl.Caller, operation string, f Find) (string, Meta, error) {
	if f.Scope == (tenancy.Scope{}) {
		f.Scope = tenancy.Default
	}
	var words []string
	var meta Meta
	var err error
	checkWords := func(list []*catalog.Check, m Meta, e error) {
		for _, c := range list {
			words = append(words, c.Node+"/"+c.CheckID)
		}
		meta, err = m, e
	}
	switch operation {
	case "nodes":
		var list []*catalog.Node
		list, meta, err = w.catalog.Nodes(ctx, who, f)
		for _, n := range list {
			words = append(words, n.Node)
		}
	case "names":
		var names map[string][]string
		names, meta, err = w.catalog.ServiceNames(ctx, who, f)
		for name, tags := range names {
			words = append(words, name+"["+strings.Join(tags, ",")+"]")
		}
		slices.Sort(words)
	case "service":
		var list []*ServiceNode
		list, meta, err = w.catalog.Service(ctx, who, f)
		for _, s := range list {
			words = append(words, s.Node+"/"+s.ServiceID)
		}
	case "health":
		var answer *HealthAnswer
		answer, meta, err = w.catalog.ServiceHealth(ctx, who, f)
		if answer == nil {
			answer = &HealthAnswer{}
		}
		for _, s := range answer.Rows {
			words = append(words, s.Node.Node+"/"+s.Service.ID)
			for _, c := range s.Checks {
				words[len(words)-1] += "+" + c.CheckID
			}
		}
	case "node":
		var n *NodeServices
		n, meta, err = w.catalog.Node(ctx, who, f)
		if n != nil {
			words = append(words, n.Node.Node)
			for _, s := range n.Services {
				words = append(words, s.ID)
			}
		}
	case "node checks":
		checkWords(w.catalog.NodeChecks(ctx, who, f))
	case "service checks":
		checkWords(w.catalog.ServiceChecks(ctx, who, f))
	case "state":
		checkWords(w.catalog.ChecksInState(ctx, who, f))
	case "gateway":
		_, meta, err = w.catalog.Gateway(ctx, who, f)
	case "ingress":
		_, meta, err = w.catalog.IngressHealth(ctx, who, f)
	}
	return strings.Join(words, " "), meta, err
}

func TestWhatIsFoundInTheCatalog(t *testing.T) {
	w := town(t)
	for _, c := range []struct {
		name, operation string
		find            Find
		want            string
	}{
		{"all nodes", "nodes", Find{}, "a b"},
		{"nodes with meta", "nodes", Find{NodeMeta: []string{"zone:x", "rack:2"}}, "b"},
		{"nodes with meta that none has", "nodes", Find{NodeMeta: []string{"zone:x", "rack"}}, ""},
		{"nodes by a filter", "nodes", Find{Filter: `Meta.rack == "1" or Address == "10.0.0.9"`}, "a"},
		{"nodes of another partition", "nodes", Find{Scope: tenancy.Scope{Partition: "pay", Namespace: "default"}}, ""},
		{"service names with all their tags", "names", Find{}, "db[] web-sidecar-proxy[] web[Blue,v1,v2]"},
		{"service names of nodes with meta", "names", Find{NodeMeta: []string{"rack:1"}}, "web[Blue,v1]"},
		{"service names by a filter", "names", Find{Filter: `"v2" in ServiceTags or ServicePort == 5432`}, "db[] web[v2]"},
		{"a service", "service", Find{Name: "web"}, "a/web-1 b/web-2"},
		{"a service in other capitals", "service", Find{Name: "WEB"}, "a/web-1 b/web-2"},
		{"a service that nobody knows", "service", Find{Name: "nosuch"}, ""},
		{"a service with tags in other capitals", "service", Find{Name: "web", Tags: []string{"V1", "blue"}}, "a/web-1"},
		{"a service with tags that no instance has both of", "service", Find{Name: "web", Tags: []string{"v1", "v2"}}, ""},
		{"a service on nodes with meta", "service", Find{Name: "web", NodeMeta: []string{"rack:2"}}, "b/web-2"},
		{"a service by a filter", "service", Find{Name: "web", Filter: `ServicePort == 81 and NodeMeta.rack == "2"`}, "b/web-2"},
		{"what is in the mesh for a service", "service", Find{Name: "web", Connect: true}, "b/web-proxy"},
		{"a service that is not in the mesh", "service", Find{Name: "db", Connect: true}, ""},
		{"the health of a service", "health", Find{Name: "web"}, "a/web-1+serfHealth+web:1 b/web-2+serfHealth+web:2"},
		{"the healthy instances", "health", Find{Name: "web", Passing: true}, "a/web-1+serfHealth+web:1"},
		{"health by a filter on checks", "health", Find{Name: "web", Filter: `Checks.Status == warning and Service.Port == 81 and Node.Node == b`}, "b/web-2+serfHealth+web:2"},
		{"the health of what is in the mesh", "health", Find{Name: "web", Connect: true}, "b/web-proxy+serfHealth"},
		{"a node", "node", Find{Name: "B"}, "b db web-2 web-proxy"},
		{"a node by its id", "node", Find{Name: strings.ToUpper(idB)}, "b db web-2 web-proxy"},
		{"a node with services by a filter", "node", Find{Name: "b", Filter: `Kind == "connect-proxy"`}, "b web-proxy"},
		{"an unknown node", "node", Find{Name: "c"}, ""},
		{"a node's checks", "node checks", Find{Name: "a"}, "a/serfHealth a/web:1"},
		{"a node's checks by its id", "node checks", Find{Name: idA}, "a/serfHealth a/web:1"},
		{"a node's checks by a filter", "node checks", Find{Name: "a", Filter: `ServiceName == web`}, "a/web:1"},
		{"an unknown node's checks", "node checks", Find{Name: "c"}, ""},
		{"a service's checks", "service checks", Find{Name: "web"}, "a/web:1 b/web:2"},
		{"a service's checks on nodes with meta", "service checks", Find{Name: "web", NodeMeta: []string{"rack:2"}}, "b/web:2"},
		{"checks in a state", "state", Find{Name: "warning"}, "b/web:2"},
		{"all checks", "state", Find{Name: "any", NodeMeta: []string{"rack:1"}}, "a/serfHealth a/web:1"},
		{"checks of maintenance mode", "state", Find{Name: "maintenance"}, "b/_service_maintenance:db"},
		{"checks in a state that there is not", "state", Find{Name: "bogus"}, ""},
		{"services of a gateway", "gateway", Find{Name: "gw"}, ""},
		{"ingress gateways", "ingress", Find{Name: "web"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, meta, err := w.find(w.root, c.operation, c.find)
			if err != nil || got != c.want || meta.FilteredByACLs || meta.Index == 0 {
				t.Errorf("got %q (%+v, %v), want %q", got, meta, err, c.want)
			}
		})
	}
}

func TestTheCatalogShowsWhatTheCallerMayRead(t *testing.T) {
	w := town(t)
	nodes := w.caller(tenancy.Default, `node "a" { policy = "read" }`)
	services := w.caller(tenancy.Default, `service "web" { policy = "read" }`)
	both := w.caller(tenancy.Default, `node "a" { policy = "read" } service "web" { policy = "read" }`)
	for _, c := range []struct {
		operation         string
		find              Find
		nodes, svcs, both string
	}{
		{"nodes", Find{}, "a", "", "a"},
		{"names", Find{}, "", "web[Blue,v1,v2]", "web[Blue,v1,v2]"},
		{"names", Find{NodeMeta: []string{"zone:x"}}, "", "", "web[Blue,v1]"},
		{"service", Find{Name: "web"}, "", "", "a/web-1"},
		{"service", Find{Name: "web", Connect: true}, "", "", ""},
		{"health", Find{Name: "web"}, "", "", "a/web-1+serfHealth+web:1"},
		{"node", Find{Name: "a"}, "a", "", "a web-1"},
		{"node", Find{Name: "b"}, "", "", ""},
		{"node checks", Find{Name: "a"}, "a/serfHealth", "", "a/serfHealth a/web:1"},
		{"service checks", Find{Name: "web"}, "", "", "a/web:1"},
		{"state", Find{Name: "any"}, "a/serfHealth", "", "a/serfHealth a/web:1"},
	} {
		for who, want := range map[*acl.Caller]string{&nodes: c.nodes, &services: c.svcs, &both: c.both} {
			got, meta, err := w.find(*who, c.operation, c.find)
			all, _, _ := w.find(w.root, c.operation, c.find)
			if err != nil || got != want || meta.FilteredByACLs != (got != all) {
				t.Errorf("%s %+v: got %q (filtered %v, %v), want %q", c.operation, c.find, got, meta.FilteredByACLs, err, want)
			}
		}
		got, meta, err := w.find(w.resolve(acl.AnonymousSecret), c.operation, c.find)
		if err != nil || got != "" || meta.FilteredByACLs {
			t.Errorf("%s %+v: the anonymous token got %q (%+v, %v)", c.operation, c.find, got, meta, err)
		}
	}
	for _, who := range []acl.Caller{both, w.root} {
		if _, meta, _ := w.find(who, "node", Find{Name: "unknown"}); meta.FilteredByACLs {
			t.Error("a node that does not exist is said to be hidden")
		}
	}
}

func TestFiltersOfTheCatalogAreChecked(t *testing.T) {
	w := town(t)
	for _, operation := range []string{"nodes", "names", "service", "health", "node", "node checks", "service checks", "state", "gateway", "ingress"} {
		_, _, err := w.find(w.root, operation, Find{Name: "web", Filter: "Bogus == 1"})
		wantError(t, err, errs.Invalid, `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`)
	}
}

func TestNearestFirst(t *testing.T) {
	w := town(t)
	w.register(Registration{Node: catalog.Node{Node: "c", Address: "10.0.0.3"}, Service: &catalog.Service{ID: "web-3", Service: "web"}})
	at := func(x, height, adjustment float64) *gossip.Coordinate {
		return &gossip.Coordinate{Vec: []float64{x, 0}, Height: height, Adjustment: adjustment}
	}
	w.catalog.Coordinates = func() []gossip.NodeCoordinate {
		return []gossip.NodeCoordinate{
			{Node: "a", Partition: "default", Coord: at(5, 9, 0)}, {Node: "B", Partition: "default", Coord: at(1, 0.1, 0)},
			{Node: "c", Partition: "pay", Coord: at(0, 0, 0)}, {Node: "agent", Partition: "pay", Coord: at(0, 0, 0)},
		}
	}
	for _, c := range []struct{ near, want string }{
		{"", "a/web-1 b/web-2 c/web-3"}, {"agent", "b/web-2 a/web-1 c/web-3"}, {"a", "a/web-1 b/web-2 c/web-3"},
		{"b", "b/web-2 a/web-1 c/web-3"}, {"unknown", "a/web-1 b/web-2 c/web-3"},
	} {
		if got, _, err := w.find(w.root, "service", Find{Name: "web", Near: c.near}); err != nil || got != c.want {
			t.Errorf("near %q: %q (%v), want %q", c.near, got, err, c.want)
		}
	}
	if got := roundTrip(at(0, 1, 0.5), at(3, 1, 0.5)); got != 6 {
		t.Errorf("with adjustments %v", got)
	}
	if got := roundTrip(at(0, 1, -9), at(3, 1, 0)); got != 5 {
		t.Errorf("with adjustments below zero %v", got)
	}
}

func TestNamespacesOfTheCatalog(t *testing.T) {
	w := town(t)
	team := w.in("default", "team")
	w.register(Registration{Scope: team, Node: catalog.Node{Node: "a", Address: "10.0.0.1", ID: idA, Meta: map[string]string{"rack": "1", "zone": "x"}},
		Service: &catalog.Service{ID: "web-1", Service: "web"}, Checks: []catalog.Check{{CheckID: "team", ServiceID: "web-1"}}})
	all := tenancy.Scope{Partition: "default", Namespace: tenancy.Wildcard}
	for _, c := range []struct {
		operation string
		find      Find
		want      string
	}{
		{"names", Find{Scope: team}, "web[]"},
		{"health", Find{Scope: team, Name: "web"}, "a/web-1+serfHealth+team"},
		{"health", Find{Name: "web", Passing: true}, "a/web-1+serfHealth+web:1"},
		{"node", Find{Scope: team, Name: "a"}, "a web-1"},
		{"node", Find{Scope: all, Name: "a"}, "a web-1 web-1"},
		{"node checks", Find{Scope: team, Name: "a"}, "a/serfHealth a/team"},
		{"state", Find{Scope: team, Name: "critical"}, "a/team"},
	} {
		if got, _, err := w.find(w.root, c.operation, c.find); err != nil || got != c.want {
			t.Errorf("%s %+v: %q (%v), want %q", c.operation, c.find, got, err, c.want)
		}
	}
	inside := w.caller(team, `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
	if got, _, err := w.find(inside, "health", Find{Scope: team, Name: "web"}); err != nil || got != "a/web-1+serfHealth+team" {
		t.Errorf("a token of the namespace: %q (%v)", got, err)
	}
	if got, meta, err := w.find(inside, "health", Find{Name: "web"}); err != nil || got != "" || !meta.FilteredByACLs {
		t.Errorf("a token of the namespace outside: %q (%+v, %v)", got, meta, err)
	}
}

// A query that waits for one service is answered when something about that changes,
// and not when something about another does.
func TestAQueryWaitsForItsServiceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t)
		_, meta, err := w.find(w.root, "health", Find{Name: "web"})
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan string, 1)
		go func() {
			got, _, err := w.find(w.root, "health", Find{Name: "web", Read: Read{MinIndex: meta.Index, MaxWait: time.Hour}})
			if err != nil {
				got = err.Error()
			}
			answered <- got
		}()
		synctest.Wait()
		w.register(Registration{Node: catalog.Node{Node: "b"}, SkipNodeUpdate: true, Service: &catalog.Service{Service: "db", Port: 1}})
		w.register(Registration{Node: catalog.Node{Node: "c", Address: "10.0.0.3"}})
		synctest.Wait()
		select {
		case got := <-answered:
			t.Fatalf("another service's change answers: %s", got)
		default:
		}
		w.register(Registration{Node: catalog.Node{Node: "b"}, SkipNodeUpdate: true, Checks: []catalog.Check{{CheckID: "new", Status: "passing"}}})
		if got := <-answered; got != "a/web-1+serfHealth+web:1 b/web-2+new+serfHealth+web:2" {
			t.Errorf("got %q", got)
		}
	})
}

func TestUsage(t *testing.T) {
	w := town(t)
	w.register(Registration{Scope: w.in("pay", "team"), Node: catalog.Node{Node: "p", Address: "10.0.0.4"}, Service: &catalog.Service{Service: "web"}})
	u, _, err := w.catalog.Usage(ctx, w.root, Read{})
	if err != nil || u.Nodes != 3 || u.Services != 4 || u.ServiceInstances != 5 || u.BillableServiceInstances != 4 ||
		u.ConnectServiceInstances["connect-proxy"] != 1 || u.ConnectServiceInstances["mesh-gateway"] != 0 ||
		u.PartitionNamespaceServices["pay"]["team"] != 1 || u.PartitionNamespaceConnectServiceInstances["default"]["default"]["connect-proxy"] != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	_, _, err = w.catalog.Usage(ctx, w.caller(tenancy.Default, `node_prefix "" { policy = "read" }`), Read{})
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("without operator:read: %v", err)
	}
}

func BenchmarkServiceHealth(b *testing.B) {
	w := newCatalogWorld(b)
	for i := range 10 {
		name := "n" + string('0'+rune(i))
		w.register(Registration{Node: catalog.Node{Node: name, Address: "10.0.0.1"}, Service: &catalog.Service{Service: "web", Port: 80},
			Checks: []catalog.Check{{CheckID: "serfHealth", Status: "passing"}, {CheckID: "web", ServiceID: "web", Status: "passing"}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		answer, _, err := w.catalog.ServiceHealth(context.Background(), w.root, Find{Scope: tenancy.Default, Name: "web"})
		if err != nil || len(answer.Rows) != 10 {
			b.Fatal(err)
		}
	}
}
