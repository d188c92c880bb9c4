package gossip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/serf/serf"
)

func TestMergeRefusesTheIDOfAnother(t *testing.T) {
	member := func(name, id string, status serf.MemberStatus) serf.Member {
		return serf.Member{Name: name, Status: status, Tags: map[string]string{"dc": "dc1", "id": id}}
	}
	known := []serf.Member{
		member("self", "id-0", serf.StatusAlive), member("there", "id-1", serf.StatusAlive), member("failed", "id-2", serf.StatusFailed),
	}
	for _, c := range []struct {
		name   string
		member serf.Member
		want   string
	}{
		{"this agent itself", member("self", "id-0", serf.StatusNone), ""},
		{"a copy of this agent", member("copy", "id-0", serf.StatusNone), "Member 'copy' has conflicting node ID 'id-0' with this agent's ID"},
		{"this agent's old name that it has left", member("old", "id-0", serf.StatusLeft), ""},
		{"a member again", member("there", "id-1", serf.StatusNone), ""},
		{"a copy of a member", member("copy", "id-1", serf.StatusNone), "Member 'copy' has conflicting node ID 'id-1' with member 'there'"},
		{"a failed member under a new name", member("new", "id-2", serf.StatusNone), ""},
		{"a new member", member("new", "id-9", serf.StatusNone), ""},
		{"two that do not say", member("new", "", serf.StatusNone), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := ""
			m := &merge{
				datacenter: "dc1", name: "self", id: "id-0", known: func() []serf.Member { return known },
				conflict: func(err error) { told = err.Error() },
			}
			for _, other := range known {
				came := other
				came.Status = serf.StatusNone
				if err := m.NotifyMerge([]*serf.Member{&came}); err != nil {
					t.Fatal(err)
				}
			}
			err := m.NotifyMerge([]*serf.Member{&c.member})
			if got := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && got != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if (told != "") != strings.Contains(c.want, "this agent's") {
				t.Errorf("told of %q", told)
			}
		})
	}
}

func TestMergeForgetsWhoIsForgotten(t *testing.T) {
	var known []serf.Member
	m := &merge{datacenter: "dc1", name: "self", id: "id-0", known: func() []serf.Member { return known }}
	come := func(name, id string) error {
		return m.NotifyMerge([]*serf.Member{{Name: name, Tags: map[string]string{"dc": "dc1", "id": id}}})
	}
	for i := range 100 * minHolders {
		name, id := fmt.Sprintf("task%d", i), fmt.Sprintf("id-of-%d", i)
		if err := come(name, id); err != nil {
			t.Fatal(err)
		}
		known = append(known, serf.Member{Name: name, Status: serf.StatusAlive, Tags: map[string]string{"dc": "dc1", "id": id}})
		if len(known) > 10 {
			known = known[1:]
		}
		if len(m.holders) > minHolders {
			t.Fatalf("%d ids are kept for %d members", len(m.holders), len(known))
		}
	}
	if err := come("copy", known[0].Tags["id"]); err == nil {
		t.Error("a copy of a member came in")
	}
}

func BenchmarkMergeOfWhoIsKnown(b *testing.B) {
	var known []serf.Member
	m := &merge{datacenter: "dc1", name: "self", id: "id-0", known: func() []serf.Member { return known }}
	for i := range 1000 {
		other := serf.Member{Name: fmt.Sprintf("task%d", i), Status: serf.StatusAlive, Tags: map[string]string{"dc": "dc1", "id": fmt.Sprint(i)}}
		known = append(known, other)
		if err := m.NotifyMerge([]*serf.Member{&other}); err != nil {
			b.Fatal(err)
		}
	}
	one := []*serf.Member{&known[500]}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.NotifyMerge(one); err != nil {
			b.Fatal(err)
		}
	}
}
