package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// instance is one of a service with its own ID on a node, with tags.
func instance(s tenancy.Scope, node, id, service string, tags ...string) catalog.Instance {
	return catalog.Instance{Node: node, Service: catalog.Service{ID: id, Service: service, Tags: tags, Scope: s, Port: 80}}
}

// sidecar is a proxy for a service.
func sidecar(s tenancy.Scope, node, id, service string) catalog.Instance {
	i := instance(s, node, id, service+"-sidecar-proxy")
	i.Kind, i.Proxy.DestinationServiceName = catalog.KindConnectProxy, service
	return i
}

func check(s tenancy.Scope, node, id, serviceID, status string) catalog.Check {
	return catalog.Check{Node: node, CheckID: id, Name: id, ServiceID: serviceID, Status: status, Scope: s}
}

var catalogResources = []kind{
	{"instances", TableInstances,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			i := instance(s, "Node", key, "web")
			i.Address = text
			return tx.PutInstance(i)
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.Instance(ws, s, "nODE", key))
			if v == nil {
				return "", 0, false
			}
			return v.Address, v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.DeleteInstance(s, "node", key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.Instances(ws, s))) },
	},
	{"checks", TableChecks,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			c := check(s, "Node", key, "web", catalog.Passing)
			c.Output = text
			return errors.Join(tx.PutInstance(instance(s, "Node", "web", "web")), tx.PutCheck(c))
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.Check(ws, s, "nODE", key))
			if v == nil {
				return "", 0, false
			}
			return v.Output, v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.DeleteCheck(s, "node", key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int {
			return len(must(tx.ChecksInState(ws, s, catalog.Passing)))
		},
	},
	{"service names", TableServiceNames,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return tx.PutInstance(instance(s, "Node", key, "Name-"+key, text))
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(serviceNames.rows.Get(tx.db, ws, s, "name-"+key))
			if v == nil {
				return "", 0, false
			}
			return v.Tags[0], v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.DeleteInstance(s, "node", key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int { return len(must(tx.ServiceNames(ws, s))) },
	},
	{"virtual IPs", TableVirtualIPs,
		func(tx *Tx, s tenancy.Scope, key, text string) error {
			return virtualIPs.put(tx, catalog.VirtualIP{Name: key, Address: s.String() + text + key, Scope: s})
		},
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope, key string) (string, uint64, bool) {
			v := must(tx.VirtualIP(ws, s, strings.ToUpper(key)))
			if v == nil {
				return "", 0, false
			}
			text, _ := strings.CutPrefix(strings.TrimSuffix(v.Address, key), s.String())
			return text, v.ModifyIndex, true
		},
		func(tx *Tx, s tenancy.Scope, key string) error { return tx.releaseVirtualIP(s, key) },
		func(tx *Tx, ws memdb.WatchSet, s tenancy.Scope) int {
			return len(must(virtualIPs.rows.List(tx.db, ws, s)))
		},
	},
}

func TestTheSameNodeInAnotherPartitionIsAnotherThing(t *testing.T) {
	s := newStore(t)
	id := uuid()
	write(t, s, 10, func(tx *Tx) error {
		return errors.Join(
			tx.PutNode(catalog.Node{Node: "Web", ID: id, Address: "1", Scope: otherNS}),
			tx.PutNode(catalog.Node{Node: "web", ID: id, Address: "2", Scope: otherAP}))
	})
	tx := s.Read()
	for partition, address := range map[string]string{"default": "1", "east": "2"} {
		byName, byID := must(tx.Node(nil, partition, "WEB")), must(tx.NodeByID(nil, partition, strings.ToUpper(id)))
		if byName == nil || byName != byID || byName.Address != address || byName.Namespace != "default" {
			t.Errorf("%s: by name %+v, by ID %+v", partition, byName, byID)
		}
		if n := len(must(tx.Nodes(nil, partition))); n != 1 {
			t.Errorf("%s lists %d nodes", partition, n)
		}
	}
	if n := must(tx.NodeByID(nil, "default", "")); n != nil {
		t.Errorf("no ID finds %+v", n)
	}
	write(t, s, 11, func(tx *Tx) error { return tx.DeleteNode("default", "wEb") })
	if must(s.Read().Node(nil, "default", "web")) != nil || must(s.Read().Node(nil, "east", "web")) == nil {
		t.Error("a deletion reaches another partition")
	}
}

