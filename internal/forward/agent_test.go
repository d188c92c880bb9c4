package forward_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// network is a client for servers that are functions.
type network struct {
	mu      sync.Mutex
	servers map[string]func(*http.Request) (*http.Response, error)
	asked   []string
}

func (n *network) Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked = append(n.asked, addr)
	serve := n.servers[addr]
	n.mu.Unlock()
	if serve == nil {
		return nil, fmt.Errorf("%w to %s: connection refused", peer.ErrNotSent, addr)
	}
	return serve(req.WithContext(ctx))
}

// hosts returns the servers asked since the last call.
func (n *network) hosts() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked
	n.asked = nil
	return asked
}

func (n *network) set(addr string, serve func(*http.Request) (*http.Response, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers[addr] = serve
}

func answer(status int, body string, headers ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		res.Header.Set(name, value)
	}
	return res
}

func says(body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return answer(200, body), nil }
}

func refuses(*http.Request) (*http.Response, error) {
	return answer(500, "No cluster leader", peer.NotAppliedHeader+": true"), nil
}

func cut(*http.Request) (*http.Response, error) {
	return nil, errs.New(errs.Unavailable, "connection reset")
}

// agent is a client agent that knows some servers.
func agent(addrs ...string) (*forward.Forwarder, *network) {
	n := &network{servers: map[string]func(*http.Request) (*http.Response, error){}}
	for _, a := range addrs {
		n.servers[a] = says("from " + a)
	}
	return &forward.Forwarder{Client: n, Servers: func() []string { return addrs }}, n
}

// pass forwards a request and returns the answer; the error has no status here.
func pass(t *testing.T, f *forward.Forwarder, req *http.Request, safe bool) (*httptest.ResponseRecorder, error) {
	t.Helper()
	rec := httptest.NewRecorder()
	done, err := f.Forward(rec, req, !safe, safe, func() ([]byte, error) { return io.ReadAll(req.Body) })
	if !done {
		t.Fatal("nobody answered")
	}
	return rec, err
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }
func put(target, body string) *http.Request {
	return httptest.NewRequest(http.MethodPut, target, strings.NewReader(body))
}

func TestAnAgentStaysWithAServerThatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := agent("s1", "s2", "s3")
		chosen := map[string]bool{}
		ask := func() string {
			t.Helper()
			rec, err := pass(t, f, get("/v1/x"), true)
			hosts := n.hosts()
			if err != nil || len(hosts) != 1 || rec.Body.String() != "from "+hosts[0] {
				t.Fatalf("%s from %v, %v", rec.Body, hosts, err)
			}
			return hosts[0]
		}
		for range 100 { // more than three hours
			first := ask()
			for range 10 {
				if again := ask(); again != first {
					t.Fatalf("%s after %s", again, first)
				}
			}
			chosen[first] = true
			time.Sleep(4 * time.Minute)
		}
		if len(chosen) != 3 {
			t.Errorf("it only ever used %v", chosen)
		}
	})
}

func TestAnAgentGoesToAnotherServer(t *testing.T) {
	gone := func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%w: connection refused", peer.ErrNotSent)
	}
	for _, tc := range []struct {
		name   string
		server func(*http.Request) (*http.Response, error)
		safe   bool
		ok     bool
	}{
		{"a read when one is gone", gone, true, true},
		{"a write when one is gone", gone, false, true},
		{"a read when one breaks off", cut, true, true},
		{"a write when one breaks off", cut, false, false},
		{"a read when one has no leader", refuses, true, true},
		{"a write when one has no leader", refuses, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, n := agent("bad1", "good", "bad2")
				n.set("bad1", tc.server)
				n.set("bad2", tc.server)
				began := time.Now()
				failed := 0
				for range 20 {
					rec, err := pass(t, f, put("/v1/x", "body"), tc.safe)
					if err == nil && (rec.Code != 200 || rec.Header().Get(peer.NotAppliedHeader) != "") {
						t.Errorf("%d %s", rec.Code, rec.Body)
					}
					if err != nil {
						if errs.KindOf(err) != errs.Unavailable {
							t.Errorf("got %v", err)
						}
						failed++
						continue
					}
					if hosts := n.hosts(); hosts[len(hosts)-1] != "good" {
						t.Errorf("answered by %v", hosts)
					}
				}
				// It learns: one failure may show a bad server, a second the other.
				if tc.ok && failed > 0 || failed > 8 {
					t.Errorf("%d of 20 failed", failed)
				}
				if waited := time.Since(began); waited > 0 {
					t.Errorf("it waited %v before it asked a server that it had not asked", waited)
				}
			})
		})
	}
}

func TestARequestIsHeldForAServerButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := agent("s1", "s2")
		n.set("s1", refuses)
		n.set("s2", refuses)
		began := time.Now()
		rec, err := pass(t, f, put("/v1/x", "body"), false)
		took := time.Since(began)
		if err != nil || rec.Code != 500 || rec.Body.String() != "No cluster leader" || rec.Header().Get(peer.NotAppliedHeader) != "" {
			t.Errorf("%d %s, %v", rec.Code, rec.Body, err)
		}
		if took < 7*time.Second || took > 7500*time.Millisecond {
			t.Errorf("held for %v", took)
		}
		if asked := len(n.hosts()); asked < 20 || asked > 300 {
			t.Errorf("asked %d times in that time", asked)
		}
		time.AfterFunc(3*time.Second, func() { n.set("s2", says("elected")) })
		began = time.Now()
		if rec, err := pass(t, f, put("/v1/x", "body"), false); err != nil || rec.Body.String() != "elected" || time.Since(began) > 4*time.Second {
			t.Errorf("after %v: %s, %v", time.Since(began), rec.Body, err)
		}

		nobody, _ := agent()
		began = time.Now()
		if _, err := pass(t, nobody, get("/v1/x"), true); !errors.Is(err, forward.ErrNoServers) || time.Since(began) < 7*time.Second {
			t.Errorf("without servers after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := pass(t, nobody, get("/v1/x").WithContext(ctx), true); err == nil || time.Since(began) > time.Second {
			t.Errorf("a caller that goes away after %v: %v", time.Since(began), err)
		}
	})
}

// A long query that ends with its server is asked again, though it took longer
// than anything is held.
func TestABlockingQuerySurvivesItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := agent("s1")
		n.set("s1", func(r *http.Request) (*http.Response, error) {
			<-time.After(3 * time.Minute)
			n.set("s1", says("changed"))
			return cut(r)
		})
		if rec, err := pass(t, f, get("/v1/x?index=7&wait=5m"), true); err != nil || rec.Body.String() != "changed" {
			t.Errorf("%s, %v", rec.Body, err)
		}
	})
}

func TestAQueryEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := agent("s1", "s2")
		cancelled := make(chan struct{})
		block := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			close(cancelled)
			return nil, r.Context().Err()
		}
		n.set("s1", block)
		n.set("s2", block)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := pass(t, f, get("/v1/x?index=7").WithContext(ctx), true)
			done <- err
		}()
		synctest.Wait()
		cancel()
		<-cancelled
		if err := <-done; !errors.Is(err, context.Canceled) || len(n.hosts()) != 1 {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAnswerIsPassedOnAsItComesIn(t *testing.T) {
	f, n := agent("s1")
	from, to := io.Pipe()
	n.set("s1", func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Consul-Index": {"7"}, "Connection": {"close"}}, ContentLength: -1, Body: from}, nil
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if done, err := f.Forward(w, r, false, true, func() ([]byte, error) { return nil, nil }); !done || err != nil {
			t.Errorf("%v, %v", done, err)
		}
	}))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/v1/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("X-Consul-Index") != "7" {
		t.Errorf("headers %v", res.Header)
	}
	part := make([]byte, 5)
	for _, text := range []string{"first", "other"} {
		if _, err := io.WriteString(to, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != text { // before the rest is there
			t.Fatalf("%s, %v", part, err)
		}
	}
	_ = to.CloseWithError(errors.New("connection reset"))
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("an answer that broke off looks whole")
	}
}

