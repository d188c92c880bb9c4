package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

var home = tenancy.Default

func TestWhatIsCheckedWhenSomethingRegisters(t *testing.T) {
	nowhere := tenancy.Scope{Partition: "default", Namespace: "nowhere"}
	noPartition := tenancy.Scope{Partition: "nowhere", Namespace: "default"}
	elsewhere := func(c catalog.Check) []catalog.Check { c.Node = "other"; return []catalog.Check{c} }
	reserved := func(newID, name, id string) string {
		return fmt.Sprintf("failed inserting node: Error while renaming Node ID: %q: Node name %s is reserved by node %s with name %s (10.0.0.1)", newID, name, id, name)
	}
	tests := []struct {
		name    string
		command Register
		text    string
	}{
		{"a partition that does not exist", Register{Node: node(noPartition, "x", "")}, `Partition "nowhere" does not exist`},
		{"a namespace that does not exist", Register{Node: node(home, "x", ""), Instance: service(nowhere, "a", "a")}, `Namespace "nowhere" does not exist`},
		{"a deleted namespace", Register{Node: node(home, "x", ""), Instance: service(doomed, "a", "a")}, `Namespace "doomed" does not exist`},
		{"a check of a namespace that does not exist", Register{Node: node(home, "x", ""), Checks: []catalog.Check{health(nowhere, "c", "a", "")}}, `Namespace "nowhere" does not exist`},
		{"an instance of another partition", Register{Node: node(home, "x", ""), Instance: service(team, "a", "a")}, "Mismatched partition/namespace"},
		{"a check of another partition", Register{Node: node(home, "x", ""), Checks: []catalog.Check{health(team, "c", "a", "")}}, "Mismatched partition/namespace"},
		{"a check of another node", Register{Node: node(home, "ext1", ""), Checks: elsewhere(health(home, "c1", "", ""))},
			"Node 'other' for check 'c1' doesn't match register request node 'ext1'"},
		{"a check of no service", Register{Node: node(home, "n1", firstNode), Checks: []catalog.Check{health(home, "c", "nosvc", "")}}, "Unknown service ID 'nosvc' for check ID 'c'"},
		{"a check without ID of no service", Register{Node: node(home, "n1", firstNode), Checks: []catalog.Check{{Name: "c", ServiceID: "nosvc", Scope: home}}}, "Unknown service ID 'nosvc' for check ID 'c'"},
		{"a name that a living node has", Register{Node: node(home, "N1", secondNode)}, strings.Replace(reserved(secondNode, "n1", firstNode), "name n1 is", "name N1 is", 1)},
		{"a new name that a living node has", Register{Node: node(team, "n2", firstNode)}, ""},
		{"a name with a zero byte", Register{Node: node(home, "a\x00b", "")}, "Invalid node name"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := setUp(t)
			before := m.dump(t)
			err := m.apply(t, tc.command)[0]
			if tc.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || errs.KindOf(err) != errs.Invalid || err.Error() != tc.text {
				t.Errorf("got %v\nwant %s", err, tc.text)
			}
			if m.dump(t) != before {
				t.Error("something changed")
			}
		})
	}
}

// on tells what is on a node: its ID and what its instances and checks are.
func (m *machine) on(t *testing.T, partition, name string) string {
	t.Helper()
	tx := m.store.Read()
	n, err := tx.Node(nil, partition, name)
	if err != nil {
		t.Fatal(err)
	}
	if n == nil {
		return "nothing"
	}
	all := tenancy.Scope{Partition: partition, Namespace: tenancy.Wildcard}
	out := []string{n.Node, n.ID, n.Address}
	instances, err := tx.NodeInstances(nil, all, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		out = append(out, i.ID)
	}
	checks, err := tx.NodeChecks(nil, all, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		out = append(out, c.CheckID+"="+c.Status)
	}
	return strings.Join(out, " ")
}

