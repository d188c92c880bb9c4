package endpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// kvWorld is a world with a node and some keys.
type kvWorld struct {
	*world
	kvs      *KVs
	sessions *Sessions
	txns     *Txns
}

func newKVWorld(t testing.TB) *kvWorld {
	w := &kvWorld{world: newWorld(t)}
	w.kvs = &KVs{Backend: w.Backend}
	w.sessions = &Sessions{Backend: w.Backend, Renewals: &kv.Renewals{}}
	w.txns = &Txns{Backend: w.Backend, Asker: w.raft, Datacenter: "dc1"}
	w.propose(fsm.Register{Node: catalog.Node{Node: "n1", Address: "10.0.0.1", Scope: tenancy.Default},
		Checks: []catalog.Check{{CheckID: catalog.SerfHealth, Name: "s", Status: catalog.Passing, Scope: tenancy.Default}}})
	for _, key := range []string{"a/1", "a/b/2", "a/b/3", "secret", "z"} {
		w.write(kv.Set, key)
	}
	return w
}

func kvOp(verb kv.Verb, key string) fsm.KVOp {
	return fsm.KVOp{Verb: verb, Pair: kv.Pair{Key: key, Value: []byte("v"), Scope: tenancy.Default}}
}

func (w *kvWorld) write(verb kv.Verb, key string) {
	w.t.Helper()
	if done, err := w.kvs.Write(ctx, w.root, kvOp(verb, key)); err != nil || !done {
		w.t.Fatal(done, err)
	}
}

func (w *kvWorld) session(s kv.Session) *kv.Session {
	w.t.Helper()
	s.Node, s.Scope = "n1", tenancy.Default
	return must(w.sessions.Create(ctx, w.root, s))(w.t)
}

func read(key string) KVRead { return KVRead{Scope: tenancy.Default, Key: key} }

const keyRules = `key_prefix "a/" { policy = "read" }
	key_prefix "a/b/" { policy = "write" }
	key "a/b/3" { policy = "deny" }
	key_prefix "list/" { policy = "list" }`

// What a token may do with keys, each a line of acl.md section 13.
func TestKeyPermissions(t *testing.T) {
	w := newKVWorld(t)
	who := w.caller(tenancy.Default, keyRules)
	get := func(key string) error { _, _, err := w.kvs.Get(ctx, who, read(key)); return err }
	list := func(prefix string) error { _, _, err := w.kvs.List(ctx, who, read(prefix)); return err }
	do := func(verb kv.Verb, key string) error { _, err := w.kvs.Write(ctx, who, kvOp(verb, key)); return err }
	for _, c := range []struct {
		name  string
		err   func() error
		lacks string // "" if it may
	}{
		{"read", func() error { return get("a/1") }, ""},
		{"read what is denied exactly", func() error { return get("a/b/3") }, `'key:read' on "a/b/3"`},
		{"read elsewhere", func() error { return get("z") }, `'key:read' on "z"`},
		{"read what is not there", func() error { return get("nope") }, `'key:read' on "nope"`},
		{"write with read", func() error { return do(kv.Set, "a/1") }, `'key:write' on "a/1"`},
		{"write", func() error { return do(kv.Set, "a/b/2") }, ""},
		{"delete with read", func() error { return do(kv.Delete, "a/1") }, `'key:write' on "a/1"`},
		{"delete", func() error { return do(kv.Delete, "a/b/2") }, ""},
		{"delete a tree in which something is denied", func() error { return do(kv.DeleteTree, "a/b/") }, `'key:write' on "a/b/"`},
		{"delete a tree below that", func() error { return do(kv.DeleteTree, "a/b/2") }, ""},
		{"lock with read", func() error { return do(kv.Lock, "a/1") }, `'key:write' on "a/1"`},
		{"list what may be read", func() error { return list("a/") }, ""},
		{"list what may not", func() error { return list("secret") }, ""},
	} {
		err := c.err()
		if c.lacks == "" && err != nil || c.lacks != "" && (errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "lacks permission "+c.lacks)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	w.kvs.ListPolicy = true
	if err := list("a/"); errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), `'key:list' on "a/"`) {
		t.Errorf("list with read, where the list permission counts: %v", err)
	}
	if err := list("list/x"); err != nil {
		t.Errorf("list with list: %v", err)
	}
}

