package raftnode

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/fsm"
)

func TestASnapshotIsDueByTheNumberOfCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{SnapshotThreshold: 100, SnapshotInterval: time.Minute})
		many := func(from, n int) {
			t.Helper()
			var cmds []fsm.Command
			for i := range n {
				cmds = append(cmds, numbered(from+i))
			}
			entry, err := fsm.Encode(cmds...)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.raft.Apply(entry, 0).Error(); err != nil {
				t.Fatal(err)
			}
		}
		after := func(d time.Duration) string {
			time.Sleep(d) // of the bubble
			synctest.Wait()
			return s.Stats()["last_snapshot_index"]
		}
		many(0, 99)
		if got := after(10 * time.Minute); got != "0" {
			t.Errorf("before the threshold there is a snapshot of %s", got)
		}
		many(99, 1)
		first := after(time.Second)
		if first != fmt.Sprint(s.Applied()) {
			t.Errorf("the snapshot is of %s, applied is %d", first, s.Applied())
		}
		many(100, 150)
		if got := after(30 * time.Second); got != first {
			t.Errorf("half a minute later there is one of %s", got)
		}
		second := after(time.Minute)
		if second != fmt.Sprint(s.Applied()) {
			t.Errorf("after a minute it is of %s, applied is %d", second, s.Applied())
		}
		many(250, 100)
		if got := after(10 * time.Minute); got != second {
			t.Errorf("with a log shorter than the snapshot there is one of %s", got)
		}
		many(350, 400)
		if got := after(2 * time.Minute); got != fmt.Sprint(s.Applied()) {
			t.Errorf("with a longer log it is of %s, applied is %d", got, s.Applied())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAServerThatStopsTakesASnapshotIfItsNextStartGainsByIt(t *testing.T) {
	dir, next := t.TempDir(), 0
	for _, run := range []struct {
		what     string
		commands int
		snapshot bool // at the end
	}{
		{"a log that is soon applied", restCommands / 2, false},
		{"a log that adds up over two runs", restCommands / 2, true},
		{"little since that snapshot", 10, false},
	} {
		s := start(t, Config{DataDir: dir})
		var cmds []fsm.Command
		for range run.commands {
			cmds = append(cmds, numbered(next))
			next++
		}
		entry, err := fsm.Encode(cmds...)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.raft.Apply(entry, 0).Error(); err != nil {
			t.Fatal(err)
		}
		last := s.Applied()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all, err := s.storage.snapshots.List()
		if err != nil {
			t.Fatal(err)
		}
		if got := len(all) > 0 && all[0].Index == last; got != run.snapshot {
			t.Errorf("%s: a snapshot at the end is %t", run.what, got)
		}
	}
	s := start(t, Config{DataDir: dir})
	for i := range next {
		if !s.has(t, i) {
			t.Fatalf("command %d of %d is lost", i, next)
		}
	}
}
