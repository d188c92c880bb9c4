package httpapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/logging"
)

// fakeGossip is a cluster that does what a test says, and remembers what it was asked.
type fakeGossip struct {
	members []gossip.Member
	coords  []gossip.NodeCoordinate
	keys    gossip.Keys
	err     error // of everything that can fail
	asked   []string
}

func (f *fakeGossip) ask(words ...string) error {
	f.asked = append(f.asked, strings.Join(words, " "))
	return f.err
}

func (f *fakeGossip) Members() []gossip.Member             { return f.members }
func (f *fakeGossip) Coordinates() []gossip.NodeCoordinate { return f.coords }

func (f *fakeGossip) Join(_ context.Context, addrs []string) (int, error) {
	return len(addrs), f.ask("join", strings.Join(addrs, " "))
}

func (f *fakeGossip) ForceLeave(name string, prune bool) error {
	if prune {
		name += " prune"
	}
	return f.ask("leave", name)
}

func (f *fakeGossip) Keys(relay uint8, localOnly bool) (gossip.Keys, error) {
	return f.keys, f.ask("keys", string('0'+rune(relay)), map[bool]string{true: "local", false: "all"}[localOnly])
}

func (f *fakeGossip) change(what string, key logging.Secret, relay uint8) error {
	return f.ask(what, key.Reveal(), string('0'+rune(relay)))
}

func (f *fakeGossip) InstallKey(key logging.Secret, relay uint8) error {
	return f.change("install", key, relay)
}

func (f *fakeGossip) UseKey(key logging.Secret, relay uint8) error {
	return f.change("use", key, relay)
}

func (f *fakeGossip) RemoveKey(key logging.Secret, relay uint8) error {
	return f.change("remove", key, relay)
}

// cluster is two servers and an agent in each of two partitions.
func cluster() *fakeGossip {
	member := func(name, partition string, server bool) gossip.Member {
		return gossip.Member{
			Name: name, Addr: "10.0.0.1", Port: 8301, Status: gossip.Alive, Partition: partition, Server: server,
			Tags: map[string]string{"ap": partition, "dc": "dc1"}, ProtocolCur: 2, DelegateCur: 4,
		}
	}
	f := &fakeGossip{members: []gossip.Member{
		member("srv1", "default", true), member("srv2", "default", true),
		member("web1", "default", false), member("pay1", "pay", false),
	}}
	f.members[3].Segment = "alpha"
	for i, m := range f.members {
		f.coords = append(f.coords, gossip.NodeCoordinate{
			Node: m.Name, Segment: m.Segment, Partition: m.Partition,
			Coord: &gossip.Coordinate{Vec: make([]float64, 8), Error: 1.5, Height: float64(i + 1)},
		})
	}
	return f
}

func withGossip(g Gossip) func(*API) { return func(a *API) { a.Gossip = g } }

func onServer(a *API) { a.Server = true }

// names returns the names of a list of members or coordinates.
func names[T any](list []T, name func(T) string) string {
	var out []string
	for _, v := range list {
		out = append(out, name(v))
	}
	return strings.Join(out, " ")
}