func TestNoNameReachesIntoAnotherNode(t *testing.T) {
	tx := newStore(t).Write(10)
	defer tx.Abort()
	err := tx.PutNode(catalog.Node{Node: "a\x00b", Scope: home})
	if errs.KindOf(err) != errs.Invalid || tx.writes != 0 {
		t.Errorf("got %v after %d writes", err, tx.writes)
	}
}

// catalogStore has two nodes: "n1" with web, its sidecar and a web of another namespace,
// "n2" with api and the native db. Each instance has a check, and so has each node.
func catalogStore(t testing.TB) *Store {
	t.Helper()
	s := newStore(t)
	write(t, s, 10, func(tx *Tx) error {
		native := instance(home, "n2", "db", "db")
		native.Connect.Native = true
		var all []error
		for _, n := range []string{"n1", "n2", "n3"} {
			all = append(all,
				tx.PutNode(catalog.Node{Node: n, Scope: home}),
				tx.PutCheck(check(home, n, catalog.SerfHealth, "", catalog.Passing)))
		}
		for _, i := range []catalog.Instance{
			instance(home, "n1", "web1", "web", "v1"), sidecar(home, "n1", "web1-proxy", "web"),
			instance(otherNS, "n1", "web1", "web"), instance(home, "n2", "api1", "api"), native,
		} {
			all = append(all, tx.PutInstance(i), tx.PutCheck(check(i.Scope, i.Node, "c-"+i.ID, i.ID, catalog.Passing)))
		}
		return errors.Join(all...)
	})
	return s
}

