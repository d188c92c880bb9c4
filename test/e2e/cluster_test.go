package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
)

// cluster is servers and client agents as real processes, each on a host of its
// own: TLS, encrypted gossip, ACLs that deny by default, auto_encrypt.
type cluster struct {
	t          *testing.T
	dir        string
	network    network
	authority  *ca.AgentCA
	key        string // of gossip
	management string
	aws        *localAWS
	env        []string // where AWS is
	servers    []*host
	agents     []*host
}

// host is one machine and the agent on it.
type host struct {
	cluster *cluster
	number  int
	name    string
	dir     string
	config  string // file
	http    string // host:port, as the host itself reaches it
	client  *http.Client

	mu      sync.Mutex
	process *server
}

// patientServers is configuration of servers that do not elect another leader only because the machine is busy for a moment,
// for tests that are about something else: whoever writes at that moment is not told what became of it.
const patientServers = "performance { raft_multiplier = 3 }\n"

// newCluster makes the files for servers and starts them all. It returns once
// there is a leader.
func newCluster(t *testing.T, servers, agents int) *cluster {
	t.Helper()
	c := prepareCluster(t, servers, agents)
	for _, h := range c.servers {
		h.configure(patientServers)
	}
	c.start(c.servers...)
	c.awaitLeader()
	return c
}

// prepareCluster makes a network, and the servers' files.
func prepareCluster(t *testing.T, servers, agents int) *cluster {
	t.Helper()
	return prepareClusterIn(t, newNetwork(t, servers+agents), servers, agents)
}

// prepareClusterIn makes the servers' files for a network that is there.
func prepareClusterIn(t *testing.T, n network, servers, agents int) *cluster {
	t.Helper()
	c := &cluster{
		t: t, dir: t.TempDir(), network: n,
		key: newGossipKey(), management: "5c1f0b4e-9a3d-4c55-8f0e-1d2c3b4a5968",
	}
	var err error
	if c.authority, err = ca.NewAgentCA(time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	c.startAWS()
	for i := range servers {
		c.servers = append(c.servers, c.newHost(i+1, fmt.Sprintf("server%d", i+1)))
	}
	for i := range agents {
		c.agents = append(c.agents, c.newHost(servers+i+1, fmt.Sprintf("agent%d", i+1)))
	}
	for _, h := range c.servers {
		c.writeServer(h, "dc1", servers)
	}
	return c
}

func newGossipKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// startAWS starts the local AWS and lets the hosts reach it.
func (c *cluster) startAWS() {
	var err error
	if c.aws, err = startAWS(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.aws.Close() })
	url := (&host{cluster: c}).serve(c.network.addr(0), c.aws)
	c.env = []string{"AWS_ENDPOINT_URL_STS=" + url, "AWS_ENDPOINT_URL_IAM=" + url}
}

func (c *cluster) newHost(number int, name string) *host {
	h := &host{cluster: c, number: number, name: name, dir: filepath.Join(c.dir, name)}
	h.config = filepath.Join(h.dir, "agent.hcl")
	h.http = net.JoinHostPort(c.network.local(number), "8500")
	h.client = &http.Client{Transport: &http.Transport{DialContext: h.dial, MaxIdleConnsPerHost: 256}}
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { h.client.CloseIdleConnections(); h.kill() })
	return h
}

