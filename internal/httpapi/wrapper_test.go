package httpapi

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/tenancy"
)

// seen is what a test's handler was given.
type seen struct {
	scope  tenancy.Scope
	read   endpoint.Read
	token  logging.Secret
	caller string
}

// testRows are routes whose handlers do what a test needs to see.
func testRows(got *seen, answer func(*request) (any, error)) []route {
	keep := func(_ *API, r *request) (any, error) {
		*got = seen{r.scope, r.read, r.token, r.caller.AccessorID}
		if answer != nil {
			return answer(r)
		}
		return "ok", nil
	}
	scoped := func(a *API, r *request) (any, error) {
		var body struct {
			Name string
			tenancy.Scope
		}
		if err := r.decodeScoped("Thing decoding failed", &body, &body.Scope); err != nil {
			return nil, err
		}
		r.scope = body.Scope
		return keep(a, r)
	}
	return []route{
		{"GET", "/v1/thing/{accessor}", OnServer, "token: a test", "thing.read", keep, 0},
		{"PUT", "/v1/thing/{accessor}", OnLeader, "token: a test", "thing.write", scoped, 0},
		{"GET", "/v1/things", OnServer, "token: a test", "thing.list", keep, anyNamespace},
		{"GET", "/v1/open", OnServer, "none: a test", "thing.open", keep, 0},
		{"PUT", "/v1/open", OnServer, "none: a test", "thing.open", scoped, 0},
		{"GET", "/v1/local", Local, "none: a test", "thing.local", keep, 0},
		{"GET", "/v1/named/{policy_name...}", OnServer, "none: a test", "thing.named",
			func(_ *API, r *request) (any, error) { return r.PathValue("policy_name"), nil }, 0},
	}
}

func newTestRows(t testing.TB, got *seen, answer func(*request) (any, error), change ...func(*API)) *world {
	w := newWorld(t, change...)
	w.http = w.api.handlerOf(testRows(got, answer))
	return w
}

func TestPathsAndMethods(t *testing.T) {
	const (
		unknown = "Invalid URL path: not a recognized HTTP API endpoint\n"
		outside = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
	)
	for _, c := range []struct {
		name, method, target string
		code                 int
		body                 string
		header               string // "Name: value"
	}{
		{"an unknown path", "GET", "/v1/nope", 404, unknown, "Content-Type: text/plain; charset=utf-8"},
		{"a path outside", "GET", "/admin", 404, outside, ""},
		{"a path in other capitals", "GET", "/V1/Things", 404, outside, ""},
		{"a legacy path", "PUT", "/v1/acl/create", 404, unknown, ""},
		{"OPTIONS", "OPTIONS", "/v1/thing/x", 200, "", "Allow: OPTIONS,GET,PUT"},
		{"a wrong method", "POST", "/v1/thing/x", 405, "method POST not allowed", "Allow: OPTIONS,GET,PUT"},
		{"HEAD is no GET", "HEAD", "/v1/things", 405, "method HEAD not allowed", "Allow: OPTIONS,GET"},
		{"a missing part", "GET", "/v1/thing/", 400, "Missing token AccessorID", ""},
		{"a missing last part of many", "GET", "/v1/named/", 400, "Missing policy Name", ""},
		{"two slashes", "GET", "/v1//things?stale=", 301, "", "Location: /v1/things?stale="},
		{"dots", "GET", "/v1/x/../things", 301, "", "Location: /v1/things"},
		{"dots to another host", "GET", "//evil.example/..", 301, "", "Location: /ui/"},
		{"the root", "GET", "/", 301, "", "Location: /ui/"},
		{"an escaped slash is no separator", "GET", "/v1%2Fthings", 404, unknown, ""},
		{"a name with a slash", "GET", "/v1/named/a/b", 200, `"a/b"`, ""},
		{"a name with an escaped slash", "GET", "/v1/named/a%2Fb", 200, `"a/b"`, ""},
		{"HTML in an answer", "GET", "/v1/named/%3Cb%3E", 200, `"\u003cb\u003e"`, "Content-Type: application/json"},
		{"pretty", "GET", "/v1/named/x?pretty", 200, "\"x\"\n", ""},
		{"every answer says the default policy", "GET", "/v1/nope", 404, unknown, "X-Consul-Default-Acl-Policy: deny"},
		{"every answer varies", "GET", "/v1/things", 200, `"ok"`, "Vary: Accept-Encoding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestRows(t, &seen{}, nil)
			rec := w.call(c.method, c.target, "")
			if rec.Code != c.code || rec.Body.String() != c.body {
				t.Fatalf("got %d %q, want %d %q", rec.Code, rec.Body, c.code, c.body)
			}
			name, want, _ := strings.Cut(c.header, ": ")
			if name != "" && rec.Header().Get(name) != want {
				t.Fatalf("%s: %q, want %q", name, rec.Header().Get(name), want)
			}
		})
	}
}