func TestAChangeWakesTheQueriesItConcerns(t *testing.T) {
	watches := map[string]func(tx *Tx, ws memdb.WatchSet) uint64{
		"web":      func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, home, "WEB")) },
		"team/web": func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, otherNS, "web")) },
		"proxy":    func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, home, "web-sidecar-proxy")) },
		"~web":     func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchConnect(ws, home, "Web")) },
		"api":      func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, home, "api")) },
		"db":       func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, home, "db")) },
		"~db":      func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchConnect(ws, home, "db")) },
		"n1":       func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchNode(ws, "default", "N1")) },
		"n2":       func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchNode(ws, "default", "n2")) },
		"n3":       func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchNode(ws, "default", "n3")) },
		"names": func(tx *Tx, ws memdb.WatchSet) uint64 {
			must(tx.ServiceNames(ws, home))
			return tx.LastIndex(TableServiceNames)
		},
		"nodes": func(tx *Tx, ws memdb.WatchSet) uint64 {
			must(tx.Nodes(ws, "default"))
			return tx.LastIndex(TableNodes)
		},
	}
	put := func(i catalog.Instance) func(*Tx) error { return func(tx *Tx) error { return tx.PutInstance(i) } }
	putCheck := func(c catalog.Check) func(*Tx) error { return func(tx *Tx) error { return tx.PutCheck(c) } }
	tests := []struct {
		name   string
		change func(*Tx) error
		wakes  string
	}{
		{"nothing new", func(tx *Tx) error {
			return errors.Join(tx.PutNode(catalog.Node{Node: "n1", Scope: home}), tx.PutInstance(instance(home, "n1", "web1", "web", "v1")),
				tx.PutInstance(sidecar(home, "n1", "web1-proxy", "web")),
				tx.PutCheck(check(home, "n1", "c-web1", "web1", catalog.Passing)), tx.DeleteInstance(home, "n1", "none"),
				tx.DeleteCheck(home, "n1", "none"), tx.DeleteNode("default", "none"))
		}, ""},
		{"a port", put(func() catalog.Instance { i := instance(home, "n1", "web1", "web", "v1"); i.Port = 81; return i }()), "web n1"},
		{"a tag", put(instance(home, "n1", "web1", "web", "v2")), "web n1 names"},
		{"another instance", put(instance(home, "n3", "web2", "Web", "v1")), "web n3"},
		{"an instance of another namespace", put(instance(otherNS, "n3", "web2", "web")), "team/web n3"},
		{"another sidecar", put(sidecar(home, "n3", "web2-proxy", "web")), "proxy ~web n3"},
		{"a native instance", put(func() catalog.Instance { i := instance(home, "n3", "db", "db"); i.Connect.Native = true; return i }()), "db ~db n3"},
		{"a service that turns native", put(func() catalog.Instance {
			i := instance(home, "n1", "web1", "web", "v1")
			i.Connect.Native = true
			return i
		}()), "web ~web n1"},
		{"an instance that turns into another service's", put(instance(home, "n2", "api1", "web")), "web api n2 names"},
		{"a service that goes away", func(tx *Tx) error { return tx.DeleteInstance(home, "n2", "api1") }, "api n2 names"},
		{"a check", putCheck(check(home, "n1", "c-web1", "web1", catalog.Critical)), "web n1"},
		{"a check of a sidecar", putCheck(check(home, "n1", "c-web1-proxy", "web1-proxy", catalog.Critical)), "proxy ~web n1"},
		{"a check that moves to another service", putCheck(check(home, "n2", "c-api1", "db", catalog.Passing)), "api db ~db n2"},
		{"a check that goes away", func(tx *Tx) error { return tx.DeleteCheck(home, "n2", "c-db") }, "db ~db n2"},
		{"a check of a node", putCheck(check(home, "n1", catalog.SerfHealth, "", catalog.Critical)), "web team/web proxy ~web n1"},
		{"a check of a node without services", putCheck(check(home, "n3", "disk", "", catalog.Critical)), "n3"},
		{"a node", func(tx *Tx) error { return tx.PutNode(catalog.Node{Node: "n2", Address: "9", Scope: home}) }, "api db ~db n2 nodes"},
		{"a node that goes away", func(tx *Tx) error { return tx.DeleteNode("default", "n1") }, "web team/web proxy ~web n1 names nodes"},
		{"a new node", func(tx *Tx) error { return tx.PutNode(catalog.Node{Node: "x", Scope: home}) }, "nodes"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := catalogStore(t)
			before, index := map[string]memdb.WatchSet{}, map[string]uint64{}
			for name, watch := range watches {
				before[name] = memdb.NewWatchSet()
				index[name] = watch(s.Read(), before[name])
			}
			write(t, s, 20, tc.change)
			for name, watch := range watches {
				want := slices.Contains(strings.Fields(tc.wakes), name)
				if got := fired(before[name]); got != want {
					t.Errorf("%s wakes: %v", name, got)
				}
				now := watch(s.Read(), nil)
				if want && now != 20 || !want && now != index[name] {
					t.Errorf("%s goes from %d to %d", name, index[name], now)
				}
			}
		})
	}
}

