package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/sleep"
)

const clusterID = "0f1e2d3c-0000-4000-8000-000000000001"

// signer is servers that sign certificates. Its fields are guarded by the cluster's mu.
type signer struct {
	*cluster
	root   ca.Root
	index  uint64
	forge  func(*endpoint.SignAnswer) // spoils answers of the server at forger
	forger string
	tokens []string // of the requests
	woken  chan struct{}
}

func newSigner(t testing.TB) *signer {
	s := &signer{cluster: newCluster(t), woken: make(chan struct{})}
	s.rotate()
	s.handle = s.serve
	return s
}

// rotate makes another root active.
func (s *signer) rotate() {
	root, err := ca.BuiltIn{}.NewRoot(s.t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: clusterID}, Now: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root = root
	s.index += 5
	close(s.woken)
	s.woken = make(chan struct{})
}

func (s *signer) list() endpoint.CARootList {
	return endpoint.CARootList{
		ActiveRootID: s.root.ID, TrustDomain: s.root.TrustDomain,
		Roots: []endpoint.CARoot{{ID: s.root.ID, RootCert: s.root.RootCert, Active: true}},
	}
}

func (s *signer) serve(addr string, r *http.Request) *http.Response {
	switch r.URL.Path {
	case peer.SignPath:
		return s.sign(addr, r)
	case "/v1/connect/ca/roots":
		return s.roots(r)
	}
	return respond(http.StatusNotFound, "no such path")
}

func (s *signer) sign(addr string, r *http.Request) *http.Response {
	var req endpoint.SignRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return respond(http.StatusBadRequest, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, r.Header.Get("X-Consul-Token"))
	id := ca.AgentID{TrustDomain: s.root.TrustDomain, Partition: req.Partition, Datacenter: req.Datacenter, Node: req.NodeName}
	cert, err := ca.Signer{Provider: ca.BuiltIn{}, Root: &s.root}.SignAgent(r.Context(), []byte(req.CSR), ca.AgentNames{ID: id, DNS: req.DNSSAN, IPs: req.IPSAN}, time.Now())
	if err != nil {
		return respond(http.StatusBadRequest, err.Error())
	}
	a := endpoint.SignAnswer{Certificate: cert.Chain, Mesh: s.list(), ManualCARoots: []string{"manual"}, VerifyServerHostname: true}
	if s.forge != nil && addr == s.forger {
		s.forge(&a)
	}
	return respondJSON(a)
}

// roots answers a blocking query.
func (s *signer) roots(r *http.Request) *http.Response {
	for {
		s.mu.Lock()
		res, index, woken := respondJSON(s.list()), s.index, s.woken
		s.mu.Unlock()
		res.Header.Set("X-Consul-Index", strconv.FormatUint(index, 10))
		if r.URL.Query().Get("index") != strconv.FormatUint(index, 10) {
			return res
		}
		select {
		case <-woken:
		case <-time.After(rootsWait):
			return res
		case <-r.Context().Done():
			return respond(http.StatusServiceUnavailable, "")
		}
	}
}

// client is an agent that obtains certificates.
type client struct {
	*AutoEncrypt
	all  []Obtained // guarded by AutoEncrypt.mu
	log  *lines
	jump time.Duration // of its clock
}

func newClient(s *signer) *client {
	c := &client{log: &lines{}}
	roots := &Roots{Servers: s.servers(), Log: c.log.logger()}
	c.AutoEncrypt = &AutoEncrypt{
		Client: s, RetryJoin: []string{"10.0.0.1"}, ServerPort: 8300, NodeName: "n1", Datacenter: "dc1",
		DNSSAN: []string{"n1.example.com"}, IPSAN: []net.IP{net.IPv4(10, 0, 0, 7)},
		Token: func() logging.Secret { return "s3cret" },
		Use: func(o Obtained) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.all = append(c.all, o)
			return nil
		},
		Roots: roots, Log: c.log.logger(),
		Now: func() time.Time { return time.Now().Round(0).Add(c.jump) },
	}
	return c
}