func TestKeyLists(t *testing.T) {
	w := newKVWorld(t)
	some := w.caller(tenancy.Default, keyRules)
	anonymous := w.resolve("")
	for _, c := range []struct {
		name              string
		who               acl.Caller
		prefix, separator string
		want              string
		hidden, filtered  bool
	}{
		{"all", w.root, "", "", "a/1 a/b/2 a/b/3 secret z", false, false},
		{"folded", w.root, "", "/", "a/ secret z", false, false},
		{"folded below", w.root, "a/", "/", "a/1 a/b/", false, false},
		{"a long separator", w.root, "a", "b/", "a/1 a/b/", false, false},
		{"nothing", w.root, "nope", "", "", false, false},
		{"with a prefix that ends within a word", w.root, "s", "", "secret", false, false},
		{"what may be read", some, "", "", "a/1 a/b/2", true, true},
		{"without a token", anonymous, "", "", "", true, false},
	} {
		keys, meta, err := w.kvs.Keys(ctx, c.who, read(c.prefix), c.separator)
		if got := strings.Join(keys, " "); err != nil || got != c.want || meta.Hidden != c.hidden || meta.FilteredByACLs != c.filtered {
			t.Errorf("%s: %s, hidden %v, filtered %v, %v", c.name, got, meta.Hidden, meta.FilteredByACLs, err)
		}
	}
}

// A query on a key or a prefix is answered by a change of it alone.
func TestBlockedOnKeys(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    string
		tree   bool
		change func(w *kvWorld)
		wakes  bool
	}{
		{"a key that changes", "a/1", false, func(w *kvWorld) { w.write(kv.Delete, "a/1") }, true},
		{"a key beside one that changes", "a/1", false, func(w *kvWorld) { w.write(kv.Delete, "a/b/2") }, false},
		{"a key that is missing", "new", false, func(w *kvWorld) { w.write(kv.Set, "new") }, true},
		{"a missing key beside one that changes", "new", false, func(w *kvWorld) { w.write(kv.Set, "news") }, false},
		{"a prefix", "a/b", true, func(w *kvWorld) { w.write(kv.Delete, "a/b/2") }, true},
		{"a prefix beside", "a/b/", true, func(w *kvWorld) { w.write(kv.Set, "a/c") }, false},
		{"an empty prefix", "x/", true, func(w *kvWorld) { w.write(kv.Set, "x/1") }, true},
		{"an empty prefix beside", "x/", true, func(w *kvWorld) { w.write(kv.Set, "x"); w.write(kv.Set, "y") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newKVWorld(t)
				ask := func(r Read) (uint64, error) {
					req := read(c.key)
					req.Read = r
					if c.tree {
						_, meta, err := w.kvs.List(ctx, w.root, req)
						return meta.Index, err
					}
					_, meta, err := w.kvs.Get(ctx, w.root, req)
					return meta.Index, err
				}
				before := must(ask(Read{}))(t)
				go func() {
					time.Sleep(time.Second)
					c.change(w)
				}()
				began := time.Now()
				after := must(ask(Read{MinIndex: before, MaxWait: time.Minute}))(t)
				if waited := time.Since(began); (waited == time.Second) != c.wakes || (after > before) != c.wakes {
					t.Errorf("index %d, then %d after %v", before, after, waited)
				}
			})
		})
	}
}