func TestUI(t *testing.T) {
	w := newWorld(t)
	if rec := w.call("GET", "/ui/", ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), "no web UI") {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w = newWorld(t, func(a *API) { a.UIEnabled = false })
	if rec := w.call("GET", "/ui/", ""); rec.Code != 404 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

func TestTokenOfARequest(t *testing.T) {
	for _, c := range []struct {
		name, target string
		headers      []string
		want         string
	}{
		{"none", "/v1/open", nil, ""},
		{"the query comes first", "/v1/open?token=q", []string{"X-Consul-Token: h", "Authorization: Bearer b"}, "q"},
		{"then the header", "/v1/open", []string{"X-Consul-Token: h", "Authorization: Bearer b"}, "h"},
		{"then the bearer", "/v1/open", []string{"Authorization: Bearer b"}, "b"},
		{"in any capitals", "/v1/open", []string{"Authorization: bearer b"}, "b"},
		{"another scheme", "/v1/open", []string{"Authorization: Basic Yjpi"}, ""},
		{"an empty query", "/v1/open?token=", []string{"X-Consul-Token: h"}, "h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got seen
			newTestRows(t, &got, nil).call("GET", c.target, "", c.headers...)
			if got.token.Reveal() != c.want {
				t.Fatalf("got %q, want %q", got.token.Reveal(), c.want)
			}
		})
	}
	t.Run("the agent's default token stands in for none", func(t *testing.T) {
		var got seen
		w := newTestRows(t, &got, nil)
		if err := w.api.Agent.Tokens.Set(TokenDefault, management); err != nil {
			t.Fatal(err)
		}
		w.call("GET", "/v1/things", "")
		if got.caller != managementAccessor {
			t.Fatalf("caller %q", got.caller)
		}
		if w.call("GET", "/v1/things", "", "X-Consul-Token: anonymous"); got.caller != acl.AnonymousAccessor {
			t.Fatalf("caller %q", got.caller)
		}
	})
}

