package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/kv"
)

// newKVWorld is a world with a node and some keys.
func newKVWorld(t testing.TB, change ...func(*API)) *world {
	w := newWorld(t, change...)
	w.must("PUT", "/v1/catalog/register", `{"Node":"n1","Address":"10.0.0.1","Check":{"CheckID":"serfHealth","Status":"passing"}}`, nil)
	for _, key := range []string{"a/1", "a/b/2", "a/b/3"} {
		w.must("PUT", "/v1/kv/"+key+"?flags=42", "value", nil)
	}
	return w
}

// managed is a request with the management token.
func managed(method, target, body string) *http.Request {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("X-Consul-Token", management)
	return req
}

// session makes a session on the one node.
func (w *world) session() string {
	w.t.Helper()
	var made struct{ ID string }
	w.must("PUT", "/v1/session/create", "", &made)
	return made.ID
}

// Keys by HTTP, each step on what the ones before have left. <session> is a session's ID, <index> the
// index of the last answer.
func TestKeysByHTTP(t *testing.T) {
	w := newKVWorld(t)
	session, index := w.session(), ""
	for _, c := range []struct{ name, method, target, body, want string }{
		{"a key", "GET", "/v1/kv/a/1", "", `200 [{"LockIndex":0,"Key":"a/1","Flags":42,"Value":"dmFsdWU=","CreateIndex":`},
		{"a key that is missing", "GET", "/v1/kv/nope", "", "404 $"},
		{"a raw value", "GET", "/v1/kv/a/1?raw", "", "200 value$"},
		{"a raw value that is missing", "GET", "/v1/kv/nope?raw", "", "404 $"},
		{"a tree", "GET", "/v1/kv/a/b?recurse", "", `200 [{"LockIndex":0,"Key":"a/b/2"`},
		{"an empty tree", "GET", "/v1/kv/nope?recurse", "", "404 $"},
		{"keys", "GET", "/v1/kv/a/?keys", "", `200 ["a/1","a/b/2","a/b/3"]$`},
		{"folded keys", "GET", "/v1/kv/a/?keys&separator=/", "", `200 ["a/1","a/b/"]$`},
		{"all keys", "GET", "/v1/kv/?keys&separator=%2F", "", `200 ["a/"]$`},
		{"no keys", "GET", "/v1/kv/nope?keys", "", "404 $"},
		{"no key", "GET", "/v1/kv/", "", "400 Missing key name$"},
		{"no key to write", "PUT", "/v1/kv/", "x", "400 Missing key name$"},
		{"no key to delete", "DELETE", "/v1/kv/", "", "400 Missing key name$"},
		{"a key of all namespaces", "GET", "/v1/kv/a/1?ns=*", "", `400 Invalid namespace "*": wildcard is not allowed$`},
		{"a wrong method", "POST", "/v1/kv/a/1", "", "405 method POST not allowed$"},

		{"bad flags", "PUT", "/v1/kv/x?flags=abc", "", `400 strconv.ParseUint: parsing "abc": invalid syntax$`},
		{"a bad cas", "PUT", "/v1/kv/x?cas=-1", "", `400 strconv.ParseUint: parsing "-1": invalid syntax$`},
		{"a bad cas of a delete", "DELETE", "/v1/kv/x?cas=", "", `400 strconv.ParseUint: parsing "": invalid syntax$`},
		{"two conditions", "PUT", "/v1/kv/x?acquire=x&cas=1", "", "400 Conflicting flags: acquire=x&cas=1$"},
		{"two ways to delete", "DELETE", "/v1/kv/x?recurse&cas=1", "", "400 Conflicting flags: recurse&cas=1$"},
		{"an unknown session", "PUT", "/v1/kv/x?acquire=x", "", `400 raft apply failed: invalid session "x"$`},
		{"an unknown namespace", "PUT", "/v1/kv/x?ns=nope", "", `400 Namespace "nope" does not exist$`},
		{"what cannot be printed", "PUT", "/v1/kv/x%00y", "", "400 $"},
		{"what is no text", "GET", "/v1/kv/x%ff", "", "400 $"},
		{"empty parts", "GET", "/v1/kv//x", "", "301 $"},

		{"an empty value", "PUT", "/v1/kv/empty", "", "200 true$"},
		{"an empty value again", "GET", "/v1/kv/empty", "", `200 [{"LockIndex":0,"Key":"empty","Flags":0,"Value":null,"CreateIndex":`},
		{"cas of a key that exists", "PUT", "/v1/kv/empty?cas=0", "x", "200 false$"},
		{"cas of another index", "PUT", "/v1/kv/empty?cas=1", "x", "200 false$"},
		{"cas", "PUT", "/v1/kv/empty?cas=<index>", "x", "200 true$"},
		{"cas of a new key", "PUT", "/v1/kv/created?cas=0", "x", "200 true$"},
		{"a slash at the end", "PUT", "/v1/kv/dir/", "x", "200 true$"},
		{"escaped slashes and dots", "PUT", "/v1/kv/dir%2F%2F..%2Fup", "x", "200 true$"},
		{"they are the key", "GET", "/v1/kv/dir/?keys", "", `200 ["dir/","dir//../up"]$`},
		{"odd letters", "PUT", "/v1/kv/%C3%BC%20%3F%25", "x", "200 true$"},
		{"they come back", "GET", "/v1/kv/%C3%BC?keys", "", `200 ["ü ?%"]$`},

		{"lock", "PUT", "/v1/kv/lock?acquire=<session>", "x", "200 true$"},
		{"lock again", "PUT", "/v1/kv/lock?acquire=<session>", "x", "200 true$"},
		{"the holder shows", "GET", "/v1/kv/lock", "", `200 [{"LockIndex":1,"Key":"lock","Flags":0,"Value":"eA==","Session":"<session>"`},
		{"unlock by somebody else", "PUT", "/v1/kv/lock?release=x", "x", "200 false$"},
		{"unlock", "PUT", "/v1/kv/lock?release=<session>", "x", "200 true$"},
		{"unlock again", "PUT", "/v1/kv/lock?release=<session>", "x", "200 false$"},

		{"delete with cas 0", "DELETE", "/v1/kv/lock?cas=0", "", "200 false$"},
		{"delete with cas", "DELETE", "/v1/kv/a/1?cas=1", "", "200 false$"},
		{"delete", "DELETE", "/v1/kv/a/1", "", "200 true$"},
		{"delete again", "DELETE", "/v1/kv/a/1", "", "200 true$"},
		{"delete a tree", "DELETE", "/v1/kv/a/?recurse", "", "200 true$"},
		{"it is gone", "GET", "/v1/kv/a/?keys", "", "404 $"},
		{"delete everything", "DELETE", "/v1/kv/?recurse", "", "200 true$"},
		{"nothing is left", "GET", "/v1/kv/?keys", "", "404 $"},
	} {
		fill := strings.NewReplacer("<session>", session, "<index>", index)
		rec := w.call(c.method, fill.Replace(c.target), c.body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !answered(got, fill.Replace(c.want)) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if n := rec.Header().Get("X-Consul-Index"); n != "" {
			index = n
		} else if c.method == "GET" && (rec.Code == 200 || rec.Code == 404) {
			t.Errorf("%s: no index to wait for", c.name)
		}
		if rec.Header().Get("X-Consul-Effective-Consistency") != "" {
			t.Errorf("%s: a header that keys do not have", c.name)
		}
	}
}

func TestARawValueRunsNowhere(t *testing.T) {
	w := newKVWorld(t)
	w.must("PUT", "/v1/kv/page", "<script>", nil)
	h := w.call("GET", "/v1/kv/page?raw", "", asManagement).Header()
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// CVE-2025-11374: the size counts, not what a header says of it.
func TestTheSizeOfAValue(t *testing.T) {
	for _, c := range []struct {
		name    string
		most    int64
		size    int
		chunked bool
		want    string
	}{
		{"as large as allowed", 0, 512 << 10, false, "200 true"},
		{"one byte more", 0, 512<<10 + 1, false, "413 Request body(524289 bytes) too large, max size: 524288 bytes. See limits.kv_max_value_size."},
		{"one byte more of which no header tells", 0, 512<<10 + 1, true, "413 Request body(524289 bytes) too large, max size: 524288 bytes. See limits.kv_max_value_size."},
		{"less than configured", 1 << 20, 600 << 10, false, "200 true"},
		{"more than configured", 10, 11, false, "413 Request body(11 bytes) too large, max size: 10 bytes. See limits.kv_max_value_size."},
	} {
		w := newWorld(t, func(a *API) { a.Config.KVMaxValueSize = c.most })
		req := managed("PUT", "/v1/kv/x", strings.Repeat("x", c.size))
		if c.chunked {
			req.ContentLength = -1
		}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, req)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestKeysOfAllNamespacesByHTTP(t *testing.T) {
	w := newKVWorld(t)
	w.must("PUT", "/v1/namespace/team", "{}", nil)
	w.must("PUT", "/v1/kv/a/0?ns=team", "x", nil)
	var list []api.KVPair
	w.must("GET", "/v1/kv/a/?recurse&ns=*", "", &list)
	if len(list) != 4 || list[3].Namespace != "team" || list[0].Namespace != "" {
		t.Errorf("got %+v", list)
	}
	if rec := w.call("GET", "/v1/kv/a/0", "", asManagement); rec.Code != http.StatusNotFound {
		t.Errorf("in another namespace: %d", rec.Code)
	}
}

func TestSessionsByHTTP(t *testing.T) {
	w := newKVWorld(t)
	id := ""
	for _, c := range []struct{ name, method, target, body, want string }{
		{"no body", "PUT", "/v1/session/create", "", `200 {"ID":"`},
		{"it has the defaults", "GET", "/v1/session/info/<id>", "",
			`200 [{"ID":"<id>","Name":"","Node":"n1","LockDelay":15000000000,"Behavior":"release","TTL":"","NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":`},
		{"everything", "PUT", "/v1/session/create", `{"LockDelay":"20s","Name":"s","Node":"N1","Checks":[],"NodeChecks":[],"Behavior":"delete","TTL":"30s"}`, `200 {"ID":"`},
		{"it is stored", "GET", "/v1/session/info/<id>", "",
			`200 [{"ID":"<id>","Name":"s","Node":"n1","LockDelay":20000000000,"Behavior":"delete","TTL":"30s","NodeChecks":[],"ServiceChecks":null,"CreateIndex":`},
		{"a lock delay in seconds", "PUT", "/v1/session/create", `{"LockDelay":20}`, `200 {"ID":"`},
		{"it is in seconds", "GET", "/v1/session/info/<id>", "", `200 [{"ID":"<id>","Name":"","Node":"n1","LockDelay":20000000000,`},
		{"a lock delay in nanoseconds", "PUT", "/v1/session/create", `{"LockDelay":20000}`, `200 {"ID":"`},
		{"it is in nanoseconds", "GET", "/v1/session/info/<id>", "", `200 [{"ID":"<id>","Name":"","Node":"n1","LockDelay":20000,`},
		{"checks by their older name", "PUT", "/v1/session/create", `{"Checks":["serfHealth"]}`, `200 {"ID":"`},
		{"an unknown check", "PUT", "/v1/session/create", `{"NodeChecks":["nope"]}`, "400 apply failed: Missing check 'nope' registration$"},
		{"an unknown node", "PUT", "/v1/session/create", `{"Node":"nope"}`, "400 apply failed: Missing node registration$"},
		{"a short TTL", "PUT", "/v1/session/create", `{"TTL":"1s"}`, "400 Invalid Session TTL '1000000000', must be between [10s=24h0m0s]$"},
		{"a bad lock delay", "PUT", "/v1/session/create", `{"LockDelay":"x"}`, "400 Request decode failed: "},
		{"an unknown field", "PUT", "/v1/session/create", `{"Bogus":1}`, `400 Request decode failed: json: unknown field "Bogus"$`},
		{"another datacenter", "PUT", "/v1/session/create?dc=dc2", "", "500 No path to datacenter$"},
		{"renew", "PUT", "/v1/session/renew/<id>", "", `200 [{"ID":"<id>"`},
		{"renew what is unknown", "PUT", "/v1/session/renew/nope", "", "404 Session id 'nope' not found$"},
		{"an unknown session", "GET", "/v1/session/info/nope", "", "200 []$"},
		{"those of a node", "GET", "/v1/session/node/n1", "", `200 [{"ID":"`},
		{"those of another node", "GET", "/v1/session/node/n2", "", "200 []$"},
		{"all", "GET", "/v1/session/list", "", `200 [{"ID":"`},
		{"destroy", "PUT", "/v1/session/destroy/<id>", "", "200 true$"},
		{"destroy again", "PUT", "/v1/session/destroy/<id>", "", "200 true$"},
		{"it is gone", "GET", "/v1/session/info/<id>", "", "200 []$"},
	} {
		fill := strings.NewReplacer("<id>", id)
		rec := w.call(c.method, fill.Replace(c.target), c.body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !answered(got, fill.Replace(c.want)) {
			t.Errorf("%s: got %s, want %s", c.name, got, fill.Replace(c.want))
		}
		var made struct{ ID string }
		if json.Unmarshal(rec.Body.Bytes(), &made) == nil && made.ID != "" {
			id = made.ID
		}
	}
}

// The session of a request without a node belongs to the agent that was asked, also where
// another one answers.
func TestTheNodeOfASession(t *testing.T) {
	w := newKVWorld(t)
	req := managed("PUT", "/v1/session/create", "")
	if got := w.api.named(req, &sessionRoutes[0]).Header.Get(agentHeader); got != "n1" {
		t.Errorf("passed on for %q", got)
	}
	if got := w.api.named(req, &sessionRoutes[1]).Header.Get(agentHeader); got != "" {
		t.Errorf("named for no reason: %q", got)
	}
	port := *w.api
	port.peer = true
	r := &request{Request: req}
	if got := port.askedNode(r); got != "n1" {
		t.Errorf("without a name: %q", got)
	}
	req.Header.Set(agentHeader, "client7")
	if got := port.askedNode(r); got != "client7" {
		t.Errorf("with a name: %q", got)
	}
	if got := w.api.askedNode(r); got != "n1" {
		t.Errorf("a client said where it is: %q", got)
	}
}

func TestTxnByHTTP(t *testing.T) {
	w := newKVWorld(t)
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"KV":{"Verb":"get","Key":"a/1"}},`, maxTxnOps+1), ",") + "]"
	for _, c := range []struct{ name, body, want string }{
		{"writes", `[{"KV":{"Verb":"set","Key":"t","Value":"dg==","Flags":1}},{"KV":{"Verb":"get","Key":"t"}},{"KV":{"Verb":"delete","Key":"t"}}]`,
			`200 {"Results":[{"KV":{"LockIndex":0,"Key":"t","Flags":1,"Value":null,"CreateIndex":`},
		{"reads", `[{"KV":{"Verb":"get-or-empty","Key":"t"},"Node":null}]`,
			`200 {"Results":[{"KV":{"LockIndex":0,"Key":"t","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}}],"Errors":null,"Index":`},
		{"nothing", `[]`, `200 {"Results":[],"Errors":null,"Index":`},
		{"a failure", `[{"KV":{"Verb":"set","Key":"x"}},{"KV":{"Verb":"get","Key":"nope"}}]`,
			`409 {"Results":null,"Errors":[{"OpIndex":1,"What":"key \"nope\" doesn't exist"}]}$`},
		{"a failed read", `[{"KV":{"Verb":"get","Key":"nope"}}]`, `409 {"Results":null,"Errors":[{"OpIndex":0,"What":"key \"nope\" doesn't exist"}],"Index":`},
		{"an unknown verb", `[{"KV":{"Verb":"bogus","Key":"x"}}]`, `409 {"Results":null,"Errors":[{"OpIndex":0,"What":"unknown KV operation: bogus"}]}$`},
		{"a node, a service and a check", `[{"Node":{"Verb":"set","Node":{"Node":"n2","Address":"10.0.0.2"}}},
			{"Service":{"Verb":"set","Node":"n2","Service":{"Service":"web"}}},
			{"Check":{"Verb":"set","Check":{"Node":"n2","CheckID":"c","Status":"passing","ServiceID":"web"}}}]`,
			`200 {"Results":[{"Node":{"ID":"","Node":"n2","Address":"10.0.0.2","Datacenter":"dc1",`},
		{"a check of an address", `[{"Check":{"Verb":"set","Check":{"Node":"n1","CheckID":"port","Status":"passing","Definition":{"TCP":"10.0.0.1:80"}}}}]`,
			`200 {"Results":[{"Check":{"Node":"n1","CheckID":"port","Name":"","Status":"passing","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":null,"Type":"tcp",`},
		{"a service without a name", `[{"Service":{"Verb":"set","Node":"n2","Service":{"ID":"x"}}}]`,
			`409 {"Results":null,"Errors":[{"OpIndex":0,"What":"Must provide service name (Service.Service) when service ID is provided"}]}$`},
		{"the end of a session that is unknown", `[{"Session":{"Verb":"delete","Session":{"ID":"x"}}}]`, `200 {"Results":[],"Errors":null}$`},
		{"what cannot be done to a session", `[{"Session":{"Verb":"set","Session":{"ID":"x"}}}]`, "400 unknown Session operation: set$"},
		{"no operation", `[{}]`, "400 Failed to parse body: an operation has to be one of KV, Node, Service, Check and Session$"},
		{"two operations in one", `[{"KV":{"Verb":"get","Key":"x"},"Node":{"Verb":"get"}}]`, "400 Failed to parse body: an operation"},
		{"no list", `{}`, "400 Failed to parse body: "},
		{"no body", ``, "400 Failed to parse body: EOF$"},
		{"an unknown field", `[{"KV":{"Verb":"get","Bogus":1}}]`, `400 Failed to parse body: json: unknown field "Bogus"$`},
		{"too many operations", many, "413 Transaction contains too many operations (129 > 128)$"},
		{"too many bytes", strings.Repeat(" ", maxValueBody+1), "413 Request body(524289 bytes) too large, max size: 524288 bytes. See limits.txn_max_req_len.$"},
	} {
		rec := w.call("PUT", "/v1/txn", c.body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !answered(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if !json.Valid(rec.Body.Bytes()) && (rec.Code == 200 || rec.Code == 409) {
			t.Errorf("%s: this is no JSON: %s", c.name, rec.Body)
		}
	}
	if rec := w.call("PUT", "/v1/txn?stale&consistent", `[]`, asManagement); rec.Code != http.StatusBadRequest {
		t.Errorf("stale and consistent: %d", rec.Code)
	}
}

// Pairs are encoded as encoding/json would do it.
func FuzzPairJSON(f *testing.F) {
	f.Add("a/b", []byte("value"), "", uint64(1))
	f.Add("<\"ü\x7f", []byte{}, "s", uint64(1<<63))
	f.Fuzz(func(t *testing.T, key string, value []byte, session string, n uint64) {
		p := &kv.Pair{LockIndex: n, Key: key, Flags: n, Value: value, Session: session, CreateIndex: n, ModifyIndex: n}
		var back api.KVPair
		if err := json.Unmarshal(appendPair(nil, p), &back); err != nil {
			t.Fatal(err)
		}
		if back.Key != strings.ToValidUTF8(key, "\ufffd") && !strings.Contains(back.Key, "\ufffd") || !bytes.Equal(back.Value, value) || back.Flags != n {
			t.Errorf("got %+v", back)
		}
	})
}

// No body of a session or a transaction does harm, or gets anything but a well-known answer.
func FuzzKVBodies(f *testing.F) {
	f.Add(true, `[{"KV":{"Verb":"set","Key":"k","Value":"dg=="}},{"Session":{"Verb":"delete","Session":{"ID":"x"}}}]`)
	f.Add(true, `[{"Node":{"Verb":"cas","Node":{"Node":"n","Address":"a","ModifyIndex":1}}},{"Check":{"Verb":"get","Check":{"Node":"n","CheckID":"c"}}}]`)
	f.Add(true, `[{"Service":{"Verb":"delete-cas","Node":"n1","Service":{"ID":"web","ModifyIndex":2}}}]`)
	f.Add(false, `{"LockDelay":"15s","Name":"s","Node":"n1","Checks":[],"ServiceChecks":[{"ID":"x","Namespace":"y"}],"Behavior":"delete","TTL":"30s"}`)
	f.Add(true, `[{"Service":{}}]`)
	f.Add(false, `{"LockDelay":1e3}`)
	w := newKVWorld(f)
	f.Fuzz(func(t *testing.T, txn bool, body string) {
		target := "/v1/session/create"
		if txn {
			target = "/v1/txn"
		}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, managed("PUT", target, body))
		switch rec.Code {
		case http.StatusOK, http.StatusConflict:
			if !json.Valid(rec.Body.Bytes()) {
				t.Errorf("%q: %s", body, rec.Body)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}