func TestWhatTravelsWithARequest(t *testing.T) {
	f, n := agent("s1")
	var got *http.Request
	var body string
	n.set("s1", func(r *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(r.Body)
		got, body = r, string(data)
		return answer(200, "ok"), err
	})
	req := put("/v1/acl/policy/name/a%2Fb?ns=x&token=t", "the body")
	req.RemoteAddr = "192.0.2.7:4711"
	for name, value := range map[string]string{
		"X-Consul-Token": "secret", "X-Forwarded-For": "203.0.113.9", "Connection": "X-Hop, close", "X-Hop": "1",
		"Te": "trailers", "Accept-Encoding": "gzip", "Expect": "100-continue",
	} {
		req.Header.Set(name, value)
	}
	if _, err := pass(t, f, req, false); err != nil {
		t.Fatal(err)
	}
	if got.Method != "PUT" || got.URL.EscapedPath() != "/v1/acl/policy/name/a%2Fb" || got.URL.RawQuery != "ns=x&token=t" || body != "the body" || got.ContentLength != 8 {
		t.Errorf("%s %s, body %q", got.Method, got.URL, body)
	}
	for name, want := range map[string]string{
		"X-Consul-Token": "secret", "X-Forwarded-For": "203.0.113.9, 192.0.2.7", "Accept-Encoding": "gzip", peer.HopsHeader: "1",
		"Connection": "", "X-Hop": "", "Te": "", "Expect": "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if req.Header.Get(peer.HopsHeader) != "" || req.Header.Get("Te") == "" {
		t.Error("the caller's own headers have changed")
	}

	onward := put("/v1/x", "b") // on its second hop
	onward.Header.Set(peer.HopsHeader, "1")
	onward.Header.Set("X-Forwarded-For", "192.0.2.7")
	if _, err := pass(t, f, onward, false); err != nil {
		t.Fatal(err)
	}
	if got.Header.Get(peer.HopsHeader) != "2" || got.Header.Get("X-Forwarded-For") != "192.0.2.7" {
		t.Errorf("headers of the second hop: %v", got.Header)
	}
}

// Whoever passes on what another agent has passed on leaves it to that one to
// try again, and does not let a request go round for ever.
func TestOnlyTheFirstAgentTriesAgain(t *testing.T) {
	n := &network{servers: map[string]func(*http.Request) (*http.Response, error){"leader": refuses}}
	leader := "leader"
	f := &forward.Forwarder{Client: n, Leader: func() (string, bool) { return leader, false }}
	hop := func(count string) *http.Request {
		req := put("/v1/x", "")
		req.Header.Set(peer.HopsHeader, count)
		return req
	}
	rec, err := pass(t, f, hop("1"), false)
	if err != nil || rec.Code != 500 || rec.Header().Get(peer.NotAppliedHeader) == "" || len(n.hosts()) != 1 {
		t.Errorf("%d %v, %v", rec.Code, rec.Header(), err)
	}
	leader = "gone"
	if _, err := pass(t, f, hop("1"), false); !errors.Is(err, peer.ErrNotSent) || len(n.hosts()) != 1 {
		t.Errorf("a leader that is gone: %v", err)
	}
	leader = ""
	if _, err := pass(t, f, hop("1"), false); !errors.Is(err, raftnode.ErrNoLeader) {
		t.Errorf("no leader: %v", err)
	}
	leader = "leader"
	if _, err := pass(t, f, hop("4"), false); !errors.Is(err, raftnode.ErrNoLeader) || len(n.hosts()) != 0 {
		t.Errorf("too many hops: %v", err)
	}
	for _, bad := range []string{"x", "-1", "1000"} {
		if _, err := pass(t, f, hop(bad), false); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s hops: %v", bad, err)
		}
	}
}

func TestAServerAnswersWhatItCan(t *testing.T) {
	self := false
	f := &forward.Forwarder{Client: &network{}, Leader: func() (string, bool) { return "leader", self }}
	body := func() ([]byte, error) { t.Error("the body was read"); return nil, nil }
	if done, err := f.Forward(httptest.NewRecorder(), get("/v1/x"), false, true, body); done || err != nil {
		t.Errorf("a read is passed on: %v, %v", done, err)
	}
	self = true
	if done, err := f.Forward(httptest.NewRecorder(), put("/v1/x", "b"), true, false, body); done || err != nil {
		t.Errorf("the leader passes a write on: %v, %v", done, err)
	}
	self = false
	tooLarge := errs.New(errs.Invalid, "too large")
	done, err := f.Forward(httptest.NewRecorder(), put("/v1/x", "b"), true, false, func() ([]byte, error) { return nil, tooLarge })
	if !done || !errors.Is(err, tooLarge) {
		t.Errorf("a body that is too large: %v, %v", done, err)
	}
}

