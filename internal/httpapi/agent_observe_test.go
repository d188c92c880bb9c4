package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/telemetry"
)

// openStream makes a request whose answer goes on, and returns its body once the
// header is there.
func openStream(t *testing.T, addr, path, token string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	check(t, err)
	req.Header.Set("X-Consul-Token", token)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, text(resp.Body))
	}
	return bufio.NewScanner(resp.Body)
}

// newLogged is newWorld with a log that can be followed.
func newLogged(t *testing.T) (*world, *slog.Logger) {
	log, _, closer, err := logging.New(logging.Config{}, io.Discard)
	check(t, err)
	t.Cleanup(func() { check(t, closer.Close()) })
	log = logging.Named(log, "agent")
	return newWorld(t, func(a *API) { a.Log, a.Agent.Metrics = log, telemetry.New(telemetry.Config{Hostname: "h1"}) }), log
}

func TestMonitorStreamsTheLog(t *testing.T) {
	w, log := newLogged(t)
	addr := w.listen(Limits{})
	plain := openStream(t, addr, "/v1/agent/monitor", management)
	debug := openStream(t, addr, "/v1/agent/monitor?loglevel=debug&logjson", management)
	log.Debug("first", "k", 1)
	log.Info("second", "token", logging.Secret("s3cret"))
	if !plain.Scan() || !strings.HasSuffix(plain.Text(), "Z [INFO]  agent: second: token=<hidden>") {
		t.Errorf("%q %v", plain.Text(), plain.Err())
	}
	for _, want := range []string{"first", "second"} {
		var line map[string]any
		if !debug.Scan() || json.Unmarshal(debug.Bytes(), &line) != nil || line["@message"] != want {
			t.Errorf("%q %v", debug.Text(), debug.Err())
		}
	}
}

func TestMonitorEndsWithTheTokensRight(t *testing.T) {
	w, log := newLogged(t)
	reader := w.token("reader", `agent "n1" { policy = "read" }`)
	lines := openStream(t, w.listen(Limits{}), "/v1/agent/monitor", reader)
	log.Info("seen")
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	var policy struct{ ID string }
	w.must("GET", "/v1/acl/policy/name/reader", "", &policy)
	w.must("PUT", "/v1/acl/policy/"+policy.ID, `{"Name":"reader","Rules":""}`, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
		}
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the stream outlives the permission")
	}
}

func TestMonitorRefusals(t *testing.T) {
	w, log := newLogged(t)
	rec := w.call("GET", "/v1/agent/monitor?loglevel=bogus", "", asManagement)
	if rec.Code != 400 || rec.Body.String() != "Unknown log level: bogus" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for {
		f, err := logging.Follow(log, slog.LevelInfo, false)
		if err != nil {
			break
		}
		t.Cleanup(f.Close)
	}
	if rec := w.call("GET", "/v1/agent/monitor", "", asManagement); rec.Code != 429 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestMetrics(t *testing.T) {
	w, _ := newLogged(t)
	w.api.Agent.Metrics.Count("raft.apply", 2)
	var sum telemetry.Summary
	w.must("GET", "/v1/agent/metrics", "", &sum)
	if len(sum.Counters) != 1 || sum.Counters[0].Name != "consul.raft.apply" {
		t.Errorf("%+v", sum)
	}
	named := false
	for _, g := range sum.Gauges {
		named = named || g.Name == "consul.h1.runtime.alloc_bytes"
	}
	if !named {
		t.Errorf("gauges %v", sum.Gauges)
	}
	rec := w.call("GET", "/v1/agent/metrics?format=prometheus", "", asManagement)
	if rec.Code != 200 || rec.Header().Get("Content-Type") != telemetry.PrometheusType || !strings.Contains(rec.Body.String(), "\nconsul_raft_apply 2\n") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	lines := openStream(t, w.listen(Limits{}), "/v1/agent/metrics/stream", management)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &sum) != nil || len(sum.Gauges) == 0 {
		t.Errorf("%q %v", lines.Text(), lines.Err())
	}
}

func TestHost(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Agent.DataDir = t.TempDir() })
	var host map[string]any
	w.must("GET", "/v1/agent/host", "", &host)
	for _, key := range []string{"Memory", "CPU", "Host", "Disk", "CollectionTime", "Errors"} {
		if host[key] == nil {
			t.Errorf("no %s in %v", key, host)
		}
	}
}
