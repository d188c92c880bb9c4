package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/tenancy"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// dial connects to a public listener with certificates, and returns once the proxy has passed something on.
func (a *fakeAgent) dial(t *testing.T, address string, certs ...tls.Certificate) (*tls.Conn, error) {
	t.Helper()
	d := &net.Dialer{Deadline: time.Now().Add(patience)}
	conn, err := tls.DialWithDialer(d, "tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: certs})
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "ping")
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// with returns a certificate of the CA for names that its signer would not sign.
func (a *fakeAgent) with(change func(*x509.Certificate)) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{serviceID("web").URI()}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	change(template)
	a.mu.Lock()
	defer a.mu.Unlock()
	der, err := a.ca.Sign(a.t.Context(), &a.roots[len(a.roots)-1], template, key.Public())
	a.must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func parsed(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

// strangers are certificates that nobody may be taken for a service with.
func strangers(t *testing.T, a *fakeAgent) map[string]tls.Certificate {
	web := serviceID("web").URI()
	foreign := serviceID("web")
	foreign.TrustDomain = "ffffffff-0000-4000-8000-000000000001.consul"
	other := newAgent(t)
	return map[string]tls.Certificate{
		"two URIs": a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{web, serviceID("admin").URI()} }),
		"the same URI twice": a.with(func(c *x509.Certificate) {
			c.URIs = []*url.URL{web, web}
		}),
		"no URI":                           a.with(func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"web.service.consul"} }),
		"a foreign trust domain":           a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{foreign.URI()} }),
		"another cluster's CA":             other.certificate(serviceID("web"), time.Hour),
		"another cluster":                  other.certificate(foreign, time.Hour),
		"an expired certificate":           a.with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }),
		"a certificate of tomorrow":        a.with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		"a certificate for something else": a.with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
		"an agent": a.with(func(c *x509.Certificate) {
			c.URIs = []*url.URL{ca.AgentID{TrustDomain: clusterID + ".consul", Datacenter: "dc1", Node: "n1"}.URI()}
		}),
		"the CA":           a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed("spiffe://" + clusterID + ".consul")} }),
		"a web page":       a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed("https://" + web.Host + web.Path)} }),
		"a longer path":    a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed(web.String() + "/svc/admin")} }),
		"a way up":         a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed(web.String() + "/../admin")} }),
		"an escaped slash": a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed(web.String() + "%2fx")} }),
		"a query":          a.with(func(c *x509.Certificate) { c.URIs = []*url.URL{parsed(web.String() + "?x=y")} }),
		"the default partition by name": a.with(func(c *x509.Certificate) {
			c.URIs = []*url.URL{parsed("spiffe://" + web.Host + "/ap/default" + web.Path)}
		}),
		"a wildcard": a.with(func(c *x509.Certificate) {
			c.URIs = []*url.URL{parsed("spiffe://" + web.Host + "/ns/default/dc/dc1/svc/*")}
		}),
	}
}

func TestCVE_2021_32574_WhoConnectsProvesOneServiceOfTheTrustDomain(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	at := in.at["public listener"]
	for name, cert := range strangers(t, a) {
		t.Run(name, func(t *testing.T) {
			if conn, err := a.dial(t, at, cert); err == nil {
				_ = conn.Close()
				t.Error("it is let in")
			}
		})
	}
	if n := a.count("authorize"); n != 0 {
		t.Errorf("the agent was asked about %d of them", n)
	}
	conn, err := a.dial(t, at, a.certificate(serviceID("web"), time.Hour))
	if err != nil {
		t.Fatalf("who may connect: %v", err)
	}
	_ = conn.Close()
}

func TestAttack_NoClientCertificate(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	if conn, err := a.dial(t, in.at["public listener"]); err == nil {
		_ = conn.Close()
		t.Error("it is let in")
	}
}