func TestScopeOfARequest(t *testing.T) {
	for _, c := range []struct {
		name, method, target, body string
		headers                    []string
		want                       string // or the error
	}{
		{"none is default", "GET", "/v1/open", "", nil, "default/default"},
		{"from the query", "GET", "/v1/open?ns=a&partition=p", "", nil, "p/a"},
		{"in its other spelling", "GET", "/v1/open?namespace=a&ap=p", "", nil, "p/a"},
		{"in both spellings that agree", "GET", "/v1/open?ns=a&namespace=A", "", nil, "default/a"},
		{"in both spellings that differ", "GET", "/v1/open?ns=a&namespace=b", "", nil, "400 Mismatched partition/namespace"},
		{"twice", "GET", "/v1/open?partition=a&partition=b", "", nil, "400 Mismatched partition/namespace"},
		{"from headers", "GET", "/v1/open", "", []string{"X-Consul-Namespace: a", "X-Consul-Partition: p"}, "p/a"},
		{"the query over the header", "GET", "/v1/open?ns=b", "", []string{"X-Consul-Namespace: a"}, "default/b"},
		{"in capitals", "GET", "/v1/open?ns=TEAM", "", nil, "default/team"},
		{"no name", "GET", "/v1/open?ns=a_b", "", nil, "400 Invalid Namespace"},
		{"the wildcard in a list", "GET", "/v1/things?ns=*", "", nil, "default/*"},
		{"the wildcard elsewhere", "GET", "/v1/open?ns=*", "", nil, `400 Invalid namespace "*": wildcard is not allowed`},
		{"the wildcard partition", "GET", "/v1/things?partition=*", "", nil, "400 Invalid Partition"},
		{"from the body", "PUT", "/v1/open", `{"Namespace":"a","Partition":"p"}`, nil, "p/a"},
		{"the body over the header", "PUT", "/v1/open", `{"Namespace":"a"}`, []string{"X-Consul-Namespace: b"}, "default/a"},
		{"the header where the body is silent", "PUT", "/v1/open", `{}`, []string{"X-Consul-Namespace: b"}, "default/b"},
		{"body and query agree", "PUT", "/v1/open?ns=a", `{"Namespace":"A"}`, nil, "default/a"},
		{"body and query differ", "PUT", "/v1/open?ns=a", `{"Namespace":"b"}`, nil, "400 Mismatched partition/namespace"},
		{"body and query differ in the partition", "PUT", "/v1/open?ap=a", `{"Partition":"b"}`, nil, "400 Mismatched partition/namespace"},
		{"the wildcard in a body", "PUT", "/v1/open", `{"Namespace":"*"}`, nil, "400 Invalid namespace"},
		{"the agent's own partition", "GET", "/v1/local?partition=default", "", nil, "default/default"},
		{"another than the agent's", "GET", "/v1/local?partition=p", "", nil,
			`400 request targets partition "p" which does not match agent partition "default"`},
		{"a broken query", "GET", "/v1/open?ns=%zz", "", nil, "400 Invalid query string"},
		{"a semicolon", "GET", "/v1/open?ns=a;b", "", nil, "400 Invalid query string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got seen
			rec := newTestRows(t, &got, nil).call(c.method, c.target, c.body, c.headers...)
			answer := got.scope.String()
			if rec.Code != 200 {
				answer = fmt.Sprint(rec.Code, " ", rec.Body)
			}
			if !strings.HasPrefix(answer, c.want) {
				t.Fatalf("%s, want %s", answer, c.want)
			}
		})
	}
}

