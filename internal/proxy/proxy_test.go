package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/freeport"
	"github.com/lictor/lictor/internal/tenancy"
)

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited for %s", what)
		}
	}
}

func TestACallPassesTwoProxies(t *testing.T) {
	p := newPair(t)
	got, err := call(p.web.at["api"], "hello ")
	if err != nil || got != "hello api" {
		t.Fatalf("got %q, %v", got, err)
	}
	for _, line := range []string{
		"[INFO]  Parsed TLS identity: uri=spiffe://" + clusterID + ".consul/ns/default/dc/dc1/svc/api",
		"[INFO]  Proxy loaded config and ready to serve",
		`[INFO]  Starting listener: listener="public listener" bind_addr=127.0.0.1:`,
	} {
		if !strings.Contains(p.api.log.String(), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	eventually(t, "nothing to be left of the connection", func() bool {
		return p.web.proxy.connections.count() == 0 && p.api.proxy.connections.count() == 0
	})
}

func TestMuchDataPassesUnchanged(t *testing.T) {
	p := newPair(t)
	sent := make([]byte, 8<<20)
	_, _ = rand.Read(sent)
	got, err := call(p.web.at["api"], string(sent))
	if err != nil || !bytes.Equal([]byte(got), append(sent, "api"...)) {
		t.Fatalf("%d bytes of %d come back, %v", len(got), len(sent), err)
	}
}

func TestTheLocalServiceMayBeASocketOfUnix(t *testing.T) {
	a := newAgent(t)
	dir := t.TempDir()
	local, err := net.Listen("unix", filepath.Join(dir, "api"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	settings := publicFor("api", "")
	settings.Public.Local = Address{Network: "unix", Addr: local.Addr().String()}
	in := a.start(Config{Settings: settings})
	a.change(func() { a.instances["api"] = []string{in.at["public listener"]} })
	s := upstreamTo("web", "api")
	s.Upstreams[0].Bind = Address{Network: "unix", Addr: filepath.Join(dir, "up"), Mode: 0o600}
	a.start(Config{Settings: s})
	conn, err := net.Dial("unix", filepath.Join(dir, "up"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "ping")
	other, err := local.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	got := make([]byte, 4)
	if _, err := io.ReadFull(other, got); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestInstancesTakeTurns(t *testing.T) {
	a := newAgent(t)
	var addresses []string
	for _, name := range []string{"one", "two", "three"} {
		addresses = append(addresses, a.start(Config{Settings: publicFor("api", echo(t, name))}).at["public listener"])
	}
	a.change(func() { a.instances["api"] = addresses })
	web := a.start(Config{Settings: upstreamTo("web", "api")})
	times := map[string]int{}
	for range 9 {
		got, err := call(web.at["api"], "")
		if err != nil {
			t.Fatal(err)
		}
		times[got]++
	}
	if times["one"] != 3 || times["two"] != 3 || times["three"] != 3 {
		t.Errorf("got %v", times)
	}
}

func TestAnotherInstanceStandsInForOneThatCannotBeReached(t *testing.T) {
	p := newPair(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	p.agent.change(func() { p.agent.instances["api"] = []string{dead.Addr().String(), p.agent.instances["api"][0]} })
	for range 6 {
		if got, err := call(p.web.at["api"], "x"); err != nil || got != "xapi" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestWithoutAnInstanceTheConnectionFails(t *testing.T) {
	a := newAgent(t)
	web := a.start(Config{Settings: upstreamTo("web", "api")})
	if got, err := call(web.at["api"], "x"); err == nil {
		t.Errorf("got %q", got)
	}
}

func TestAnIntentionClosesConnectionsAtOnce(t *testing.T) {
	p := newPair(t)
	conn, err := net.Dial("tcp", p.web.at["api"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	ping := func() error {
		if _, err := io.WriteString(conn, "ping"); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 4))
		return err
	}
	if err := ping(); err != nil {
		t.Fatal(err)
	}
	p.agent.deny("other", true) // about somebody else
	if err := ping(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.agent.deny("web", true)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection goes on")
	}
	if took := time.Since(began); took > decisionLife/2 {
		t.Errorf("it took %v", took)
	}
	if got, err := call(p.web.at["api"], "x"); err == nil && got != "" {
		t.Errorf("a new connection gets %q", got)
	}
	p.agent.deny("web", false)
	eventually(t, "to be allowed again", func() bool {
		got, err := call(p.web.at["api"], "x")
		return err == nil && got == "xapi"
	})
}

func TestTheAgentIsAskedOncePerSource(t *testing.T) {
	p := newPair(t)
	for range 20 {
		if _, err := call(p.web.at["api"], "x"); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.agent.count("authorize"); n > 3 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestWhatWasDecidedCountsWhileServersAreAway(t *testing.T) {
	p := newPair(t)
	if _, err := call(p.web.at["api"], "x"); err != nil {
		t.Fatal(err)
	}
	p.agent.setDown(true)
	eventually(t, "the proxy to notice", func() bool { return strings.Contains(p.api.log.String(), "about=intentions") })
	if got, err := call(p.web.at["api"], "x"); err != nil || got != "xapi" {
		t.Errorf("who was allowed before gets %q, %v", got, err)
	}
	if _, err := p.agent.dial(t, p.api.at["public listener"], p.agent.certificate(serviceID("stranger"), time.Hour)); err == nil {
		t.Error("somebody is let in about whom nothing was decided")
	}
}

func TestWhatWasDecidedCountsWhileTheAgentIsSilent(t *testing.T) {
	now := &clock{}
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api")), Now: now.time})
	web := a.certificate(serviceID("web"), time.Hour)
	letIn := func() error {
		conn, err := a.dial(t, in.at[PublicListener], web)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := letIn(); err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{})
	a.mu.Lock()
	a.silent = silent
	a.mu.Unlock()
	now.pass(2 * decisionLife)
	asked := a.count("authorize")
	if err := letIn(); err != nil {
		t.Errorf("who was allowed before: %v", err)
	}
	if a.count("authorize") != asked+1 {
		t.Error("the agent was not asked again")
	}
	a.deny("web", true)
	close(silent)
	eventually(t, "the change to count", func() bool { return letIn() != nil })
}

// clock is the time, and what has passed beside.
type clock struct{ ahead atomic.Int64 }

func (c *clock) time() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

func TestTheMeshEntryBoundsTLS(t *testing.T) {
	p := newPair(t)
	web := p.agent.certificate(serviceID("web"), time.Hour)
	speaks := func(most uint16, suites ...uint16) bool {
		conn, err := tls.Dial("tcp", p.api.at[PublicListener], &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{web}, MaxVersion: most, CipherSuites: suites,
		})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	calls := func() bool {
		got, err := call(p.web.at["api"], "x")
		return err == nil && got == "xapi"
	}
	bound := func(in, out *api.MeshDirectionalTLSConfig) {
		p.agent.change(func() {
			p.agent.mesh = &api.MeshConfigEntry{TLS: &api.MeshTLSConfig{Incoming: in, Outgoing: out}}
		})
	}
	if !speaks(tls.VersionTLS12) {
		t.Error("TLS 1.2 is refused without bounds")
	}
	bound(&api.MeshDirectionalTLSConfig{TLSMinVersion: "TLSv1_3"}, nil)
	eventually(t, "TLS 1.2 to be refused", func() bool { return !speaks(tls.VersionTLS12) })
	if !speaks(tls.VersionTLS13) || !calls() {
		t.Error("TLS 1.3 is refused too")
	}
	bound(&api.MeshDirectionalTLSConfig{TLSMinVersion: "TLSv1_3"}, &api.MeshDirectionalTLSConfig{TLSMaxVersion: "TLSv1_2"})
	eventually(t, "upstreams to be called with TLS 1.2 alone", func() bool { return !calls() })
	bound(&api.MeshDirectionalTLSConfig{TLSMinVersion: "TLSv1_0", CipherSuites: []string{"ECDHE-ECDSA-AES256-GCM-SHA384"}}, nil)
	eventually(t, "TLS 1.2 to be taken again", func() bool { return speaks(tls.VersionTLS12) && calls() })
	if speaks(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) {
		t.Error("a suite is taken that is none of the entry's")
	}
	if speaks(tls.VersionTLS11) {
		t.Error("TLS 1.1 is taken where the entry allows it")
	}
}

func TestAnAgentThatKnowsOfNoMeshEntry(t *testing.T) {
	i := newIdentity(time.Now, discard())
	i.noBounds(errors.New("nobody answers"))
	if i.bounds.Load() != nil {
		t.Error("it is not waited for the agent")
	}
	i.noBounds(api.StatusError{Code: http.StatusBadRequest})
	if i.bounds.Load() == nil {
		t.Error("nothing is served without a mesh entry")
	}
}

func TestLeafsAndRootsAreRenewedUnderTraffic(t *testing.T) {
	p := newPair(t)
	steady, err := net.Dial("tcp", p.web.at["api"])
	if err != nil {
		t.Fatal(err)
	}
	defer steady.Close()
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := call(p.web.at["api"], "x"); err != nil || got != "xapi" {
					failed.Add(1)
					t.Errorf("got %q, %v", got, err)
				}
				calls.Add(1)
			}
		})
	}
	serial := func(r *running) string { return serialOf(r.proxy.identity.leaf.Load().cert.Leaf) }
	for range 3 {
		web, api, before := serial(p.web), serial(p.api), calls.Load()
		p.agent.rotate()
		eventually(t, "both to have a leaf of the new root, and some calls", func() bool {
			return serial(p.web) != web && serial(p.api) != api && calls.Load() > before+10
		})
	}
	close(stop)
	work.Wait()
	_ = steady.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(steady, "ping")
	if _, err := io.ReadFull(steady, make([]byte, 4)); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
}

func TestAConnectionMayFinishWhenTheProxyEnds(t *testing.T) {
	p := newPair(t)
	conn, err := net.Dial("tcp", p.web.at["api"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "ping")
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	p.web.cancel()
	p.api.cancel()
	eventually(t, "the listeners to close", func() bool {
		other, err := net.Dial("tcp", p.api.at["public listener"])
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	_, _ = io.WriteString(conn, "last words ")
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "last words api" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := errors.Join(p.web.stop(), p.api.stop()); err != nil {
		t.Error(err)
	}
}

func TestTheEndIsNotPutOffForEver(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api")), Drain: time.Millisecond})
	conn, err := a.dial(t, in.at["public listener"], a.certificate(serviceID("web"), time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	if !strings.Contains(in.log.String(), "connections are closed that did not finish in time") {
		t.Error("nobody says so")
	}
}

func TestAResetIsNoEnd(t *testing.T) {
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", local.Addr().String())})
	a.change(func() { a.instances["api"] = []string{in.at["public listener"]} })
	web := a.start(Config{Settings: upstreamTo("web", "api")})
	conn, err := net.Dial("tcp", web.at["api"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	service, err := local.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(service, "half of it")
	_ = service.(*net.TCPConn).SetLinger(0)
	got := make([]byte, 10)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	_ = service.Close()
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("it looks complete")
	}
}

func TestTheRegistrationIsFollowed(t *testing.T) {
	a := newAgent(t)
	service := &api.AgentService{
		Kind: api.ServiceKindConnectProxy, ID: "api-sidecar-proxy", Service: "api-sidecar-proxy", Address: "127.0.0.1",
		Proxy: &api.AgentServiceConnectProxyConfig{DestinationServiceName: "api", LocalServicePort: 1},
	}
	a.change(func() { a.service = service })
	s, err := FromRegistration(service)
	if err != nil {
		t.Fatal(err)
	}
	r := a.start(Config{Settings: s, ProxyID: service.ID})
	changed, proxy := *service, *service.Proxy
	changed.Proxy = &proxy
	ports, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Upstreams = []api.Upstream{{DestinationName: "db", LocalBindPort: ports[0]}}
	a.change(func() { a.service = &changed })
	r.await(1)
	if r.at["db"] == "" {
		t.Fatal("the new upstream has no listener")
	}
	a.change(func() { a.service = service })
	eventually(t, "the upstream's listener to close", func() bool {
		conn, err := net.Dial("tcp", r.at["db"])
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	a := newAgent(t)
	s := publicFor("api", "127.0.0.1:1")
	s.Public.Bind.Addr = echo(t, "")
	r := &running{t: t, log: &lines{}, ended: make(chan error, 1)}
	p := New(Config{Client: a.client(), Settings: s, Log: discard()})
	r.ended <- p.Run(t.Context())
	if err := <-r.ended; err == nil || !strings.HasPrefix(err.Error(), "failed to start public listener: ") {
		t.Errorf("got %v", err)
	}
}

func TestUpstreamsInOtherNamespacesAndDatacenters(t *testing.T) {
	own := tenancy.Scope{Partition: "east", Namespace: "team"}
	u, err := upstreamOf(&api.Upstream{DestinationName: "db", LocalBindPort: 1}, own)
	if err != nil || u.Scope != own {
		t.Errorf("got %+v, %v", u, err)
	}
	u, err = upstreamOf(&api.Upstream{DestinationName: "db", LocalBindPort: 1, DestinationNamespace: "data", DestinationPartition: "west", Datacenter: "dc2"}, own)
	if err != nil || u.Scope != (tenancy.Scope{Partition: "west", Namespace: "data"}) || u.Datacenter != "dc2" {
		t.Errorf("got %+v, %v", u, err)
	}
}

// The agent takes what a question leaves out for the proxy's own.
func TestInstancesAreSoughtWhereTheUpstreamIs(t *testing.T) {
	team := tenancy.Scope{Partition: "east", Namespace: "team"}
	for _, c := range []struct {
		name                 string
		own, upstream        tenancy.Scope
		namespace, partition string
	}{
		{"all in the default", tenancy.Default, tenancy.Default, "", ""},
		{"both in one namespace", team, team, "team", "east"},
		{"from a namespace to the default", team, tenancy.Default, "default", "default"},
		{"from the default to a namespace", tenancy.Default, team, "team", "east"},
		{"from a namespace to its partition's default", team, tenancy.Scope{Partition: "east", Namespace: "default"}, "default", "east"},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace, partition := Upstream{Scope: c.upstream}.sought(c.own)
			if namespace != c.namespace || partition != c.partition {
				t.Errorf("asks about namespace %q, partition %q", namespace, partition)
			}
		})
	}
}