func TestWhatIsMissingIsWatchedUntilItComes(t *testing.T) {
	watches := map[string]func(tx *Tx, ws memdb.WatchSet) uint64{
		"service": func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchService(ws, home, "new")) },
		"connect": func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchConnect(ws, home, "new")) },
		"node":    func(tx *Tx, ws memdb.WatchSet) uint64 { return must(tx.WatchNode(ws, "default", "new")) },
	}
	come := func(tx *Tx) error {
		native := instance(home, "new", "new", "new")
		native.Connect.Native = true
		return errors.Join(tx.PutNode(catalog.Node{Node: "new", Scope: home}), tx.PutInstance(native))
	}
	for name, watch := range watches {
		t.Run(name, func(t *testing.T) {
			s := catalogStore(t)
			missing := memdb.NewWatchSet()
			last := watch(s.Read(), missing)
			write(t, s, 20, func(tx *Tx) error {
				return errors.Join(tx.PutCheck(check(home, "n1", "c-web1", "web1", catalog.Critical)),
					tx.PutCheck(check(home, "n2", catalog.SerfHealth, "", catalog.Critical)))
			})
			if fired(missing) {
				t.Error("checks of others wake who waits for a name")
			}
			steps := []struct {
				index  uint64
				change func(*Tx) error
			}{
				{30, come},
				{40, func(tx *Tx) error { return tx.DeleteNode("default", "new") }},
				{50, come},
				{60, func(tx *Tx) error { return errors.Join(tx.DeleteNode("default", "new"), come(tx)) }},
				{70, func(tx *Tx) error { return tx.DeleteNode("default", "new") }},
			}
			for _, st := range steps {
				ws := memdb.NewWatchSet()
				watch(s.Read(), ws)
				write(t, s, st.index, st.change)
				now := watch(s.Read(), nil)
				if !fired(ws) || now != st.index || now <= last {
					t.Errorf("at %d: woken %v, index %d after %d", st.index, fired(ws), now, last)
				}
				last = now
			}
		})
	}
}

func TestServiceNamesHaveTheTagsOfTheirInstances(t *testing.T) {
	s := newStore(t)
	names := func() string {
		var out []string
		for _, n := range must(s.Read().ServiceNames(nil, wildcard)) {
			out = append(out, fmt.Sprintf("%s/%s%v%s@%d", n.Namespace, n.Name, n.Tags, n.Kind, n.ModifyIndex))
		}
		return strings.Join(out, " ")
	}
	steps := []struct {
		name   string
		change func(tx *Tx) error
		want   string
	}{
		{"the first", func(tx *Tx) error { return tx.PutInstance(instance(home, "n", "1", "Web", "b", "a", "b")) }, "default/Web[a b]@10"},
		{"the same tags", func(tx *Tx) error { return tx.PutInstance(instance(home, "m", "1", "web", "a")) }, "default/Web[a b]@10"},
		{"a new tag", func(tx *Tx) error { return tx.PutInstance(instance(home, "m", "1", "web", "c", "a")) }, "default/Web[a b c]@12"},
		{"another namespace", func(tx *Tx) error { return tx.PutInstance(instance(otherNS, "m", "1", "web", "z")) }, "default/Web[a b c]@12 team/web[z]@13"},
		{"tags that another still has", func(tx *Tx) error { return tx.PutInstance(instance(home, "n", "1", "web")) }, "default/Web[a c]@14 team/web[z]@13"},
		{"a kind", func(tx *Tx) error {
			i := instance(home, "n", "1", "web")
			i.Kind = catalog.KindMeshGateway
			return tx.PutInstance(i)
		}, "default/Web[a c]mesh-gateway@15 team/web[z]@13"},
		{"one leaves", func(tx *Tx) error { return tx.DeleteInstance(home, "m", "1") }, "default/Web[]mesh-gateway@16 team/web[z]@13"},
		{"the last one leaves", func(tx *Tx) error { return tx.DeleteInstance(home, "n", "1") }, "team/web[z]@13"},
	}
	for i, st := range steps {
		write(t, s, uint64(10+i), st.change)
		if got := names(); got != st.want {
			t.Errorf("%s: %s\nwant %s", st.name, got, st.want)
		}
	}
}

