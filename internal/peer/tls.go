package peer

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// TLSConfig is the tls.internal_rpc stanza with its files read
// (spec: agent.md section 13.1). Any of the three demands switches TLS on.
type TLSConfig struct {
	CAs  [][]byte       // PEM; each may hold several certificates
	Cert []byte         // PEM, the certificate first
	Key  logging.Secret // PEM

	VerifyIncoming       bool // who connects needs a verified certificate
	VerifyOutgoing       bool // dial with TLS
	VerifyServerHostname bool // who is dialled must be server.<Datacenter>.<Domain>

	Datacenter string // "dc1" if empty
	Domain     string // "consul" if empty

	MinVersion   string   // TLSv1_0 … TLSv1_3; HTTP/2 and so this port needs at least TLSv1_2
	CipherSuites []string // Go's names; for TLS 1.2 only
}

// TLS holds the certificates, roots and demands of both directions. It is safe for
// concurrent use; a change takes effect for connections made after it. A nil TLS is
// plaintext.
type TLS struct {
	Now func() time.Time // time.Now if nil; set before use

	mu      sync.Mutex // held by writers
	current atomic.Pointer[material]
}

// NewTLS returns the TLS of cfg. What does not fit together is an errs.Invalid error.
func NewTLS(cfg TLSConfig) (*TLS, error) {
	t := &TLS{}
	if err := t.Update(cfg); err != nil {
		return nil, err
	}
	return t, nil
}

// Update replaces what NewTLS was given. After an error nothing has changed.
func (t *TLS) Update(cfg TLSConfig) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.replace(cfg, t.load().mesh)
}

// SetMesh replaces what auto_encrypt adds: further roots (PEM), and the certificate
// that a client agent without one of its own presents; nil for none. The roots make
// agents, never servers: a server that is dialled is checked against them only where
// no CA is configured. After an error nothing has changed.
func (t *TLS) SetMesh(roots [][]byte, cert *ca.Pair) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.replace(t.load().cfg, mesh{roots: roots, cert: cert})
}

// Expiry returns when the certificate that this agent presents ends, and when the first of the
// CAs does that it trusts; zero where there is none.
func (t *TLS) Expiry() (cert, ca time.Time) {
	m := t.load()
	pair := m.cert
	if pair == nil {
		pair = m.meshCert
	}
	if pair != nil && pair.Leaf != nil {
		cert = pair.Leaf.NotAfter
	}
	for der := range m.own {
		if root, err := x509.ParseCertificate([]byte(der)); err == nil && (ca.IsZero() || root.NotAfter.Before(ca)) {
			ca = root.NotAfter
		}
	}
	return cert, ca
}

// Enabled reports whether connections use TLS.
func (t *TLS) Enabled() bool { return t.load().enabled() }

func (t *TLS) replace(cfg TLSConfig, add mesh) error {
	old := t.load()
	if reflect.DeepEqual(cfg, old.cfg) && reflect.DeepEqual(add, old.mesh) {
		return nil // connections that are open stay as good as new ones
	}
	m, err := newMaterial(cfg, add, t.now)
	if err != nil {
		return err
	}
	m.server = m.serverConfig()
	t.current.Store(m)
	return nil
}

var plaintext = &material{}

func (t *TLS) load() *material {
	if t == nil {
		return plaintext
	}
	if m := t.current.Load(); m != nil {
		return m
	}
	return plaintext
}

func (t *TLS) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// mesh is what auto_encrypt adds.
type mesh struct {
	roots [][]byte
	cert  *ca.Pair
}

// material is one state of a TLS, read-only once made.
type material struct {
	cfg      TLSConfig
	mesh     mesh
	now      func() time.Time
	own      map[string]bool // DER of each certificate in cfg.CAs
	outgoing *x509.CertPool  // who may be dialled
	incoming *x509.CertPool  // who may connect; nil without any root
	cert     *tls.Certificate
	meshCert *tls.Certificate
	version  uint16
	suites   []uint16
	server   *tls.Config
}

func newMaterial(cfg TLSConfig, add mesh, now func() time.Time) (*material, error) {
	m := &material{cfg: cfg, mesh: add, now: now, own: map[string]bool{}}
	var err error
	if m.version, err = MinVersion(cfg.MinVersion); err != nil {
		return nil, err
	}
	m.version = max(m.version, tls.VersionTLS12)
	if m.suites, err = CipherSuites(cfg.CipherSuites); err != nil {
		return nil, err
	}
	if m.cert, err = keyPair(cfg.Cert, cfg.Key); err != nil {
		return nil, err
	}
	if add.cert != nil {
		if m.meshCert, err = keyPair(add.cert.Cert, add.cert.Key); err != nil {
			return nil, err
		}
	}
	if err := m.readRoots(); err != nil {
		return nil, err
	}
	switch {
	case cfg.VerifyIncoming && m.incoming == nil:
		return nil, errs.New(errs.Invalid, "VerifyIncoming set but no CA certificates were provided")
	case (cfg.VerifyOutgoing || cfg.VerifyServerHostname) && m.outgoing == nil:
		return nil, errs.New(errs.Invalid, "VerifyOutgoing set but no CA certificates were provided")
	}
	return m, nil
}