func TestNodesKeepTheirNamesAndIDs(t *testing.T) {
	serf := func(name, id, status string) Register {
		return Register{Node: node(home, name, id), Checks: []catalog.Check{health(home, catalog.SerfHealth, "", status)}}
	}
	moved := func(r Register, address string) Register { r.Node.Address = address; return r }
	tests := []struct {
		name     string
		commands []Command
		want     map[string]string
	}{
		{"as they are", nil, map[string]string{"n1": "n1 " + firstNode + " 10.0.0.1 web1 serfHealth=passing web=passing", "m": "nothing"}},
		{"an ID that is not told stays", []Command{moved(Register{Node: node(home, "n1", "")}, "10.9.9.9")},
			map[string]string{"n1": "n1 " + firstNode + " 10.9.9.9 web1 serfHealth=passing web=passing"}},
		{"an ID comes to a node without one", []Command{Register{Node: node(home, "m", "")}, Register{Node: node(home, "m", secondNode)}},
			map[string]string{"m": "m " + secondNode + " 10.0.0.1"}},
		{"a new name takes the ID along and leaves everything else", []Command{Register{Node: node(home, "m", firstNode)}},
			map[string]string{"n1": "nothing", "m": "m " + firstNode + " 10.0.0.1"}},
		{"the same name in another case is no other name", []Command{Register{Node: node(home, "N1", strings.ToUpper(firstNode))}},
			map[string]string{"n1": "N1 " + strings.ToUpper(firstNode) + " 10.0.0.1 web1 serfHealth=passing web=passing"}},
		{"a dead node's name is free", []Command{serf("n1", firstNode, catalog.Critical), Register{Node: node(home, "n1", secondNode)}},
			map[string]string{"n1": "n1 " + secondNode + " 10.0.0.1 web1 serfHealth=critical web=passing"}},
		{"a node takes a dead node's name", []Command{serf("n1", firstNode, catalog.Critical), Register{Node: node(home, "m", secondNode)}, Register{Node: node(home, "n1", secondNode)}},
			map[string]string{"n1": "n1 " + secondNode + " 10.0.0.1 web1 serfHealth=critical web=passing", "m": "nothing"}},
		{"a node that is not to be updated stays", []Command{moved(Register{Node: node(home, "N1", secondNode), SkipNodeUpdate: true, Instance: service(home, "b", "b")}, "10.9.9.9")},
			map[string]string{"n1": "n1 " + firstNode + " 10.0.0.1 b web1 serfHealth=passing web=passing"}},
		{"a node that is not to be updated is created", []Command{Register{Node: node(home, "m", ""), SkipNodeUpdate: true}},
			map[string]string{"m": "m  10.0.0.1"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := setUp(t)
			for _, err := range m.apply(t, tc.commands...) {
				if err != nil {
					t.Fatal(err)
				}
			}
			for name, want := range tc.want {
				if got := m.on(t, "default", name); got != want {
					t.Errorf("%s: %s\nwant %s", name, got, want)
				}
			}
		})
	}
}

func TestWhatRegistersIsOnItsNode(t *testing.T) {
	m := setUp(t)
	r := Register{Node: node(home, "N1", ""), SkipNodeUpdate: true, Instance: service(home, "a", "a"), Checks: []catalog.Check{
		{Name: "named", ServiceID: "a", Scope: home}, {Node: "n1", CheckID: "own", Status: catalog.Passing, Scope: team},
	}}
	r.Instance.Node = "elsewhere"
	if err := m.apply(t, r)[0]; err != nil {
		t.Fatal(err)
	}
	tx := m.store.Read()
	i, err := tx.Instance(nil, home, "n1", "a")
	if err != nil || i == nil || i.Node != "n1" {
		t.Errorf("instance: %+v, %v", i, err)
	}
	c, err := tx.Check(nil, home, "n1", "named")
	if err != nil || c == nil || c.Node != "n1" || c.Status != catalog.Critical || c.ServiceName != "a" {
		t.Errorf("check: %+v, %v", c, err)
	}
	if own, err := tx.Check(nil, home, "n1", "own"); err != nil || own == nil {
		t.Errorf("a node's check is in no default namespace: %v", err)
	}
}