func TestVirtualIPsBelongToOneServiceEach(t *testing.T) {
	s := newStore(t)
	ip := func(at tenancy.Scope, name string) string {
		if v := must(s.Read().VirtualIP(nil, at, name)); v != nil {
			return v.Address
		}
		return ""
	}
	write(t, s, 10, func(tx *Tx) error {
		native := instance(otherNS, "n", "web", "web")
		native.Connect.Native = true
		return errors.Join(
			tx.PutInstance(instance(home, "n", "web", "web")),
			tx.PutInstance(sidecar(home, "n", "p1", "Web")), tx.PutInstance(sidecar(home, "m", "p2", "web")),
			tx.PutInstance(native), tx.PutInstance(sidecar(home, "n", "p3", "api")))
	})
	if a, b, c := ip(home, "WEB"), ip(otherNS, "web"), ip(home, "api"); a != "240.0.0.1" || b != "240.0.0.2" || c != "240.0.0.3" {
		t.Errorf("got %s, %s and %s", a, b, c)
	}
	for _, i := range must(s.Read().ConnectInstances(nil, home, "web")) {
		want := catalog.ServiceAddress{Address: "240.0.0.1", Port: i.Port}
		if got := i.TaggedAddresses[catalog.VirtualTag]; got != want {
			t.Errorf("%s has %+v", i.ID, got)
		}
	}
	if i := must(s.Read().Instance(nil, home, "n", "web")); i.TaggedAddresses != nil {
		t.Errorf("an instance outside the mesh has %v", i.TaggedAddresses)
	}
	steps := []struct {
		name   string
		change func(tx *Tx) error
		want   string
	}{
		{"the sidecars go", func(tx *Tx) error {
			return errors.Join(tx.DeleteInstance(home, "n", "p1"), tx.DeleteInstance(home, "m", "p2"))
		}, "240.0.0.1"},
		{"they come back", func(tx *Tx) error { return tx.PutInstance(sidecar(home, "n", "p1", "web")) }, "240.0.0.1"},
		{"the service goes before its sidecar", func(tx *Tx) error { return tx.DeleteInstance(home, "n", "web") }, "240.0.0.1"},
		{"all go", func(tx *Tx) error { return tx.DeleteInstance(home, "n", "p1") }, ""},
		{"another service comes", func(tx *Tx) error { return tx.PutInstance(sidecar(home, "n", "p4", "new")) }, ""},
		{"they come again", func(tx *Tx) error { return tx.PutInstance(sidecar(home, "n", "p1", "web")) }, "240.0.0.5"},
	}
	for i, st := range steps {
		write(t, s, uint64(11+i), st.change)
		if got := ip(home, "web"); got != st.want {
			t.Errorf("%s: %q, want %q", st.name, got, st.want)
		}
	}
	write(t, s, 30, func(tx *Tx) error {
		m := tx.meta()
		m.virtualIP = virtualMost - 1
		return errors.Join(tx.putMeta(m), tx.PutInstance(sidecar(home, "n", "q1", "last")), tx.PutInstance(sidecar(home, "n", "q2", "first")))
	})
	if a, b := ip(home, "last"), ip(home, "first"); a != "255.255.255.254" || b != "240.0.0.1" {
		t.Errorf("at the end of the range: %s, then %s", a, b)
	}
}

