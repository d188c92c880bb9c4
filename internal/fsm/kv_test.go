package fsm

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// applyAt applies c as the leader would that has this time.
func (m *machine) applyAt(t testing.TB, at time.Time, c Command) (any, error) {
	t.Helper()
	entry, err := Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	m.index++
	applied := m.Apply(&raft.Log{Index: m.index, Data: entry, AppendedAt: at}).(Applied)
	return applied.Answers[0], applied.Errors[0]
}

func (m *machine) key(t testing.TB, key string) *kv.Pair {
	t.Helper()
	p, _, err := m.store.Read().KV(nil, tenancy.Default, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func op(verb kv.Verb, key, value string) *KVOp { return &KVOp{Verb: verb, Pair: pair(key, value)} }

func (c *KVOp) at(index uint64) *KVOp   { c.Index = index; return c }
func (c *KVOp) by(session string) *KVOp { c.Pair.Session = session; return c }

func TestKeysOneByOne(t *testing.T) {
	set := setUp(t).key(t, "a/1").ModifyIndex
	locked := setUp(t).key(t, "locks/1").ModifyIndex
	for _, c := range []struct {
		name string
		op   *KVOp
		want string // the key then, as value/session/lock index, or the error
	}{
		{"set", op(kv.Set, "a/1", "two"), "two//0"},
		{"set what another session has locked keeps the lock", op(kv.Set, "locks/1", "two"), "two/" + firstSession + "/1"},
		{"set in a namespace that does not exist", func() *KVOp {
			o := op(kv.Set, "x", "")
			o.Pair.Namespace = "nosuch"
			return o
		}(), `Namespace "nosuch" does not exist`},
		{"cas of the index", op(kv.CAS, "a/1", "two").at(set), "two//0"},
		{"cas of an old index", op(kv.CAS, "a/1", "two").at(set - 1), `failed to set key "a/1", index is stale`},
		{"cas of 0 where there is a key", op(kv.CAS, "a/1", "two"), `failed to set key "a/1", index is stale`},
		{"cas of 0 where there is none", op(kv.CAS, "new", "two"), "two//0"},
		{"cas of an index where there is no key", op(kv.CAS, "new", "two").at(7), `failed to set key "new", index is stale`},
		{"lock a new key", op(kv.Lock, "new", "two").by(firstSession), "two/" + firstSession + "/1"},
		{"lock a key that is there", op(kv.Lock, "a/1", "two").by(firstSession), "two/" + firstSession + "/1"},
		{"lock again", op(kv.Lock, "locks/1", "two").by(firstSession), "two/" + firstSession + "/1"},
		{"lock what another has locked", op(kv.Lock, "locks/1", "two").by(secondSession), `failed to lock key "locks/1", lock is already held`},
		{"lock without a session", op(kv.Lock, "new", ""), "missing session"},
		{"lock with an unknown session", op(kv.Lock, "new", "").by("x"), `invalid session "x"`},
		{"unlock", op(kv.Unlock, "locks/1", "free").by(firstSession), "free//1"},
		{"unlock what another has locked", op(kv.Unlock, "locks/1", "").by(secondSession),
			`failed to unlock key "locks/1", lock isn't held, or is held by another session`},
		{"unlock what nobody has locked", op(kv.Unlock, "a/1", "").by(firstSession),
			`failed to unlock key "a/1", lock isn't held, or is held by another session`},
		{"unlock without a session", op(kv.Unlock, "a/1", ""), `failed to unlock key "a/1", lock isn't held, or is held by another session`},
		{"delete", op(kv.Delete, "a/1", ""), "gone"},
		{"delete what is not there", op(kv.Delete, "new", ""), "gone"},
		{"delete-cas of the index", op(kv.DeleteCAS, "locks/1", "").at(locked), "gone"},
		{"delete-cas of 0", op(kv.DeleteCAS, "a/1", ""), `failed to delete key "a/1", index is stale`},
		{"delete-cas of what is not there", op(kv.DeleteCAS, "new", "").at(7), "gone"},
		{"delete-tree", op(kv.DeleteTree, "locks/1", ""), "gone"},
		{"an unknown verb", op("bogus", "a/1", ""), "unknown KV operation: bogus"},
		{"a verb that reads", op(kv.Get, "a/1", ""), "unknown KV operation: get"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := setUp(t)
			before := m.dump(t)
			_, err := m.applyAt(t, sampleTime, *c.op)
			if err != nil {
				if err.Error() != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if m.dump(t) != before {
					t.Error("a refused operation has changed something")
				}
				return
			}
			got := "gone"
			if p := m.key(t, c.op.Pair.Key); p != nil {
				got = string(p.Value) + "/" + p.Session + "/" + string(rune('0'+p.LockIndex))
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLockDelayGoesByTheLeadersClock(t *testing.T) {
	m := setUp(t)
	if _, err := m.applyAt(t, sampleTime, SessionDestroy{Scope: tenancy.Default, ID: firstSession}); err != nil {
		t.Fatal(err)
	}
	again := *op(kv.Lock, "locks/1", "x").by(secondSession)
	if _, err := m.applyAt(t, sampleTime.Add(14*time.Second), again); err == nil || err.Error() != `failed to lock key "locks/1" due to lock delay` {
		t.Errorf("during the lock delay: %v", err)
	}
	if _, err := m.applyAt(t, sampleTime.Add(15*time.Second), again); err != nil {
		t.Errorf("after the lock delay: %v", err)
	}
	if p := m.key(t, "locks/1"); p.Session != secondSession || p.LockIndex != 2 {
		t.Errorf("got %+v", p)
	}
}

// What ends a session: its node, its checks, and nothing else.
func TestSessionsEndWithWhatTheyDependOn(t *testing.T) {
	check := func(id, status string) catalog.Check {
		return catalog.Check{CheckID: id, Name: id, Status: status, Scope: tenancy.Default}
	}
	register := func(c catalog.Check) Command { return Register{Node: kvNode("kv1"), Checks: []catalog.Check{c}} }
	for _, c := range []struct {
		name    string
		command Command
		ends    bool
	}{
		{"a check turns critical", register(check("alive", catalog.Critical)), true},
		{"a check goes away", Deregister{Scope: tenancy.Default, Node: "kv1", CheckID: "alive"}, true},
		{"the node goes away", Deregister{Scope: tenancy.Default, Node: "kv1"}, true},
		{"a check warns", register(check("alive", catalog.Warning)), false},
		{"another check turns critical", register(check("other", catalog.Critical)), false},
		{"another node goes away", Deregister{Scope: tenancy.Default, Node: "kv2"}, false},
		{"another check with its name in another partition", Register{
			Node:   catalog.Node{Node: "kv1", Address: "10.0.0.2", Scope: team.PartitionRoot()},
			Checks: []catalog.Check{{CheckID: "alive", Name: "alive", Status: catalog.Critical, Scope: team.PartitionRoot()}},
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := setUp(t)
			if _, err := m.applyAt(t, sampleTime, c.command); err != nil {
				t.Fatal(err)
			}
			s, err := m.store.Read().Session(nil, tenancy.Default, firstSession)
			if err != nil || (s == nil) != c.ends {
				t.Errorf("the session is %+v, %v", s, err)
			}
			if p := m.key(t, "locks/1"); (p.Session == "") != c.ends {
				t.Errorf("its key is %+v", p)
			}
		})
	}
}

func TestSessionsNeedWhatTheyDependOn(t *testing.T) {
	m := setUp(t)
	if err := m.apply(t, Register{Node: kvNode("kv1"), Checks: []catalog.Check{{CheckID: "bad", Name: "bad", Status: catalog.Critical, Scope: tenancy.Default}}})[0]; err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*kv.Session)
		want   string
	}{
		{"a node", func(s *kv.Session) { s.Node = "nosuch" }, "apply failed: Missing node registration"},
		{"its checks", func(s *kv.Session) { s.NodeChecks = []string{"nope"} }, "apply failed: Missing check 'nope' registration"},
		{"checks that are not critical", func(s *kv.Session) { s.NodeChecks = []string{"bad"} }, "apply failed: Check 'bad' is in critical state"},
		{"checks of services", func(s *kv.Session) { s.ServiceChecks = []kv.ServiceCheck{{ID: "x"}} }, "apply failed: Missing check 'x' registration"},
		{"a namespace", func(s *kv.Session) { s.Namespace = "nosuch" }, `Namespace "nosuch" does not exist`},
	} {
		s := session(thirdSession)
		c.change(&s)
		err := m.apply(t, SessionCreate{Session: s})[0]
		if err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func nodeOp(verb kv.Verb, name string, index uint64) TxnOp {
	n := kvNode(name)
	n.ModifyIndex = index
	return TxnOp{Node: &NodeOp{Verb: verb, Node: n}}
}

func serviceOp(verb kv.Verb, node, id string, index uint64) TxnOp {
	return TxnOp{Service: &ServiceOp{Verb: verb, Service: catalog.Instance{Node: node, Service: catalog.Service{
		ID: id, Service: "web", Scope: tenancy.Default, ModifyIndex: index,
	}}}}
}

func checkOp(verb kv.Verb, node, id string, index uint64) TxnOp {
	return TxnOp{Check: &CheckOp{Verb: verb, Check: catalog.Check{
		Node: node, CheckID: id, Name: id, Status: catalog.Passing, Scope: tenancy.Default, ModifyIndex: index,
	}}}
}

// Each operation of a transaction, and what it says of itself: what it returns, or why it failed.
func TestOperationsOfATransaction(t *testing.T) {
	keyIndex := setUp(t).key(t, "a/1").ModifyIndex
	for _, c := range []struct {
		name string
		op   TxnOp
		want string
	}{
		{"set", TxnOp{KV: op(kv.Set, "a/1", "two")}, "kv a/1"},
		{"get", TxnOp{KV: op(kv.Get, "a/1", "")}, "kv a/1=one"},
		{"get what is not there", TxnOp{KV: op(kv.Get, "nope", "")}, `key "nope" doesn't exist`},
		{"get-or-empty", TxnOp{KV: op(kv.GetOrEmpty, "nope", "")}, "kv nope"},
		{"get-tree", TxnOp{KV: op(kv.GetTree, "a/", "")}, "kv a/1=one, kv a/gone=x"},
		{"get-tree of nothing", TxnOp{KV: op(kv.GetTree, "nope/", "")}, ""},
		{"check-index", TxnOp{KV: op(kv.CheckIndex, "a/1", "").at(keyIndex)}, ""},
		{"check-index of another", TxnOp{KV: op(kv.CheckIndex, "a/1", "").at(1)}, "failed index check for key \"a/1\", current modify index <index> != 1"},
		{"check-index of nothing", TxnOp{KV: op(kv.CheckIndex, "nope", "").at(1)}, `key "nope" doesn't exist`},
		{"check-session", TxnOp{KV: op(kv.CheckSession, "locks/1", "").by(firstSession)}, ""},
		{"check-session of another", TxnOp{KV: op(kv.CheckSession, "a/1", "").by("x")}, `failed session check for key "a/1", current session "" != "x"`},
		{"check-not-exists", TxnOp{KV: op(kv.CheckNotExists, "nope", "")}, ""},
		{"check-not-exists of what does", TxnOp{KV: op(kv.CheckNotExists, "a/1", "")}, `key "a/1" exists`},
		{"cas", TxnOp{KV: op(kv.CAS, "a/1", "x").at(1)}, `failed to set key "a/1", index is stale`},
		{"delete", TxnOp{KV: op(kv.Delete, "a/1", "")}, ""},
		{"delete-cas", TxnOp{KV: op(kv.DeleteCAS, "a/1", "").at(1)}, `failed to delete key "a/1", index is stale`},
		{"delete-tree", TxnOp{KV: op(kv.DeleteTree, "a/", "")}, ""},
		{"lock", TxnOp{KV: op(kv.Lock, "a/1", "x").by(firstSession)}, "kv a/1"},
		{"an unknown verb", TxnOp{KV: op("bogus", "a/1", "")}, "unknown KV operation: bogus"},

		{"set a node", nodeOp(kv.Set, "n", 0), "node n"},
		{"get a node", nodeOp(kv.Get, "kv1", 0), "node kv1"},
		{"get an unknown node", nodeOp(kv.Get, "zz", 0), `node "zz" doesn't exist`},
		{"cas of a new node", nodeOp(kv.CAS, "n", 0), "node n"},
		{"cas of an old index of a node", nodeOp(kv.CAS, "kv1", 1), `failed to set node "kv1", index is stale`},
		{"delete a node", nodeOp(kv.Delete, "kv1", 0), ""},
		{"delete-cas of a node", nodeOp(kv.DeleteCAS, "kv1", 1), `failed to delete node "kv1", index is stale`},
		{"an unknown verb for a node", nodeOp("bogus", "kv1", 0), `unknown operation on node "kv1": bogus`},
		{"set a service", serviceOp(kv.Set, "kv1", "web1", 0), "service web1"},
		{"set a service on an unknown node", serviceOp(kv.Set, "zz", "web1", 0), "Missing node registration"},
		{"get an unknown service", serviceOp(kv.Get, "n", "zz", 0), `service "zz" on node "n" doesn't exist`},
		{"cas of an unknown service", serviceOp(kv.CAS, "kv1", "zz", 1), `failed to set service "zz" on node "kv1", index is stale`},
		{"delete an unknown service", serviceOp(kv.Delete, "kv1", "zz", 0), ""},
		{"set a check", checkOp(kv.Set, "kv1", "c", 0), "check c"},
		{"get a check", checkOp(kv.Get, "kv1", "alive", 0), "check alive"},
		{"get an unknown check", checkOp(kv.Get, "n", "zz", 0), `check "zz" on node "n" doesn't exist`},
		{"cas of an old index of a check", checkOp(kv.CAS, "kv1", "alive", 1), `failed to set check "alive" on node "kv1", index is stale`},
		{"delete a check", checkOp(kv.Delete, "kv1", "alive", 0), ""},
		{"delete a session", TxnOp{Session: &SessionDestroy{Scope: tenancy.Default, ID: firstSession}}, ""},
		{"nothing", TxnOp{}, "unknown type of operation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := setUp(t)
			answer, err := m.applyAt(t, sampleTime, Txn{Ops: []TxnOp{c.op}})
			got := ""
			if failure := (*TxnFailure)(nil); errors.As(err, &failure) {
				got = failure.Errors[0].What
			} else if err != nil {
				t.Fatal(err)
			} else {
				got = shown(answer.([]TxnResult))
			}
			if c.want = strings.ReplaceAll(c.want, "<index>", strconv.FormatUint(keyIndex, 10)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func shown(results []TxnResult) string {
	var texts []string
	for _, r := range results {
		switch {
		case r.KV != nil && r.KV.Value != nil:
			texts = append(texts, "kv "+r.KV.Key+"="+string(r.KV.Value))
		case r.KV != nil:
			texts = append(texts, "kv "+r.KV.Key)
		case r.Node != nil:
			texts = append(texts, "node "+r.Node.Node)
		case r.Service != nil:
			texts = append(texts, "service "+r.Service.ID)
		case r.Check != nil:
			texts = append(texts, "check "+r.Check.CheckID)
		}
	}
	return strings.Join(texts, ", ")
}

// A transaction sees its own changes; one that fails leaves nothing behind and names
// every operation that failed.
func TestATransactionIsAllOrNothing(t *testing.T) {
	m := setUp(t)
	before := m.dump(t)
	_, err := m.applyAt(t, sampleTime, Txn{Ops: []TxnOp{
		{KV: op(kv.Set, "new", "x")},
		{KV: op(kv.Get, "new", "")},
		{KV: op(kv.Get, "nope", "")},
		{KV: op(kv.DeleteTree, "a/", "")},
		nodeOp(kv.Set, "n", 0),
		{KV: op(kv.CAS, "locks/1", "x")},
	}})
	if err == nil || err.Error() != `operation 2: key "nope" doesn't exist; operation 5: failed to set key "locks/1", index is stale` {
		t.Errorf("got %v", err)
	}
	if m.dump(t) != before {
		t.Error("a transaction that failed has changed something")
	}
	answer, err := m.applyAt(t, sampleTime, Txn{Ops: []TxnOp{
		{KV: op(kv.Set, "new", "x")},
		{KV: op(kv.Get, "new", "")},
		{KV: op(kv.Delete, "new", "")},
		{KV: op(kv.CheckNotExists, "new", "")},
	}})
	if err != nil || shown(answer.([]TxnResult)) != "kv new, kv new=x" {
		t.Errorf("got %v, %v", answer, err)
	}
}

// A transaction that fails does not disturb others of its log entry, whose answers are whole.
func TestTransactionsOfOneEntry(t *testing.T) {
	m := setUp(t)
	entry, err := Encode(
		Txn{Ops: []TxnOp{{KV: op(kv.Set, "one", "1")}, {KV: op(kv.GetTree, "one", "")}}},
		Txn{Ops: []TxnOp{{KV: op(kv.Set, "two", "2")}, {KV: op(kv.Get, "nope", "")}}},
		Txn{Ops: []TxnOp{{KV: op(kv.Get, "one", "")}}},
		*op(kv.Set, "three", "3"))
	if err != nil {
		t.Fatal(err)
	}
	m.index++
	applied := m.Apply(&raft.Log{Index: m.index, Data: entry}).(Applied)
	if applied.Errors[0] != nil || applied.Errors[1] == nil || applied.Errors[2] != nil || applied.Errors[3] != nil {
		t.Fatalf("got %v", applied.Errors)
	}
	for i, want := range []string{"kv one, kv one=1", "", "kv one=1", ""} {
		results, _ := applied.Answers[i].([]TxnResult)
		if got := shown(results); got != want {
			t.Errorf("answer %d is %s", i, got)
		}
	}
	if m.key(t, "two") != nil || m.key(t, "three") == nil {
		t.Error("the wrong keys are there")
	}
}

// A restored snapshot answers a deletion with its index, and keeps a lock delay.
func TestDeletionsAndDelaysSurviveASnapshot(t *testing.T) {
	m := setUp(t)
	if _, err := m.applyAt(t, sampleTime, *op(kv.Delete, "a/1", "")); err != nil {
		t.Fatal(err)
	}
	want := m.index
	if _, err := m.applyAt(t, sampleTime, SessionDestroy{Scope: tenancy.Default, ID: firstSession}); err != nil {
		t.Fatal(err)
	}
	other := &machine{store: state.New(), index: m.index}
	other.FSM = New(other.store)
	if err := other.Restore(io.NopCloser(m.snapshot(t))); err != nil {
		t.Fatal(err)
	}
	if _, index, err := other.store.Read().KV(nil, tenancy.Default, "a/1"); err != nil || index != want {
		t.Errorf("index %d, want %d, %v", index, want, err)
	}
	if _, err := other.applyAt(t, sampleTime, *op(kv.Lock, "locks/1", "x").by(secondSession)); err == nil {
		t.Error("the lock delay is forgotten")
	}
}
