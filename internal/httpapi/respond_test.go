package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// retired is a server that finds out in the middle of a write that it does not
// lead any more, and then knows who does.
type retired struct {
	elsewhere
	proposed int
}

func (s *retired) Propose(context.Context, fsm.Command) (uint64, error) {
	s.proposed++
	return 0, raftnode.ErrNoLeader
}

func (s *retired) Forward(w http.ResponseWriter, r *http.Request, onLeader, safe bool, body func() ([]byte, error)) (bool, error) {
	s.here, s.read = s.proposed == 0, s.proposed > 0
	return s.elsewhere.Forward(w, r, onLeader, safe, body)
}

func TestAWriteGoesToTheNextLeader(t *testing.T) {
	s := &retired{}
	w := newWorld(t, func(a *API) {
		a.Forward = s
		a.Policies.Backend.Raft = s
	})
	const content = `{"Name": "moved"}`
	rec := w.call("PUT", "/v1/acl/policy", content, asManagement)
	if rec.Code != http.StatusTeapot || s.body != content || s.proposed != 1 {
		t.Errorf("%d %s, passed on %q, proposed %d times", rec.Code, rec.Body, s.body, s.proposed)
	}

	*s = retired{}
	rec = httptest.NewRecorder()
	w.api.PeerHandler().ServeHTTP(rec, asAgent(withManagement(httptest.NewRequest("PUT", "/v1/acl/policy", strings.NewReader(content)))))
	if rec.Code != http.StatusInternalServerError || rec.Header().Get(peer.NotAppliedHeader) == "" || s.proposed != 1 || s.body != "" {
		t.Errorf("what another agent has sent is for that to send again: %d %s, passed on %q", rec.Code, rec.Body, s.body)
	}
}

func withManagement(r *http.Request) *http.Request {
	r.Header.Set("X-Consul-Token", management)
	return r
}

func TestAKeptBodyIsReadAgain(t *testing.T) {
	b := &keptBody{ReadCloser: io.NopCloser(strings.NewReader("one two"))}
	part := make([]byte, 3)
	if _, err := io.ReadFull(b, part); err != nil || string(part) != "one" {
		t.Fatalf("%q, %v", part, err)
	}
	for range 2 {
		b.rewind()
		if all, err := io.ReadAll(b); err != nil || string(all) != "one two" {
			t.Errorf("%q, %v", all, err)
		}
	}
}