func TestScopeIsInheritedFromTheToken(t *testing.T) {
	r := &request{caller: acl.Caller{Token: &acl.Token{Scope: tenancy.Scope{Partition: "p", Namespace: "n"}}}}
	for _, c := range []struct {
		name        string
		given, want tenancy.Scope
	}{
		{"all of it", tenancy.Scope{}, tenancy.Scope{Partition: "p", Namespace: "n"}},
		{"the partition", tenancy.Scope{Namespace: "m"}, tenancy.Scope{Partition: "p", Namespace: "m"}},
		{"the namespace in the same partition", tenancy.Scope{Partition: "P"}, tenancy.Scope{Partition: "p", Namespace: "n"}},
		{"nothing in another partition", tenancy.Scope{Partition: "q"}, tenancy.Scope{Partition: "q"}},
	} {
		if got := r.inherit(c.given); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestReadOptions(t *testing.T) {
	for _, c := range []struct {
		name, query string
		want        endpoint.Read
		err         string
	}{
		{name: "none"},
		{name: "index and wait", query: "index=7&wait=1m30s", want: endpoint.Read{MinIndex: 7, MaxWait: 90 * time.Second}},
		{name: "stale with any value", query: "stale=false", want: endpoint.Read{Stale: true}},
		{name: "stale, but not too old", query: "stale&max_stale=10s", want: endpoint.Read{Stale: true, MaxStale: 10 * time.Second}},
		{name: "an age that is no duration", query: "stale&max_stale=old", err: "400 Invalid max_stale"},
		{name: "an age below zero", query: "stale&max_stale=-1s", err: "400 Invalid max_stale"},
		{name: "consistent", query: "consistent", want: endpoint.Read{Consistent: true}},
		{name: "an index that is no number", query: "index=abc", err: "400 Invalid index"},
		{name: "an index below zero", query: "index=-1", err: "400 Invalid index"},
		{name: "a wait that is no duration", query: "wait=abc", err: "400 Invalid wait time"},
		{name: "a wait below zero", query: "wait=-1s", err: "400 Invalid wait time"},
		{name: "stale and consistent", query: "stale&consistent",
			err: "400 Cannot specify ?stale with ?consistent, conflicting semantics."},
		{name: "cached and consistent", query: "cached&consistent",
			err: "400 Cannot specify ?cached with ?consistent, conflicting semantics."},
		{name: "the own datacenter", query: "dc=dc1"},
		{name: "an unknown datacenter", query: "dc=dc2", err: "500 No path to datacenter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got seen
			rec := newTestRows(t, &got, nil).call("GET", "/v1/open?"+c.query, "")
			answer := ""
			if rec.Code != 200 {
				answer = fmt.Sprint(rec.Code, " ", rec.Body)
			}
			if answer != c.err || got.read != c.want {
				t.Fatalf("%q %+v", answer, got.read)
			}
		})
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int
		text string
	}{
		{"invalid", errs.New(errs.Invalid, "bad name"), 400, "bad name"},
		{"unauthorized", acl.ErrDisabled, 401, "ACL support disabled"},
		{"denied", acl.ErrNotFound, 403, "ACL not found"},
		{"not found", errs.New(errs.NotFound, "no such thing"), 404, "no such thing"},
		{"conflict", errs.New(errs.Conflict, "it has changed"), 409, "it has changed"},
		{"throttled", errs.New(errs.Throttled, "slow down"), 429, "slow down"},
		{"unavailable", errs.New(errs.Unavailable, "later"), 503, "later"},
		{"a time-out", fmt.Errorf("ask STS: %w", context.DeadlineExceeded), 503, "timed out"},
		{"no leader", raftnode.ErrNoLeader, 500, "No cluster leader"},
		{"no leader, wrapped", errs.Errorf(errs.Unavailable, "login: %w", raftnode.ErrNoLeader), 500, "login: No cluster leader"},
		{"internal", errs.New(errs.Internal, "disk is on fire"), 500, "Internal error, logged with id "},
		{"without a kind", errors.New("disk is on fire"), 500, "Internal error, logged with id "},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestRows(t, &seen{}, func(*request) (any, error) { return nil, c.err })
			rec := w.call("GET", "/v1/open", "")
			if rec.Code != c.code || !strings.HasPrefix(rec.Body.String(), c.text) {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if strings.Contains(rec.Body.String(), "fire") {
				t.Fatalf("the detail is told: %s", rec.Body)
			}
			logged := w.log.String()
			if (c.code >= 500) != strings.Contains(logged, `msg="Request error"`) {
				t.Fatalf("log: %s", logged)
			}
			id, found := strings.CutPrefix(rec.Body.String(), "Internal error, logged with id ")
			if found && (!strings.Contains(logged, id) || !strings.Contains(logged, "disk is on fire")) {
				t.Fatalf("log %s has no %s", logged, id)
			}
		})
	}
}

func TestCVE_2025_1296_RequestErrorIsLoggedWithoutSecrets(t *testing.T) {
	w := newTestRows(t, &seen{}, func(*request) (any, error) { return nil, errors.New("broken") })
	w.call("GET", "/v1/open?dc=dc1&token=hunter2&%74oken=hunter2&TOKEN=hunter2;secret=hunter2", "")
	w.call("GET", "/v1/open?dc=dc1&token=hunter2&%74oken=hunter2&TOKEN=hunter2&x=%25", "")
	logged := w.log.String()
	if strings.Contains(logged, "hunter2") {
		t.Fatalf("secret in %s", logged)
	}
	for _, part := range []string{"level=ERROR", `msg="Request error"`, "method=GET", "/v1/open?dc=dc1&token=<hidden>", "from=192.0.2.1:1234", "broken"} {
		if !strings.Contains(logged, part) {
			t.Errorf("no %s in %s", part, logged)
		}
	}
}

