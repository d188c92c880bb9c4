package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
)

// quiet is how long a test waits for what should come at once.
const quiet = time.Minute

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// authority is a CA of the tests.
type authority struct{ *ca.AgentCA }

func newAuthority(t testing.TB) authority {
	t.Helper()
	made, err := ca.NewAgentCA(time.Now(), time.Hour)
	return authority{must(t, made, err)}
}

func (a authority) server(t testing.TB, dc string) ca.Pair {
	t.Helper()
	pair, err := a.Server(ca.ServerNames{Datacenter: dc, Domain: "consul", Node: "s1"}, time.Now(), time.Hour)
	return must(t, pair, err)
}

func (a authority) client(t testing.TB, dc string) ca.Pair {
	t.Helper()
	pair, err := a.Client(ca.ClientNames{Datacenter: dc, Domain: "consul"}, time.Now(), time.Hour)
	return must(t, pair, err)
}

func (a authority) cli(t testing.TB) ca.Pair {
	t.Helper()
	pair, err := a.CLI(ca.ClientNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	return must(t, pair, err)
}

// custom signs a certificate with any names, as a CA that checks nothing would.
func (a authority) custom(t testing.TB, dns []string, uris ...string) ca.Pair {
	t.Helper()
	block, _ := pem.Decode(a.Cert)
	parent, err := x509.ParseCertificate(block.Bytes)
	must(t, parent, err)
	block, _ = pem.Decode([]byte(a.Key.Reveal()))
	signer, err := x509.ParseECPrivateKey(block.Bytes)
	must(t, signer, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, key, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: dns,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, text := range uris {
		uri, err := url.Parse(text)
		template.URIs = append(template.URIs, must(t, uri, err))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(t, der, err)
	raw, err := x509.MarshalECPrivateKey(key)
	must(t, raw, err)
	return ca.Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  logging.Secret(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})),
	}
}

// strict is what production runs with.
func strict(pair ca.Pair, roots ...authority) TLSConfig {
	cfg := TLSConfig{Cert: pair.Cert, Key: pair.Key, VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true}
	for _, root := range roots {
		cfg.CAs = append(cfg.CAs, root.Cert)
	}
	return cfg
}

func newTLS(t testing.TB, cfg TLSConfig) *TLS {
	t.Helper()
	made, err := NewTLS(cfg)
	return must(t, made, err)
}

// logged collects what a listener logs.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until text was logged.
func (l *logged) wait(t testing.TB, text string) {
	t.Helper()
	timeout := time.After(quiet)
	for {
		all := l.String()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-l.news:
		case <-timeout:
			t.Fatalf("the log does not say %q:\n%s", text, all)
		}
	}
}

// port is a listener that serves for the time of a test.
type port struct {
	*Listener
	log   *logged
	drain func() // ends Serve and waits for it
}

func open(t testing.TB, cfg *TLS, most limits, h http.Handler) *port {
	t.Helper()
	lines := &logged{news: make(chan struct{}, 1)}
	if most.handshake == defaultLimits.handshake {
		most.handshake = quiet
	}
	l, err := listen("127.0.0.1:0", cfg, slog.New(slog.NewTextHandler(lines, nil)), most)
	must(t, l, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, h) }()
	p := &port{Listener: l, log: lines}
	p.drain = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		p.drain()
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func (p *port) addr() string { return p.Addr().String() }

// whoami answers with the kind and node of who asks.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	id := From(r)
	_, _ = io.WriteString(w, strings.TrimSuffix(id.Kind.String()+" "+id.Node, " "))
})

func newClient(t testing.TB, cfg *TLS) *Client {
	t.Helper()
	c := NewClient(cfg)
	c.dial, c.ping, c.pingWait = quiet, time.Hour, time.Hour // a server that a busy machine gives no time is not dead
	t.Cleanup(c.Close)
	return c
}

// get sends a GET and returns the status and body.
func get(t testing.TB, c *Client, addr, path string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), quiet)
	defer cancel()
	req, err := http.NewRequest(http.MethodGet, "http://server"+path, nil)
	must(t, req, err)
	res, err := c.Do(ctx, addr, req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(body)), err
}

// eventually waits until ok, which has to come without anybody else's help.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(quiet)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func tcp(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, c, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
