package forward_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/endpoint"
)

// ask sends a request to s's server port from another server.
func (s *server) ask(t *testing.T, from *server, method, path string, body any) *http.Response {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://server"+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	res, err := from.client.Do(t.Context(), s.addr, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// Every server tells agents of a revocation that another server has taken, at once.
func TestAgentsAreToldOfRevocations(t *testing.T) {
	c := newCluster(t, testHold)
	leader := c.leader()
	secret, accessor := leader.newToken("to be revoked")
	feeds := make([]*json.Decoder, len(c.servers))
	next := func(i int, kind string) (change endpoint.Change) {
		t.Helper()
		for change.Kind != kind {
			change = endpoint.Change{}
			if err := feeds[i].Decode(&change); err != nil {
				t.Fatal(err)
			}
		}
		return change
	}
	for i, s := range c.servers {
		res := s.ask(t, leader, http.MethodGet, "/internal/acl/changes", nil)
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		feeds[i] = json.NewDecoder(res.Body)
		next(i, endpoint.ChangeAll)
		next(i, endpoint.ChangeAlive)
		var who endpoint.ResolveAnswer
		res = s.ask(t, leader, http.MethodPost, "/internal/acl/resolve", endpoint.ResolveRequest{Secret: secret})
		data, _ := io.ReadAll(res.Body)
		if err := json.Unmarshal(data, &who); err != nil || who.AccessorID != accessor {
			t.Fatalf("%s: %s, %v", res.Status, data, err)
		}
	}
	revoked := time.Now()
	if rec := c.followers(leader)[0].call(management, http.MethodDelete, "/v1/acl/token/"+accessor, ""); rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for i, s := range c.servers {
		change := next(i, endpoint.ChangeToken)
		if change.Accessor != accessor || !change.Gone || change.Index == 0 {
			t.Errorf("told %+v", change)
		}
		res := s.ask(t, leader, http.MethodPost, "/internal/acl/resolve", endpoint.ResolveRequest{Secret: secret})
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s still knows it: %s", s.id, res.Status)
		}
	}
	if took := time.Since(revoked); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
