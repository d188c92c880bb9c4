package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
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

	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lictor/lictor/internal/oneconn"
	"github.com/lictor/lictor/test/cluster"
	"github.com/lictor/lictor/test/xdsreader"
)

const (
	meshCallers  = 3
	meshTick     = 20 * time.Millisecond // between two calls of one
	meshPatience = 30 * time.Second
	soon         = time.Second     // for a change to get to a proxy
	busy         = 5 * time.Second // for the same, of a short run beside other tests
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
	reader   *xdsreader.Reader        // a proxy of api that only reads
	seen     map[string]time.Duration // how long it took at most until the reader was told
}

// rotations is how often the root of the mesh CA is changed.
func rotations() int {
	if long {
		return 12
	}
	return 3
}

// TestRotationsOfTheMeshCA changes the root of the mesh CA three times while web calls api all
// the time, over connections of one call and over one that stays. No call fails. A reader of xDS sees each new
// root, the leaf that it has signed, and a changed intention, each soon after the answer to who changed it.
func TestRotationsOfTheMeshCA(t *testing.T) {
	m := startMesh(t, startPatient(t, 2))
	stop := m.traffic()
	for round := range rotations() {
		before := m.calls.Load()
		root := m.rotate(round)
		began := time.Now()
		m.sees(fmt.Sprintf("root %d", round+1), began, func(l public) bool { return l.trusts(root) })
		m.sees(fmt.Sprintf("the leaf of root %d", round+1), began, func(l public) bool { return l.signedBy(root) })
		name := fmt.Sprint("job", round)
		m.allow(name)
		began = time.Now()
		m.sees("an intention", began, func(l public) bool { return strings.Contains(l.rules, name) })
		m.await("api's proxy to present a leaf of the new root", func() bool { return m.presents(root) })
		m.await("calls after that", func() bool { return m.calls.Load() > before+100 })
	}
	stop()
	m.report()
}

// TestTheMeshOutlivesItsAgents has the agents of both proxies killed, and the leader too, while web calls api: proxies go on
// with what they know, and no call fails.
func TestTheMeshOutlivesItsAgents(t *testing.T) {
	c := startCluster(t, 2)
	m := startMesh(t, c)
	stop := m.traffic()
	pass := func() {
		before := m.calls.Load()
		m.await("calls", func() bool { return m.calls.Load() > before+100 })
	}
	for _, a := range c.Clients {
		a.Kill()
		pass()
		must(t, a.Start())
		pass()
	}
	since := c.Elections()
	leader := leaderOf(t, c)
	leader.Kill()
	pass()
	_, err := c.AwaitLeader(since, leader)
	must(t, err)
	must(t, leader.Start())
	pass()
	stop()
	m.report()
}

// report fails the test if a call has failed, and says how it was.
func (m *mesh) report() {
	m.t.Helper()
	if m.failed.Load() > 0 {
		m.t.Errorf("%d of %d calls failed", m.failed.Load(), m.calls.Load())
	}
	m.t.Logf("%d calls, %d failed", m.calls.Load(), m.failed.Load())
	for _, what := range slices.Sorted(maps.Keys(m.seen)) {
		m.t.Logf("%s: seen after %v", what, m.seen[what].Round(time.Millisecond))
	}
}

// public is what a proxy has been told of its public listener.
type public struct {
	roots []*x509.Certificate
	leaf  *x509.Certificate
	rules string
}

func (l public) trusts(root *x509.Certificate) bool { return slices.ContainsFunc(l.roots, root.Equal) }

func (l public) signedBy(root *x509.Certificate) bool {
	return l.leaf != nil && l.leaf.CheckSignatureFrom(root) == nil
}

// publicOf reads what s says of the public listener.
func publicOf(s xdsreader.State) (out public) {
	for name, l := range s.Listeners {
		if !strings.HasPrefix(name, "public_listener:") {
			continue
		}
		chain := l.FilterChains[0]
		var down tlsv3.DownstreamTlsContext
		if chain.TransportSocket.GetTypedConfig().UnmarshalTo(&down) != nil {
			continue
		}
		common := down.CommonTlsContext
		out.roots = certificates(common.GetValidationContext().TrustedCa.GetInlineString())
		if leaf := certificates(common.TlsCertificates[0].CertificateChain.GetInlineString()); len(leaf) > 0 {
			out.leaf = leaf[0]
		}
		var rules rbac.RBAC
		if chain.Filters[0].GetTypedConfig().UnmarshalTo(&rules) == nil {
			out.rules = rules.String()
		}
	}
	return out
}

// certificates reads PEM.
func certificates(text string) (all []*x509.Certificate) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, cert)
		}
	}
}

