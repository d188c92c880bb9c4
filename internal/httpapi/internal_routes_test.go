package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// fakeRaft is a leader's part in replication.
type fakeRaft struct{ err error }

func (f *fakeRaft) Commitment(_ context.Context, verify bool) (raftnode.Commitment, error) {
	c := raftnode.Commitment{Index: 7, Term: 2, LeaderTerm: 3, LeaderID: "a", LeaderAddr: "192.0.2.1:8300"}
	if verify {
		c.Index = 8
	}
	return c, f.err
}

func (f *fakeRaft) Leader() (string, string) { return "192.0.2.1:8300", "a" }

func (f *fakeRaft) Configuration() ([]raftnode.Server, uint64) {
	return []raftnode.Server{{ID: "a", Address: "192.0.2.1:8300", Voter: true}, {ID: "b", Address: "192.0.2.2:8300"}}, 0
}

func (f *fakeRaft) LogStats() autopilot.Stats { return autopilot.Stats{ID: "a", LastIndex: 9} }

// onPort returns r as the server port hands it on when a peer of kind asks.
func onPort(r *http.Request, kind peer.Kind) *http.Request {
	return r.WithContext(peer.WithIdentity(r.Context(), peer.Identity{Kind: kind, Node: "n2"}))
}

func asAgent(r *http.Request) *http.Request { return onPort(r, peer.Agent) }

// newPort returns the handler of the server port.
func newPort(t *testing.T, change ...func(*API)) (*world, *fakeRaft, http.Handler) {
	raft := &fakeRaft{}
	w := newWorld(t, change...)
	resolver := w.api.Resolver.(*endpoint.Resolver)
	w.api.Cluster = Cluster{
		Raft: raft, Resolver: resolver,
		Changes:      &endpoint.Changes{CatchUp: func(context.Context) error { return nil }},
		AutoEncrypts: &endpoint.AutoEncrypts{Backend: w.api.Tokens.Backend, Datacenter: "dc1", Domain: "consul"},
		Leafs:        &endpoint.Leafs{Backend: w.api.Tokens.Backend, Providers: ca.BuiltInProviders(), Datacenter: "dc1"},
		Authorizes:   &endpoint.ConnectAuthorizes{Intentions: &endpoint.Intentions{Backend: w.api.Tokens.Backend}},
	}
	return w, raft, w.api.PeerHandler()
}

func callPort(h http.Handler, kind peer.Kind, method, target, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, onPort(httptest.NewRequest(method, target, strings.NewReader(body)), kind))
	return rec
}

func TestInternalRoutesAreForPeers(t *testing.T) {
	w, _, port := newPort(t)
	for _, row := range internalRoutes {
		for _, prefix := range []string{"", "/", "/v1/.."} {
			if rec := w.call(row.method, prefix+row.path, "{}", asManagement); rec.Code == http.StatusOK || strings.HasPrefix(rec.Body.String(), "{") {
				t.Errorf("%s %s%s is served to the public: %d", row.method, prefix, row.path, rec.Code)
			}
		}
		rec := callPort(port, peer.Nobody, row.method, row.path, "{}")
		if rec.Code != http.StatusForbidden {
			t.Errorf("%s %s for nobody: %d %s", row.method, row.path, rec.Code, rec.Body)
		}
		if !strings.Contains(row.path, "auto-encrypt") && row.options&fromAgent == 0 {
			t.Errorf("%s %s demands no certificate", row.method, row.path)
		}
	}
	for _, row := range routes {
		rec := callPort(port, peer.Server, row.method, parts.Replace(row.path), "")
		if unknown := rec.Code == http.StatusNotFound && strings.HasPrefix(rec.Body.String(), "Invalid URL path: "); unknown != (row.served == Local) && !sharesPath(row) {
			t.Errorf("%s %s, served by the %s, is unknown on the server port: %v", row.method, row.path, row.served, unknown)
		}
	}
}

// sharesPath reports whether another route with the same path is served elsewhere.
func sharesPath(row route) bool {
	for _, other := range routes {
		if other.path == row.path && other.served != row.served {
			return true
		}
	}
	return false
}