// got returns the certificates so far.
func (c *client) got() []Obtained {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// obtained is newClient with its first certificate, and tasks that run until stop.
func obtained(t testing.TB, s *signer) (c *client, stop func()) {
	t.Helper()
	c = newClient(s)
	if err := c.Obtain(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, two := run(t, c.Roots.Run), run(t, c.Run)
	synctest.Wait()
	return c, func() { one(); two() }
}

func TestAnAgentObtainsItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		c := newClient(s)
		if err := c.Obtain(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := c.got()[0]
		if string(got.ManualRoots[0]) != "manual" || string(got.MeshRoots[0]) != s.root.RootCert || !got.VerifyServerHostname {
			t.Errorf("got %+v", got)
		}
		if !got.NotAfter.Equal(time.Now().Add(72 * time.Hour)) {
			t.Errorf("valid until %v", got.NotAfter)
		}
		if !slices.Equal(s.tokens, []string{"s3cret"}) {
			t.Errorf("sent tokens %q", s.tokens)
		}
		if text := c.log.String(); !strings.Contains(text, "automatically upgraded to TLS") || strings.Contains(text, "s3cret") {
			t.Errorf("the log says %s", text)
		}
	})
}

func TestAnAgentAsksUntilAServerSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		s.down[""] = true
		c := newClient(s)
		done := make(chan error)
		go func() { done <- c.Obtain(t.Context()) }()
		sleep.For(t.Context(), time.Hour)
		synctest.Wait()
		tries := s.count(peer.SignPath)
		if tries < 60 || tries > 200 {
			t.Errorf("%d tries in an hour", tries)
		}
		for _, line := range []string{
			`msg="AutoEncrypt.Sign RPC failed" addr=10.0.0.1:8300 error="connection refused"`,
			`msg="No servers successfully responded to the auto-encrypt request"`,
		} {
			if !strings.Contains(c.log.String(), line) {
				t.Errorf("the log does not say %s", line)
			}
		}
		s.with(func(c *cluster) { c.down[""] = false })
		if err := <-done; err != nil || len(c.got()) != 1 {
			t.Errorf("got %v, %d certificates", err, len(c.got()))
		}
	})
}

func TestAnAgentThatIsStoppedWhileItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		s.down[""] = true
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := newClient(s).Obtain(ctx)
		if !errors.Is(err, ErrInterrupted) || err.Error() != "interrupted during retrieval of auto-encrypt certificates" {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhomAnAgentAsks(t *testing.T) {
	c := newClient(newSigner(t))
	c.ServerPort = 7300
	c.Lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
		if name == "servers.example.com" {
			return []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("::ffff:10.1.0.2"), netip.MustParseAddr("fd00::1")}, nil
		}
		return nil, errors.New("no such host")
	}
	c.Discover = func(_ context.Context, entry string) ([]string, error) {
		if entry == "provider=aws tag_key=role" {
			return []string{"10.2.0.1", "10.2.0.2"}, nil
		}
		return nil, errors.New("discover: unknown provider bogus")
	}
	tests := []struct {
		entry string
		want  []string
	}{
		{"10.0.0.1", []string{"10.0.0.1:7300"}},
		{"10.0.0.1:8301", []string{"10.0.0.1:7300"}},
		{"fd00::7", []string{"[fd00::7]:7300"}},
		{"[fd00::7]", []string{"[fd00::7]:7300"}},
		{"[fd00::7]:8301", []string{"[fd00::7]:7300"}},
		{"servers.example.com", []string{"10.1.0.1:7300", "10.1.0.2:7300", "[fd00::1]:7300"}},
		{"servers.example.com:8301", []string{"10.1.0.1:7300", "10.1.0.2:7300", "[fd00::1]:7300"}},
		{"provider=aws tag_key=role", []string{"10.2.0.1:7300", "10.2.0.2:7300"}},
		{"provider=bogus", nil},
		{"nowhere.example.com", nil},
	}
	for _, tc := range tests {
		t.Run(tc.entry, func(t *testing.T) {
			c.RetryJoin = []string{tc.entry, tc.entry}
			got := c.addrs(t.Context())
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q", got)
			}
		})
	}
	c.Servers = func() []string { return []string{"10.9.0.1:8300"} }
	c.RetryJoin = []string{"10.0.0.1"}
	if got := c.addrs(t.Context()); !slices.Equal(got, []string{"10.9.0.1:8300", "10.0.0.1:7300"}) {
		t.Errorf("with gossip: %q", got)
	}
	c.Discover, c.RetryJoin = nil, []string{"provider=aws x=y"}
	c.addrs(t.Context())
	if !strings.Contains(c.log.String(), `error="discover: unknown provider aws"`) {
		t.Errorf("the log says %s", c.log)
	}
}

func TestACertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		c, stop := obtained(t, s)
		defer stop()
		for n := 1; n <= 3; n++ {
			left := c.untilDue()
			if left < 41*time.Hour || left > 48*time.Hour {
				t.Fatalf("certificate %d is renewed in %v", n, left)
			}
			sleep.For(t.Context(), left-time.Second)
			synctest.Wait()
			if len(c.got()) != n {
				t.Fatalf("%d certificates before the time of number %d", len(c.got()), n+1)
			}
			sleep.For(t.Context(), 2*time.Second)
			synctest.Wait()
			if len(c.got()) != n+1 {
				t.Fatalf("%d certificates after it", len(c.got()))
			}
		}
	})
}

func TestAClockThatJumps(t *testing.T) {
	tests := []struct {
		name    string
		jump    time.Duration
		renewed bool
	}{
		{"over the end of the certificate", 100 * time.Hour, true},
		{"over the time to renew", 50 * time.Hour, true},
		{"a little ahead", 10 * time.Hour, false},
		{"a little back", -30 * time.Second, false},
		{"an hour back", -time.Hour, true},
		{"to before the certificate", -1000 * time.Hour, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSigner(t)
				c, stop := obtained(t, s)
				sleep.For(t.Context(), 3*time.Hour)
				stop()
				c.jump = tc.jump
				defer run(t, c.Run)()
				sleep.For(t.Context(), 2*checkEvery)
				synctest.Wait()
				want := 1
				if tc.renewed {
					want = 2
				}
				if len(c.got()) != want {
					t.Errorf("%d certificates, want %d", len(c.got()), want)
				}
				sleep.For(t.Context(), time.Hour)
				if len(c.got()) != want {
					t.Errorf("%d certificates an hour later: clocks that differ renew for ever", len(c.got()))
				}
			})
		})
	}
}

func TestACertificateThatExpiredInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		c, stop := obtained(t, s)
		defer stop()
		s.with(func(c *cluster) { c.down[""] = true })
		sleep.For(t.Context(), 200*time.Hour)
		if len(c.got()) != 1 {
			t.Fatalf("%d certificates", len(c.got()))
		}
		s.with(func(c *cluster) { c.down[""] = false })
		sleep.For(t.Context(), 2*lastRetry)
		synctest.Wait()
		if len(c.got()) != 2 || !c.got()[1].NotAfter.After(time.Now().Add(71*time.Hour)) {
			t.Errorf("%d certificates", len(c.got()))
		}
	})
}

func TestAnotherRootRenewsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		c, stop := obtained(t, s)
		defer stop()
		sleep.For(t.Context(), time.Hour)
		s.rotate()
		sleep.For(t.Context(), spreadRenewal+time.Second)
		synctest.Wait()
		if len(c.got()) != 2 || string(c.got()[1].MeshRoots[0]) != s.root.RootCert {
			t.Errorf("%d certificates", len(c.got()))
		}
		sleep.For(t.Context(), time.Hour)
		if len(c.got()) != 2 {
			t.Errorf("%d certificates an hour later", len(c.got()))
		}
	})
}

func TestARefusedCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		c, stop := obtained(t, s)
		defer stop()
		c.Roots.noteRefusal(errRefused) // nobody at the port is no refusal of a certificate
		synctest.Wait()
		if len(c.got()) != 1 {
			t.Fatalf("%d certificates after an outage", len(c.got()))
		}
		c.Roots.noteRefusal(&net.OpError{Op: "remote error", Err: errors.New("tls: expired certificate")})
		synctest.Wait()
		if len(c.got()) != 2 {
			t.Errorf("%d certificates after a refusal", len(c.got()))
		}
	})
}

