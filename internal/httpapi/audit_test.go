package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/peer"
)

// trail is an audit trail that a test reads.
type trail struct {
	t   testing.TB
	log *audit.Log
	out bytes.Buffer
}

func newTrail(t testing.TB) *trail {
	t.Helper()
	tr := &trail{t: t}
	tr.open(audit.Config{Stdout: &tr.out, Sinks: []audit.Sink{{Name: "out", Type: audit.TypeFile, Path: "/dev/stdout"}}})
	return tr
}

func (tr *trail) open(cfg audit.Config) {
	tr.t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	var err error
	if tr.log, err = audit.Open(cfg); err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(tr.log.Close)
}

func (tr *trail) on(a *API) { a.Audit = tr.log }

// audited is an event as these tests look at it.
type audited struct {
	Payload struct {
		Stage string
		Auth  *struct {
			AccessorID  string `json:"accessor_id"`
			Description string
		}
		Request struct {
			ID, Action, Operation, Endpoint string
			RemoteAddr                      string         `json:"remote_addr"`
			ForwardedBy                     string         `json:"forwarded_by"`
			Query                           map[string]any `json:"query_params"`
			Body                            any
		}
		Response struct{ Status, Error string }
		Login    *audit.Login
	}
}

// pair is both events of a request.
type pair struct{ start, complete audited }

// pairs ends the trail and returns its requests in their order. Each has to have exactly its two events.
func (tr *trail) pairs() []pair {
	tr.t.Helper()
	tr.log.Close()
	return pairsOf(tr.t, tr.out.Bytes())
}

func pairsOf(t testing.TB, data []byte) []pair {
	t.Helper()
	var list []pair
	at := map[string]int{}
	for line := range bytes.Lines(data) {
		var e audited
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		id := e.Payload.Request.ID
		i, begun := at[id]
		switch e.Payload.Stage {
		case "OperationStart":
			if begun {
				t.Errorf("begun twice: %s", line)
			}
			at[id] = len(list)
			list = append(list, pair{start: e})
		case "OperationComplete":
			if !begun || list[i].complete.Payload.Stage != "" {
				t.Errorf("completed without a beginning, or twice: %s", line)
				continue
			}
			list[i].complete = e
		default:
			t.Errorf("no operation: %s", line)
		}
	}
	for _, p := range list {
		if p.complete.Payload.Stage == "" {
			t.Errorf("not completed: %+v", p.start)
		}
	}
	return list
}

func TestEveryRouteIsAudited(t *testing.T) {
	tr := newTrail(t)
	w := newWorld(t, tr.on)
	var want []string
	for _, row := range routes {
		ctx, cancel := context.WithCancel(context.Background())
		req := httptest.NewRequestWithContext(ctx, row.method, parts.Replace(row.path), strings.NewReader("{}"))
		cancel() // of streams, which would not end
		w.http.ServeHTTP(httptest.NewRecorder(), req)
		want = append(want, row.operation)
	}
	got := tr.pairs()
	if len(got) != len(want) {
		t.Fatalf("%d requests, %d in the trail", len(want), len(got))
	}
	for i, p := range got {
		r := p.start.Payload.Request
		if r.Action != want[i] || r.Operation != routes[i].method || p.complete.Payload.Response.Status == "" {
			t.Errorf("%s: %+v", want[i], p)
		}
	}
}