func TestReadIndexAndServers(t *testing.T) {
	_, raft, port := newPort(t)
	for target, index := range map[string]uint64{"/internal/read-index": 7, "/internal/read-index?verify": 8} {
		var got raftnode.Commitment
		rec := callPort(port, peer.Agent, "GET", target, "")
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Index != index || got.LeaderTerm != 3 || got.LeaderID != "a" {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	raft.err = raftnode.ErrNoLeader
	rec := callPort(port, peer.Server, "GET", "/internal/read-index", "")
	if rec.Code != http.StatusInternalServerError || rec.Body.String() != "No cluster leader" || rec.Header().Get(peer.NotAppliedHeader) != "true" {
		t.Errorf("on a follower: %d %s %v", rec.Code, rec.Body, rec.Header())
	}
	rec = callPort(port, peer.Agent, "GET", "/internal/servers", "")
	want := `[{"ID":"a","Address":"192.0.2.1:8300","Voter":true,"Leader":true},{"ID":"b","Address":"192.0.2.2:8300","Voter":false,"Leader":false}]`
	if rec.Body.String() != want {
		t.Errorf("servers: %d %s", rec.Code, rec.Body)
	}
	if rec = callPort(port, peer.Server, "GET", "/internal/raft-log", ""); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"a"`) {
		t.Errorf("log: %d %s", rec.Code, rec.Body)
	}
}

func TestResolveForAnAgent(t *testing.T) {
	_, _, port := newPort(t)
	resolve := func(body string) *httptest.ResponseRecorder {
		return callPort(port, peer.Agent, "POST", "/internal/acl/resolve", body)
	}
	var got endpoint.ResolveAnswer
	rec := resolve(`{"Secret": "` + management + `"}`)
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.AccessorID != managementAccessor || len(got.Grants) != 1 || got.Index < 2 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := resolve(`{"Secret": "nobody"}`); rec.Code != http.StatusForbidden || rec.Body.String() != acl.ErrNotFound.Error() {
		t.Errorf("unknown: %d %s", rec.Code, rec.Body)
	}
	if rec := resolve(`{"Secret": ""}`); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), acl.AnonymousAccessor) {
		t.Errorf("anonymous: %d %s", rec.Code, rec.Body)
	}
	for _, bad := range []string{"", "{", `{"Other": 1}`, `{"Secret": "a", "secret": "b"}`} {
		if rec := resolve(bad); rec.Code != http.StatusBadRequest {
			t.Errorf("%q: %d %s", bad, rec.Code, rec.Body)
		}
	}
}

func TestSigningAsksForPermission(t *testing.T) {
	_, _, port := newPort(t)
	body := `{"CSR": "x", "NodeName": "n2", "Datacenter": "dc1", "Partition": "default"}`
	rec := callPort(port, peer.Nobody, "POST", peer.SignPath, body)
	if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "node:write") {
		t.Errorf("without a token: %d %s", rec.Code, rec.Body)
	}
	req := httptest.NewRequest("POST", peer.SignPath+"?token="+management, strings.NewReader(body))
	rec = httptest.NewRecorder()
	port.ServeHTTP(rec, req)
	if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "auto_encrypt.allow_tls") {
		t.Errorf("where it is switched off: %d %s", rec.Code, rec.Body)
	}
}

func TestChangesAreStreamed(t *testing.T) {
	w, _, port := newPort(t)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { port.ServeHTTP(rw, asAgent(r)) }))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/internal/acl/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func() (c endpoint.Change) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if first := next(); first.Kind != endpoint.ChangeAll {
		t.Errorf("first %+v", first)
	}
	w.api.Cluster.Changes.Note(12, nil)
	if c := next(); c.Kind != endpoint.ChangeAll || c.Index != 12 {
		t.Errorf("then %+v", c)
	}
	cancel()
	for lines.Scan() { // it ends with the request, or srv.Close never returns
	}
}

// On the server port the caller is who the last agent says, if it is an agent
// that says it; and no setting of the public ports counts.
func TestWhoTheCallerIsOnTheServerPort(t *testing.T) {
	for _, tc := range []struct {
		name, hops, chain string
		kind              peer.Kind
		want              string
	}{
		{"passed on", "1", "192.0.2.7", peer.Agent, "192.0.2.7"},
		{"what the caller claimed before", "1", "203.0.113.1, 192.0.2.7", peer.Server, "192.0.2.7"},
		{"IPv6", "1", "2001:db8::1", peer.Agent, "2001:db8::1"},
		{"without a certificate", "1", "192.0.2.7", peer.Nobody, "invalid IP"},
		{"not passed on", "", "192.0.2.7", peer.Agent, "invalid IP"},
		{"no address", "1", "unknown", peer.Agent, "invalid IP"},
		{"nothing", "1", "", peer.Agent, "invalid IP"},
	} {
		req := onPort(httptest.NewRequest("GET", "/", nil), tc.kind)
		req.Header.Set(peer.HopsHeader, tc.hops)
		req.Header.Set("X-Forwarded-For", tc.chain)
		if got := forwardedFor(req).String(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	_, _, port := newPort(t, func(a *API) {
		a.Config.BlockEndpoints = []string{"/v1/acl"}
		a.Config.ResponseHeaders = map[string]string{"X-Ours": "1"}
	})
	rec := callPort(port, peer.Agent, "GET", "/v1/acl/tokens?token="+management, "")
	if rec.Code != http.StatusOK || rec.Header().Get("X-Ours") != "" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}