// A follower that is elected while it holds a write answers it by itself.
func TestAHeldWriteIsAnsweredByTheServerThatIsElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var self atomic.Bool
		f := &forward.Forwarder{Client: &network{}, Leader: func() (string, bool) { return "", self.Load() }}
		time.AfterFunc(2*time.Second, func() { self.Store(true) })
		reads := 0
		done, err := f.Forward(httptest.NewRecorder(), put("/v1/x", "b"), true, false, func() ([]byte, error) { reads++; return []byte("b"), nil })
		if done || err != nil || reads != 1 {
			t.Errorf("%v, %v after %d reads of the body", done, err, reads)
		}
	})
}

func TestALongBodyIsSentOnceItWasBegun(t *testing.T) {
	for _, tc := range []struct {
		name  string
		serve []func(*http.Request) (*http.Response, error)
		asked int
		ok    bool
	}{
		{"refused before it was begun", []func(*http.Request) (*http.Response, error){refuses, nil, says("ok")}, 3, true},
		{"refused after it was begun", []func(*http.Request) (*http.Response, error){func(r *http.Request) (*http.Response, error) {
			_, _ = r.Body.Read(make([]byte, 1))
			return refuses(r)
		}}, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &network{servers: map[string]func(*http.Request) (*http.Response, error){}}
			asked := 0
			f := &forward.Forwarder{Client: n, Leader: func() (string, bool) {
				n.set("leader", tc.serve[min(asked, len(tc.serve)-1)])
				return "leader", false
			}}
			count := &counting{n, &asked}
			f.Client = count
			rec := httptest.NewRecorder()
			done, err := f.Forward(rec, put("/v1/x", "long"), true, false, nil)
			if !done || err != nil || (rec.Code == 200) != tc.ok || asked != tc.asked {
				t.Errorf("%v, %v, %d after %d requests", done, err, rec.Code, asked)
			}
		})
	}
}

type counting struct {
	*network
	asked *int
}

func (c *counting) Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error) {
	*c.asked++
	return c.network.Do(ctx, addr, req)
}

func TestTheReadIndexIsAskedOfTheLeader(t *testing.T) {
	word := raftnode.Commitment{Index: 7, Term: 2, LeaderTerm: 3, LeaderID: "l", LeaderAddr: "192.0.2.1:8300"}
	data, err := json.Marshal(word)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		serve func(*http.Request) (*http.Response, error)
		want  raftnode.Commitment
		err   error
	}{
		{"it leads", says(string(data)), word, nil},
		{"it does not", refuses, raftnode.Commitment{}, raftnode.ErrNoLeader},
		{"it is gone", nil, raftnode.Commitment{}, peer.ErrNotSent},
		{"it knows nothing", says(`{"Index": 0}`), raftnode.Commitment{}, nil},
		{"it speaks otherwise", says(`<html>`), raftnode.Commitment{}, nil},
		{"it fails", func(*http.Request) (*http.Response, error) { return answer(403, "Permission denied"), nil }, raftnode.Commitment{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var query []string
			n := &network{servers: map[string]func(*http.Request) (*http.Response, error){}}
			if tc.serve != nil {
				n.set("l", func(r *http.Request) (*http.Response, error) {
					query = append(query, r.URL.String())
					return tc.serve(r)
				})
			}
			f := &forward.Forwarder{Client: n}
			for _, verify := range []bool{false, true} {
				got, err := f.ReadIndex(t.Context(), "l", verify)
				if tc.want.Index > 0 && (got != tc.want || err != nil) {
					t.Errorf("%+v, %v", got, err)
				}
				if tc.want.Index == 0 && (errs.KindOf(err) != errs.Unavailable || tc.err != nil && !errors.Is(err, tc.err)) {
					t.Errorf("%+v, %v", got, err)
				}
			}
			if tc.serve != nil && !slices.Equal(query, []string{"/internal/read-index", "/internal/read-index?verify"}) {
				t.Errorf("asked %v", query)
			}
		})
	}
}