func TestMembers(t *testing.T) {
	w := newWorld(t, withGossip(cluster()), onServer)
	tests := []struct {
		name, query, want string
	}{
		{"everybody", "", "srv1 srv2 web1 pay1"},
		{"a partition and the servers", "?partition=pay", "srv1 srv2 pay1"},
		{"the default partition", "?partition=default", "srv1 srv2 web1"},
		{"all segments", "?segment=_all", "srv1 srv2 web1 pay1"},
		{"a segment and the servers", "?segment=alpha", "srv1 srv2 pay1"},
		{"the WAN's names of servers", "?wan=1", "srv1.dc1 srv2.dc1"},
		{"a filter by tag", "?filter=Tags.ap+==+pay", "pay1"},
		{"a filter by name", `?filter=Name+matches+"srv.*"+and+Status+==+1+and+Port+==+8301`, "srv1 srv2"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var list []api.AgentMember
			w.must("GET", "/v1/agent/members"+tc.query, "", &list)
			if got := names(list, func(m api.AgentMember) string { return m.Name }); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	var list []api.AgentMember
	w.must("GET", "/v1/agent/members", "", &list)
	if m := list[0]; m.Addr != "10.0.0.1" || m.Port != 8301 || m.Status != 1 || m.Tags["dc"] != "dc1" || m.ProtocolCur != 2 || m.DelegateCur != 4 {
		t.Errorf("%+v", m)
	}
}

func TestMembersAreThoseThatTheCallerMayRead(t *testing.T) {
	w := newWorld(t, withGossip(cluster()), onServer)
	reader := w.token("reader", `node "web1" { policy = "read" } node_prefix "srv" { policy = "read" }`)
	rec := w.call("GET", "/v1/agent/members?filter=Name+!=+srv2", "", "X-Consul-Token: "+reader)
	for _, name := range []string{"srv1", "web1"} {
		if !strings.Contains(rec.Body.String(), `"Name":"`+name+`"`) {
			t.Errorf("%s is missing: %s", name, rec.Body)
		}
	}
	if strings.Contains(rec.Body.String(), "pay1") || strings.Contains(rec.Body.String(), "srv2") {
		t.Errorf("too much: %s", rec.Body)
	}
	if rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" || rec.Header().Get("X-Consul-Index") != "" {
		t.Errorf("headers %v", rec.Header())
	}
	rec = w.call("GET", "/v1/agent/members", "")
	if rec.Body.String() != "[]" || rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "" {
		t.Errorf("without a token: %s %v", rec.Body, rec.Header())
	}
}

func TestMembersRefusesWhatItDoesNotUnderstand(t *testing.T) {
	w := newWorld(t, withGossip(cluster()))
	for _, c := range []struct{ name, query, want string }{
		{"an unknown selector", "?filter=Bogus+==+1", `400 Failed to create boolean expression evaluator: Selector "Bogus" is not valid`},
		{"another partition than a client agent's", "?partition=pay", `400 request targets partition "pay" which does not match agent partition "default"`},
	} {
		rec := w.call("GET", "/v1/agent/members"+c.query, "", asManagement)
		if got := "400 " + rec.Body.String(); rec.Code != 400 || got != c.want {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}

func TestJoinAndForceLeave(t *testing.T) {
	refused := gossip.Errors{"Failed to join 10.0.0.9:1: dial tcp 10.0.0.9:1: connect: connection refused"}
	unknown := errs.New(errs.NotFound, "agent: No node found with name 'nope'")
	for _, c := range []struct {
		name, target string
		err          error
		code         int
		text, asked  string
	}{
		{"join", "/v1/agent/join/10.0.0.9:8301", nil, 200, "", "join 10.0.0.9:8301"},
		{"join an IPv6 address", "/v1/agent/join/%5B::1%5D:8301", nil, 200, "", "join [::1]:8301"},
		{"join fails", "/v1/agent/join/10.0.0.9:1", refused, 500, refused.Error(), "join 10.0.0.9:1"},
		{"join the WAN", "/v1/agent/join/10.0.0.9?wan=1", nil, 400, "there is no WAN to join: the cluster is one datacenter", ""},
		{"join nobody", "/v1/agent/join/", nil, 400, "Missing address to join", ""},
		{"force-leave", "/v1/agent/force-leave/n2", nil, 200, "", "leave n2"},
		{"force-leave with prune", "/v1/agent/force-leave/n2?prune=1", nil, 200, "", "leave n2 prune"},
		{"force-leave by a WAN name", "/v1/agent/force-leave/n2.dc1?wan", nil, 200, "", "leave n2"},
		{"force-leave of nobody", "/v1/agent/force-leave/nope", unknown, 500, unknown.Error(), "leave nope"},
		{"force-leave without a name", "/v1/agent/force-leave/", nil, 400, "Missing node name", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeGossip{err: c.err}
			w := newWorld(t, withGossip(f))
			rec := w.call("PUT", c.target, "", asManagement)
			if rec.Code != c.code || rec.Body.String() != c.text || strings.Join(f.asked, ",") != c.asked {
				t.Errorf("%d %q, asked %q", rec.Code, rec.Body, f.asked)
			}
		})
	}
}

func TestWhoMayChangeMembership(t *testing.T) {
	w := newWorld(t, withGossip(cluster()))
	agent := w.token("agent", `agent "n1" { policy = "write" }`)
	operator := w.token("operator", `operator = "write"`)
	reader := w.token("reader", `operator = "read" agent "n1" { policy = "read" } keyring = "read"`)
	for _, c := range []struct {
		name, method, target, token string
		code                        int
	}{
		{"agent:write joins", "PUT", "/v1/agent/join/10.0.0.9", agent, 200},
		{"agent:write does not force", "PUT", "/v1/agent/force-leave/n2", agent, 403},
		{"operator:write forces", "PUT", "/v1/agent/force-leave/n2", operator, 200},
		{"operator:write does not join", "PUT", "/v1/agent/join/10.0.0.9", operator, 403},
		{"operator:write does not see keys", "GET", "/v1/operator/keyring", operator, 403},
		{"readers do not join", "PUT", "/v1/agent/join/10.0.0.9", reader, 403},
		{"readers do not force", "PUT", "/v1/agent/force-leave/n2", reader, 403},
		{"keyring:read sees keys", "GET", "/v1/operator/keyring", reader, 200},
		{"keyring:read does not remove", "DELETE", "/v1/operator/keyring", reader, 403},
	} {
		if rec := w.call(c.method, c.target, `{"Key":"k"}`, "X-Consul-Token: "+c.token); rec.Code != c.code {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}

func TestKeyringWithThePublishedClient(t *testing.T) {
	f := &fakeGossip{keys: gossip.Keys{Nodes: 3, Count: map[string]int{"a": 3, "b": 1}, Primary: map[string]int{"a": 3}, Notes: map[string]string{"n3": "cut"}}}
	w := newWorld(t, withGossip(f))
	op := w.client(management).Operator()
	list, err := op.KeyringList(&api.QueryOptions{RelayFactor: 5, LocalOnly: true})
	check(t, err)
	if len(list) != 1 || list[0].WAN || list[0].Datacenter != "dc1" || list[0].NumNodes != 3 || list[0].Keys["b"] != 1 || list[0].PrimaryKeys["a"] != 3 || list[0].Messages["n3"] != "cut" {
		t.Errorf("%+v", list[0])
	}
	check(t, op.KeyringInstall("k", &api.WriteOptions{RelayFactor: 2}))
	check(t, op.KeyringUse("k", nil))
	check(t, op.KeyringRemove("k", nil))
	if want := []string{"keys 5 local", "install k 2", "use k 0", "remove k 0"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked %q", f.asked)
	}
}

func TestKeyringRefusals(t *testing.T) {
	refused := &gossip.KeyError{Text: "2/3 nodes reported failure", Nodes: map[string]string{
		"srv2": "Removing the primary key is not allowed", "srv1": "Requested key is not in the keyring",
	}}
	for _, c := range []struct {
		name, method, query, body string
		code                      int
		text                      string
	}{
		{"the members refuse", "DELETE", "", `{"Key":"k"}`, 500, "3 errors occurred:\n\t* dc1 (LAN) error: 2/3 nodes reported failure\n" +
			"\t* srv1: Requested key is not in the keyring\n\t* srv2: Removing the primary key is not allowed\n\n"},
		{"they refuse to list", "GET", "", "", 500, "3 errors occurred:\n\t* dc1 (LAN) error: 2/3 nodes reported failure\n" +
			"\t* srv1: Requested key is not in the keyring\n\t* srv2: Removing the primary key is not allowed\n\n"},
		{"a relay factor too high", "GET", "?relay-factor=9", "", 400, "Invalid relay-factor: Relay factor must be in range: [0, 5]"},
		{"a relay factor below zero", "PUT", "?relay-factor=-1", `{"Key":"k"}`, 400, "Invalid relay-factor: Relay factor must be in range: [0, 5]"},
		{"a relay factor that is none", "POST", "?relay-factor=x", `{"Key":"k"}`, 400, `Error parsing relay factor: strconv.ParseInt: parsing "x": invalid syntax`},
		{"local-only on a write", "PUT", "?local-only=true", `{"Key":"k"}`, 400, "Invalid use of local-only: local-only can only be set for list requests"},
		{"local-only that is no bool", "GET", "?local-only=x", "", 400, `Error parsing local-only: strconv.ParseBool: parsing "x": invalid syntax`},
		{"an unknown field", "POST", "", `{"Nope":"k"}`, 400, `Request decode failed: json: unknown field "Nope"`},
		{"no body", "POST", "", "", 400, "Request decode failed: EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, withGossip(&fakeGossip{err: refused}))
			rec := w.call(c.method, "/v1/operator/keyring"+c.query, c.body, asManagement)
			if rec.Code != c.code || rec.Body.String() != c.text {
				t.Errorf("%d %q", rec.Code, rec.Body)
			}
		})
	}
}

func TestCoordinates(t *testing.T) {
	w := newWorld(t, withGossip(cluster()), onServer)
	c := w.client(management).Coordinate()
	name := func(e *api.CoordinateEntry) string { return e.Node }
	nodes, _, err := c.Nodes(nil)
	check(t, err)
	if got := names(nodes, name); got != "srv1 srv2 web1" || len(nodes[0].Coord.Vec) != 8 || nodes[2].Coord.Height != 3 {
		t.Errorf("nodes: %s", got)
	}
	nodes, _, err = c.Nodes(&api.QueryOptions{Partition: "pay"})
	check(t, err)
	if got := names(nodes, name); got != "pay1" || nodes[0].Partition != "pay" {
		t.Errorf("nodes of a partition: %s", got)
	}
	node, _, err := c.Node("srv2", nil)
	check(t, err)
	if got := names(node, name); got != "srv2" {
		t.Errorf("a node: %s", got)
	}
	dcs, err := c.Datacenters()
	check(t, err)
	if len(dcs) != 1 || dcs[0].Datacenter != "dc1" || dcs[0].AreaID != "wan" ||
		names(dcs[0].Coordinates, func(e api.CoordinateEntry) string { return e.Node }) != "srv1 srv2" {
		t.Errorf("datacenters: %+v", dcs)
	}
	var list []api.CoordinateEntry
	w.must("GET", "/v1/coordinate/nodes?segment=alpha", "", &list)
	if len(list) != 0 {
		t.Errorf("a segment: %v", list)
	}
}

func TestCoordinateOfWhatMayNotBeSeenIsUnknown(t *testing.T) {
	w := newWorld(t, withGossip(cluster()), onServer)
	reader := w.token("reader", `node "web1" { policy = "read" }`)
	for _, c := range []struct {
		target string
		code   int
	}{
		{"/v1/coordinate/node/web1", 200},
		{"/v1/coordinate/node/srv1", 404},
		{"/v1/coordinate/node/nobody", 404},
	} {
		rec := w.call("GET", c.target, "", "X-Consul-Token: "+reader)
		if rec.Code != c.code || c.code == 404 && rec.Body.Len() > 0 {
			t.Errorf("%s: %d %s", c.target, rec.Code, rec.Body)
		}
	}
	rec := w.call("GET", "/v1/coordinate/nodes", "", "X-Consul-Token: "+reader)
	if strings.Contains(rec.Body.String(), "srv1") || !strings.Contains(rec.Body.String(), "web1") ||
		rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" {
		t.Errorf("%s %v", rec.Body, rec.Header())
	}
}
