package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// kvWorld is a store that is written by hand.
type kvWorld struct {
	*Store
	t     fataler
	index uint64
	now   time.Time
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newKVWorld(t fataler) *kvWorld {
	return &kvWorld{Store: New(), t: t, index: 10, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// write applies steps at the next index.
func (w *kvWorld) write(steps ...func(*Tx) error) {
	w.t.Helper()
	w.index++
	for _, err := range w.Apply(w.index, w.now, steps) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func putKey(key, value string) func(*Tx) error {
	return putPair(kv.Pair{Key: key, Value: []byte(value)})
}

func putPair(p kv.Pair) func(*Tx) error {
	if p.Partition == "" {
		p.Scope = tenancy.Default
	}
	return func(tx *Tx) error {
		_, err := tx.PutKV(p)
		return err
	}
}

func deleteKey(key string) func(*Tx) error {
	return func(tx *Tx) error { return tx.DeleteKV(tenancy.Default, key) }
}

func deleteTree(prefix string) func(*Tx) error {
	return func(tx *Tx) error { return tx.DeleteKVTree(tenancy.Default, prefix) }
}

// at returns the index of a key's answer, or with tree of all that begins with it.
func (w *kvWorld) at(ws memdb.WatchSet, key string, tree bool) uint64 {
	w.t.Helper()
	var index uint64
	var err error
	if tree {
		_, index, err = w.Read().KVBelow(ws, tenancy.Default, key)
	} else {
		_, index, err = w.Read().KV(ws, tenancy.Default, key)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return index
}

func (w *kvWorld) keys(s tenancy.Scope, prefix string) string {
	w.t.Helper()
	pairs, _, err := w.Read().KVBelow(nil, s, prefix)
	if err != nil {
		w.t.Fatal(err)
	}
	var keys []string
	for _, p := range pairs {
		keys = append(keys, p.Key)
	}
	return strings.Join(keys, " ")
}

// A change raises the index of what it concerns, and of nothing else.
func TestIndexesOfKeysAreExact(t *testing.T) {
	queries := []struct {
		key  string
		tree bool
	}{{"a", false}, {"a/", true}, {"a/b", false}, {"a/b", true}, {"a/c", false}, {"b", false}, {"b/", true}, {"missing", false}, {"", true}}
	for _, c := range []struct {
		name   string
		change func(*Tx) error
		raises string
	}{
		{"a new key", putKey("a/new", "x"), "a/* *"},
		{"a changed key", putKey("a/b", "y"), "a/* a/b a/b* *"},
		{"the same again", putKey("a/b", "x"), ""},
		{"a deleted key", deleteKey("a/b"), "a/* a/b a/b* *"},
		{"a deleted key that was not there", deleteKey("missing"), ""},
		{"a deleted tree", deleteTree("a/"), "a/* a/b a/b* a/c *"},
		{"a deleted tree of nothing", deleteTree("missing/"), ""},
		{"a missing key that is made", putKey("missing", "x"), "missing *"},
		{"the same key elsewhere", putPair(kv.Pair{Key: "a/b", Scope: tenancy.Scope{Partition: "default", Namespace: "team"}}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newKVWorld(t)
			w.write(putKey("a", "x"))
			w.write(putKey("a/b", "x"))
			w.write(putKey("a/b2", "x"))
			w.write(putKey("b/1", "x"))
			before := make([]uint64, len(queries))
			watches := make([]memdb.WatchSet, len(queries))
			for i, q := range queries {
				watches[i] = memdb.NewWatchSet()
				before[i] = w.at(watches[i], q.key, q.tree)
			}
			w.write(c.change)
			var raised []string
			for i, q := range queries {
				name := q.key
				if q.tree {
					name += "*"
				}
				if after := w.at(nil, q.key, q.tree); after != before[i] {
					raised = append(raised, name)
					if after != w.index || !fired(watches[i]) {
						t.Errorf("%s: index %d after %d, watch %v", name, after, before[i], fired(watches[i]))
					}
				}
			}
			want := strings.Fields(c.raises)
			slices.Sort(raised)
			slices.Sort(want)
			if !slices.Equal(raised, want) {
				t.Errorf("raised %v, want %v", raised, want)
			}
		})
	}
}

// No index goes backwards, whatever is written, and whoever waits for a change of its
// answer is woken.
func TestIndexesOfKeysRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newKVWorld(t)
		names := []string{"a", "a/", "a/b", "a/b/c", "ab", "b", ""}
		model := map[string]string{}
		last := map[string]uint64{}
		for range rapid.IntRange(1, 40).Draw(t, "writes") {
			name := rapid.SampledFrom(names).Draw(t, "key")
			watches, before := map[string]memdb.WatchSet{}, map[string]string{}
			for _, q := range names {
				watches[q] = memdb.NewWatchSet()
				w.at(watches[q], q, true)
				before[q] = w.keys(tenancy.Default, q)
			}
			switch rapid.IntRange(0, 2).Draw(t, "verb") {
			case 0:
				value := fmt.Sprint(w.index)
				w.write(putKey(name, value))
				model[name] = value
			case 1:
				w.write(deleteKey(name))
				delete(model, name)
			case 2:
				w.write(deleteTree(name))
				for key := range model {
					if strings.HasPrefix(key, name) {
						delete(model, key)
					}
				}
			}
			if n := w.Read().Pairs(); n != uint64(len(model)) {
				t.Fatalf("%d keys are counted, there are %d", n, len(model))
			}
			for _, q := range names {
				for _, tree := range []bool{false, true} {
					id := fmt.Sprint(q, tree)
					index := w.at(nil, q, tree)
					if index < last[id] {
						t.Fatalf("%s: index %d after %d", id, index, last[id])
					}
					last[id] = index
				}
				if now := w.keys(tenancy.Default, q); now != before[q] && (!fired(watches[q]) || last[q+"true"] != w.index) {
					t.Fatalf("%q: %s became %s, index %d at %d", q, before[q], now, last[q+"true"], w.index)
				}
			}
			for _, q := range names {
				p, _, err := w.Read().KV(nil, tenancy.Default, q)
				if want, ok := model[q]; err != nil || (p != nil) != ok || ok && string(p.Value) != want {
					t.Fatalf("%q is %v, want %q", q, p, want)
				}
			}
		}
	})
}

func TestTombstonesAreBounded(t *testing.T) {
	w := newKVWorld(t)
	w.write(putKey("first", "x"))
	w.write(deleteKey("first"))
	first := w.at(nil, "first", false)
	for i := range maxGraves + clearBatch {
		key := fmt.Sprintf("many/%d", i)
		w.write(putKey(key, "x"), deleteKey(key))
	}
	if m := w.Read().meta(); m.graves > maxGraves || m.graves < maxGraves-clearBatch {
		t.Errorf("%d tombstones", m.graves)
	}
	rows, err := w.Read().Rows(TableTombstones)
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for range rows {
		n++
	}
	if m := w.Read().meta(); n != m.graves {
		t.Errorf("%d tombstones, %d are counted", n, m.graves)
	}
	if now := w.at(nil, "first", false); now < first {
		t.Errorf("the index of a deletion went from %d to %d", first, now)
	}
	if now := w.at(nil, fmt.Sprintf("many/%d", maxGraves), false); now >= w.index {
		t.Errorf("index %d of a deletion in the middle, at %d", now, w.index)
	}
}

func TestKeysOfAllNamespaces(t *testing.T) {
	w := newKVWorld(t)
	team := tenancy.Scope{Partition: "default", Namespace: "team"}
	w.write(func(tx *Tx) error { return tx.PutNamespace(tenancy.Namespace{Name: "team", Partition: "default"}) })
	w.write(putKey("a/1", "x"), putPair(kv.Pair{Key: "a/2", Scope: team}), putKey("b", "x"))
	if got := w.keys(tenancy.Scope{Partition: "default", Namespace: "*"}, "a/"); got != "a/1 a/2" {
		t.Errorf("got %s", got)
	}
	if got := w.keys(team, ""); got != "a/2" {
		t.Errorf("the namespace has %s", got)
	}
}

func lockedBy(id string) kv.Pair {
	return kv.Pair{Key: "k", Value: []byte("v"), Session: id, LockIndex: 1}
}

func TestTheEndOfASession(t *testing.T) {
	const id = "s1"
	for _, c := range []struct {
		name    string
		session kv.Session
		kept    bool
		after   time.Duration // from the end to the look
		delayed bool
	}{
		{"releases its keys", kv.Session{Behavior: kv.Release}, true, 0, false},
		{"deletes its keys", kv.Session{Behavior: kv.DeleteKeys}, false, 0, false},
		{"delays the next lock", kv.Session{Behavior: kv.Release, LockDelay: 15 * time.Second}, true, 14 * time.Second, true},
		{"delays it no longer than that", kv.Session{Behavior: kv.Release, LockDelay: 15 * time.Second}, true, 15 * time.Second, false},
		{"delays the lock of a key that is gone", kv.Session{Behavior: kv.DeleteKeys, LockDelay: time.Second}, false, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newKVWorld(t)
			c.session.ID, c.session.Node, c.session.Scope = id, "n1", tenancy.Default
			w.write(func(tx *Tx) error { return tx.PutSession(c.session) }, putPair(lockedBy(id)), putKey("other", "x"))
			other := w.at(nil, "other", false)
			w.write(func(tx *Tx) error { return tx.EndSession(tenancy.Default, id) })
			p, _, err := w.Read().KV(nil, tenancy.Default, "k")
			if err != nil || (p != nil) != c.kept || c.kept && (p.Session != "" || p.LockIndex != 1 || p.ModifyIndex != w.index) {
				t.Errorf("the key is %+v, %v", p, err)
			}
			if w.at(nil, "other", false) != other {
				t.Error("another key has changed")
			}
			w.now = w.now.Add(c.after)
			w.write(func(tx *Tx) error {
				delayed, err := tx.LockDelayed(tenancy.Default, "k")
				if delayed != c.delayed {
					t.Errorf("delayed: %v", delayed)
				}
				return err
			})
		})
	}
}

func TestLockDelaysThatAreOverGo(t *testing.T) {
	w := newKVWorld(t)
	for i := range 200 {
		id := fmt.Sprint(i)
		w.write(func(tx *Tx) error {
			return tx.PutSession(kv.Session{ID: id, Node: "n1", LockDelay: time.Second, Behavior: kv.Release, Scope: tenancy.Default})
		}, putPair(kv.Pair{Key: id, Session: id}))
		w.write(func(tx *Tx) error { return tx.EndSession(tenancy.Default, id) })
		w.now = w.now.Add(time.Second)
	}
	rows, err := w.Read().Rows(TableLockDelays)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range rows {
		n++
	}
	if n > 2 {
		t.Errorf("%d lock delays are kept", n)
	}
}
