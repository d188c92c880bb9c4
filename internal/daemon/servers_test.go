package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/peer"
)

// threeServers returns configurations that form a cluster.
func threeServers(t *testing.T) []Config {
	t.Helper()
	cfgs := make([]Config, 3)
	for i := range cfgs {
		cfg := testConfig(t)
		cfg.NodeName, cfg.Bootstrap, cfg.BootstrapExpect = fmt.Sprintf("srv%d", i+1), false, len(cfgs)
		cfg.RetryJoin = []string{fmt.Sprintf("127.0.0.1:%d", cfg.Ports.SerfLAN)}
		if i > 0 {
			cfg.RetryJoin = cfgs[0].RetryJoin
		}
		cfg.RetryInterval = 100 * time.Millisecond
		cfg.Encrypt = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
		cfg.EncryptVerifyIn, cfg.EncryptVerifyOut = true, true
		cfgs[i] = cfg
	}
	return cfgs
}

// startAll runs agents that need each other, and returns once all serve.
func startAll(t *testing.T, cfgs []Config) []*running {
	t.Helper()
	all := make([]*running, len(cfgs))
	ready := make(chan struct{}, len(cfgs))
	for i, cfg := range cfgs {
		r := &running{signals: make(chan os.Signal, 2), done: make(chan error, 1), log: &lockedBuffer{}}
		all[i] = r
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.done <- Run(ctx, cfg, Options{
				Log: slog.New(slog.NewTextHandler(r.log, nil)), Signals: r.signals, Ready: func() { ready <- struct{}{} },
			})
		}()
		t.Cleanup(func() {
			cancel()
			<-ended
		})
	}
	for range cfgs {
		select {
		case <-ready:
		case <-time.After(time.Minute):
			for i, r := range all {
				t.Logf("%s:\n%s", cfgs[i].NodeName, r.log)
			}
			t.Fatal("the servers are not ready")
		}
	}
	for _, cfg := range cfgs {
		awaitLeader(t, cfg)
	}
	return all
}