func TestCVE_2021_28156_OddURLsAreAudited(t *testing.T) {
	tr := newTrail(t)
	w := newWorld(t, tr.on, func(a *API) { a.Config.BlockEndpoints = []string{"/v1/status/"} })
	cases := []struct{ method, target, endpoint, action, status string }{
		{"GET", "//v1/../v1/acl/tokens", "/v1/acl/tokens", "", "301"},
		{"GET", "/v1//kv/../kv/x", "/v1/kv/x", "", "301"},
		{"GET", "/v1/./acl/tokens/", "/v1/acl/tokens/", "", "301"},
		{"GET", "/ui/../v1/acl/tokens", "/v1/acl/tokens", "", "301"},
		{"GET", "/v1/acl%2Ftokens", "/v1/acl/tokens", "", "404"},
		{"GET", "/v1%2Facl%2Ftokens", "/v1/acl/tokens", "", "404"},
		{"GET", "/V1/acl/tokens", "/V1/acl/tokens", "", "404"},
		{"GET", "/v1/acl/%74okens", "/v1/acl/tokens", "acl.token.list", "403"},
		{"GET", "/v1/acl/tokens?a=%zz", "/v1/acl/tokens", "acl.token.list", "400"},
		{"PATCH", "/v1/acl/tokens", "/v1/acl/tokens", "", "405"},
		{"OPTIONS", "/v1/acl/tokens", "/v1/acl/tokens", "", "200"},
		{"GET", "/v1/status/leader", "/v1/status/leader", "status.leader", "403"}, // blocked
		{"GET", "/v1/nothing", "/v1/nothing", "", "404"},
		{"GET", "/internal/acl/resolve", "/internal/acl/resolve", "", "404"},
	}
	for _, c := range cases {
		if rec := w.call(c.method, c.target, ""); fmt.Sprint(rec.Code) != c.status {
			t.Errorf("%s %s: %d", c.method, c.target, rec.Code)
		}
	}
	w.call("GET", "/ui/", "")
	w.call("GET", "/", "")
	got := tr.pairs()
	if len(got) != len(cases) {
		t.Fatalf("%d requests, %d in the trail", len(cases), len(got))
	}
	for i, c := range cases {
		r := got[i].start.Payload.Request
		if r.Endpoint != c.endpoint || r.Action != c.action || r.Operation != c.method || got[i].complete.Payload.Response.Status != c.status {
			t.Errorf("%s %s: %+v", c.method, c.target, got[i])
		}
	}
}

// What net/http would answer itself, or take for a page of the UI, is no way around the trail.
func TestCVE_2021_28156_RequestsWithoutAPathAreAudited(t *testing.T) {
	tr := newTrail(t)
	addr := newWorld(t, tr.on).listen(Limits{})
	cases := []struct{ line, operation, endpoint, status string }{
		{"OPTIONS * HTTP/1.1", "OPTIONS", "/*", "200"},
		{"GET * HTTP/1.1", "GET", "/*", "301"},
		{"CONNECT other.example:443 HTTP/1.1", "CONNECT", "/", "301"},
		{"CONNECT /v1/acl/tokens HTTP/1.1", "CONNECT", "/v1/acl/tokens", "405"},
		{"PUT / HTTP/1.1", "PUT", "/", "301"},
		{"DELETE /ui/x HTTP/1.1", "DELETE", "/ui/x", "404"},
		{"GET /v1/status/leader HTTP/1.0", "GET", "/v1/status/leader", "200"},
	}
	for _, c := range cases {
		res, _, err := send(t, addr, c.line+"\r\nHost: x\r\nConnection: close\r\n\r\n")
		if err != nil || fmt.Sprint(res.StatusCode) != c.status {
			t.Errorf("%s: %v %v", c.line, res, err)
		}
	}
	got := tr.pairs()
	if len(got) != len(cases) {
		t.Fatalf("%d requests, %d in the trail", len(cases), len(got))
	}
	for i, c := range cases {
		r := got[i].start.Payload.Request
		if r.Operation != c.operation || r.Endpoint != c.endpoint || got[i].complete.Payload.Response.Status != c.status {
			t.Errorf("%s: %+v", c.line, got[i])
		}
	}
}