func TestWhatDeregisterRemoves(t *testing.T) {
	tests := []struct {
		name    string
		command Deregister
		left    string
	}{
		{"an instance with its checks", Deregister{Scope: home, Node: "N1", ServiceID: "web1"}, "serfHealth=passing"},
		{"an instance, where a check is named too", Deregister{Scope: home, Node: "n1", ServiceID: "web1", CheckID: "serfHealth"}, "serfHealth=passing"},
		{"a check", Deregister{Scope: home, Node: "n1", CheckID: "web"}, "web1 serfHealth=passing"},
		{"a check of the node", Deregister{Scope: home, Node: "n1", CheckID: "serfHealth"}, "web1 web=passing"},
		{"an instance of another namespace", Deregister{Scope: doomed, Node: "n1", ServiceID: "web1"}, "web1 serfHealth=passing web=passing"},
		{"an unknown instance", Deregister{Scope: home, Node: "n1", ServiceID: "x"}, "web1 serfHealth=passing web=passing"},
		{"an unknown check", Deregister{Scope: home, Node: "n1", CheckID: "x"}, "web1 serfHealth=passing web=passing"},
		{"an unknown node", Deregister{Scope: home, Node: "x"}, "web1 serfHealth=passing web=passing"},
		{"the node", Deregister{Scope: home, Node: "n1"}, "nothing"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := setUp(t)
			if err := m.apply(t, tc.command)[0]; err != nil {
				t.Fatal(err)
			}
			got := strings.TrimPrefix(m.on(t, "default", "n1"), "n1 "+firstNode+" 10.0.0.1 ")
			if got != tc.left {
				t.Errorf("left %q, want %q", got, tc.left)
			}
			if other := m.on(t, "east", "n1"); !strings.Contains(other, "web1-proxy") {
				t.Errorf("another partition has left: %s", other)
			}
		})
	}
}

func TestAPurgeOfAPartitionTakesItsNodesStepByStep(t *testing.T) {
	m := setUp(t)
	west := tenancy.Scope{Partition: "west", Namespace: "default"}
	inside := tenancy.Scope{Partition: "west", Namespace: "zoo"}
	commands := []Command{PartitionSet{Partition: tenancy.Partition{Name: "west"}}, NamespaceSet{Namespace: tenancy.Namespace{Partition: "west", Name: "zoo"}}}
	for i := range 7 {
		commands = append(commands, Register{Node: node(west, "n", ""), Instance: service(inside, fmt.Sprint(i), "web"),
			Checks: []catalog.Check{health(west, fmt.Sprint("own", i), "", ""), health(inside, fmt.Sprint(i), fmt.Sprint(i), "")}})
	}
	for _, err := range m.apply(t, append(commands, PartitionDelete{Name: "west", Now: sampleTime})...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	for range 20 {
		if err := m.apply(t, NamespacePurge{Scope: west, Limit: 4})[0]; err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, strings.Count(m.dump(t), `"Partition":"west"`)) // rows, marks and names included
		if left := m.on(t, "west", "n"); left == "nothing" {
			break
		}
	}
	if len(sizes) < 4 || !slices.IsSortedFunc(sizes, func(a, b int) int { return b - a }) {
		t.Errorf("it goes like this: %v", sizes)
	}
	for _, at := range []tenancy.Scope{west, inside} {
		if err := m.apply(t, NamespacePurge{Scope: at, Limit: 100})[0]; err != nil {
			t.Fatal(err)
		}
	}
	if left := m.dump(t); strings.Contains(left, "west") {
		t.Errorf("left:\n%s", left)
	}
}
