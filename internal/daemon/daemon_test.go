package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/freeport"
	"github.com/lictor/lictor/internal/logging"
)

const management = "9b3f6f0e-0a51-4c55-8f0e-1d2c3b4a5968"

// testConfig returns the configuration of a server on free ports of loopback.
func testConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		NodeName: "srv1", Datacenter: "dc1", PrimaryDatacenter: "dc1", Domain: "consul",
		DataDir: t.TempDir(), Server: true, Bootstrap: true,
		BindAddr: "127.0.0.1", AdvertiseAddr: "127.0.0.1", ClientAddrs: []string{"127.0.0.1"},
		Ports: Ports{HTTP: freePort(t), HTTPS: -1, Server: freePort(t), SerfLAN: freePort(t)},
		ACL: ACL{
			Enabled: true, DefaultPolicy: "deny", DownPolicy: "extend-cache",
			Tokens: ACLTokens{InitialManagement: management},
		},
		SkipLeaveOnInt: true,
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	ports, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// running is an agent inside the test.
type running struct {
	signals chan os.Signal
	done    chan error
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs an agent and returns once it serves. It is stopped at the end of the test.
func start(t *testing.T, cfg Config, reload func() (Config, error)) *running {
	t.Helper()
	r := &running{signals: make(chan os.Signal, 2), done: make(chan error, 1), log: &lockedBuffer{}}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- Run(ctx, cfg, Options{
			Log: slog.New(slog.NewTextHandler(r.log, nil)), Reload: reload, Signals: r.signals, Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatalf("the agent ended: %v\n%s", err, r.log)
	case <-time.After(time.Minute):
		t.Fatalf("the agent is not ready:\n%s", r.log)
	}
	awaitLeader(t, cfg)
	return r
}

// awaitLeader waits until an agent can answer from a leader: one that hears of none for some seconds, which may happen
// on a busy machine, serves without.
func awaitLeader(t *testing.T, cfg Config) {
	t.Helper()
	eventually(t, cfg.NodeName+" knows a leader", func() bool {
		status, _ := call(t, cfg, http.MethodGet, "/v1/acl/token/self", "")
		return status == http.StatusOK
	})
}

func get(t *testing.T, client *http.Client, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Consul-Token", token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestSignals(t *testing.T) {
	tests := []struct {
		name   string
		signal os.Signal
		change func(*Config)
		left   bool
	}{
		{"SIGTERM stops a server without a leave", syscall.SIGTERM, func(*Config) {}, false},
		{"SIGTERM leaves where it is told to", syscall.SIGTERM, func(c *Config) { c.LeaveOnTerminate = true }, true},
		{"SIGINT stops a server without a leave", os.Interrupt, func(*Config) {}, false},
		{"SIGINT leaves where it is told to", os.Interrupt, func(c *Config) { c.SkipLeaveOnInt = false }, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			tc.change(&cfg)
			r := start(t, cfg, nil)
			r.signals <- tc.signal
			err := <-r.done
			if left := err == nil; left != tc.left || !left && !errors.Is(err, ErrStopped) {
				t.Errorf("Run returned %v", err)
			}
		})
	}
}

func TestWhatWasWrittenSurvivesARestart(t *testing.T) {
	cfg := testConfig(t)
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/acl/token/self", cfg.Ports.HTTP)
	r := start(t, cfg, nil)
	status, first := get(t, http.DefaultClient, url, management)
	if status != http.StatusOK {
		t.Fatalf("the management token is refused: %d %s", status, first)
	}
	r.signals <- syscall.SIGTERM
	<-r.done
	start(t, cfg, nil)
	if status, second := get(t, http.DefaultClient, url, management); status != http.StatusOK || second != first {
		t.Errorf("after the restart: %d %s, before %s", status, second, first)
	}
}

func TestASecondAgentOnTheSameDataDirectoryIsRefused(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg, nil)
	cfg.Ports = Ports{HTTP: freePort(t), HTTPS: -1, Server: freePort(t), SerfLAN: freePort(t)}
	err := Run(context.Background(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Run returned %v", err)
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"an address of auto_encrypt that is none", func(c *Config) { c.Server, c.AutoEncrypt = false, AutoEncrypt{TLS: true, IPSAN: []string{"x"}} }, `auto_encrypt.ip_san: "x" is not an IP address`},
		{"an unknown default policy", func(c *Config) { c.ACL.DefaultPolicy = "x" }, "Unsupported default ACL policy: x"},
		{"an unknown down policy", func(c *Config) { c.ACL.DownPolicy = "x" }, "Unsupported down ACL policy: x"},
		{"HTTPS with a certificate that is not there", func(c *Config) {
			c.Ports.HTTPS, c.TLS.HTTPS = freePort(t), TLSListener{CertFile: "/missing.pem", KeyFile: "/missing.pem"}
		}, "load certificate and key: open /missing.pem"},
		{"a node id that is no UUID", func(c *Config) { c.NodeID = "x" }, `node_id: "x" is not a UUID`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			tc.change(&cfg)
			err := Run(context.Background(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Run returned %v, want %q in it", err, tc.want)
			}
		})
	}
}

