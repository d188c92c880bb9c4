package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/test/cluster"
)

const (
	meshCallers  = 4
	meshPatience = 30 * time.Second
	apiPublic    = 21000
	webUpstream  = 21001
)

// mesh is web, which calls api through two built-in proxies: each is a process beside a client agent
// of its own.
type mesh struct {
	t        *testing.T
	client   *api.Client // with the management token
	public   string      // the listener of api's proxy
	upstream string      // web's way to api
	calls    atomic.Int64
	failed   atomic.Int64
}

// TestRotationsOfTheMeshCA changes the root of the mesh CA three times while web calls api all
// the time, over connections of one call and over one that stays. No call fails.
func TestRotationsOfTheMeshCA(t *testing.T) {
	m := startMesh(t, startCluster(t, 2))
	stop := m.traffic()
	for round := range 3 {
		before := m.calls.Load()
		root := m.rotate(round)
		m.await("api's proxy to present a leaf of the new root", func() bool { return m.presents(root) })
		m.await("calls after that", func() bool { return m.calls.Load() > before+100 })
	}
	stop()
	if m.failed.Load() > 0 {
		t.Errorf("%d of %d calls failed", m.failed.Load(), m.calls.Load())
	}
	t.Logf("%d calls, %d failed", m.calls.Load(), m.failed.Load())
}

// startMesh starts everybody of the mesh, and returns once a call has succeeded.
func startMesh(t *testing.T, c *cluster.Cluster) *mesh {
	t.Helper()
	client := func(a *cluster.Agent, token string) *api.Client {
		made, err := api.NewClient(&api.Config{Address: a.HTTP, Token: token})
		must(t, err)
		return made
	}
	host := func(a *cluster.Agent) string { h, _, _ := net.SplitHostPort(a.HTTP); return h }
	web, app := c.Clients[0], c.Clients[1]
	m := &mesh{
		t: t, client: client(c.Servers[0], cluster.Management),
		public: net.JoinHostPort(host(app), fmt.Sprint(apiPublic)), upstream: net.JoinHostPort(host(web), fmt.Sprint(webUpstream)),
	}
	service := serveHTTP(t)
	_, err := m.client.Connect().IntentionUpsert(&api.Intention{
		SourceName: "web", DestinationName: "api", SourceType: api.IntentionSourceConsul, Action: api.IntentionActionAllow,
	}, nil)
	must(t, err)
	for _, s := range []struct {
		at   *cluster.Agent
		name string
		as   *api.AgentServiceConnectProxyConfig
	}{
		{app, "api", &api.AgentServiceConnectProxyConfig{Config: map[string]any{"local_service_address": service}}},
		{web, "web", &api.AgentServiceConnectProxyConfig{Upstreams: []api.Upstream{
			{DestinationName: "api", LocalBindAddress: host(web), LocalBindPort: webUpstream},
		}}},
	} {
		token, _, err := m.client.ACL().TokenCreate(&api.ACLToken{ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: s.name}}}, nil)
		must(t, err)
		must(t, client(s.at, token.SecretID).Agent().ServiceRegister(&api.AgentServiceRegistration{
			Name: s.name, Port: 8080,
			Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
				Address: host(s.at), Port: apiPublic, Proxy: s.as,
				Check: &api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing},
			}},
		}))
		startProxy(t, s.at, s.name, token.SecretID)
	}
	m.await("the first call", func() bool { return m.call(http.DefaultClient) == nil })
	return m
}

// startProxy runs consul connect proxy until the test ends, when it has to end with SIGTERM.
func startProxy(t *testing.T, a *cluster.Agent, service, token string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(oldBinary, "connect", "proxy", "-sidecar-for", service, "-http-addr", a.HTTP, "-token", token)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if err != nil || !strings.Contains(out.String(), "==> Consul Connect proxy shutdown") {
			t.Errorf("the proxy of %s ended: %v", service, err)
		}
		if t.Failed() {
			t.Logf("the proxy of %s printed:\n%s", service, out.String())
		}
	})
}

// serveHTTP is the service api.
func serveHTTP(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "api") })}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// call calls api.
func (m *mesh) call(c *http.Client) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), meshPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.upstream, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != "api" {
		err = fmt.Errorf("%s: %q", resp.Status, body)
	}
	return err
}

// traffic calls api until stop is called. One caller keeps its connection, which is another failure if it breaks.
func (m *mesh) traffic() (stop func()) {
	end := make(chan struct{})
	var work sync.WaitGroup
	for i := range meshCallers {
		keep := i == 0
		connections := 0
		transport := &http.Transport{DisableKeepAlives: !keep, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if connections++; keep && connections > 1 {
				m.failed.Add(1)
				m.t.Error("the connection that stays was broken")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}
		work.Go(func() {
			defer transport.CloseIdleConnections()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-end:
					return
				case <-tick.C:
				}
				if err := m.call(&http.Client{Transport: transport}); err != nil {
					m.failed.Add(1)
					m.t.Errorf("a call failed: %v", err)
				}
				m.calls.Add(1)
			}
		})
	}
	return sync.OnceFunc(func() {
		close(end)
		work.Wait()
	})
}

// rotate has the CA make another root, of another kind of key, and returns its key's identifier.
func (m *mesh) rotate(round int) []byte {
	before, _, err := m.client.Connect().CARoots(nil)
	must(m.t, err)
	config, _, err := m.client.Connect().CAGetConfig(nil)
	must(m.t, err)
	config.Config["PrivateKeyType"] = "ec"
	config.Config["PrivateKeyBits"] = []int{384, 256, 521}[round]
	_, err = m.client.Connect().CASetConfig(config, nil)
	must(m.t, err)
	after, _, err := m.client.Connect().CARoots(nil)
	must(m.t, err)
	if after.ActiveRootID == before.ActiveRootID {
		m.t.Fatal("there is no other root")
	}
	i := slices.IndexFunc(after.Roots, func(r *api.CARoot) bool { return r.Active })
	block, _ := pem.Decode([]byte(after.Roots[i].RootCertPEM))
	cert, err := x509.ParseCertificate(block.Bytes)
	must(m.t, err)
	return cert.SubjectKeyId
}

// presents reports whether the leaf that api's proxy presents was signed by a key.
func (m *mesh) presents(key []byte) bool {
	conn, err := tls.Dial("tcp", m.public, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	defer conn.Close()
	return bytes.Equal(conn.ConnectionState().PeerCertificates[0].AuthorityKeyId, key)
}

// await waits until ok holds.
func (m *mesh) await(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(meshPatience); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			m.t.Fatalf("waited for %s", what)
		}
	}
}
