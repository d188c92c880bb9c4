package dev

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestADemoServiceAnswersByItselfAndByItsUpstream(t *testing.T) {
	api := httptest.NewServer((&demoService{name: "api"}).handler())
	defer api.Close()
	web := httptest.NewServer((&demoService{name: "web", upstream: "api=" + strings.TrimPrefix(api.URL, "http://")}).handler())
	defer web.Close()
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = w.Body.ReadFrom(resp.Body)
		return resp.StatusCode, w.Body.String()
	}
	if code, text := get("/"); code != http.StatusOK || text != "Hello from web.\n" {
		t.Errorf("/: %d %q", code, text)
	}
	if code, text := get("/api"); code != http.StatusOK || text != "api says: Hello from api.\n" {
		t.Errorf("/api: %d %q", code, text)
	}
	api.Close()
	if code, text := get("/api"); code != http.StatusBadGateway || !strings.HasPrefix(text, "web cannot call api: ") {
		t.Errorf("/api without api: %d %q", code, text)
	}
}

func TestTheSidecarRunsWhatEnvoyWouldStartWith(t *testing.T) {
	file := filepath.Join(t.TempDir(), "envoy-bootstrap.json")
	bootstrap := `{"node": {"id": "web-1-sidecar-proxy", "cluster": "web", "metadata": {"namespace": "team-1", "partition": "demo"}}}`
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	args, err := proxyArgs(file)
	want := "consul connect proxy -proxy-id web-1-sidecar-proxy -namespace team-1 -partition demo -token-file " + filepath.Join(filepath.Dir(file), "service-token")
	if err != nil || strings.Join(args, " ") != want {
		t.Errorf("got %q, %v", args, err)
	}
	if _, err := proxyArgs(file + "x"); err == nil {
		t.Error("a bootstrap that is not there gives no error")
	}
}

func TestACallerThatKeepsItsConnectionSaysThatItEnded(t *testing.T) {
	server := httptest.NewServer((&demoService{name: "api"}).handler())
	defer server.Close()
	held, fresh := newCaller(true), newCaller(false)
	defer held.CloseIdleConnections()
	for range 2 {
		if _, err := call(t.Context(), held, server.URL); err != nil {
			t.Fatal(err)
		}
	}
	server.CloseClientConnections()
	if _, err := callUntil(t.Context(), held, server.URL, true); err != nil {
		t.Error(err)
	}
	if _, err := call(t.Context(), fresh, server.URL); err != nil {
		t.Errorf("a caller with connections of one call: %v", err)
	}
}

func TestTrafficCountsCallsThatFail(t *testing.T) {
	server := httptest.NewServer((&demoService{name: "api"}).handler())
	defer server.Close()
	calls := startTraffic(t.Context(), server.URL, 2)
	await := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for late := time.After(20 * time.Second); !holds(); {
			select {
			case <-tick.C:
			case <-late:
				t.Fatal("waited for " + what)
			}
		}
	}
	await("calls", func() bool { return calls.calls.Load() > 10 })
	if n := calls.failed.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}
	server.CloseClientConnections()
	await("the caller that keeps its connection", func() bool { return calls.failed.Load() > 0 })
	if err := calls.end(); err == nil || !strings.Contains(err.Error(), "calls failed, the first with: ") {
		t.Errorf("got %v", err)
	}
}

func TestWithinSaysWhatWasLate(t *testing.T) {
	said := time.Now()
	for _, c := range []struct {
		name  string
		after time.Duration
		want  string
		fails bool
	}{
		{"before the answer was read", -time.Millisecond, "it ended at once", false},
		{"in time", 20 * time.Millisecond, "it ended 20 ms later", false},
		{"on a busy machine", 1200 * time.Millisecond, "it ended 1200 ms later; more than 1s: this machine is busy", false},
		{"too late", 6 * time.Second, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := within("it ended %s", said, said.Add(c.after))
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