func TestAttack_OldTLS(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	conn, err := tls.Dial("tcp", in.at["public listener"], &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
		Certificates: []tls.Certificate{a.certificate(serviceID("web"), time.Hour)},
	})
	if err == nil {
		_ = conn.Close()
		t.Error("it is let in")
	}
}

func TestAttack_PlaintextToThePublicListener(t *testing.T) {
	a := newAgent(t)
	address, got := plainSink(t)
	in := a.start(Config{Settings: publicFor("api", address)})
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: api\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00", strings.Repeat("x", maxHandshake+1)} {
		if answer, err := call(in.at[PublicListener], text); err == nil && strings.Contains(answer, "HTTP/1.1 200") {
			t.Errorf("%.20q is answered: %q", text, answer)
		}
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	if got.String() != "" || a.count("authorize") > 0 {
		t.Errorf("the service gets %q, and the agent was asked %d times", got, a.count("authorize"))
	}
}

// What an old root has signed is good as long as that root is trusted, and no longer.
func TestAttack_ALeafOfARootThatWasRemoved(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	old := a.certificate(serviceID("web"), time.Hour)
	letIn := func(cert tls.Certificate) bool {
		conn, err := a.dial(t, in.at[PublicListener], cert)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	a.rotate()
	if !letIn(old) {
		t.Error("an old leaf is refused while its root counts")
	}
	a.change(func() { a.roots = a.roots[1:] })
	eventually(t, "the old leaf to be refused", func() bool { return !letIn(old) })
	if !letIn(a.certificate(serviceID("web"), time.Hour)) {
		t.Error("a leaf of the new root is refused")
	}
}

// What was verified once is not verified again, but it is good no longer than it says.
func TestAttack_ALeafThatWasVerifiedExpires(t *testing.T) {
	now := &clock{}
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api")), Now: now.time})
	letIn := func(cert tls.Certificate) bool {
		conn, err := a.dial(t, in.at[PublicListener], cert)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	web := a.certificate(serviceID("web"), time.Hour)
	for range 2 {
		if !letIn(web) {
			t.Fatal("who may connect is refused")
		}
	}
	server := a.with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	id := in.proxy.identity
	chain := []*x509.Certificate{parseDER(t, server.Certificate[0])}
	if _, err := id.verify(chain, x509.ExtKeyUsageServerAuth); err != nil {
		t.Fatal(err)
	}
	if _, err := id.verify(chain, x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("what is good for one use is good for the other")
	}
	now.pass(2 * time.Hour)
	if letIn(web) {
		t.Error("an expired leaf is let in that was verified before")
	}
}

func parseDER(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Who has the certificate of one service is that service, and is let in as no other: not with another's certificate
// without its key, and not with another name of its own in TLS.
func TestAttack_ALeafOfAnotherService(t *testing.T) {
	a := newAgent(t)
	a.deny("job", true)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	job, web := a.certificate(serviceID("job"), time.Hour), a.certificate(serviceID("web"), time.Hour)
	stolen := tls.Certificate{Certificate: web.Certificate, PrivateKey: job.PrivateKey}
	after := tls.Certificate{Certificate: append(slices.Clone(job.Certificate), web.Certificate...), PrivateKey: job.PrivateKey}
	for name, cert := range map[string]tls.Certificate{
		"its own, which is denied": job, "another's, without its key": stolen, "its own, followed by another's": after,
	} {
		if conn, err := a.dial(t, in.at[PublicListener], cert); err == nil {
			_ = conn.Close()
			t.Errorf("%s: it is let in", name)
		}
	}
	before := tls.Certificate{Certificate: append(slices.Clone(web.Certificate), job.Certificate...), PrivateKey: job.PrivateKey}
	if conn, err := a.dial(t, in.at[PublicListener], before); err == nil {
		_ = conn.Close()
		t.Error("another's, followed by its own: it is let in")
	}
	if conn, err := a.dial(t, in.at[PublicListener], web); err != nil {
		t.Errorf("who may connect: %v", err)
	} else {
		_ = conn.Close()
	}
}

// impostor is a listener with a certificate where an instance is expected. It counts what gets to it.
func impostor(t *testing.T, cert tls.Certificate) (address string, got *lines) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if err != nil {
		t.Fatal(err)
	}
	got = &lines{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.Copy(got, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String(), got
}

func TestCVE_2021_32574_AnInstanceProvesTheServiceThatWasMeant(t *testing.T) {
	a := newAgent(t)
	now := &clock{}
	web := a.start(Config{Settings: upstreamTo("web", "api"), Now: now.time})
	impostors := strangers(t, a)
	elsewhere := func(change func(*ca.ServiceID)) tls.Certificate {
		id := serviceID("api")
		change(&id)
		return a.certificate(id, time.Hour)
	}
	impostors["another service"] = a.certificate(serviceID("db"), time.Hour)
	impostors["another namespace"] = elsewhere(func(id *ca.ServiceID) { id.Scope = tenancy.Scope{Partition: "default", Namespace: "team"} })
	impostors["another partition"] = elsewhere(func(id *ca.ServiceID) { id.Scope = tenancy.Scope{Partition: "east", Namespace: "default"} })
	impostors["another datacenter"] = elsewhere(func(id *ca.ServiceID) { id.Datacenter = "dc2" })
	for name, cert := range impostors {
		t.Run(name, func(t *testing.T) {
			address, got := impostor(t, cert)
			a.change(func() { a.instances["api"] = []string{address} })
			eventually(t, "the proxy to connect to it", func() bool {
				now.pass(time.Second) // in which one line is logged
				text, err := call(web.at["api"], "secret")
				if err == nil {
					t.Fatalf("it answers %q", text)
				}
				return strings.Contains(web.log.String(), address)
			})
			if got.String() != "" {
				t.Errorf("it gets %q", got)
			}
		})
	}
}

// The handshake is over for TLS 1.3 before the proxy has looked at the certificate; nothing is passed on.
func TestAttack_DataBeforeTheDecision(t *testing.T) {
	a := newAgent(t)
	a.deny("web", true)
	address, got := plainSink(t)
	in := a.start(Config{Settings: publicFor("api", address)})
	if _, err := a.dial(t, in.at["public listener"], a.certificate(serviceID("web"), time.Hour)); err == nil {
		t.Error("it is let in")
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	if got.String() != "" {
		t.Errorf("the service gets %q", got)
	}
}

// plainSink is a service that only reads.
func plainSink(t *testing.T) (string, *lines) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := &lines{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(got, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), got
}

func TestAttack_SlowHandshakesAreEnded(t *testing.T) {
	a := newAgent(t)
	s := publicFor("api", echo(t, "api"))
	s.Public.HandshakeTimeout = 50 * time.Millisecond
	in := a.start(Config{Settings: s})
	conn, err := net.Dial("tcp", in.at["public listener"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte{22, 3, 1}) // the beginning of a record
	if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error(err)
	}
}

func TestAttack_ManyHandshakesDoNotKeepOthersOut(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	at := in.at["public listener"]
	var open []net.Conn
	for range maxHandshakes + 20 {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	conn, err := a.dial(t, at, a.certificate(serviceID("web"), time.Hour))
	if err != nil {
		t.Fatalf("who may connect: %v", err)
	}
	_ = conn.Close()
	_ = open[0].SetDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, open[0]); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the oldest is not put out")
	}
}

func TestAttack_HandshakesAreBoundedInBytes(t *testing.T) {
	a := newAgent(t)
	in := a.start(Config{Settings: publicFor("api", echo(t, "api"))})
	huge := a.with(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, extension(bytes.Repeat([]byte{1}, maxHandshake)))
	})
	if _, err := a.dial(t, in.at["public listener"], huge); err == nil {
		t.Error("it is let in")
	}
	eventually(t, "the proxy to say why", func() bool { return strings.Contains(in.log.String(), errHandshakeTooLong.Error()) })
}

func extension(value []byte) pkix.Extension {
	return pkix.Extension{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Value: value}
}
