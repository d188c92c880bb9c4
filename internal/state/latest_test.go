package state

import (
	"sync"
	"testing"

	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// pair returns the index of the key in tx, 0 if it is not there.
func pair(t *testing.T, tx *Tx, key string) uint64 {
	t.Helper()
	p, _, err := tx.KV(nil, tenancy.Default, key)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		return 0
	}
	return p.ModifyIndex
}

func TestLatestIsTheSameViewUntilTheNextCommit(t *testing.T) {
	s := New()
	before := s.Latest()
	if before.Moment() == 0 || s.Latest() != before || s.Read().Moment() != 0 {
		t.Fatalf("moments %d, %d, of a new view %d", before.Moment(), s.Latest().Moment(), s.Read().Moment())
	}
	tx := s.Write(7)
	if _, err := tx.PutKV(kv.Pair{Scope: tenancy.Default, Key: "a"}); err != nil {
		t.Fatal(err)
	}
	if s.Latest() != before {
		t.Error("a write is seen before its commit")
	}
	tx.Abort()
	if s.Latest() != before {
		t.Error("a write that was aborted is seen")
	}
	tx = s.Write(8)
	if _, err := tx.PutKV(kv.Pair{Scope: tenancy.Default, Key: "a"}); err != nil {
		t.Fatal(err)
	}
	tx.Commit()
	after := s.Latest()
	if after.Moment() == before.Moment() || pair(t, after, "a") != 8 || pair(t, before, "a") != 0 {
		t.Errorf("moments %d and %d, index %d", before.Moment(), after.Moment(), pair(t, after, "a"))
	}
	r := s.Restore()
	if err := r.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := s.Read().Pairs(); n != 0 {
		t.Errorf("%d keys are counted after a restore of nothing", n)
	}
	restored := s.Latest()
	if restored.Moment() == after.Moment() || pair(t, restored, "a") != 0 || restored.Abandoned() == after.Abandoned() {
		t.Errorf("moments %d and %d, index %d", after.Moment(), restored.Moment(), pair(t, restored, "a"))
	}
}

func TestACommitIsSeenWhenItReturns(t *testing.T) {
	s := New()
	var writers sync.WaitGroup
	for _, key := range []string{"a", "b", "c"} {
		writers.Go(func() {
			for i := range uint64(200) {
				tx := s.Write(i + 2)
				if _, err := tx.PutKV(kv.Pair{Scope: tenancy.Default, Key: key, Flags: i}); err != nil {
					t.Error(err)
				}
				tx.Commit()
				if got := pair(t, s.Latest(), key); got != i+2 {
					t.Errorf("%s: index %d after the commit at %d", key, got, i+2)
				}
			}
		})
	}
	writers.Wait()
}
