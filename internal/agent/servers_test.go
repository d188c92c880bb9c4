package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// cluster is servers as an agent sees them. It is a Client.
type cluster struct {
	t testing.TB

	mu      sync.Mutex // guards what follows
	tokens  map[logging.Secret]*endpoint.ResolveAnswer
	index   uint64
	down    map[string]bool // addresses that nobody answers at; "" is all
	failure string          // text of a 500 in place of every answer
	mute    bool            // streams send nothing
	gate    chan struct{}   // answers wait until it is closed; nil is open
	asked   []string        // "<address> <method> <path>", every request
	streams []*stream
	handle  func(addr string, r *http.Request) *http.Response // of other paths
}

// stream is one GET /internal/acl/changes.
type stream struct {
	addr  string
	lines chan endpoint.Change
	done  <-chan struct{}
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, tokens: map[logging.Secret]*endpoint.ResolveAnswer{}, index: 10, down: map[string]bool{}}
}

// servers reaches the cluster at addresses.
func (c *cluster) servers(addrs ...string) Servers {
	if len(addrs) == 0 {
		addrs = []string{"s1:8300"}
	}
	return Servers{Client: c, Addrs: func() []string { return addrs }}
}

var errRefused = errors.New("connection refused")

func (c *cluster) Do(ctx context.Context, addr string, r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	c.asked = append(c.asked, addr+" "+r.Method+" "+r.URL.Path)
	down := c.down[""] || c.down[addr]
	c.mu.Unlock()
	if down {
		return nil, errRefused
	}
	switch r.URL.Path {
	case "/internal/acl/resolve":
		return c.resolve(ctx, body)
	case "/internal/acl/changes":
		return c.changes(ctx, addr), nil
	}
	if c.handle != nil {
		return c.handle(addr, r), nil
	}
	return respond(http.StatusNotFound, "no such path"), nil
}

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func respondJSON(v any) *http.Response {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return respond(http.StatusOK, string(text))
}

// resolve reads the state first and answers when the gate is open.
func (c *cluster) resolve(ctx context.Context, body []byte) (*http.Response, error) {
	var req endpoint.ResolveRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	c.mu.Lock()
	failure, gate := c.failure, c.gate
	var answer endpoint.ResolveAnswer
	a, found := c.tokens[req.Secret]
	if found {
		answer = *a
		answer.Index = c.index
	}
	c.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch {
	case failure != "":
		return respond(http.StatusInternalServerError, failure), nil
	case !found:
		return respond(http.StatusForbidden, "ACL not found"), nil
	}
	return respondJSON(answer), nil
}

// changes begins a stream, which beats until ctx is done.
func (c *cluster) changes(ctx context.Context, addr string) *http.Response {
	r, w := io.Pipe()
	s := &stream{addr: addr, lines: make(chan endpoint.Change, 100), done: ctx.Done()}
	c.mu.Lock()
	c.streams = append(c.streams, s)
	s.lines <- endpoint.Change{Kind: endpoint.ChangeAll, Index: c.index}
	c.mu.Unlock()
	go func() {
		out := json.NewEncoder(w)
		for {
			select {
			case line, ok := <-s.lines:
				if !ok {
					_ = w.Close()
					return
				}
				_ = out.Encode(line)
			case <-time.After(endpoint.ChangeBeat):
				if !c.isMute(addr) {
					_ = out.Encode(endpoint.Change{Kind: endpoint.ChangeAlive})
				}
			case <-ctx.Done():
				_ = w.CloseWithError(ctx.Err())
				return
			}
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: r}
}

func (c *cluster) isMute(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mute || c.down[addr] || c.down[""]
}

// set makes or changes a token with rules, and tells of a change.
func (c *cluster) set(secret, rules string) *endpoint.ResolveAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	_, existed := c.tokens[logging.Secret(secret)]
	a := &endpoint.ResolveAnswer{
		AccessorID: "accessor-" + secret, Scope: tenancy.Default,
		Grants: []endpoint.ResolvedGrant{{PolicyID: "p", Rules: rules, Scope: tenancy.Default}},
	}
	c.tokens[logging.Secret(secret)] = a
	if existed {
		c.tell(endpoint.Change{Kind: endpoint.ChangeToken, Accessor: a.AccessorID, Index: c.index})
	}
	return a
}

// revoke ends a token and tells.
func (c *cluster) revoke(secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	delete(c.tokens, logging.Secret(secret))
	c.tell(endpoint.Change{Kind: endpoint.ChangeToken, Accessor: "accessor-" + secret, Gone: true, Index: c.index})
}

// tell tells all who listen, unless the cluster is mute. c.mu is held.
func (c *cluster) tell(change endpoint.Change) {
	if c.mute {
		return
	}
	for _, s := range c.streams {
		select {
		case <-s.done:
		default:
			s.lines <- change
		}
	}
}

// with changes the cluster.
func (c *cluster) with(change func(*cluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// count returns how many requests had a path so far.
func (c *cluster) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.asked {
		if strings.HasSuffix(a, path) {
			n++
		}
	}
	return n
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// run runs task until the test ends, and waits for its end then.
func run(t testing.TB, task func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := task(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
