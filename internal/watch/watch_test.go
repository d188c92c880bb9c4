package watch

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
)

// answerer plays the API: it is called with the request's path and query.
type answerer func(r *http.Request) (status int, index, body string)

func (a answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	status, index, body := a(r)
	h := http.Header{}
	if strings.HasPrefix(index, "#") {
		h.Set("X-Consul-ContentHash", index)
	} else {
		h.Set("X-Consul-Index", index)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, r.Context().Err()
}

func client(t *testing.T, a answerer) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "127.0.0.1:1", HttpClient: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsAsked(t *testing.T) {
	for _, tc := range []struct {
		q     Query
		asked string
		body  string
		want  string // the value as JSON
	}{
		{Query{Type: "key", Key: "a/b"}, "/v1/kv/a/b", `[{"Key":"a/b","Value":"eA=="}]`, `"Key":"a/b"`},
		{Query{Type: "keyprefix", Prefix: "a/"}, "/v1/kv/a/?recurse=", `[{"Key":"a/b"}]`, `"Key":"a/b"`},
		{Query{Type: "services", Stale: true}, "/v1/catalog/services?stale=", `{"a":[]}`, `{"a":[]}`},
		{Query{Type: "nodes", Filter: "Node==a"}, "/v1/catalog/nodes?filter=Node%3D%3Da", `[{"Node":"a"}]`, `"Node":"a"`},
		{Query{Type: "service", Service: "web", Tags: []string{"x", "y"}, PassingOnly: true}, "/v1/health/service/web?passing=1&tag=x&tag=y", `[{"Node":{"Node":"a"}}]`, `"Node":"a"`},
		{Query{Type: "checks"}, "/v1/health/state/any", `[{"CheckID":"c"}]`, `"CheckID":"c"`},
		{Query{Type: "checks", State: "critical"}, "/v1/health/state/critical", `[]`, `[]`},
		{Query{Type: "checks", Service: "web"}, "/v1/health/checks/web", `[]`, `[]`},
		{Query{Type: "event", Name: "deploy"}, "/v1/event/list?name=deploy", `[{"ID":"e"}]`, `"ID":"e"`},
		{Query{Type: "connect_roots"}, "/v1/agent/connect/ca/roots", `{"ActiveRootID":"r"}`, `"ActiveRootID":"r"`},
		{Query{Type: "connect_leaf", Service: "web"}, "/v1/agent/connect/ca/leaf/web", `{"Service":"web"}`, `"Service":"web"`},
		{Query{Type: "agent_service", ServiceID: "web-1"}, "/v1/agent/service/web-1", `{"ID":"web-1"}`, `"ID":"web-1"`},
	} {
		t.Run(tc.q.Describe(), func(t *testing.T) {
			asked := ""
			c := client(t, func(r *http.Request) (int, string, string) {
				asked = r.URL.RequestURI()
				return 200, "7", tc.body
			})
			if err := tc.q.Validate(); err != nil {
				t.Fatal(err)
			}
			got, err := tc.q.Once(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(got.Value)
			if asked != tc.asked || !strings.Contains(string(text), tc.want) {
				t.Errorf("asked %s, got %s", asked, text)
			}
		})
	}
}

func TestQueriesThatLackSomething(t *testing.T) {
	for _, tc := range []struct {
		q    Query
		want string
	}{
		{Query{}, "Watch type must be specified"},
		{Query{Type: "bogus"}, "Unsupported watch type: bogus"},
		{Query{Type: "key"}, "Must specify a single key to watch"},
		{Query{Type: "keyprefix"}, "Must specify a single prefix to watch"},
		{Query{Type: "service"}, "Must specify a single service to watch"},
		{Query{Type: "connect_leaf"}, "Must specify a single service to watch"},
		{Query{Type: "agent_service"}, "Must specify a single service ID to watch"},
		{Query{Type: "checks", Service: "a", State: "any"}, "Cannot specify service and state at the same time"},
	} {
		if err := tc.q.Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("%+v: got %v, want %s", tc.q, err, tc.want)
		}
	}
}

// A key that goes away is a change too: its value is null.
func TestKeyThatDoesNotExist(t *testing.T) {
	c := client(t, func(*http.Request) (int, string, string) { return 404, "3", "" })
	got, err := Query{Type: "key", Key: "a"}.Once(t.Context(), c)
	if err != nil || got.Index != 3 || got.Value != nil {
		t.Errorf("%+v %v", got, err)
	}
}

// run follows nodes with answers in turn, and returns the handled changes' indexes and what was asked.
func run(t *testing.T, q Query, answers ...string) (handled []uint64, asked []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := client(t, func(r *http.Request) (int, string, string) {
			asked = append(asked, r.URL.RawQuery)
			if len(answers) == 0 {
				cancel()
				return 200, "99", "[]"
			}
			index, body, _ := strings.Cut(answers[0], " ")
			answers = answers[1:]
			if body == "fail" {
				return 500, index, "no"
			}
			return 200, index, body
		})
		q.Run(ctx, c, slog.New(slog.DiscardHandler), func(c Change) { handled = append(handled, c.Index) })
	})
	return handled, asked
}

