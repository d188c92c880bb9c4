package httpapi

import (
	"net/http"
	"testing"
)

func TestReadyForLoadBalancers(t *testing.T) {
	ready := true
	w := newWorld(t, func(a *API) { a.Agent.Ready = func() bool { return ready } })
	for _, c := range []struct {
		name  string
		ready bool
		code  int
		body  string
	}{
		{"it can answer reads", true, http.StatusOK, `{"Ready":true}`},
		{"nobody leads", false, http.StatusServiceUnavailable, `{"Ready":false}`},
		{"somebody leads again", true, http.StatusOK, `{"Ready":true}`},
	} {
		ready = c.ready
		if rec := w.call("GET", "/v1/status/ready", ""); rec.Code != c.code || rec.Body.String() != c.body {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}