// What a server answers is taken only if it is for this agent; others are asked.
func TestAttack_AnAnswerForSomebodyElse(t *testing.T) {
	other, err := ca.BuiltIn{}.NewRoot(t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: "ffffffff-0000-4000-8000-000000000001"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(t *testing.T, root ca.Root, node string) string {
		csr, _, err := ca.NewCSR()
		if err != nil {
			t.Fatal(err)
		}
		id := ca.AgentID{TrustDomain: root.TrustDomain, Datacenter: "dc1", Node: node}
		cert, err := ca.Signer{Provider: ca.BuiltIn{}, Root: &root}.SignAgent(t.Context(), csr, ca.AgentNames{ID: id}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return cert.Chain
	}
	tests := map[string]func(*testing.T, *signer, *endpoint.SignAnswer){
		"nothing":         func(_ *testing.T, _ *signer, a *endpoint.SignAnswer) { *a = endpoint.SignAnswer{} },
		"no certificate":  func(_ *testing.T, _ *signer, a *endpoint.SignAnswer) { a.Certificate = "hello" },
		"another's key":   func(t *testing.T, s *signer, a *endpoint.SignAnswer) { a.Certificate = signed(t, s.root, "n1") },
		"no roots":        func(_ *testing.T, _ *signer, a *endpoint.SignAnswer) { a.Mesh.Roots = nil },
		"foreign roots":   func(_ *testing.T, _ *signer, a *endpoint.SignAnswer) { a.Mesh.Roots[0].RootCert = other.RootCert },
		"foreign domain":  func(_ *testing.T, _ *signer, a *endpoint.SignAnswer) { a.Mesh.TrustDomain = other.TrustDomain },
		"the root itself": func(_ *testing.T, s *signer, a *endpoint.SignAnswer) { a.Certificate = s.root.RootCert },
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSigner(t)
			s.forger = "10.0.0.1:8300"
			s.forge = func(a *endpoint.SignAnswer) { forge(t, s, a) }
			c := newClient(s)
			if c.attempt(t.Context()) || len(c.got()) > 0 || !strings.Contains(c.log.String(), "not what was asked for") {
				t.Fatalf("it was taken: %s", c.log)
			}
			c.RetryJoin = []string{"10.0.0.1", "10.0.0.2"}
			if !c.attempt(t.Context()) || len(c.got()) != 1 {
				t.Errorf("the other server was not asked: %s", c.log)
			}
		})
	}
}

func TestWhatCannotBeUsedIsNotTaken(t *testing.T) {
	s := newSigner(t)
	c := newClient(s)
	c.Use = func(Obtained) error { return errors.New("no") }
	if c.attempt(t.Context()) || !c.renewAt.IsZero() {
		t.Error("it was taken")
	}
}

func TestRootsOfTheMeshCAFollowTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t)
		r := &Roots{Servers: s.servers(), Log: (&lines{}).logger()}
		if _, _, err := r.List(t.Context(), acl.Caller{}, endpoint.Read{}); err == nil {
			t.Error("roots before any server was asked")
		}
		defer run(t, r.Run)()
		synctest.Wait()
		list, m, err := r.List(t.Context(), acl.Caller{}, endpoint.Read{})
		if err != nil || list.ActiveRootID != s.root.ID || m.Index != 5 {
			t.Fatalf("got %+v, %+v, %v", list, m, err)
		}
		began := time.Now()
		if _, _, err := r.List(t.Context(), acl.Caller{}, endpoint.Read{MinIndex: 5, MaxWait: time.Minute}); err != nil || time.Since(began) != time.Minute {
			t.Errorf("a wait for nothing took %v, %v", time.Since(began), err)
		}
		go s.rotate()
		list, m, err = r.List(t.Context(), acl.Caller{}, endpoint.Read{MinIndex: 5})
		if err != nil || list.ActiveRootID != s.root.ID || m.Index != 10 {
			t.Errorf("got %+v, %+v, %v", list, m, err)
		}
		sleep.For(t.Context(), 24*time.Hour)
		if n := s.count("/v1/connect/ca/roots"); n > 24*14 {
			t.Errorf("%d questions in a day", n)
		}
	})
}