// readRoots fills own, incoming and outgoing.
func (m *material) readRoots() error {
	own, err := certificates(m.cfg.CAs)
	if err != nil {
		return err
	}
	further, err := certificates(m.mesh.roots)
	if err != nil {
		return err
	}
	for _, root := range own {
		m.own[string(root.Raw)] = true
	}
	m.incoming = certPool(slices.Concat(own, further))
	m.outgoing = certPool(own)
	if m.outgoing == nil {
		m.outgoing = certPool(further)
	}
	return nil
}

func certPool(roots []*x509.Certificate) *x509.CertPool {
	if len(roots) == 0 {
		return nil
	}
	p := x509.NewCertPool()
	for _, root := range roots {
		p.AddCert(root)
	}
	return p
}

// certificates reads PEM texts, each of which must hold a certificate.
func certificates(texts [][]byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, text := range texts {
		found := len(all)
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errs.Errorf(errs.Invalid, "read CA certificate: %w", err)
			}
			all = append(all, cert)
		}
		if len(all) == found {
			return nil, errs.New(errs.Invalid, "read CA certificate: no certificate found")
		}
	}
	return all, nil
}

// keyPair reads a certificate and its key; nil for none.
func keyPair(cert []byte, key logging.Secret) (*tls.Certificate, error) {
	if len(bytes.TrimSpace(cert)) == 0 && key == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(cert, []byte(key.Reveal()))
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "load certificate and key: %w", err)
	}
	return &pair, nil
}

func (m *material) enabled() bool {
	return m.cfg.VerifyIncoming || m.cfg.VerifyOutgoing || m.cfg.VerifyServerHostname
}

// name returns "<kind>.<datacenter>.<domain>", the name of every server or client.
func (m *material) name(kind string) string {
	return fmt.Sprintf("%s.%s.%s", kind, m.datacenter(), cmp.Or(m.cfg.Domain, "consul"))
}

func (m *material) datacenter() string { return cmp.Or(m.cfg.Datacenter, "dc1") }

// The protocols of the port, as ALPN names them.
const (
	protoRaft = "raft"
	protoHTTP = "h2"
)

var errNoCertificate = errors.New("a server needs a certificate and a key for its port")

// serverConfig is for who connects. A certificate is asked for and, if given, verified;
// whether one is needed depends on the protocol and, for HTTP/2, on the request.
func (m *material) serverConfig() *tls.Config {
	cfg := &tls.Config{
		MinVersion:   m.version,
		CipherSuites: m.suites,
		NextProtos:   []string{protoRaft, protoHTTP},
		ClientCAs:    m.incoming,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		Time:         m.now,
		// A resumed session would outlive a change of the roots.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if m.cert == nil {
				return nil, errNoCertificate
			}
			return m.cert, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error { // so that who dials is told in an alert
			if id, _ := m.identify(&state); state.NegotiatedProtocol == protoRaft && id.Kind != Server {
				return errNotServer
			}
			return nil
		},
	}
	if m.incoming == nil {
		cfg.ClientAuth = tls.RequestClientCert // without roots of ours, Go would take the machine's
	}
	return cfg
}

// clientConfig is for dialling a server to speak proto. named asks for the server's
// name even where the configuration does not.
func (m *material) clientConfig(proto string, named bool) *tls.Config {
	cfg := &tls.Config{
		MinVersion:   m.version,
		CipherSuites: m.suites,
		NextProtos:   []string{proto},
		RootCAs:      m.outgoing,
		ServerName:   m.name("server"),
		Time:         m.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return m.present(m.now()), nil
		},
	}
	if cfg.RootCAs == nil {
		cfg.RootCAs = x509.NewCertPool() // nobody, where nil would be the machine's roots
	}
	if named || m.cfg.VerifyServerHostname {
		// Go takes a wildcard for the name. Who dials is a server by the name itself, and so is who is dialled.
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			if !hasName(state.PeerCertificates[0], cfg.ServerName) {
				return fmt.Errorf("the certificate has a wildcard in place of %s", cfg.ServerName)
			}
			return nil
		}
		return cfg
	}
	cfg.InsecureSkipVerify = true // the name only: the chain is checked here
	cfg.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, cfg.RootCAs, m.now()) }
	return cfg
}

// verifyChain checks what a server presents, whatever its name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	return err
}

// present returns the certificate to show a server: the configured one, else the one
// of auto_encrypt. One that has expired is not shown, since a server would break the
// connection over which another could be had.
func (m *material) present(now time.Time) *tls.Certificate {
	for _, cert := range []*tls.Certificate{m.cert, m.meshCert} {
		if cert != nil && now.Before(cert.Leaf.NotAfter) {
			return cert
		}
	}
	return &tls.Certificate{}
}
