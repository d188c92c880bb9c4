package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/event"
)

// newEvents returns the events of an agent that hears what it sends.
func newEvents() *event.Log {
	l := &event.Log{Node: "n1", Services: func(func(string, []string) bool) bool { return false }}
	at := uint64(0)
	l.Send = func(text []byte) error { at++; return l.Hear(text, at) }
	return l
}

func TestFireAnEvent(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, target, body string
		code               int
		text               string
	}{
		{"with a payload", "deploy?node=n1", "v2", 200, `"Name":"deploy","Payload":"djI=","NodeFilter":"n1","ServiceFilter":"","TagFilter":"","Version":1,"LTime":0}`},
		{"without one", "deploy", "", 200, `"Name":"deploy","Payload":null,"NodeFilter":""`},
		{"to a service", "deploy?service=web&tag=v1", "", 200, `"ServiceFilter":"web","TagFilter":"v1"`},
		{"a name with a slash", "a/b", "", 200, `"Name":"a/b"`},
		{"without a name", "", "", 400, "Missing name"},
		{"a filter that is none", "deploy?node=%5B", "", 400, "Invalid node filter: error parsing regexp: missing closing ]: `[`"},
		{"a tag without a service", "deploy?tag=v1", "", 400, "Cannot filter by tag without filtering by service"},
		{"another datacenter", "deploy?dc=dc9", "", 500, "No path to datacenter"},
		{"another partition", "deploy?partition=p", "", 400, "does not match agent partition"},
	} {
		rec := w.call("PUT", "/v1/event/fire/"+c.target, c.body, asManagement)
		if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.text) {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
	if rec := w.call("GET", "/v1/event/fire/deploy", "", asManagement); rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("read: %d", rec.Code)
	}
}

func TestWhoMayFireAndReadAnEvent(t *testing.T) {
	w := newWorld(t)
	dev := "X-Consul-Token: " + w.token("dev", `event "deploy" { policy = "write" } event_prefix "seen" { policy = "read" }`)
	for _, c := range []struct {
		name, event, as string
		code            int
	}{
		{"who may", "deploy", dev, 200},
		{"who may read it", "seen", dev, 403},
		{"who may do nothing with it", "secret", dev, 403},
		{"nobody", "deploy", "", 403},
	} {
		rec := w.call("PUT", "/v1/event/fire/"+c.event, "", c.as)
		if rec.Code != c.code || c.code == 403 && rec.Body.String() != "Permission denied" {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
	w.must("PUT", "/v1/event/fire/secret", "x", nil)
	w.must("PUT", "/v1/event/fire/seen-it", "x", nil)
	for as, want := range map[string]string{dev: "deploy seen-it", "": "", asManagement: "deploy secret seen-it"} {
		rec := w.call("GET", "/v1/event/list", "", as)
		var names []string
		for _, part := range strings.Split(rec.Body.String(), `"Name":"`)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			names = append(names, name)
		}
		if got := strings.Join(names, " "); rec.Code != 200 || got != want || rec.Header().Get("X-Consul-Results-Filtered-By-Acls") != "" {
			t.Errorf("as %q: %d %q, want %q, %v", as, rec.Code, got, want, rec.Header())
		}
	}
}

func TestEventsAreListed(t *testing.T) {
	w := newWorld(t)
	rec := w.call("GET", "/v1/event/list", "", asManagement)
	if rec.Code != 200 || rec.Body.String() != "[]" || rec.Header().Get("X-Consul-Index") != "1" {
		t.Errorf("none: %d %s %v", rec.Code, rec.Body, rec.Header())
	}
	var ids []string
	for i := range 3 {
		var e struct{ ID string }
		w.must("PUT", fmt.Sprintf("/v1/event/fire/e%d?node=n%d", i, 1), "", &e)
		ids = append(ids, e.ID)
	}
	var client api.Event
	for target, want := range map[string][]string{
		"": ids, "?name=e1": ids[1:2], "?name=none": {}, "?node=n1": ids, "?node=n2": {},
	} {
		var list []struct {
			ID    string
			LTime uint64
		}
		w.must("GET", "/v1/event/list"+target, "", &list)
		rec := w.call("GET", "/v1/event/list"+target, "", asManagement)
		index := uint64(1)
		if len(want) > 0 {
			index = client.IDToIndex(want[len(want)-1])
		}
		if len(list) != len(want) || rec.Header().Get("X-Consul-Index") != fmt.Sprint(index) {
			t.Errorf("%q: %v, index %s, want %d", target, list, rec.Header().Get("X-Consul-Index"), index)
			continue
		}
		for i, e := range list {
			if e.ID != want[i] || e.LTime == 0 {
				t.Errorf("%q: %v", target, list)
			}
		}
	}
}

func TestWaitForAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.must("PUT", "/v1/event/fire/first", "", nil)
		index := w.call("GET", "/v1/event/list", "", asManagement).Header().Get("X-Consul-Index")
		done := make(chan string)
		go func() { done <- w.call("GET", "/v1/event/list?index="+index, "", asManagement).Body.String() }()
		synctest.Wait()
		w.must("PUT", "/v1/event/fire/second", "", nil)
		if got := <-done; !strings.Contains(got, "second") {
			t.Errorf("woken with %s", got)
		}
		index = w.call("GET", "/v1/event/list", "", asManagement).Header().Get("X-Consul-Index")
		if rec := w.call("GET", "/v1/event/list?wait=1s&index="+index, "", asManagement); rec.Code != 200 || rec.Header().Get("X-Consul-Index") != index {
			t.Errorf("after the wait: %d %v", rec.Code, rec.Header())
		}
		if rec := w.call("GET", "/v1/event/list?index=x", "", asManagement); rec.Code != 400 || rec.Body.String() != "Invalid index" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

func TestAnAgentOfAnotherPartitionHasNoEvents(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Events = nil })
	if rec := w.call("PUT", "/v1/event/fire/e", "", asManagement); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.call("GET", "/v1/event/list", "", asManagement); rec.Code != 200 || rec.Body.String() != "[]" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// The body of an event is for every agent of the cluster. Nobody sends more than a packet holds, whatever
// the length that they claim, and nobody without the permission is read at all.
func TestCVE_2025_11375_TheBodyOfAnEventIsBounded(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		size int
		as   string
		code int
	}{
		{"the greatest", event.MaxPayload, asManagement, 200},
		{"one byte more", event.MaxPayload + 1, asManagement, 413},
		{"a megabyte", 1 << 20, asManagement, 413},
		{"a megabyte of nobody", 1 << 20, "", 403},
	} {
		body := strings.Repeat("x", c.size)
		if rec := w.call("PUT", "/v1/event/fire/e", body, c.as); rec.Code != c.code {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
		req := httptest.NewRequest("PUT", "/v1/event/fire/e", strings.NewReader(body))
		req.ContentLength = -1
		if c.as != "" {
			req.Header.Set("X-Consul-Token", management)
		}
		rec := httptest.NewRecorder()
		if w.http.ServeHTTP(rec, req); rec.Code != c.code {
			t.Errorf("%s, in chunks: %d %s", c.name, rec.Code, rec.Body)
		}
	}
	var list []struct{ Payload []byte }
	w.must("GET", "/v1/event/list", "", &list)
	for _, e := range list {
		if len(e.Payload) > event.MaxPayload {
			t.Errorf("%d bytes were sent", len(e.Payload))
		}
	}
	if len(list) != 2 {
		t.Errorf("%d events", len(list))
	}
}