// dial connects to a port of this host, as a process on it does.
func (h *host) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.cluster.network.on(h.number, func() error {
		conn, err = (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (h *host) addr() string { return h.cluster.network.addr(h.number) }

// file writes a file of the host and returns its path.
func (h *host) file(name, content string) string {
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.cluster.t.Fatal(err)
	}
	return path
}

// configure adds to the configuration of the host's agent, before it starts.
func (h *host) configure(text string) {
	f, err := os.OpenFile(h.config, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		h.cluster.t.Fatal(err)
	}
}

func (c *cluster) serverAddrs() string {
	var quoted []string
	for _, h := range c.servers {
		quoted = append(quoted, fmt.Sprintf("%q", h.addr()))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// writeServer writes a server's configuration and a certificate of a datacenter.
func (c *cluster) writeServer(h *host, certDatacenter string, expect int) {
	pair, err := c.authority.Server(ca.ServerNames{Datacenter: certDatacenter, Domain: "consul", IPs: []net.IP{net.ParseIP(h.addr())}}, time.Now(), time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	h.file("agent.hcl", fmt.Sprintf(`
server = true
bootstrap_expect = %d
node_name = %q
data_dir = %q
bind_addr = %q
client_addr = %q
retry_join = %s
retry_interval = "1s"
encrypt = %q
addresses {
  https = %q
}
ports {
  https = 8501
  serf_wan = -1
}
tls {
  defaults {
    ca_file = %q
    cert_file = %q
    key_file = %q
    verify_outgoing = true
  }
  internal_rpc {
    verify_incoming = true
    verify_server_hostname = true
  }
}
auto_encrypt {
  allow_tls = true
}
acl {
  enabled = true
  default_policy = "deny"
  tokens {
    initial_management = %q
  }
}
`, expect, h.name, filepath.Join(h.dir, "data"), h.addr(), c.network.local(h.number), c.serverAddrs(), c.key, h.addr(),
		h.file("ca.pem", string(c.authority.Cert)), h.file("cert.pem", string(pair.Cert)), h.file("key.pem", pair.Key.Reveal()),
		c.management))
}

// writeAgent writes the documents' agent-defaults.hcl, with the CA and the gossip
// key as the only input, and a token. The documents end it with a partition, which may be "".
func (c *cluster) writeAgent(h *host, token, partition string) {
	h.file("agent.hcl", fmt.Sprintf(`
addresses = {
  dns = "127.0.0.1"
  grpc = %[1]q
  http = %[1]q
}
advertise_addr = %[2]q
advertise_reconnect_timeout = "15m"
client_addr = "0.0.0.0"
datacenter = "dc1"
enable_central_service_config = true
leave_on_terminate = true
ports {
  grpc = 8502
}
retry_join = %[3]s
telemetry {
  disable_compat_1.9 = true
}
encrypt = %[4]q
auto_encrypt = {
  tls = true
  ip_san = [%[2]q]
}
tls {
  defaults {
    ca_file = %[5]q
    verify_outgoing = true
  }
}
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens {
    agent = %[6]q
  }
}
partition = %[7]q
`, c.network.local(h.number), h.addr(), c.serverAddrs(), c.key, h.file("ca.pem", string(c.authority.Cert)), token, partition))
}

// command runs consul on the host, and returns what it prints and its exit code.
func (h *host) command(env []string, args ...string) (out string, code int) {
	h.cluster.t.Helper()
	run := exec.Command(filepath.Join(binaries, "consul"), args...)
	run.Dir = h.dir
	run.Env = append(append(os.Environ(), "CONSUL_HTTP_ADDR="+h.http), env...)
	err := h.cluster.network.on(h.number, func() error {
		raw, err := run.CombinedOutput()
		out = string(raw)
		return err
	})
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		h.cluster.t.Fatal(err)
	}
	return out, run.ProcessState.ExitCode()
}

// serve lets handler answer at an address of the host, and returns its URL.
func (h *host) serve(addr string, handler http.Handler) string {
	l, err := h.listen(addr)
	if err != nil {
		h.cluster.t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	h.cluster.t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

func (h *host) listen(addr string) (l net.Listener, err error) {
	err = h.cluster.network.on(h.number, func() error {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	return l, err
}

// start starts the agents on hosts and returns once all are running.
func (c *cluster) start(hosts ...*host) {
	c.t.Helper()
	failed := make(chan error, len(hosts))
	for _, h := range hosts {
		go func() { failed <- h.start() }()
	}
	for range hosts {
		if err := <-failed; err != nil {
			c.t.Fatal(err)
		}
	}
}

// start starts the agent of the host and returns once it is running.
func (h *host) start() error {
	process, err := h.launch()
	if err == nil {
		err = process.waitFor("Consul agent running!")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.name, err)
	}
	return nil
}

// launch starts the agent of the host, with further arguments.
func (h *host) launch(args ...string) (process *server, err error) {
	args = append([]string{"-config-file", h.config, "-data-dir", filepath.Join(h.dir, "data"), "-node", h.name, "-bind", h.addr()}, args...)
	err = h.cluster.network.on(h.number, func() error {
		process, err = launchAgent(h.dir, h.cluster.env, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.process = process
	return process, nil
}

func (h *host) running() *server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.process
}

// kill ends the agent with SIGKILL.
func (h *host) kill() {
	if p := h.running(); p != nil {
		p.kill()
	}
}

// pause stops the agent's process, and resume lets it go on.
func (h *host) pause() error { return h.running().cmd.Process.Signal(syscall.SIGSTOP) }

func (h *host) resume() error { return h.running().cmd.Process.Signal(syscall.SIGCONT) }

// cut takes the host away from all others, and heal brings it back.
func (h *host) cut() error {
	if done, err := h.cluster.network.cut(h.number); done || err != nil {
		return err
	}
	return h.pause()
}

func (h *host) heal() error {
	if done, err := h.cluster.network.heal(h.number); done || err != nil {
		return err
	}
	return h.resume()
}

// ask sends a request to the agent of the host and returns the answer.
func (h *host) ask(ctx context.Context, method, path, secret, body string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+h.http+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if secret != "" {
		req.Header.Set("X-Consul-Token", secret)
	}
	res, err := h.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

// api returns the published client, with the management token.
func (h *host) api() *api.Client {
	client, err := api.NewClient(&api.Config{Address: h.http, Token: h.cluster.management, HttpClient: h.client})
	if err != nil {
		h.cluster.t.Fatal(err)
	}
	return client
}

// every tries again, at short intervals, until try says that it is done. It
// fails with the last reason when patience is over.
func every(interval time.Duration, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// awaitLeader returns once every server has answered a consistent read.
func (c *cluster) awaitLeader() {
	c.t.Helper()
	for _, h := range c.servers {
		if err := h.answers(); err != nil {
			c.t.Fatalf("%s: %v\n%s", h.name, err, h.running().log())
		}
	}
}

// answers returns once the agent has answered a consistent read.
func (h *host) answers() error {
	return every(20*time.Millisecond, func(ctx context.Context) error {
		status, answer, err := h.ask(ctx, http.MethodGet, "/v1/acl/token/self?consistent", h.cluster.management, "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, answer)
		}
		return err
	})
}

// leader returns the server that leads.
func (c *cluster) leader(among []*host) (*host, error) {
	var found *host
	err := every(20*time.Millisecond, func(ctx context.Context) error {
		for _, asked := range among {
			_, answer, err := asked.ask(ctx, http.MethodGet, "/v1/status/leader", "", "")
			if err != nil {
				return err
			}
			for _, h := range among {
				if strings.Trim(strings.TrimSpace(answer), `"`) == net.JoinHostPort(h.addr(), "8300") {
					found = h
					return nil
				}
			}
		}
		return fmt.Errorf("no leader")
	})
	return found, err
}

// startAgents gives each client agent a token that may register its node, and
// starts them.
func (c *cluster) startAgents() {
	c.t.Helper()
	for _, h := range c.agents {
		c.writeAgent(h, c.agentToken(h), "")
	}
	c.start(c.agents...)
	for _, h := range c.agents {
		if err := h.answers(); err != nil {
			c.t.Fatalf("%s: %v\n%s", h.name, err, h.running().log())
		}
	}
}

// agentToken makes the token of a client agent.
func (c *cluster) agentToken(h *host) string {
	c.t.Helper()
	token, _, err := c.servers[0].api().ACL().TokenCreate(&api.ACLToken{
		NodeIdentities: []*api.ACLNodeIdentity{{NodeName: h.name, Datacenter: "dc1"}},
	}, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return token.SecretID
}
