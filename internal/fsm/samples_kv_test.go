package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	firstSession  = "5e551000-0000-4000-8000-000000000001"
	secondSession = "5e551000-0000-4000-8000-000000000002"
	thirdSession  = "5e551000-0000-4000-8000-000000000003"
)

func pair(key, value string) kv.Pair {
	return kv.Pair{Key: key, Value: []byte(value), Flags: 42, Scope: tenancy.Default}
}

func held(key, session string) kv.Pair {
	p := pair(key, "held")
	p.Session = session
	return p
}

func session(id string) kv.Session {
	return kv.Session{
		ID: id, Name: "a session", Node: "kv1", LockDelay: 15 * time.Second, Behavior: kv.Release, TTL: "30s",
		NodeChecks: []string{"alive"}, Scope: tenancy.Default,
	}
}

func kvNode(name string) catalog.Node {
	return catalog.Node{Node: name, Address: "10.0.0.1", Datacenter: "dc1", Scope: tenancy.Default}
}

// kvSetup is what the samples about keys and sessions need.
func kvSetup() []Command {
	return []Command{
		Register{Node: kvNode("kv1"), Checks: []catalog.Check{{CheckID: "alive", Name: "alive", Status: catalog.Passing, Scope: tenancy.Default}}},
		SessionCreate{Session: session(firstSession)},
		SessionCreate{Session: session(secondSession)},
		KVOp{Verb: kv.Set, Pair: pair("a/1", "one")},
		KVOp{Verb: kv.Set, Pair: pair("a/gone", "x")},
		KVOp{Verb: kv.Set, Pair: pair("tree/1", "x")},
		KVOp{Verb: kv.Lock, Pair: held("locks/1", firstSession)},
		KVOp{Verb: kv.Lock, Pair: held("locks/2", secondSession)},
	}
}

func kvSamples() []sample {
	last := session(thirdSession)
	last.Behavior, last.NodeChecks = kv.DeleteKeys, nil
	last.ServiceChecks = []kv.ServiceCheck{{ID: "alive", Namespace: "default"}}
	return []sample{
		{70, KVOp{Verb: kv.Delete, Pair: pair("a/gone", "")}, false},
		{71, Txn{Ops: []TxnOp{
			{KV: &KVOp{Verb: kv.CheckNotExists, Pair: pair("new", "")}},
			{KV: &KVOp{Verb: kv.Set, Pair: pair("new", "value")}},
			{KV: &KVOp{Verb: kv.DeleteTree, Pair: pair("tree/", "")}},
			{Node: &NodeOp{Verb: kv.Set, Node: kvNode("kv2")}},
			{Service: &ServiceOp{Verb: kv.CAS, Service: catalog.Instance{Node: "kv2", Service: catalog.Service{
				ID: "web1", Service: "web", Port: 80, Scope: tenancy.Default,
			}}}},
			{Check: &CheckOp{Verb: kv.Set, Check: catalog.Check{
				Node: "kv2", CheckID: "c", Name: "c", Status: catalog.Passing, ServiceID: "web1", Scope: tenancy.Default,
			}}},
		}}, true},
		{72, SessionCreate{Session: last}, true},
		{73, SessionDestroy{Scope: tenancy.Default, ID: firstSession}, false},
		{74, SessionsExpire{Sessions: []SessionDestroy{{Scope: tenancy.Default, ID: secondSession}}}, false},
	}
}
