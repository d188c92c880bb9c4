package fsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestDeletionIsRefusedWhereItMakesNoSense(t *testing.T) {
	m := setUp(t)
	for _, tc := range []struct {
		name    string
		command Command
		kind    errs.Kind
		text    string
	}{
		{"the default namespace", NamespaceDelete{Partition: "east", Name: "default"}, errs.Invalid, `Cannot delete the "default" namespace`},
		{"the default partition", PartitionDelete{Name: "default"}, errs.Invalid, `Cannot delete the "default" partition`},
		{"an unknown namespace", NamespaceDelete{Partition: "east", Name: "x"}, errs.NotFound, "Namespace not found"},
		{"an unknown partition", PartitionDelete{Name: "x"}, errs.NotFound, "Partition not found"},
		{"a namespace that is set after it was deleted", NamespaceSet{Namespace: tenancy.Namespace{Partition: "default", Name: "doomed"}},
			errs.Invalid, `Namespace "doomed" is marked for deletion`},
		{"a policy in a deleted namespace", PolicySet{Policy: policy(doomed, "p-late", "late")}, errs.Invalid, `Namespace "doomed" does not exist`},
		{"a token in a deleted namespace", TokenSet{Token: token(doomed, "a-late", "s-late")}, errs.Invalid, `Namespace "doomed" does not exist`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := m.dump(t)
			err := m.apply(t, tc.command)[0]
			if err == nil || errs.KindOf(err) != tc.kind || err.Error() != tc.text {
				t.Errorf("got %v: %v\nwant %v: %s", errs.KindOf(err), err, tc.kind, tc.text)
			}
			if m.dump(t) != before {
				t.Error("something changed")
			}
		})
	}
}

func TestCVE_2026_42186_APurgeLeavesNothingOfAPartition(t *testing.T) {
	m := setUp(t)
	if err := m.apply(t, PartitionDelete{Name: "east", Now: sampleTime})[0]; err != nil {
		t.Fatal(err)
	}
	err := m.apply(t, NamespaceSet{Namespace: tenancy.Namespace{Partition: "east", Name: "late"}})[0]
	if err == nil || err.Error() != `Partition "east" does not exist` {
		t.Errorf("a namespace in a deleted partition: %v", err)
	}
	for steps := 0; ; steps++ {
		n, err := m.store.Read().DeletedNamespace(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n == nil {
			break
		}
		if steps > 100 {
			t.Fatalf("still there: %+v", n)
		}
		if err := m.apply(t, NamespacePurge{Scope: n.Scope(), Limit: 2})[0]; err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for line := range strings.Lines(m.dump(t)) {
		if strings.Contains(line, "east") || strings.Contains(line, "doomed") {
			left = append(left, line)
		}
	}
	// The proof of a past login ends by itself: it is no part of a partition.
	for _, line := range left {
		if !strings.HasPrefix(line, "login-proofs ") {
			t.Errorf("left: %s", line)
		}
	}
	if p, err := m.store.Read().Policy(nil, tenancy.Default, acl.GlobalManagementID); err != nil || p == nil {
		t.Errorf("another partition lost a policy: %v", err)
	}
	if err := m.apply(t, PartitionSet{Partition: tenancy.Partition{Name: "east"}})[0]; err != nil {
		t.Errorf("a new partition of the name: %v", err)
	}
}

func TestAPurgeKeepsToItsLimit(t *testing.T) {
	m := setUp(t)
	many := tenancy.Scope{Partition: "default", Namespace: "many"}
	commands := []Command{NamespaceSet{Namespace: tenancy.Namespace{Partition: "default", Name: "many"}}}
	for i := range 10 {
		commands = append(commands, PolicySet{Policy: policy(many, fmt.Sprint("p", i), fmt.Sprint("n", i))})
	}
	commands = append(commands, NamespaceDelete{Partition: "default", Name: "many", Now: sampleTime})
	for _, err := range m.apply(t, commands...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for want := 6; want > -6; want -= 4 {
		if err := m.apply(t, NamespacePurge{Scope: many, Limit: 4})[0]; err != nil {
			t.Fatal(err)
		}
		left, err := m.store.Read().Policies(nil, many)
		if err != nil || len(left) != max(0, want) {
			t.Fatalf("%d policies are left, want %d (%v)", len(left), max(0, want), err)
		}
	}
	if n, err := m.store.Read().Namespace(nil, "default", "many"); err != nil || n != nil {
		t.Errorf("the namespace is still there: %v", err)
	}
	live := tenancy.Scope{Partition: "default", Namespace: "default"}
	before := m.dump(t)
	if err := m.apply(t, NamespacePurge{Scope: live, Limit: 100})[0]; err != nil || m.dump(t) != before {
		t.Errorf("a namespace without a mark is purged: %v", err)
	}
}