// call sends a request with the management token to an agent's API.
func call(t *testing.T, cfg Config, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", cfg.Ports.HTTP, path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Consul-Token", management)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// must is call for what has to succeed.
func must(t *testing.T, cfg Config, method, path, body string) string {
	t.Helper()
	status, text := call(t, cfg, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// put writes a key to a cluster whose leader may change at any time.
func put(t *testing.T, cfg Config, key string) {
	t.Helper()
	eventually(t, "a leader writes "+key, func() bool {
		status, text := call(t, cfg, http.MethodPut, "/v1/kv/"+key, "x")
		if status != http.StatusOK && status != http.StatusInternalServerError {
			t.Fatalf("%d %s", status, text)
		}
		return status == http.StatusOK
	})
}

// raftNames returns the names of the servers that replicate, and the leader's, as one
// of them knows them.
func raftNames(t *testing.T, cfg Config) (names []string, leader string) {
	t.Helper()
	var answer struct {
		Servers []struct {
			Node   string
			Leader bool
		}
	}
	status, text := call(t, cfg, http.MethodGet, "/v1/operator/raft/configuration?stale", "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.Servers {
		names = append(names, s.Node)
		if s.Leader {
			leader = s.Node
		}
	}
	return names, leader
}

// eventually waits for what nothing reports.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestALeaderThatLeavesIsTakenOut(t *testing.T) {
	cfgs := threeServers(t)
	all := startAll(t, cfgs)
	_, name := raftNames(t, cfgs[0])
	leader, other := 0, 1
	for i, cfg := range cfgs {
		if cfg.NodeName == name {
			leader, other = i, (i+1)%len(cfgs)
		}
	}
	must(t, cfgs[leader], http.MethodPut, "/v1/agent/leave", "")
	if err := <-all[leader].done; err != nil {
		t.Errorf("the leader ended with %v", err)
	}
	eventually(t, "two servers replicate, and one of them leads", func() bool {
		names, next := raftNames(t, cfgs[other])
		return len(names) == 2 && next != "" && next != name
	})
	put(t, cfgs[other], "after")
	inOrder(t, all[leader].log.String(), "Gracefully shutting down agent...", "server starting leave", "EventMemberLeave: "+name,
		"Graceful exit completed", "Requesting shutdown", "consul server down", "shutdown complete")
}

// inOrder checks that a log says lines one after the other.
func inOrder(t *testing.T, log string, lines ...string) {
	t.Helper()
	at := 0
	for _, line := range lines {
		i := strings.Index(log[at:], line)
		if i < 0 {
			t.Fatalf("no %q after byte %d of\n%s", line, at, log)
		}
		at += i
	}
}

func TestAClientAgentLeavesOnSIGTERM(t *testing.T) {
	server := testConfig(t)
	start(t, server, nil)
	cfg := testConfig(t)
	cfg.NodeName, cfg.Server, cfg.Bootstrap, cfg.LeaveOnTerminate = "task1", false, false, true
	cfg.RetryJoin = []string{fmt.Sprintf("127.0.0.1:%d", server.Ports.SerfLAN)}
	r := start(t, cfg, nil)
	status := func() string {
		return must(t, server, http.MethodGet, "/v1/agent/members?filter=Name==task1", "")
	}
	eventually(t, "the server sees it", func() bool { return strings.Contains(status(), `"Status":1`) })
	r.signals <- syscall.SIGTERM
	if err := <-r.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	eventually(t, "the server knows that it has left", func() bool { return strings.Contains(status(), `"Status":3`) })
	inOrder(t, r.log.String(), "Caught", "Gracefully shutting down agent...", "client starting leave", "EventMemberLeave: task1",
		"Graceful exit completed", "Requesting shutdown", "consul client down", "shutdown complete")
}

func TestPeersJSONBringsAClusterBackThatLostItsMajority(t *testing.T) {
	cfgs := threeServers(t)
	all := startAll(t, cfgs)
	put(t, cfgs[1], "kept")
	eventually(t, "the first server has applied it", func() bool {
		status, _ := call(t, cfgs[0], http.MethodGet, "/v1/kv/kept?stale", "")
		return status == http.StatusOK
	})
	for _, r := range all {
		r.signals <- syscall.SIGTERM
		if err := <-r.done; !errors.Is(err, ErrStopped) {
			t.Fatalf("a server ended with %v", err)
		}
	}

	left := cfgs[0]
	id, err := os.ReadFile(filepath.Join(left.DataDir, "node-id"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(left.DataDir, "raft", "peers.json")
	write := func(id string) {
		text := fmt.Sprintf(`[{"id": %q, "address": "127.0.0.1:%d", "non_voter": false}]`, id, left.Ports.Server)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("11111111-2222-3333-4444-555555555555")
	if err := Run(t.Context(), left, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "this server is not in it") {
		t.Errorf("a file about others: %v", err)
	}
	write(strings.TrimSpace(string(id)))
	startAll(t, []Config{left})
	must(t, left, http.MethodGet, "/v1/kv/kept?consistent", "")
	must(t, left, http.MethodPut, "/v1/kv/after", "x")
	if names, leader := raftNames(t, left); len(names) != 1 || leader != left.NodeName {
		t.Errorf("servers %q, leader %q", names, leader)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// writeRPC writes the certificate files of a server port: what authority signs, and the CAs to trust.
func writeRPC(t *testing.T, dir string, authority *ca.AgentCA, trusted ...*ca.AgentCA) TLSListener {
	t.Helper()
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var bundle []byte
	for _, a := range trusted {
		bundle = append(bundle, a.Cert...)
	}
	files := TLSListener{
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "rpc.pem"), KeyFile: filepath.Join(dir, "rpc-key.pem"),
		VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true,
	}
	for path, content := range map[string]string{files.CAFile: string(bundle), files.CertFile: string(pair.Cert), files.KeyFile: pair.Key.Reveal()} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// peerOf returns a client of server ports with a certificate of its own.
func peerOf(t *testing.T, authority *ca.AgentCA, trusted *ca.AgentCA) *peer.Client {
	t.Helper()
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := peer.NewTLS(peer.TLSConfig{
		CAs: [][]byte{trusted.Cert}, Cert: pair.Cert, Key: pair.Key, VerifyOutgoing: true, VerifyServerHostname: true,
		Datacenter: "dc1", Domain: "consul",
	})
	if err != nil {
		t.Fatal(err)
	}
	c := peer.NewClient(own)
	t.Cleanup(c.Close)
	return c
}

func askPort(t *testing.T, c *peer.Client, cfg Config, path string) (*http.Response, error) {
	t.Helper()
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Header: http.Header{}}).WithContext(t.Context())
	return c.Do(t.Context(), fmt.Sprintf("127.0.0.1:%d", cfg.Ports.Server), req)
}

func TestAReloadOfTheServerPortCutsNoConnection(t *testing.T) {
	dir := t.TempDir()
	old, next := newAuthority(t), newAuthority(t)
	cfg := testConfig(t)
	cfg.TLS.InternalRPC = writeRPC(t, dir, old, old)
	reloaded := cfg
	reloaded.NodeMeta = map[string]string{"rack": "7"}
	start(t, cfg, func() (Config, error) { return reloaded, nil })

	stream, err := askPort(t, peerOf(t, old, old), cfg, "/internal/acl/changes")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if resp, err := askPort(t, peerOf(t, next, next), cfg, "/internal/read-index"); err == nil {
		resp.Body.Close()
		t.Fatal("a stranger is let in")
	}

	writeRPC(t, dir, next, old, next)
	must(t, cfg, http.MethodPut, "/v1/agent/reload", "")
	resp, err := askPort(t, peerOf(t, next, next), cfg, "/internal/read-index")
	if err != nil {
		t.Fatalf("the new certificate is not shown, or the new CA not trusted: %v", err)
	}
	resp.Body.Close()

	must(t, cfg, http.MethodPut, "/v1/acl/policy", `{"Name": "news"}`)
	if line, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || line == "" {
		t.Errorf("the connection from before the reload: %q, %v", line, err)
	}
	if self := must(t, cfg, http.MethodGet, "/v1/agent/self", ""); !strings.Contains(self, `"rack":"7"`) {
		t.Errorf("node_meta is not reloaded: %s", self)
	}

	if err := os.WriteFile(cfg.TLS.InternalRPC.CertFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, text := call(t, cfg, http.MethodPut, "/v1/agent/reload", ""); status != http.StatusInternalServerError {
		t.Errorf("a broken certificate: %d %s", status, text)
	}
	if resp, err = askPort(t, peerOf(t, next, next), cfg, "/internal/read-index"); err != nil {
		t.Fatalf("a refused reload has changed something: %v", err)
	}
	resp.Body.Close()
}