// Many want the same lock; at each moment at most one has it, and each gets it once.
func TestLockUnderContention(t *testing.T) {
	w := newKVWorld(t)
	const many = 32
	holders, most := 0, 0
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		holders += by
		most = max(most, holders)
	}
	var all sync.WaitGroup
	for i := range many {
		s := w.session(kv.Session{Name: fmt.Sprint(i)})
		all.Go(func() {
			lock := kvOp(kv.Lock, "lock")
			lock.Pair.Session = s.ID
			index := uint64(0)
			for {
				done, err := w.kvs.Write(ctx, w.root, lock)
				if err != nil {
					t.Error(err)
					return
				}
				if done {
					break
				}
				req := read("lock") // as clients do: wait until the lock changes
				req.Read = Read{MinIndex: index, MaxWait: time.Minute}
				_, meta, err := w.kvs.Get(ctx, w.root, req)
				if err != nil {
					t.Error(err)
					return
				}
				index = meta.Index
			}
			count(1)
			count(-1)
			lock.Verb = kv.Unlock
			if done, err := w.kvs.Write(ctx, w.root, lock); err != nil || !done {
				t.Error(done, err)
			}
		})
	}
	all.Wait()
	p, _, err := w.kvs.Get(ctx, w.root, read("lock"))
	if err != nil || most != 1 || p.LockIndex != many || p.Session != "" {
		t.Errorf("%d held it at once; then %+v, %v", most, p, err)
	}
}

func TestSessionCreateRefuses(t *testing.T) {
	w := newKVWorld(t)
	for _, c := range []struct {
		name string
		s    kv.Session
		want string
	}{
		{"a bad behavior", kv.Session{Behavior: "x"}, "Invalid Behavior setting 'x'"},
		{"what is no TTL", kv.Session{TTL: "abc"}, `Session TTL 'abc' invalid: time: invalid duration "abc"`},
		{"a TTL that is too short", kv.Session{TTL: "1s"}, "Invalid Session TTL '1000000000', must be between [10s=24h0m0s]"},
		{"a TTL that is too long", kv.Session{TTL: "25h"}, "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"},
		{"a negative TTL", kv.Session{TTL: "-1s"}, "Invalid Session TTL '-1000000000', must be between [10s=24h0m0s]"},
		{"a negative lock delay", kv.Session{LockDelay: -1}, "Invalid LockDelay '-1', must not be negative"},
		{"an unknown node", kv.Session{Node: "nosuch"}, "apply failed: Missing node registration"},
		{"an unknown check", kv.Session{NodeChecks: []string{"nope"}}, "apply failed: Missing check 'nope' registration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Scope = tenancy.Default
			if c.s.Node == "" {
				c.s.Node = "N1"
			}
			_, err := w.sessions.Create(ctx, w.root, c.s)
			wantError(t, err, errs.Invalid, c.want)
		})
	}
	if s := w.session(kv.Session{TTL: "0s"}); s.Node != "n1" || s.Behavior != kv.Release {
		t.Errorf("got %+v", s)
	}
}

func TestSessionPermissions(t *testing.T) {
	w := newKVWorld(t)
	s := w.session(kv.Session{})
	reader := w.caller(tenancy.Default, `session "n1" { policy = "read" }`)
	other := w.caller(tenancy.Default, `session "n2" { policy = "write" }`)
	const lacks = "lacks permission 'session:write' on \"n1\""
	for name, err := range map[string]error{
		"create":  func() error { _, err := w.sessions.Create(ctx, reader, *s); return err }(),
		"renew":   func() error { _, err := w.sessions.Renew(ctx, reader, s.Scope, s.ID); return err }(),
		"destroy": w.sessions.Destroy(ctx, reader, s.Scope, s.ID),
	} {
		if errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), lacks) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		name string
		who  acl.Caller
		req  SessionRead
		want int
	}{
		{"by ID", reader, SessionRead{ID: strings.ToUpper(s.ID)}, 1},
		{"by node", reader, SessionRead{Node: "N1"}, 1},
		{"all", reader, SessionRead{}, 1},
		{"of another node", reader, SessionRead{Node: "n2"}, 0},
		{"an unknown ID", reader, SessionRead{ID: someID}, 0},
		{"without permission", other, SessionRead{}, 0},
	} {
		c.req.Scope = tenancy.Default
		if got, _, err := w.sessions.Read(ctx, c.who, c.req); err != nil || len(got) != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if err := w.sessions.Destroy(ctx, reader, s.Scope, someID); err != nil {
		t.Errorf("destroy an unknown session: %v", err)
	}
	_, err := w.sessions.Renew(ctx, w.root, s.Scope, someID)
	wantError(t, err, errs.NotFound, "Session id '"+someID+"' not found")
}