func TestWhoIsInTheTrail(t *testing.T) {
	tr := newTrail(t)
	w := newWorld(t, tr.on)
	w.withLogins()
	var made acl.Token
	w.must("PUT", "/v1/acl/token", `{"Description":"for ops"}`, &made)
	w.call("GET", "/v1/acl/tokens", "", "X-Consul-Token: "+made.SecretID.Reveal())
	w.call("GET", "/v1/acl/tokens", "", "X-Consul-Token: nobodys-token")
	w.call("GET", "/v1/acl/tokens", "")
	w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:open sesame"}`)
	w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"a.b:open sesame"}`)
	w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:wrong"}`)
	w.call("POST", "/v1/acl/logout", "", "X-Consul-Token: "+made.SecretID.Reveal())
	got := tr.pairs()[3:]
	for i, want := range []struct{ accessor, description, status, err, principal string }{
		{made.AccessorID, "for ops", "403", "Permission denied: token with AccessorID '" + made.AccessorID + "' lacks permission 'acl:read'", ""},
		{"", "", "403", "ACL not found", ""},
		{acl.AnonymousAccessor, "", "403", "", ""},
		{acl.AnonymousAccessor, "", "200", "", "web"},
		{acl.AnonymousAccessor, "", "400", `invalid bind name: "a.b"`, "a.b"}, // refused, but who it is was proven
		{acl.AnonymousAccessor, "", "403", "Permission denied: wrong password", ""},
		{made.AccessorID, "for ops", "403", "Permission denied: token wasn't created via login", ""},
	} {
		p := got[i].complete.Payload
		accessor, description := "", ""
		if p.Auth != nil {
			accessor, description = p.Auth.AccessorID, p.Auth.Description
		}
		if accessor != want.accessor || description != want.description || p.Response.Status != want.status || !strings.HasPrefix(p.Response.Error, want.err) {
			t.Errorf("%d: %+v", i, p)
		}
		if (p.Login == nil) != (want.principal == "") || p.Login != nil && (p.Login.Principal != want.principal || p.Login.AuthMethod != "ecs" || (p.Login.AccessorID == "") != (want.status != "200")) {
			t.Errorf("%d: login %+v", i, p.Login)
		}
		if a := got[i].start.Payload.Auth; (a == nil) != (accessor == "") || a != nil && a.AccessorID != accessor {
			t.Errorf("%d: begun by %+v", i, a)
		}
	}
}