// A secret that was typed in place of an accessor or of another ID is no less secret.
func TestCVE_2025_1296_ASecretInAPathIsNotLogged(t *testing.T) {
	const secret = "cafebabe-0000-4000-8000-00000000cafe"
	w := newWorld(t)
	w.raft.down = true
	for _, path := range []string{
		"token/" + secret, "token/hunter2" + secret, "token/" + secret + "/clone", "%74oken/hunter2" + secret, "role/" + secret, "policy/%63" + secret[1:], "policy/" + secret, "binding-rule/" + secret,
		"auth-method/" + secret,
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			w.call(method, "/v1/acl/"+path, `{"Name":"x","Type":"aws-iam"}`, asManagement)
		}
	}
	logged := w.log.String()
	if strings.Contains(logged, secret[1:]) || strings.Contains(logged, "hunter2") {
		t.Errorf("secret in %s", logged)
	}
	for in, want := range map[string]string{
		"/v1/acl/token/" + secret:                      "/v1/acl/token/<hidden>",
		"/v1/acl/token/" + secret + "/clone":           "/v1/acl/token/<hidden>/clone",
		"/v1/acl/token/self":                           "/v1/acl/token/self",
		"/v1/acl/%74oken/x%2Fy":                        "/v1/acl/%74oken/<hidden>",
		"/v1/acl/policy/name/a-name":                   "/v1/acl/policy/name/a-name",
		"/v1/acl/policy/name/" + secret:                "/v1/acl/policy/name/<hidden>",
		"/v1/acl/role/%63" + secret[1:]:                "/v1/acl/role/<hidden>",
		"/v1/acl/tokens":                               "/v1/acl/tokens",
		"/v1/agent/service/deregister/" + secret:       "/v1/agent/service/deregister/" + secret,
		"/v1/acl":                                      "/v1/acl",
		"/v1/status/leader":                            "/v1/status/leader",
		"/v1/acl/token/" + secret + "/" + secret + "x": "/v1/acl/token/<hidden>/<hidden>",
	} {
		if got := redactPath(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

// Global tokens live in the primary datacenter, whichever a request names.
func TestTheDatacenterOfATokenThatIsWritten(t *testing.T) {
	w := newWorld(t)
	var global, local acl.Token
	w.must("PUT", "/v1/acl/token?dc=dc2", `{}`, &global)
	w.must("PUT", "/v1/acl/token?dc=dc1", `{"Local":true}`, &local)
	for _, c := range []struct {
		name, method, target, body string
		want                       string
	}{
		{"a global one is updated", "PUT", "/v1/acl/token/" + global.AccessorID + "?dc=dc2", `{"Description":"d"}`, "200 "},
		{"a local one belongs elsewhere", "PUT", "/v1/acl/token?dc=dc2", `{"Local":true}`, "500 No path to datacenter"},
		{"and is not updated there", "PUT", "/v1/acl/token/" + local.AccessorID + "?dc=dc2", `{"Local":true}`, "500 No path to datacenter"},
		{"what is read is read there", "GET", "/v1/acl/token/" + global.AccessorID + "?dc=dc2", "", "500 No path to datacenter"},
		{"another thing is written there", "PUT", "/v1/acl/policy?dc=dc2", `{"Name":"p"}`, "500 No path to datacenter"},
	} {
		rec := w.call(c.method, c.target, c.body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if rec := w.call("PUT", "/v1/acl/token?dc=dc2", `{}`); rec.Code != http.StatusForbidden {
		t.Errorf("without a token: %d %s", rec.Code, rec.Body)
	}
}

func TestPanicInAHandler(t *testing.T) {
	w := newTestRows(t, &seen{}, func(*request) (any, error) { panic("oops") })
	rec := w.call("GET", "/v1/open", "")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "oops") {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(w.log.String(), "panic: oops") {
		t.Fatalf("log: %s", w.log)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Fatal("the end of a connection was kept back")
		}
	}()
	newTestRows(t, &seen{}, func(*request) (any, error) { panic(http.ErrAbortHandler) }).call("GET", "/v1/open", "")
}

func TestCallerIsGone(t *testing.T) {
	w := newTestRows(t, &seen{}, func(r *request) (any, error) { return nil, r.Context().Err() })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, httptest.NewRequest("GET", "/v1/open", nil).WithContext(ctx))
	if rec.Code != 503 || w.log.Len() > 0 {
		t.Fatalf("%d %s, log %s", rec.Code, rec.Body, w.log)
	}
}

func TestGzip(t *testing.T) {
	long := strings.Repeat("long ", 1000)
	w := newTestRows(t, &seen{}, func(*request) (any, error) { return long, nil })
	for accept, zipped := range map[string]bool{
		"gzip": true, "deflate, GZIP;q=0.5": true, "": false, "br": false, "gzip;q=0": false, "gzip; q=0.0, br": false,
	} {
		rec := w.call("GET", "/v1/open", "", "Accept-Encoding: "+accept)
		if (rec.Header().Get("Content-Encoding") == "gzip") != zipped {
			t.Errorf("%q: %v", accept, rec.Header())
			continue
		}
		body := text(rec.Body)
		if zipped {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			body = text(z)
		}
		if body != `"`+long+`"` {
			t.Errorf("%q: %.40q", accept, body)
		}
	}
}

func TestDevModeIsPretty(t *testing.T) {
	w := newTestRows(t, &seen{}, func(*request) (any, error) { return map[string]int{"a": 1}, nil },
		func(a *API) { a.Dev = true })
	if got := w.call("GET", "/v1/open", "").Body.String(); got != "{\n    \"a\": 1\n}\n" {
		t.Fatalf("%q", got)
	}
}

func TestHTTPConfig(t *testing.T) {
	blocked := func(a *API) {
		a.Config.BlockEndpoints = []string{"/v1/thing"}
		a.Config.ResponseHeaders = map[string]string{"X-Ours": "yes"}
	}
	for target, code := range map[string]int{
		"/v1/things": 403, "/v1/thing/x": 403, "/v1/open": 200, "/v1/%74hings": 403, "//v1/things": 301, "/v1/nope": 404,
	} {
		rec := newTestRows(t, &seen{}, nil, blocked).call("GET", target, "")
		if rec.Code != code {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
		if code == 403 && rec.Body.String() != "Endpoint is blocked by agent configuration" {
			t.Errorf("%s: %s", target, rec.Body)
		}
		if rec.Header().Get("X-Ours") != "yes" {
			t.Errorf("%s: headers %v", target, rec.Header())
		}
	}
}

func TestAllowWriteHTTPFrom(t *testing.T) {
	for _, c := range []struct {
		name, network, from, method string
		code                        int
	}{
		{"from inside", "192.0.2.0/24", "192.0.2.1:1", "PUT", 200},
		{"from outside", "192.0.2.0/24", "198.51.100.1:1", "PUT", 403},
		{"reads from outside", "192.0.2.0/24", "198.51.100.1:1", "GET", 200},
		{"an IPv4 address in IPv6", "192.0.2.0/24", "[::ffff:192.0.2.1]:1", "PUT", 200},
		{"a unix socket", "192.0.2.0/24", "@", "PUT", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestRows(t, &seen{}, nil, func(a *API) {
				a.Config.AllowWriteHTTPFrom = []netip.Prefix{netip.MustParsePrefix(c.network)}
			})
			req := httptest.NewRequest(c.method, "/v1/open", strings.NewReader("{}"))
			req.RemoteAddr = c.from
			req.Header.Set("X-Forwarded-For", "192.0.2.1")
			rec := httptest.NewRecorder()
			w.http.ServeHTTP(rec, req)
			if rec.Code != c.code {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

func TestAnswerWithoutADecisionIsKeptBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*request) (any, error)
		code   int
	}{
		{"a value that nobody decided about", func(*request) (any, error) { return "secret", nil }, 500},
		{"whether something exists", func(*request) (any, error) { return nil, errs.New(errs.NotFound, "no such thing") }, 500},
		{"an invalid request", func(*request) (any, error) { return nil, errs.New(errs.Invalid, "bad") }, 400},
		{"a list filtered to nothing", func(*request) (any, error) { return []string{}, nil }, 200},
		{"a list that nobody filtered", func(*request) (any, error) { return []string{"secret"}, nil }, 500},
		{"a decision that was no", func(r *request) (any, error) { return nil, r.caller.Require(r.scope, acl.ACLRead, "") }, 403},
		{"a question", func(r *request) (any, error) { return r.caller.Allowed(r.scope, acl.ACLRead, ""), nil }, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.http = w.api.handlerOf([]route{{"GET", "/v1/thing", OnServer, "acl:read", "thing",
				func(_ *API, r *request) (any, error) { return c.answer(r) }, 0}})
			rec := w.call("GET", "/v1/thing", "")
			if rec.Code != c.code || strings.Contains(rec.Body.String(), "secret") {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}