func TestRenewalIsNotWritten(t *testing.T) {
	w := newKVWorld(t)
	s := w.session(kv.Session{TTL: "10s"})
	before := w.raft.index
	for range 10 {
		w.clock = w.clock.Add(9 * time.Second)
		must(w.sessions.Renew(ctx, w.root, s.Scope, s.ID))(t)
	}
	if w.raft.index != before {
		t.Errorf("%d writes", w.raft.index-before)
	}
	if over, _ := w.sessions.Renewals.Due([]*kv.Session{s}, w.clock.Add(10*time.Second)); len(over) != 0 {
		t.Error("a session that was renewed is over before its TTL")
	}
	if over, _ := w.sessions.Renewals.Due([]*kv.Session{s}, w.clock.Add(20*time.Second)); len(over) != 1 {
		t.Error("a session that was not renewed is not over after twice its TTL")
	}
}

func txnOps(ops ...fsm.TxnOp) TxnRequest { return TxnRequest{Ops: ops} }

func keyOp(verb kv.Verb, key string) fsm.TxnOp {
	op := kvOp(verb, key)
	return fsm.TxnOp{KV: &op}
}

func serviceOp(verb kv.Verb, s catalog.Service) fsm.TxnOp {
	s.Scope = tenancy.Default
	return fsm.TxnOp{Service: &fsm.ServiceOp{Verb: verb, Service: catalog.Instance{Node: "n1", Service: s}}}
}

func checkOp(verb kv.Verb, id, service string) fsm.TxnOp {
	return fsm.TxnOp{Check: &fsm.CheckOp{Verb: verb, Check: catalog.Check{
		Node: "n1", CheckID: id, Status: catalog.Passing, ServiceID: service, Scope: tenancy.Default,
	}}}
}

func nodeOp(verb kv.Verb, name string) fsm.TxnOp {
	return fsm.TxnOp{Node: &fsm.NodeOp{Verb: verb, Node: catalog.Node{Node: name, Address: "10.0.0.9", Scope: tenancy.Default}}}
}