func TestChangesAreHandled(t *testing.T) {
	a, b := `[{"Node":"a"}]`, `[{"Node":"b"}]`
	for _, tc := range []struct {
		name    string
		answers []string
		handled []uint64
		asked   []string
	}{
		{"the first answer and each change", []string{"5 " + a, "6 " + b}, []uint64{5, 6}, []string{"", "index=5", "index=6"}},
		{"not what is the same", []string{"5 " + a, "5 " + a, "7 " + a}, []uint64{5}, []string{"", "index=5", "index=5", "index=7"}},
		{"an error begins again", []string{"5 " + a, "0 fail", "0 fail", "8 " + a, "9 " + b}, []uint64{5, 9}, []string{"", "index=5", "", "", "index=8", "index=9"}},
		{"an index that goes back begins again", []string{"5 " + a, "2 " + b, "2 " + b}, []uint64{5, 0}, []string{"", "index=5", "", "index=2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			handled, asked := run(t, Query{Type: "nodes"}, tc.answers...)
			if !reflect.DeepEqual(handled, tc.handled) || !reflect.DeepEqual(asked, tc.asked) {
				t.Errorf("handled %v, asked %q", handled, asked)
			}
		})
	}
}

func TestHashInPlaceOfAnIndex(t *testing.T) {
	handled, asked := run(t, Query{Type: "agent_service", ServiceID: "a"}, `#1 {"ID":"a"}`, `#2 {"ID":"a","Port":1}`)
	if len(handled) != 2 || !reflect.DeepEqual(asked, []string{"", "hash=%231", "hash=%232"}) {
		t.Errorf("handled %v, asked %q", handled, asked)
	}
}

func TestOnlyEventsThatAreNewAreHandled(t *testing.T) {
	const old, fresh = `{"ID":"11111111-1111-1111-2222-222222222222"}`, `{"ID":"11111111-1111-1111-3333-333333333333"}`
	c := client(t, func(*http.Request) (int, string, string) { return 200, "1", "[" + old + "," + fresh + "]" })
	index := c.Event().IDToIndex("11111111-1111-1111-2222-222222222222")
	got, err := Query{Type: "event"}.ask(c, &api.QueryOptions{WaitIndex: index})
	if events, _ := got.Value.([]*api.UserEvent); err != nil || len(events) != 1 || events[0].ID != "11111111-1111-1111-3333-333333333333" {
		t.Errorf("%+v %v", got.Value, err)
	}
}

func TestCommandsAsHandlers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "got")
	change := Change{Index: 7, Value: map[string]any{"a": 1}}
	for _, h := range []Handler{
		{Args: []string{"cat > " + path + "; echo $CONSUL_INDEX >> " + path}, Shell: "/bin/sh"},
		{Args: []string{"/bin/sh", "-c", "cat > \"$0\"; echo $CONSUL_INDEX >> \"$0\"", path}},
	} {
		if err := h.Handle(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "{\"a\":1}\n7\n" {
			t.Errorf("%q %v", text, err)
		}
	}
	var out strings.Builder
	err := Handler{Args: []string{"echo said; exit 3"}, Shell: "/bin/sh", Out: &out}.Handle(t.Context(), change)
	if err == nil || err.Error() != "exit status 3" || out.String() != "said\n" {
		t.Errorf("%v %q", err, out.String())
	}
	if err := (Handler{}).Handle(t.Context(), change); err == nil {
		t.Error("no handler is no error")
	}
}

func TestServersAsHandlers(t *testing.T) {
	var got []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = []string{r.Method, r.Header.Get("X-Consul-Index"), r.Header.Get("X-Who"), string(body)}
		if r.URL.Path == "/fail" {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	h := Handler{URL: srv.URL, Header: map[string][]string{"x-who": {"me"}}, TLSSkipVerify: true, Timeout: time.Minute}
	change := Change{Index: 7, Value: []int{1}}
	if err := h.Handle(t.Context(), change); err != nil || !reflect.DeepEqual(got, []string{"POST", "7", "me", "[1]"}) {
		t.Errorf("%v %q", err, got)
	}
	h.URL, h.Method = srv.URL+"/fail", "PUT"
	if err := h.Handle(t.Context(), change); err == nil || err.Error() != "the handler answered 503: not now" || got[0] != "PUT" {
		t.Errorf("%v %q", err, got)
	}
	h.TLSSkipVerify = false
	if err := h.Handle(t.Context(), change); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}