// certFiles writes a server certificate of a new CA.
func certFiles(t *testing.T, dir string) (TLSListener, *http.Client) {
	t.Helper()
	now := time.Now()
	authority, err := ca.NewAgentCA(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSListener{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for path, content := range map[string]string{files.CertFile: string(pair.Cert), files.KeyFile: pair.Key.Reveal()} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return files, &http.Client{Transport: transport}
}

func TestHTTPSWithoutACertificateGetsOneFromAReloadAndKeepsIt(t *testing.T) {
	cfg := testConfig(t)
	cfg.Ports.HTTPS = freePort(t)
	files, client := certFiles(t, t.TempDir())
	next := cfg
	r := start(t, cfg, func() (Config, error) { return next, nil })
	url := fmt.Sprintf("https://localhost:%d/v1/status/leader", cfg.Ports.HTTPS)
	if resp, err := client.Get(url); err == nil {
		resp.Body.Close()
		t.Fatal("a handshake without a certificate succeeded")
	}
	reload := func() error {
		req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d/v1/agent/reload", cfg.Ports.HTTP), nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Consul-Token", management)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			return errors.New(string(body))
		}
		return nil
	}
	next.TLS.HTTPS = files
	if err := reload(); err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	if status, body := get(t, client, url, ""); status != http.StatusOK {
		t.Errorf("with a certificate: %d %s", status, body)
	}
	next.TLS.HTTPS = TLSListener{}
	if err := reload(); err == nil || !strings.Contains(err.Error(), "cannot be taken away") {
		t.Errorf("taking the certificate away: %v", err)
	}
	if status, body := get(t, client, url, ""); status != http.StatusOK {
		t.Errorf("after a refused reload: %d %s", status, body)
	}
}

func TestReloadReplacesCertificateAndTokensOrNothing(t *testing.T) {
	cfg := testConfig(t)
	cfg.Ports.HTTPS = freePort(t)
	dir := t.TempDir()
	files, before := certFiles(t, dir)
	cfg.TLS.HTTPS = files
	next := cfg
	next.ACL.Tokens.Default = management
	r := start(t, cfg, func() (Config, error) { return next, nil })
	url := fmt.Sprintf("https://localhost:%d/v1/acl/token/self", cfg.Ports.HTTPS)
	if status, body := get(t, before, url, ""); status != http.StatusForbidden {
		t.Fatalf("without a token: %d %s", status, body)
	}
	_, after := certFiles(t, dir)
	reload := func() (int, string) {
		req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d/v1/agent/reload", cfg.Ports.HTTP), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Consul-Token", management)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s\n%s", status, body, r.log)
	}
	if status, body := get(t, after, url, ""); status != http.StatusOK {
		t.Errorf("the new certificate or the new default token does not count: %d %s", status, body)
	}
	if status, _ := get(t, before, url, ""); status != http.StatusOK {
		t.Errorf("the open connection was cut or sees the old default token: %d", status)
	}
	next.TLS.HTTPS.CertFile = filepath.Join(dir, "missing.pem")
	next.ACL.Tokens.Default = ""
	if status, body := reload(); status != http.StatusInternalServerError || !strings.Contains(body, "missing.pem") {
		t.Errorf("a broken configuration: %d %s", status, body)
	}
	if status, _ := get(t, after, url, ""); status != http.StatusOK {
		t.Errorf("a refused reload has changed something: %d", status)
	}
}

func TestAgentTokensArePersisted(t *testing.T) {
	cfg := testConfig(t)
	cfg.ACL.TokenPersistence = true
	cfg.ACL.Tokens.Default, cfg.ACL.Tokens.Replication = "from-the-file", "configured"
	tokens, err := agentTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Set("default", "from-the-api"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(cfg.DataDir, "acl-tokens.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: %v, %v", info, err)
	}
	cfg.ACL.Tokens.Replication = "configured anew"
	again, err := agentTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Get("replication"); !got.Equal(logging.Secret("configured anew")) {
		t.Error("a configured token was kept when another one was set")
	}
	if got := again.Get("default"); !got.Equal(logging.Secret("from-the-api")) {
		t.Error("the token that was set is lost")
	}
}

func TestNodeIDIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := NodeID(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := NodeID(dir, "")
	if err != nil || second != first {
		t.Errorf("%q, then %q (%v)", first, second, err)
	}
}

func TestSelfSaysWhereToJoin(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg, nil)
	var self struct {
		DebugConfig struct{ SerfAdvertiseAddrLAN, SerfBindAddrLAN string }
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/", cfg.Ports.HTTP)
	_, body := get(t, http.DefaultClient, url+"agent/self", management)
	if err := json.Unmarshal([]byte(body), &self); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("tcp://127.0.0.1:%d", cfg.Ports.SerfLAN)
	if got := self.DebugConfig; got.SerfAdvertiseAddrLAN != want || got.SerfBindAddrLAN != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestTheAutopilotStanzaCountsUntilAnOperatorChooses(t *testing.T) {
	cfg := testConfig(t)
	cfg.Autopilot = autopilot.Default()
	cfg.Autopilot.ServerStabilizationTime = 42 * time.Second
	start(t, cfg, nil)
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/operator/autopilot/configuration", cfg.Ports.HTTP)
	status, body := get(t, http.DefaultClient, url, management)
	if status != http.StatusOK || !strings.Contains(body, `"ServerStabilizationTime":"42s"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestALeaveIsAnsweredOnceTheOthersKnow(t *testing.T) {
	server := testConfig(t)
	start(t, server, nil)
	client := testConfig(t)
	client.NodeName, client.Server, client.Bootstrap = "node2", false, false
	client.RetryJoin = []string{fmt.Sprintf("127.0.0.1:%d", server.Ports.SerfLAN)}
	gone := start(t, client, nil)
	put := func(path string) (int, string) {
		req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d%s", client.Ports.HTTP, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Consul-Token", management)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := put("/v1/agent/leave"); status != http.StatusOK {
		t.Fatalf("leave: %d %s\n%s", status, body, gone.log)
	}
	inOrder(t, gone.log.String(), "client starting leave", "EventMemberLeave: node2")
	eventually(t, "the server knows", func() bool {
		return strings.Contains(must(t, server, http.MethodGet, "/v1/agent/members?filter=Name==node2", ""), `"Status":3`)
	})
	if err := <-gone.done; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}