// sees waits until the reader has been told of something, which has to take no longer than a second, or some on a busy machine.
func (m *mesh) sees(what string, began time.Time, enough func(public) bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), meshPatience)
	defer cancel()
	if _, err := m.reader.Wait(ctx, func(s xdsreader.State) bool { return enough(publicOf(s)) }); err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	took := time.Since(began)
	m.seen[what] = max(m.seen[what], took)
	switch {
	case took > busy || long && took > soon:
		m.t.Errorf("%s is seen after %v", what, took)
	case took > soon:
		m.t.Logf("%s is seen after %v: this machine is busy", what, took)
	}
}

// read opens a stream of xDS for the sidecar of api.
func (m *mesh) read(a *cluster.Agent, token string) {
	conn, err := grpc.NewClient(a.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(m.t, err)
	m.t.Cleanup(func() { _ = conn.Close() })
	m.reader, err = xdsreader.Open(m.t.Context(), conn, xdsreader.Proxy{ID: "api-sidecar-proxy", Token: token})
	must(m.t, err)
	_, err = m.reader.Wait(m.t.Context(), func(s xdsreader.State) bool { return len(s.Listeners) > 0 })
	must(m.t, err)
}

// allow lets a service call api.
func (m *mesh) allow(source string) {
	again(m.t, func() error {
		_, err := m.client.Connect().IntentionUpsert(&api.Intention{
			SourceName: source, DestinationName: "api", SourceType: api.IntentionSourceConsul, Action: api.IntentionActionAllow,
		}, nil)
		return err
	})
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
		t: t, seen: map[string]time.Duration{}, client: client(c.Servers[0], cluster.Management),
		public: net.JoinHostPort(host(app), fmt.Sprint(apiPublic)), upstream: net.JoinHostPort(host(web), fmt.Sprint(webUpstream)),
	}
	service := serveHTTP(t)
	m.allow("web")
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
		var token *api.ACLToken
		again(t, func() (err error) {
			token, _, err = m.client.ACL().TokenCreate(&api.ACLToken{ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: s.name}}}, nil)
			return err
		})
		must(t, client(s.at, token.SecretID).Agent().ServiceRegister(&api.AgentServiceRegistration{
			Name: s.name, Port: 8080,
			Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
				Address: host(s.at), Port: apiPublic, Proxy: s.as,
				Check: &api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing},
			}},
		}))
		startProxy(t, s.at, s.name, token.SecretID)
		if s.name == "api" {
			m.read(s.at, token.SecretID)
		}
	}
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // what stays open is waited for at the end
	m.await("the first call", func() bool { return m.call(once) == nil })
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

// traffic calls api until stop is called. One caller keeps its connection.
func (m *mesh) traffic() (stop func()) {
	kept := &http.Client{Transport: &oneconn.Transport{}}
	passing := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	end := make(chan struct{})
	var work sync.WaitGroup
	for i := range meshCallers {
		client := passing
		if i == 0 {
			client = kept
		}
		work.Go(func() {
			tick := time.NewTicker(meshTick)
			defer tick.Stop()
			for {
				select {
				case <-end:
					return
				case <-tick.C:
				}
				if err := m.call(client); err != nil {
					m.failed.Add(1)
					m.t.Errorf("a call failed: %v", err)
					if i == 0 {
						return // with its connection
					}
				}
				m.calls.Add(1)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(end)
		work.Wait()
		kept.CloseIdleConnections()
	})
	m.t.Cleanup(stop) // before what it calls ends
	return stop
}

// rotate has the CA make another root, of another kind of key, and returns it.
func (m *mesh) rotate(round int) *x509.Certificate {
	config, _, err := m.client.Connect().CAGetConfig(nil)
	must(m.t, err)
	config.Config["PrivateKeyType"] = "ec"
	config.Config["PrivateKeyBits"] = []int{384, 256, 521}[round%3]
	again(m.t, func() error {
		_, err := m.client.Connect().CASetConfig(config, nil)
		return err
	})
	after, _, err := m.client.Connect().CARoots(nil)
	must(m.t, err)
	if len(after.Roots) != round+2 {
		m.t.Fatalf("there are %d roots", len(after.Roots))
	}
	i := slices.IndexFunc(after.Roots, func(r *api.CARoot) bool { return r.Active })
	return certificates(after.Roots[i].RootCertPEM)[0]
}

// presents reports whether the leaf that api's proxy presents was signed by a root.
func (m *mesh) presents(root *x509.Certificate) bool {
	conn, err := tls.Dial("tcp", m.public, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	defer conn.Close()
	return bytes.Equal(conn.ConnectionState().PeerCertificates[0].AuthorityKeyId, root.SubjectKeyId)
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
