package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// TestMain takes the caller's own settings out of the way: the API client reads
// the process's environment too.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "CONSUL_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// answers maps "METHOD /path?query" to what the API says. A text that begins
// with three digits and a space is an error with that status.
type answers map[string]string

// fakeAPI plays answers and remembers what it was asked.
type fakeAPI struct {
	*httptest.Server
	mu    sync.Mutex
	asked []asked
}

// asked is one request, its body without the final newline.
type asked struct{ line, token, body string }

func newAPI(t *testing.T, play answers) *fakeAPI {
	t.Helper()
	f := &fakeAPI{}
	f.Server = httptest.NewServer(f.handler(play))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) handler(play answers) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := r.Method + " " + r.URL.RequestURI()
		f.mu.Lock()
		f.asked = append(f.asked, asked{line, r.Header.Get("X-Consul-Token"), strings.TrimSpace(string(body))})
		f.mu.Unlock()
		answer, known := play[line]
		if !known {
			answer = "404 nothing is played for " + line
		}
		var status int
		if n, _ := fmt.Sscanf(answer, "%3d ", &status); n == 1 {
			http.Error(w, answer[4:], status)
			return
		}
		fmt.Fprint(w, answer)
	}
}

// lines returns the requests' first lines.
func (f *fakeAPI) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, a := range f.asked {
		lines = append(lines, a.line)
	}
	return lines
}

// last returns the last request.
func (f *fakeAPI) last(t *testing.T) asked {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the API was not asked")
	}
	return f.asked[len(f.asked)-1]
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// world is what a test sets up around a command.
type world struct {
	root  *Command // Root() if nil
	stdin string
	env   map[string]string
}

func (w world) run(t *testing.T, args ...string) result {
	t.Helper()
	root := w.root
	if root == nil {
		root = Root()
	}
	var out, errs bytes.Buffer
	env := &Env{
		In: strings.NewReader(w.stdin), Out: &out, Err: &errs,
		Getenv: func(name string) string { return w.env[name] },
	}
	code := Run(context.Background(), env, root, args)
	return result{code, out.String(), errs.String()}
}

// at returns a world whose commands find f.
func (f *fakeAPI) at() world {
	return world{env: map[string]string{"CONSUL_HTTP_ADDR": f.URL}}
}

func (f *fakeAPI) run(t *testing.T, args ...string) result {
	t.Helper()
	return f.at().run(t, args...)
}

// golden compares got with testdata/name.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("output differs from %s:\n%s\nwant:\n%s", path, got, want)
	}
}

// write puts content into a file of the test's own and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
