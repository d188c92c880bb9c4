package httpapi

import (
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/gossip"
)

// nodes is a cluster in which an agent has failed and another has left.
func nodes() *fakeGossip {
	f := cluster()
	for i := range f.members {
		m := &f.members[i]
		m.ID = "aaaaaaaa-0000-4000-8000-00000000000" + string('1'+rune(i))
		m.Tags = map[string]string{"build": "1.16.0:"}
	}
	gone, failed := f.members[2], f.members[2]
	gone.Name, gone.Status = "web2", gossip.Left
	failed.Name, failed.Status, failed.Addr = "web3", gossip.Failed, "fd00::3"
	f.members = append(f.members, gone, failed)
	return f
}

func TestCatalogNodesAreTheMembersThatHaveNotLeft(t *testing.T) {
	w := newWorld(t, withGossip(nodes()), onServer)
	for _, tc := range []struct{ name, query, want string }{
		{"the default partition", "", "srv1 srv2 web1 web3"},
		{"another partition", "?partition=pay", "pay1"},
		{"a filter", "?filter=Address+==+%22fd00::3%22", "web3"},
		{"a filter on meta", `?filter=Meta%5B"consul-version"%5D+==+"1.16.0"+and+Node+matches+"srv.*"`, "srv1 srv2"},
		{"node meta", "?node-meta=consul-version:1.16.0", "srv1 srv2 web1 web3"},
		{"node meta that nobody has", "?node-meta=consul-version:1.16.0&node-meta=rack:r1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var list []api.Node
			w.must("GET", "/v1/catalog/nodes"+tc.query, "", &list)
			if got := names(list, func(n api.Node) string { return n.Node }); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	var list []api.Node
	w.must("GET", "/v1/catalog/nodes", "", &list)
	if n := list[0]; n.ID != "aaaaaaaa-0000-4000-8000-000000000001" || n.Address != "10.0.0.1" || n.Datacenter != "dc1" ||
		n.Partition != "" || n.TaggedAddresses["lan_ipv4"] != "10.0.0.1" || n.Meta["consul-version"] != "1.16.0" {
		t.Errorf("%+v", n)
	}
	if n := list[3]; n.TaggedAddresses["wan_ipv6"] != "fd00::3" || n.TaggedAddresses["wan_ipv4"] != "" {
		t.Errorf("%+v", n)
	}
}

func TestHealthOfANodeIsWhatGossipSays(t *testing.T) {
	w := newWorld(t, withGossip(nodes()), onServer)
	for _, tc := range []struct{ name, target, want string }{
		{"alive", "srv1", "serfHealth passing Agent alive and reachable"},
		{"by id", "aaaaaaaa-0000-4000-8000-000000000002", "serfHealth passing Agent alive and reachable"},
		{"failed", "web3", "serfHealth critical Agent not live or unreachable"},
		{"left", "web2", ""},
		{"in another partition", "pay1", ""},
		{"in the partition that is asked for", "pay1?partition=pay", "serfHealth passing Agent alive and reachable"},
		{"filtered away", "srv1?filter=Status+==+critical", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var list api.HealthChecks
			w.must("GET", "/v1/health/node/"+tc.target, "", &list)
			got := names(list, func(c *api.HealthCheck) string { return c.CheckID + " " + c.Status + " " + c.Output })
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNodesAreThoseThatTheCallerMayRead(t *testing.T) {
	w := newWorld(t, withGossip(nodes()), onServer)
	reader := "X-Consul-Token: " + w.token("reader", `node "web1" { policy = "read" }`)
	for target, want := range map[string]string{
		"/v1/catalog/nodes":      `"Node":"web1"`,
		"/v1/health/node/web1":   `"Node":"web1"`,
		"/v1/health/node/srv1":   "[]",
		"/v1/health/node/nobody": "[]",
	} {
		rec := w.call("GET", target, "", reader)
		if body := rec.Body.String(); rec.Code != 200 || !strings.Contains(body, want) || strings.Contains(body, "srv") {
			t.Errorf("%s: %d %s", target, rec.Code, body)
		}
		if rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" {
			t.Errorf("%s: headers %v", target, rec.Header())
		}
	}
}

func TestNodesRefuseAFilterThatDoesNotFit(t *testing.T) {
	w := newWorld(t, withGossip(nodes()), onServer)
	const want = `Failed to create boolean expression evaluator: Selector "Bogus" is not valid`
	for _, target := range []string{"/v1/catalog/nodes", "/v1/health/node/srv1"} {
		rec := w.call("GET", target+"?filter=Bogus+==+1", "", asManagement)
		if rec.Code != 400 || rec.Body.String() != want {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}