func TestCatalogQueries(t *testing.T) {
	tx := catalogStore(t).Read()
	ids := func(rows []*catalog.Instance, err error) string {
		var out []string
		for _, i := range rows {
			out = append(out, i.Namespace+"/"+i.ID)
		}
		return fmt.Sprint(out, err)
	}
	checkIDs := func(rows []*catalog.Check, err error) string {
		var out []string
		for _, c := range rows {
			out = append(out, c.Namespace+"/"+c.CheckID)
		}
		return fmt.Sprint(out, err)
	}
	web := must(tx.Instance(nil, otherNS, "N1", "web1"))
	tests := []struct{ name, got, want string }{
		{"a service", ids(tx.ServiceInstances(nil, home, "Web")), "[default/web1] <nil>"},
		{"a service of no scope", ids(tx.ServiceInstances(nil, otherAP, "web")), "[] <nil>"},
		{"the mesh of a service", ids(tx.ConnectInstances(nil, home, "Web")), "[default/web1-proxy] <nil>"},
		{"a native service", ids(tx.ConnectInstances(nil, home, "db")), "[default/db] <nil>"},
		{"a service without mesh", ids(tx.ConnectInstances(nil, home, "api")), "[] <nil>"},
		{"a node in a namespace", ids(tx.NodeInstances(nil, otherNS, "N1")), "[team/web1] <nil>"},
		{"a node in all", ids(tx.NodeInstances(nil, wildcard, "n1")), "[team/web1 default/web1 default/web1-proxy] <nil>"},
		{"checks of a node", checkIDs(tx.NodeChecks(nil, otherNS, "N1")), "[team/c-web1 default/serfHealth] <nil>"},
		{"checks of a node in all", checkIDs(tx.NodeChecks(nil, wildcard, "n1")), "[default/c-web1 team/c-web1 default/c-web1-proxy default/serfHealth] <nil>"},
		{"checks of an instance", checkIDs(tx.InstanceChecks(nil, web)), "[team/c-web1 default/serfHealth] <nil>"},
		{"checks of a service", checkIDs(tx.ServiceChecks(nil, home, "WEB")), "[default/c-web1] <nil>"},
		{"checks in a state", checkIDs(tx.ChecksInState(nil, otherNS, catalog.Passing)), "[team/c-web1] <nil>"},
		{"checks in no state", checkIDs(tx.ChecksInState(nil, home, "bogus")), "[] <nil>"},
		{"checks in any state", checkIDs(tx.ChecksInState(nil, otherNS, catalog.Any)), "[team/c-web1] <nil>"},
	}
	for _, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, tc.got, tc.want)
		}
	}
}

func TestChecksFollowTheirService(t *testing.T) {
	s := catalogStore(t)
	write(t, s, 20, func(tx *Tx) error { return tx.PutInstance(instance(home, "n1", "web1", "shop", "v9")) })
	c := must(s.Read().Check(nil, home, "n1", "c-web1"))
	if c.ServiceName != "shop" || !slices.Equal(c.ServiceTags, []string{"v9"}) || c.ModifyIndex != 20 {
		t.Errorf("after a change of the name: %+v", c)
	}
	write(t, s, 21, func(tx *Tx) error { return tx.DeleteInstance(home, "n1", "web1") })
	if c := must(s.Read().Check(nil, home, "n1", "c-web1")); c != nil {
		t.Errorf("after the service: %+v", c)
	}
	if c := must(s.Read().Check(nil, otherNS, "n1", "c-web1")); c == nil {
		t.Error("another namespace's check is gone")
	}
	tx := s.Write(22)
	defer tx.Abort()
	err := tx.PutCheck(check(home, "n1", "c", "web1", catalog.Passing))
	if errs.KindOf(err) != errs.Invalid || err.Error() != "Unknown service ID 'web1' for check ID 'c'" || tx.writes > 0 {
		t.Errorf("a check of no service: %v", err)
	}
	must(0, tx.PutCheck(catalog.Check{Node: "n1", CheckID: "own", ServiceName: "web", ServiceTags: []string{"x"}, Scope: otherNS}))
	if c := must(tx.Check(nil, home, "n1", "own")); c == nil || c.ServiceName != "" || c.ServiceTags != nil {
		t.Errorf("a check of a node: %+v", c)
	}
}

