package fsm

import (
	"errors"
	"testing"

	"github.com/lictor/lictor/internal/ca"
)

func TestOneRootOfTheMeshCAIsActive(t *testing.T) {
	m := newMachine()
	set := func(id, ifActive string) error {
		return m.apply(t, CARootSet{Root: ca.Root{ID: id, Active: true}, IfActive: ifActive})[0]
	}
	if err := set("one", ""); err != nil {
		t.Fatal(err)
	}
	if err := set("other leader's", ""); !errors.Is(err, ErrChanged) {
		t.Errorf("a second first root: %v", err)
	}
	if err := set("two", "one"); err != nil {
		t.Fatal(err)
	}
	roots, err := m.store.Read().CARoots(nil)
	if err != nil || len(roots) != 2 {
		t.Fatalf("got %d roots, %v", len(roots), err)
	}
	for _, r := range roots {
		if r.Active != (r.ID == "two") {
			t.Errorf("%s: active is %v", r.ID, r.Active)
		}
	}
	if active, _ := m.store.Read().ActiveCARoot(nil); active == nil || active.ID != "two" {
		t.Errorf("the active root is %v", active)
	}
}