// Whoever has not what an operation needs gets nothing of the whole transaction. There is one
// row for each way to change something; CVE-2021-38698 is one of them.
func TestTxnPermissions(t *testing.T) {
	web := catalog.Service{ID: "web1", Service: "web"}
	prepare := func(t *testing.T) (*kvWorld, *kv.Session) {
		w := newKVWorld(t)
		w.propose(fsm.Register{Node: catalog.Node{Node: "n1", Scope: tenancy.Default}, SkipNodeUpdate: true,
			Instance: &catalog.Instance{Service: catalog.Service{ID: "web1", Service: "web", Scope: tenancy.Default}}})
		return w, w.session(kv.Session{})
	}
	proxy := catalog.Service{ID: "p", Service: "evil", Kind: catalog.KindConnectProxy, Proxy: catalog.Proxy{DestinationServiceName: "web"}}
	for _, c := range []struct {
		name  string
		op    fsm.TxnOp
		rules string
		lacks string // without the rules
	}{
		{"get a key", keyOp(kv.Get, "a/1"), `key "a/1" { policy = "read" }`, `'key:read' on "a/1"`},
		{"check that a key is missing", keyOp(kv.CheckNotExists, "nope"), `key "nope" { policy = "read" }`, `'key:read' on "nope"`},
		{"set a key", keyOp(kv.Set, "a/1"), `key "a/1" { policy = "write" }`, `'key:write' on "a/1"`},
		{"delete a tree", keyOp(kv.DeleteTree, "a/"), `key_prefix "a/" { policy = "write" }`, `'key:write' on "a/"`},
		{"delete a session", fsm.TxnOp{Session: &fsm.SessionDestroy{Scope: tenancy.Default}}, `session "n1" { policy = "write" }`, `'session:write' on "n1"`},
		{"get a node", nodeOp(kv.Get, "n1"), `node "n1" { policy = "read" }`, `'node:read' on "n1"`},
		{"set a node", nodeOp(kv.Set, "n1"), `node "n1" { policy = "write" }`, `'node:write' on "n1"`},
		{"set a service", serviceOp(kv.Set, catalog.Service{ID: "api", Service: "api"}), `service "api" { policy = "write" }`, `'service:write' on "api"`},
		{"take a service's place", serviceOp(kv.Set, catalog.Service{ID: "web1", Service: "api"}),
			`service "api" { policy = "write" } service "web" { policy = "write" }`, `'service:write' on "api"`},
		{"a proxy for another's service", serviceOp(kv.Set, proxy),
			`service "evil" { policy = "write" } service "web" { policy = "write" }`, `'service:write' on "evil"`},
		{"get a service", serviceOp(kv.Get, web), `service "web" { policy = "read" } node "n1" { policy = "read" }`, `'service:read' on "web"`},
		{"delete a service", serviceOp(kv.Delete, web), `service "web" { policy = "write" }`, `'node:write' on "n1"`},
		{"set a check of a node", checkOp(kv.Set, "c", ""), `node "n1" { policy = "write" }`, `'node:write' on "n1"`},
		{"get a check", checkOp(kv.Get, catalog.SerfHealth, ""), `node "n1" { policy = "read" }`, `'node:read' on "n1"`},
		{"delete a check of a node", checkOp(kv.Delete, "c", ""), `node "n1" { policy = "write" }`, `'node:write' on "n1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, s := prepare(t)
			if c.op.Session != nil {
				c.op.Session.ID = s.ID
			}
			nobody := w.caller(tenancy.Default, `key "own" { policy = "write" }`)
			_, _, err := w.txns.Run(ctx, nobody, txnOps(keyOp(kv.Set, "own"), c.op))
			failure := (*fsm.TxnFailure)(nil)
			if !errors.As(err, &failure) || len(failure.Errors) != 1 || failure.Errors[0].OpIndex != 1 || !strings.Contains(failure.Errors[0].What, "lacks permission "+c.lacks) {
				t.Errorf("without permission: %v", err)
			}
			if p, _, err := w.kvs.Get(ctx, w.root, read("own")); err != nil || p != nil {
				t.Errorf("half of it has happened: %v, %v", p, err)
			}
			if _, _, err := w.txns.Run(ctx, w.caller(tenancy.Default, c.rules), txnOps(c.op)); err != nil {
				t.Errorf("with permission: %v", err)
			}
		})
	}
	w, _ := prepare(t)
	half := w.caller(tenancy.Default, `service "evil" { policy = "write" }`)
	if _, _, err := w.txns.Run(ctx, half, txnOps(serviceOp(kv.Set, proxy))); err == nil || !strings.Contains(err.Error(), `'service:write' on "web"`) {
		t.Errorf("a proxy for a service of somebody else: %v", err)
	}
}

func TestTxnReads(t *testing.T) {
	w := newKVWorld(t)
	before := w.raft.index
	req := txnOps(keyOp(kv.Get, "a/1"), keyOp(kv.GetTree, "a/b/"), nodeOp(kv.Get, "n1"))
	results, meta, err := w.txns.Run(ctx, w.root, req)
	if err != nil || len(results) != 4 || meta.Index == 0 || w.raft.index != before {
		t.Errorf("%d results, %+v, %v", len(results), meta, err)
	}
	some := w.caller(tenancy.Default, keyRules)
	results, _, err = w.txns.Run(ctx, some, txnOps(keyOp(kv.GetTree, "")))
	if err != nil || len(results) != 2 {
		t.Errorf("a tree of which some may be read: %v, %v", results, err)
	}
	w.txns.ListPolicy = true
	if _, _, err = w.txns.Run(ctx, some, txnOps(keyOp(kv.GetTree, "a/"))); err == nil || !strings.Contains(err.Error(), "'key:list'") {
		t.Errorf("a tree without the list permission: %v", err)
	}
	lost := errs.New(errs.Unavailable, "No cluster leader")
	w.Fresh = func(context.Context, Read) error { return lost }
	if _, _, err := w.txns.Run(ctx, w.root, req); !errors.Is(err, lost) {
		t.Errorf("without a leader: %v", err)
	}
	req.Stale = true
	if _, _, err := w.txns.Run(ctx, w.root, req); err != nil {
		t.Errorf("stale: %v", err)
	}
}