func TestSessionsEndWithWhatTheyDependOn(t *testing.T) {
	tests := []struct {
		name   string
		change func(tx *Tx) error
		left   string
	}{
		{"a check stays healthy", func(tx *Tx) error { return tx.PutCheck(check(home, "n1", "c-web1", "web1", catalog.Warning)) }, "node service"},
		{"a service's check turns critical", func(tx *Tx) error { return tx.PutCheck(check(home, "n1", "c-web1", "web1", catalog.Critical)) }, "node"},
		{"a service goes away", func(tx *Tx) error { return tx.DeleteInstance(home, "n1", "web1") }, "node"},
		{"a node's check turns critical", func(tx *Tx) error { return tx.PutCheck(check(home, "n1", catalog.SerfHealth, "", catalog.Critical)) }, "service"},
		{"a node's check goes away", func(tx *Tx) error { return tx.DeleteCheck(home, "n1", catalog.SerfHealth) }, "service"},
		{"a node's check turns into a service's", func(tx *Tx) error { return tx.PutCheck(check(home, "n1", catalog.SerfHealth, "web1", catalog.Passing)) }, "service"},
		{"the node goes away", func(tx *Tx) error { return tx.DeleteNode("default", "N1") }, ""},
		{"another node goes away", func(tx *Tx) error { return tx.DeleteNode("default", "n2") }, "node service"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := catalogStore(t)
			write(t, s, 11, func(tx *Tx) error {
				return errors.Join(
					tx.PutSession(kv.Session{ID: "node", Node: "n1", NodeChecks: []string{catalog.SerfHealth}, Scope: home}),
					tx.PutSession(kv.Session{ID: "service", Node: "n1", ServiceChecks: []kv.ServiceCheck{{ID: "c-web1", Namespace: "default"}}, Scope: home}))
			})
			write(t, s, 20, tc.change)
			var left []string
			for _, r := range must(s.Read().Sessions(nil, home)) {
				left = append(left, r.ID)
			}
			if got := strings.Join(left, " "); got != tc.left {
				t.Errorf("left: %q, want %q", got, tc.left)
			}
		})
	}
}

// TestWhatIsKeptAboutTheCatalogAgreesWithIt makes changes at random.
func TestWhatIsKeptAboutTheCatalogAgreesWithIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t)
		for index := range rapid.Uint64Range(1, 40).Draw(rt, "steps") {
			at := rapid.SampledFrom(scopes).Draw(rt, "scope")
			node := rapid.SampledFrom([]string{"n1", "N1", "n2"}).Draw(rt, "node")
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")
			write(t, s, 10+index, func(tx *Tx) error { return randomChange(rt, tx, at, node, id) })
			agree(rt, s)
		}
		agree(rt, restored(t, s))
		write(t, s, 100, func(tx *Tx) error {
			return errors.Join(tx.DeleteNode("default", "n1"), tx.DeleteNode("default", "n2"), tx.DeleteNode("east", "n1"), tx.DeleteNode("east", "n2"))
		})
		tx := s.Read()
		for _, table := range []TableName{TableNodes, TableInstances, TableChecks, TableServiceNames, TableMarks, TableVirtualIPs} {
			for row := range must(tx.Rows(table)) {
				rt.Errorf("left: %+v", row)
			}
		}
		if left := must(tx.Usage()); len(left) > 0 {
			rt.Errorf("left: %+v", left[0])
		}
	})
}

func randomChange(rt *rapid.T, tx *Tx, at tenancy.Scope, node, id string) error {
	switch rapid.IntRange(0, 6).Draw(rt, "change") {
	case 0:
		return tx.DeleteNode(at.Partition, node)
	case 1:
		return tx.DeleteInstance(at, node, id)
	case 2:
		return tx.DeleteCheck(at, node, id)
	case 3:
		owner := ""
		if i, err := tx.Instance(nil, at, node, id); err != nil || i != nil {
			owner = id
		}
		return errors.Join(tx.PutNode(catalog.Node{Node: node, Scope: at}), tx.PutCheck(check(at, node, id, owner, catalog.Passing)))
	}
	i := instance(at, node, id, rapid.SampledFrom([]string{"web", "Web", "api"}).Draw(rt, "service"))
	i.Tags = rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "z"}), 0, 2).Draw(rt, "tags")
	switch rapid.SampledFrom([]string{"", "proxy", "native"}).Draw(rt, "mesh") {
	case "proxy":
		i.Kind, i.Proxy.DestinationServiceName = catalog.KindConnectProxy, rapid.SampledFrom([]string{"web", "api"}).Draw(rt, "destination")
	case "native":
		i.Connect.Native = true
	}
	return errors.Join(tx.PutNode(catalog.Node{Node: node, Scope: at}), tx.PutInstance(i))
}