func TestCVE_2025_62513_NoSecretIsInTheTrail(t *testing.T) {
	tr := newTrail(t)
	w := newWorld(t, tr.on)
	w.withLogins()
	var made acl.Token
	w.must("PUT", "/v1/acl/token", `{"SecretID":"5ec2e700-0000-4000-8000-000000000001","Description":"x"}`, &made)
	secret := made.SecretID.Reveal()
	w.call("GET", "/v1/acl/tokens?token="+secret+"&tokeN="+secret+"&x="+secret+"&"+secret+"=1&filter="+secret, "",
		"User-Agent: "+secret, "Via: "+secret, "X-Forwarded-Host: "+secret)
	w.call("GET", "/v1/acl/token/"+secret, "", asManagement)
	w.call("GET", "/v1/acl/token/"+made.AccessorID, "", asManagement)
	w.call("PUT", "/v1/acl/clone/"+secret, "", asManagement)
	w.call("GET", "/v1/kv/"+secret, "", "Authorization: Bearer "+secret)
	w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:open sesame","Meta":{"a":"private"},"Nested":[{"Name":"shown"},{"Password":["open sesame"]}]}`)
	w.call("PUT", "/v1/acl/policy", `not json: open sesame`, asManagement)
	w.call("PUT", "/v1/acl/token", `{"Description":"`+secret+`"}`, "X-Consul-Token: "+secret)
	w.call("PUT", "/v1/kv/a", `{"Name":"private"}`, asManagement)
	w.call("PUT", "/v1/event/fire/e", `{"Name":"private"}`, asManagement)
	w.call("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a/b","Value":"cHJpdmF0ZQ=="}}]`, asManagement)
	w.call("PUT", "/v1/config", `{"Kind":"service-intentions","Name":"web","Meta":{"Name":"private"},"Sources":[{"Name":"api","Action":"allow"}]}`, asManagement)
	w.call("PUT", "/v1/catalog/register", `{"Node":"n","NodeMeta":{"id":"private"},"Check":{"Definition":{"Header":{"Name":["private",{"Name":"private"}]}}}}`, asManagement)
	w.call("POST", "/v1/connect/intentions", `{"SourceName":"api","DestinationName":"web","Action":"allow"}`, asManagement)
	w.call("POST", "/v1/operator/keyring", `{"Key":"private"}`, asManagement)
	got := tr.pairs()
	for _, s := range []string{secret, management, "sesame", "private", "cHJpdmF0ZQ"} {
		if strings.Contains(tr.out.String(), s) {
			i := strings.Index(tr.out.String(), s)
			t.Errorf("%s is in the trail: …%s", s, tr.out.String()[max(0, i-200):i+60])
		}
	}
	read := got[5]
	if read.start.Payload.Request.Endpoint != "/v1/acl/token/"+tr.log.Hash(made.AccessorID) || read.complete.Payload.Request.Endpoint != "/v1/acl/token/"+made.AccessorID {
		t.Errorf("an accessor in a path: %+v", read)
	}
	body, _ := json.Marshal(got[8].complete.Payload.Request.Body)
	want := `{"AuthMethod":"ecs","BearerToken":"` + tr.log.Hash("web:open sesame") + `","Meta":{"a":"` + tr.log.Hash("private") +
		`"},"Nested":[{"Name":"shown"},{"Password":["` + tr.log.Hash("open sesame") + `"]}]}`
	if string(body) != want {
		t.Errorf("body: %s", body)
	}
	if body := fmt.Sprint(got[9].complete.Payload.Request.Body); body != "map[bytes:21 hash:"+tr.log.Hash("not json: open sesame")+"]" {
		t.Errorf("body that is no JSON: %s", body)
	}
	for i, want := range []string{
		"map[bytes:18 hash:" + tr.log.Hash(`{"Name":"private"}`) + "]", "map[bytes:18 hash:" + tr.log.Hash(`{"Name":"private"}`) + "]",
		"[map[KV:map[Key:a/b Value:" + tr.log.Hash("cHJpdmF0ZQ==") + " Verb:set]]]",
		"map[Kind:service-intentions Meta:map[Name:" + tr.log.Hash("private") + "] Name:web Sources:[map[Action:allow Name:api]]]",
		"map[Check:map[Definition:map[Header:map[Name:[" + tr.log.Hash("private") + " map[Name:" + tr.log.Hash("private") + "]]]]] Node:n NodeMeta:map[id:" + tr.log.Hash("private") + "]]",
		"map[Action:allow DestinationName:web SourceName:api]",
		"map[Key:" + tr.log.Hash("private") + "]",
	} {
		if body := fmt.Sprint(got[11+i].complete.Payload.Request.Body); body != want {
			t.Errorf("body %s, want %s", body, want)
		}
	}
	if q := fmt.Sprint(got[3].start.Payload.Request.Query["token"]); q != "<hidden>" {
		t.Errorf("token in a query: %s", q)
	}
}

// handlers of the rows of breaking.
var breaking = []route{
	{http.MethodGet, "/v1/test/panic", Local, "none: a test", "test.panic", func(*API, *request) (any, error) { panic("broken") }, 0},
	{http.MethodGet, "/v1/test/abort", Local, "none: a test", "test.abort", func(*API, *request) (any, error) { panic(http.ErrAbortHandler) }, 0},
	{http.MethodGet, "/v1/test/stream", Local, "none: a test", "test.stream", func(*API, *request) (any, error) {
		return stream(func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "one\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), nil
	}, 0},
	{http.MethodPut, "/v1/test/write", Local, "none: a test", "test.write", func(_ *API, r *request) (any, error) {
		body, err := r.readBody()
		return string(body), err
	}, 0},
}

func TestWhatBreaksHasBothEvents(t *testing.T) {
	tr := newTrail(t)
	w := newWorld(t, tr.on)
	server := httptest.NewUnstartedServer(w.api.handlerOf(breaking))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, client := range []*http.Client{server.Client(), {Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: false}}} {
		for _, path := range []string{"panic", "abort", "stream"} {
			res, err := client.Get(server.URL + "/v1/test/" + path)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			if (err == nil) != (path == "panic") {
				t.Errorf("%s: %v", path, err)
			}
		}
		cut := httptest.NewRequest("PUT", "/v1/test/write", io.MultiReader(strings.NewReader("half"), brokenReader{}))
		w.api.handlerOf(breaking).ServeHTTP(httptest.NewRecorder(), cut)
	}
	server.Close()
	want := map[string]string{
		"test.panic": "500 Internal error, logged with id ", "test.abort": " the connection was ended",
		"test.stream": "200 the connection was ended", "test.write": "400 Failed to read request body",
	}
	counted := map[string]int{}
	for _, p := range tr.pairs() {
		action, r := p.start.Payload.Request.Action, p.complete.Payload.Response
		if counted[action]++; !strings.HasPrefix(r.Status+" "+r.Error, want[action]) {
			t.Errorf("%s: %+v", action, r)
		}
	}
	for action := range want {
		if counted[action] < 2 { // a client may try again
			t.Errorf("%s is there %d times", action, counted[action])
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestEnforcedHasNoOperationWithoutItsEvent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	tr := &trail{t: t}
	tr.open(audit.Config{Sinks: []audit.Sink{{Name: "f", Type: audit.TypeFile, Path: path, Enforced: true, Exclude: []string{"status.*"}}}})
	acted := 0
	w := newWorld(t, tr.on)
	fill := func() {
		if err := os.Rename(path, path+".good"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		_ = tr.log.Reopen()
	}
	free := func() {
		_ = os.Remove(path)
		if err := os.Rename(path+".good", path); err != nil {
			t.Fatal(err)
		}
		_ = tr.log.Reopen()
	}
	w.http = w.api.handlerOf(append([]route{
		{http.MethodPut, "/v1/test/act", Local, "none: a test", "test.act", func(_ *API, r *request) (any, error) {
			acted++
			events := pairsSoFar(t, path)
			if events[len(events)-1] != "OperationStart" {
				t.Errorf("acted before its event: %v", events)
			}
			if r.URL.RawQuery != "" {
				fill()
			}
			return "the answer", nil
		}, 0}}, routes...))
	if rec := w.call("PUT", "/v1/test/act", ""); rec.Code != 200 || acted != 1 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if got := pairsSoFar(t, path); len(got) != 2 || got[1] != "OperationComplete" {
		t.Errorf("when the answer has left there is %v", got)
	}
	fill()
	rec := w.call("PUT", "/v1/test/act", "")
	if rec.Code != 503 || acted != 1 || !strings.Contains(rec.Body.String(), "audit trail cannot be written") || rec.Header().Get("X-Consul-Default-Acl-Policy") == "" {
		t.Errorf("acted %d times: %d %s", acted, rec.Code, rec.Body)
	}
	if rec := w.call("GET", "/v1/status/leader", ""); rec.Code != 200 {
		t.Errorf("an operation that the sink is not for: %d %s", rec.Code, rec.Body)
	}
	free()
	rec = w.call("PUT", "/v1/test/act?full", "")
	if rec.Code != 503 || acted != 2 || strings.Contains(rec.Body.String(), "the answer\"") || !strings.Contains(rec.Body.String(), "may have been carried out") {
		t.Errorf("acted %d times: %d %s", acted, rec.Code, rec.Body)
	}
	free()
	if rec := w.call("PUT", "/v1/test/act", ""); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	tr.log.Close()
	if r, err := audit.Verify([]string{path}, nil, false); err != nil || len(r.Faults) > 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// pairsSoFar returns the stages in a file.
func pairsSoFar(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var stages []string
	for line := range bytes.Lines(data) {
		var e audited
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		stages = append(stages, e.Payload.Stage)
	}
	return stages
}

func TestARequestThatWasPassedOnIsMarked(t *testing.T) {
	tr := newTrail(t)
	w, _, h := newPort(t, tr.on)
	w.withLogins()
	call := func(kind peer.Kind, target, body string, headers ...string) *httptest.ResponseRecorder {
		req := onPort(httptest.NewRequest("POST", target, strings.NewReader(body)), kind)
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			req.Header.Set(name, value)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec
	}
	const id = "11111111-0000-4000-8000-000000000001"
	login := `{"AuthMethod":"ecs","BearerToken":"web:open sesame"}`
	rec := call(peer.Agent, "/v1/acl/login", login, peer.HopsHeader+": 1", peer.RequestIDHeader+": "+id, "X-Forwarded-For: 10.9.9.9")
	var told audit.Login
	if err := json.Unmarshal([]byte(rec.Header().Get(peer.LoginHeader)), &told); err != nil || told.Principal != "web" {
		t.Errorf("told %s", rec.Header().Get(peer.LoginHeader))
	}
	rec = call(peer.Nobody, "/v1/acl/login", login, peer.HopsHeader+": 1", peer.RequestIDHeader+": "+id)
	if rec.Header().Get(peer.LoginHeader) != "" {
		t.Error("a stranger is told whom a login has proven")
	}
	call(peer.Agent, "/internal/acl/resolve", `{"Secret":"x"}`)
	call(peer.Nobody, "/internal/acl/resolve", `{"Secret":"x"}`)
	got := tr.pairs()[2:]
	if len(got) != 3 {
		t.Fatalf("got %+v", got)
	}
	first, second, refused := got[0].start.Payload.Request, got[1].start.Payload.Request, got[2].complete.Payload
	if first.ID != id || first.ForwardedBy != "n2" || first.RemoteAddr != "10.9.9.9:0" || got[0].complete.Payload.Login.Principal != "web" {
		t.Errorf("passed on: %+v", got[0])
	}
	if second.ID == id || second.ForwardedBy != "" {
		t.Errorf("by a stranger: %+v", second)
	}
	if refused.Request.Action != "internal.acl.resolve" || refused.Response.Status != "403" {
		t.Errorf("a stranger's question: %+v", refused)
	}
}

func TestAPublicCallerIsToldNothing(t *testing.T) {
	for _, on := range []bool{true, false} {
		e := &elsewhere{here: true}
		w := newWorld(t, func(a *API) {
			a.Forward = e
			if on {
				newTrail(t).on(a)
			}
		})
		w.withLogins()
		const id = "11111111-0000-4000-8000-000000000001"
		rec := w.call("POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:open sesame"}`, peer.RequestIDHeader+": "+id)
		if rec.Code != 200 || rec.Header().Get(peer.LoginHeader) != "" {
			t.Errorf("%d %v", rec.Code, rec.Header())
		}
		if sent := e.got.Header.Get(peer.RequestIDHeader); sent == id || (sent != "") != on {
			t.Errorf("audit %v: the caller's ID %q is passed on", on, sent)
		}
	}
}

func BenchmarkAudit(b *testing.B) {
	for _, c := range []struct {
		name string
		sink *audit.Sink
	}{
		{"off", nil},
		{"discarded", &audit.Sink{Type: audit.TypeFile, Path: "/dev/null"}},
		{"best-effort", &audit.Sink{Type: audit.TypeFile, Path: filepath.Join(b.TempDir(), "a")}},
		{"enforced", &audit.Sink{Type: audit.TypeFile, Path: filepath.Join(b.TempDir(), "b"), Enforced: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			tr := &trail{t: b}
			w := newWorld(b, func(a *API) {
				if c.sink != nil {
					tr.open(audit.Config{Sinks: []audit.Sink{*c.sink}})
					tr.on(a)
				}
			})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req := httptest.NewRequest("GET", "/v1/status/leader", nil)
					req.Header.Set("X-Consul-Token", management)
					w.http.ServeHTTP(httptest.NewRecorder(), req)
				}
			})
			if c.sink != nil {
				b.ReportMetric(float64(tr.log.Stats().Lost), "lost")
			}
		})
	}
}
