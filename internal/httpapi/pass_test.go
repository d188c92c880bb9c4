package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// elsewhere is a Forward that notes what it is asked to pass on.
type elsewhere struct {
	certain bool // it knows before that it leaves requests to this agent
	here    bool // it leaves requests to this agent
	err     error
	read    bool // it reads the body first
	got     *http.Request
	leader  bool
	safe    bool
	body    string
}

// Here leaves it to Forward, as where a leader is elected in between.
func (e *elsewhere) Here(bool) bool { return e.certain }

func (e *elsewhere) Forward(w http.ResponseWriter, r *http.Request, onLeader, safe bool, body func() ([]byte, error)) (bool, error) {
	e.got, e.leader, e.safe = r, onLeader, safe
	if e.read {
		data, err := body()
		if err != nil {
			return true, err
		}
		e.body = string(data)
	}
	if e.here || e.err != nil {
		return !e.here, e.err
	}
	writeText(w, http.StatusTeapot, "from elsewhere")
	return true, nil
}

func TestNothingIsPreparedForForwardWhereThisAgentAnswers(t *testing.T) {
	e := &elsewhere{certain: true}
	w := newWorld(t, func(a *API) { a.Forward = e })
	if rec := w.call("GET", "/v1/acl/token/self", "", asManagement); rec.Code != http.StatusOK || e.got != nil {
		t.Errorf("%d %s, passed on %v", rec.Code, rec.Body, e.got)
	}
}

func TestWhatIsPassedOn(t *testing.T) {
	e := &elsewhere{}
	w := newWorld(t, func(a *API) { a.Forward = e })
	for _, row := range routes {
		*e = elsewhere{}
		rec := w.call(row.method, parts.Replace(row.path), "", asManagement)
		if passed := e.got != nil; passed != (row.served != Local) || passed != (rec.Code == http.StatusTeapot) {
			t.Errorf("%s %s: served by the %s, passed on %v, answer %d", row.method, row.path, row.served, passed, rec.Code)
		}
		if e.got != nil && (e.leader != (row.served == OnLeader) || row.method == http.MethodGet && !e.safe || row.served == OnLeader && row.method != http.MethodGet && e.safe) {
			t.Errorf("%s %s: leader %v, safe %v", row.method, row.path, e.leader, e.safe)
		}
	}
}