// restored is a store with the rows of s, as a snapshot carries them.
func restored(t testing.TB, s *Store) *Store {
	t.Helper()
	tx, next := s.Read(), New()
	r := next.Restore()
	must(0, r.Put(tx.Meta()))
	for table := range numTables {
		for row := range must(tx.Rows(table)) {
			must(0, r.Put(row))
		}
	}
	must(0, r.Commit())
	return next
}

// agree compares what is kept about the catalog with what the rows say.
func agree(t *rapid.T, s *Store) {
	t.Helper()
	tx := s.Read()
	usage, tags, wantMarks, connect := map[tenancy.Scope]*catalog.Usage{}, map[string][]string{}, map[string]bool{}, map[string]bool{}
	at := func(s tenancy.Scope) *catalog.Usage {
		if usage[s] == nil {
			usage[s] = &catalog.Usage{Scope: s}
		}
		return usage[s]
	}
	for row := range must(nodes.rows.All(tx.db)) {
		at(row.Scope).Nodes++
		wantMarks[row.Scope.String()+" node/"+fold(row.Node)] = true
	}
	for i := range must(instances.rows.All(tx.db)) {
		key := i.Scope.String() + " service/" + fold(i.Service.Service)
		if !wantMarks[key] {
			at(i.Scope).Services++
		}
		wantMarks[key] = true
		at(i.Scope).Count(&i.Service, 1)
		tags[i.Scope.String()+" "+fold(i.Service.Service)] = append(tags[i.Scope.String()+" "+fold(i.Service.Service)], i.Tags...)
		if name := i.ConnectName(); name != "" {
			wantMarks[i.Scope.String()+" connect/"+fold(name)] = true
			connect[i.Scope.String()+" "+fold(name)] = true
			if v := must(tx.VirtualIP(nil, i.Scope, name)); v == nil || i.TaggedAddresses[catalog.VirtualTag].Address != v.Address {
				t.Errorf("%s has %v, the service %+v", i.ID, i.TaggedAddresses, v)
			}
		}
	}
	for _, u := range must(tx.Usage()) {
		if want := usage[u.Scope]; want == nil || !same(*want, *u) {
			t.Errorf("usage %+v, want %+v", u, want)
		}
		delete(usage, u.Scope)
	}
	if len(usage) > 0 {
		t.Errorf("not counted: %+v", usage)
	}
	for m := range must(marks.rows.All(tx.db)) {
		if !wantMarks[m.Scope.String()+" "+m.Key] {
			t.Errorf("a mark for nothing: %+v", m)
		}
		delete(wantMarks, m.Scope.String()+" "+m.Key)
	}
	if len(wantMarks) > 0 {
		t.Errorf("no marks: %v", wantMarks)
	}
	for n := range must(serviceNames.rows.All(tx.db)) {
		key := n.Scope.String() + " " + fold(n.Name)
		want, found := tags[key]
		slices.Sort(want)
		if !found || !slices.Equal(n.Tags, slices.Compact(want)) {
			t.Errorf("%s has tags %v, want %v", key, n.Tags, want)
		}
		delete(tags, key)
	}
	if len(tags) > 0 {
		t.Errorf("no names: %v", tags)
	}
	for v := range must(virtualIPs.rows.All(tx.db)) {
		key := v.Scope.String() + " " + v.Name
		if !connect[key] && len(must(tx.ServiceInstances(nil, v.Scope, v.Name))) == 0 {
			t.Errorf("a virtual IP for nothing: %+v", v)
		}
	}
}
