package fsm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/state"
)

var _ raft.ConfigurationStore = (*FSM)(nil)

func TestInspectCountsWhatASnapshotHolds(t *testing.T) {
	m := full(t)
	got, err := Inspect(m.snapshot(t))
	if err != nil {
		t.Fatal(err)
	}
	bytes, rows := int64(0), map[string]int{}
	for _, c := range got {
		rows[c.Table] = c.Rows
		bytes += c.Bytes
	}
	tx := m.store.Read()
	for _, k := range recordKinds {
		all, err := tx.Rows(k.table)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range all {
			n++
		}
		if n == 0 || rows[k.table.String()] != n {
			t.Errorf("%s: %d rows, not %d", k.table, rows[k.table.String()], n)
		}
	}
	if rows["meta"] != 1 || len(rows) != len(recordKinds)+1 {
		t.Errorf("got %v", rows)
	}
	if size := int64(m.snapshot(t).Len()); bytes <= size*9/10 || bytes >= size {
		t.Errorf("%d bytes of rows in %d", bytes, size)
	}
}

func TestVerifySaysWhyASnapshotCannotBeRestored(t *testing.T) {
	good := full(t).snapshot(t).Bytes()
	if err := Verify(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"truncated": good[:len(good)-1], "not a snapshot": []byte(strings.Repeat("x", 100)),
		"checksum": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
	} {
		if err := Verify(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Inspect(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("inspect %s: %v", name, err)
		}
	}
}

func TestAutopilotIsComparedBeforeItIsSet(t *testing.T) {
	m := newMachine()
	set := func(quorum uint64, compare bool, index uint64) error {
		c := AutopilotSet{Compare: compare, IfIndex: index}
		c.Config.MinQuorum = quorum
		return m.apply(t, c)[0]
	}
	stored := func() (quorum, index uint64) {
		c, err := m.store.Read().Autopilot(nil)
		if err != nil || c == nil {
			t.Fatal(c, err)
		}
		return c.MinQuorum, c.ModifyIndex
	}
	if err := set(1, true, 7); err != ErrChanged {
		t.Errorf("something is stored: %v", err)
	}
	if err := set(2, true, 0); err != nil {
		t.Errorf("nothing is stored: %v", err)
	}
	_, index := stored()
	for _, wrong := range []uint64{0, index - 1, index + 1} {
		if err := set(3, true, wrong); err != ErrChanged {
			t.Errorf("index %d, not %d: %v", index, wrong, err)
		}
	}
	if err := set(4, true, index); err != nil {
		t.Error(err)
	}
	if err := set(5, false, 0); err != nil {
		t.Error(err)
	}
	quorum, last := stored()
	if quorum != 5 || last != m.index || m.store.Read().LastIndex(state.TableAutopilot) != last {
		t.Errorf("MinQuorum %d at %d", quorum, last)
	}
}