func TestARequestThatComesBackIsAnswered(t *testing.T) {
	for _, read := range []bool{false, true} {
		e := &elsewhere{here: true, read: read}
		w := newWorld(t, func(a *API) { a.Forward = e })
		rec := w.call("PUT", "/v1/acl/policy", `{"Name": "here"}`, asManagement)
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"Name":"here"`) || read && e.body != `{"Name": "here"}` {
			t.Errorf("body read %v: %d %s", read, rec.Code, rec.Body)
		}
		rec = w.call("PUT", "/v1/acl/policy", strings.Repeat(" ", maxBody+1), asManagement)
		if rec.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("body read %v, too large: %d %s", read, rec.Code, rec.Body)
		}
	}
}

func TestAPassThatFails(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
		text string
	}{
		{raftnode.ErrNoLeader, 500, "No cluster leader"},
		{errs.New(errs.Unavailable, "connection reset"), 503, "connection reset"},
		{errs.New(errs.Invalid, "no"), 400, "no"},
	} {
		w := newWorld(t, func(a *API) { a.Forward = &elsewhere{err: tc.err} })
		rec := w.call("GET", "/v1/acl/tokens", "", asManagement)
		if rec.Code != tc.code || rec.Body.String() != tc.text || rec.Header().Get(peer.NotAppliedHeader) != "" {
			t.Errorf("%v: %d %s %v", tc.err, rec.Code, rec.Body, rec.Header())
		}
	}
}

// The agent that a request came to adds its own token; nobody else's is taken
// for a request that has none.
func TestWhoseTokenIsPassedOn(t *testing.T) {
	e := &elsewhere{}
	own := map[string]logging.Secret{TokenDefault: "the-agents-own"}
	w := newWorld(t, func(a *API) { a.Forward, a.Agent.Tokens = e, NewAgentTokens(own, nil, nil) })
	for _, tc := range []struct{ method, target, header, want string }{
		{"GET", "/v1/acl/tokens", "", "the-agents-own"},
		{"GET", "/v1/acl/tokens", "X-Consul-Token: sent", "sent"},
		{"GET", "/v1/acl/tokens?token=sent", "", ""},
		{"GET", "/v1/acl/tokens", "Authorization: Bearer sent", ""},
		{"POST", "/v1/acl/logout", "", ""}, // never ends the agent's own token
	} {
		header := tc.header
		if header == "" {
			header = "X-Nothing: 1"
		}
		w.call(tc.method, tc.target, "", header)
		if got := e.got.Header.Get("X-Consul-Token"); got != tc.want {
			t.Errorf("%s %s %s: token %q, want %q", tc.method, tc.target, tc.header, got, tc.want)
		}
	}
	e.here = true
	own[TokenDefault] = management
	w.api.Agent.Tokens = NewAgentTokens(own, nil, nil)
	if rec := w.call("GET", "/v1/acl/tokens", ""); rec.Code != http.StatusOK {
		t.Errorf("an agent does not use its token: %d %s", rec.Code, rec.Body)
	}
	port := w.api.PeerHandler()
	req := asAgent(httptest.NewRequest("GET", "/v1/acl/tokens", nil))
	rec := httptest.NewRecorder()
	port.ServeHTTP(rec, req)
	if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "anonymous token") {
		t.Errorf("a server lends its token to whoever passes a request on: %d %s", rec.Code, rec.Body)
	}
}

func TestPublicCallersDoNotCountHops(t *testing.T) {
	e := &elsewhere{}
	w := newWorld(t, func(a *API) { a.Forward = e })
	w.call("GET", "/v1/acl/tokens", "", peer.HopsHeader+": 3")
	if got := e.got.Header.Get(peer.HopsHeader); got != "" {
		t.Errorf("hops %s from outside", got)
	}
	port := w.api.PeerHandler()
	req := asAgent(httptest.NewRequest("GET", "/v1/acl/tokens", nil))
	req.Header.Set(peer.HopsHeader, "3")
	port.ServeHTTP(httptest.NewRecorder(), req)
	if got := e.got.Header.Get(peer.HopsHeader); got != "3" {
		t.Errorf("hops %s on the server port", got)
	}
}

// What may be sent again is marked, on the server port alone: a read whenever
// this server cannot answer, a write only if it was certainly not applied.
func TestWhatMayBeSentAgainIsMarked(t *testing.T) {
	broken := errs.New(errs.Unavailable, "connection reset")
	for _, tc := range []struct {
		name, method, path string
		err                error
		marked             bool
	}{
		{"a read without a leader", "GET", "/v1/acl/tokens", raftnode.ErrNoLeader, true},
		{"a read that broke off", "GET", "/v1/acl/tokens", broken, true},
		{"a read that is refused", "GET", "/v1/acl/tokens", errs.New(errs.Denied, "no"), false},
		{"a write without a leader", "PUT", "/v1/acl/token", raftnode.ErrNoLeader, true},
		{"a write that did not reach the leader", "PUT", "/v1/acl/token", errs.Errorf(errs.Unavailable, "pass on: %w", peer.ErrNotSent), true},
		{"a write that broke off", "PUT", "/v1/acl/token", broken, false},
		{"a write when leadership was lost", "PUT", "/v1/acl/token", raftnode.ErrLeadershipLost, false},
		{"a question that is posted", "POST", "/v1/internal/acl/authorize", broken, true},
	} {
		w := newWorld(t, func(a *API) { a.Forward = &elsewhere{err: tc.err} })
		for port, h := range map[string]http.Handler{"server": w.api.PeerHandler(), "public": w.http} {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, asAgent(httptest.NewRequest(tc.method, tc.path, nil)))
			if marked := rec.Header().Get(peer.NotAppliedHeader) == "true"; marked != (tc.marked && port == "server") {
				t.Errorf("%s on the %s port: marked %v", tc.name, port, marked)
			}
		}
	}
}

func TestABodyThatWasReadIsReadAgain(t *testing.T) {
	req := withBody(httptest.NewRequest("PUT", "/", strings.NewReader("old")), []byte("new"))
	if data, err := io.ReadAll(req.Body); string(data) != "new" || err != nil {
		t.Errorf("%s, %v", data, err)
	}
	if errors.Is(req.Body.Close(), io.EOF) {
		t.Error("closing fails")
	}
}
