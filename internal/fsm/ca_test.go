package fsm

import (
	"errors"
	"testing"
	"time"

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

func TestRootsThatWereRotatedOutArePruned(t *testing.T) {
	m := newMachine()
	first, config := ca.Root{ID: "one", Active: true, LeafTTL: time.Hour}, ca.DefaultConfig()
	second := ca.Root{ID: "two", Active: true, Created: sampleTime, CrossCerts: []ca.CrossCert{{SignedBy: "one", Cert: "x"}}}
	for _, c := range []Command{
		CASet{Config: config, Root: &first},
		CASet{Config: config, Root: &second, IfActive: "one", IfConfig: 11},
	} {
		if err := m.apply(t, c)[0]; err != nil {
			t.Fatal(err)
		}
	}
	read := func() []*ca.Root {
		roots, err := m.store.Read().CARoots(nil)
		if err != nil {
			t.Fatal(err)
		}
		return roots
	}
	roots := read()
	if len(roots) != 2 || roots[0].Active || !roots[0].RotatedOut.Equal(sampleTime) || !roots[0].PrunedAt().Equal(sampleTime.Add(2*time.Hour)) {
		t.Fatalf("got %+v", roots)
	}
	if err := m.apply(t, CARootsPrune{IDs: []string{"one", "two", "none"}})[0]; err != nil {
		t.Fatal(err)
	}
	if roots := read(); len(roots) != 1 || roots[0].ID != "two" || len(roots[0].CrossCerts) > 0 {
		t.Errorf("left are %+v", roots)
	}
}

func TestARootRemembersTheLongestLifeOfItsLeafs(t *testing.T) {
	m := newMachine()
	config := ca.DefaultConfig()
	for i, life := range []time.Duration{2 * time.Hour, 5 * time.Hour, time.Hour} {
		config.LeafCertTTL = life
		c := CASet{Config: config, IfActive: "one", IfConfig: m.index}
		if i == 0 {
			c.Root, c.IfActive, c.IfConfig = &ca.Root{ID: "one", Active: true, LeafTTL: life}, "", 0
		}
		if err := m.apply(t, c)[0]; err != nil {
			t.Fatal(err)
		}
	}
	root, err := m.store.Read().ActiveCARoot(nil)
	if err != nil || root.LeafTTL != 5*time.Hour {
		t.Errorf("got %+v, %v", root, err)
	}
	if err := m.apply(t, CASet{Config: config, IfActive: "one", IfConfig: 11})[0]; !errors.Is(err, ErrChanged) {
		t.Errorf("a change of what has changed meanwhile: %v", err)
	}
}
