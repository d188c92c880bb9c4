package ecs

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/taskmeta"
)

const taskARN = "arn:aws:ecs:us-west-2:123456789012:task/prod/0123abcd"

// world is a task on one HTTP server: its metadata, its agent, and the servers.
type world struct {
	t   *testing.T
	url string
	dir string
	log *safeBuffer

	mu       sync.Mutex
	health   map[string]string // of containers that have started
	stopped  bool              // the application has
	silent   int               // questions for metadata that get no answer yet; -1 is all of them
	requests []string          // to the agent and the servers, with their bodies
	answer   func(r *http.Request, body string) (int, any)
	seen     chan string // each request, too
}

// safeBuffer may be written by a command while a test reads it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), health: map[string]string{}, log: &safeBuffer{}, seen: make(chan string, 1000)}
	ts := httptest.NewServer(w)
	t.Cleanup(ts.Close)
	w.url = ts.URL
	t.Setenv("CONSUL_HTTP_ADDR", ts.URL)
	return w
}

func (w *world) ServeHTTP(res http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == "/meta/task" {
		if w.silent != 0 {
			w.silent--
			w.seen <- "no metadata"
			res.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(res).Encode(w.task())
		return
	}
	body, _ := io.ReadAll(r.Body)
	request := r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Consul-Token") + " " + string(bytes.TrimSpace(body))
	w.requests = append(w.requests, request)
	w.seen <- request
	code, v := http.StatusOK, any(nil)
	if w.answer != nil {
		code, v = w.answer(r, string(body))
	}
	res.WriteHeader(code)
	switch v := v.(type) {
	case nil:
	case string:
		_, _ = io.WriteString(res, v)
	default:
		_ = json.NewEncoder(res).Encode(v)
	}
}

func (w *world) task() map[string]any {
	known := taskmeta.Running
	if w.stopped {
		known = taskmeta.Stopped
	}
	list := []any{}
	for name, health := range w.health {
		status := taskmeta.Running
		if name == "app" {
			status = known
		}
		list = append(list, map[string]any{
			"Name": name, "DesiredStatus": status, "KnownStatus": status, "Health": map[string]any{"status": health},
			"Networks": []any{map[string]any{"IPv4Addresses": []string{"10.0.3.17"}}},
		})
	}
	return map[string]any{"Cluster": "prod", "TaskARN": taskARN, "Family": "Shop", "Containers": list}
}

// set changes the health of a container.
func (w *world) set(container, health string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.health[container] = health
}

// asked are the requests so far. One that was given up may still be on its way.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// next waits for a request.
func (w *world) next() string {
	w.t.Helper()
	select {
	case r := <-w.seen:
		return r
	case <-w.t.Context().Done():
		w.t.Fatal("no further request; log:\n", w.log)
		return ""
	}
}

func (w *world) config(text string) *ecsconfig.Config {
	w.t.Helper()
	c, err := ecsconfig.Parse([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) metadata() *taskmeta.Client { return &taskmeta.Client{URI: w.url + "/meta"} }

func (w *world) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w.log, nil)) }

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) env(configuration string, signals <-chan os.Signal) *Env {
	vars := map[string]string{
		ecsconfig.EnvironmentVariable: configuration, taskmeta.EnvironmentVariable: w.url + "/meta",
	}
	return &Env{Out: w.log, Err: w.log, Getenv: func(name string) string { return vars[name] }, Signals: signals}
}
