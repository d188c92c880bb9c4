package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
)

// identity is who the proxy is, and whom it believes: its leaf, the roots and the bounds on TLS as they are now. Each
// handshake uses what is there when it comes to it.
type identity struct {
	leaf   atomic.Pointer[leaf]
	roots  atomic.Pointer[roots]
	bounds atomic.Pointer[bounds] // on TLS
	ready  chan struct{}          // closed once there are all
	once   sync.Once
	now    func() time.Time
	log    *slog.Logger
}

// leaf is the certificate of the local service, with its key. It never changes.
type leaf struct {
	cert tls.Certificate
	id   ca.ServiceID
}

// roots are the roots of the mesh CA. They never change; what was verified with them is remembered.
type roots struct {
	trustDomain string
	pool        *x509.CertPool
	verified    verified
}

func newIdentity(now func() time.Time, log *slog.Logger) *identity {
	return &identity{ready: make(chan struct{}), now: now, log: log}
}

// setLeaf replaces the leaf, unless it cannot be used.
func (i *identity) setLeaf(l *api.LeafCert) {
	next, err := readLeaf(l)
	if err != nil {
		i.log.Error("the leaf certificate cannot be used", logging.Err, err)
		return
	}
	if old := i.leaf.Swap(next); old == nil || old.id != next.id {
		i.log.Info("Parsed TLS identity", "uri", next.id.URI())
	}
	i.check()
}

func readLeaf(l *api.LeafCert) (*leaf, error) {
	cert, err := tls.X509KeyPair([]byte(l.CertPEM), []byte(l.PrivateKeyPEM))
	if err != nil {
		return nil, err
	}
	id, err := serviceOf(cert.Leaf)
	if err != nil {
		return nil, err
	}
	return &leaf{cert, id}, nil
}

// setRoots replaces the roots, unless they cannot be used.
func (i *identity) setRoots(list *api.CARootList) {
	next, err := readRoots(list)
	if err != nil {
		i.log.Error("the CA's roots cannot be used", logging.Err, err)
		return
	}
	i.roots.Store(next)
	i.check()
}

func readRoots(list *api.CARootList) (*roots, error) {
	r := &roots{trustDomain: list.TrustDomain, pool: x509.NewCertPool()}
	if r.trustDomain == "" || len(list.Roots) == 0 {
		return nil, errors.New("there is no root yet")
	}
	for _, root := range list.Roots {
		if !r.pool.AppendCertsFromPEM([]byte(root.RootCertPEM)) {
			return nil, fmt.Errorf("root %s has no certificate", root.ID)
		}
	}
	return r, nil
}

// setBounds replaces the bounds on TLS.
func (i *identity) setBounds(entries []api.ConfigEntry) {
	i.bounds.Store(readBounds(entries))
	i.check()
}

// noBounds goes on without bounds where the agent knows of none, because it refuses to be asked. What nobody can
// be asked about is waited for.
func (i *identity) noBounds(err error) {
	if !unreachable(err) && i.bounds.CompareAndSwap(nil, &bounds{}) {
		i.check()
	}
}

func (i *identity) check() {
	if i.leaf.Load() != nil && i.roots.Load() != nil && i.bounds.Load() != nil {
		i.once.Do(func() { close(i.ready) })
	}
}

// serviceOf returns the service that a certificate is of: what its only URI says.
func serviceOf(cert *x509.Certificate) (ca.ServiceID, error) {
	if len(cert.URIs) != 1 {
		return ca.ServiceID{}, fmt.Errorf("the certificate has %d URIs, and one is needed", len(cert.URIs))
	}
	id, err := ca.ParseServiceID(cert.URIs[0])
	if err != nil {
		return id, fmt.Errorf("the certificate's URI %q: %w", cert.URIs[0], err)
	}
	return id, nil
}

// verify returns who presents a chain of certificates for a use. The chain has to lead to a root that
// counts now, and its first certificate has to name one service of the trust domain and nothing else by a URI.
func (i *identity) verify(chain []*x509.Certificate, use x509.ExtKeyUsage) (ca.ServiceID, error) {
	r := i.roots.Load()
	if len(chain) == 0 {
		return ca.ServiceID{}, errors.New("no certificate was presented")
	}
	key, now := keyOf(chain, use), i.now()
	if id, known := r.verified.at(key, now); known {
		return id, nil
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{
		Roots: r.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return ca.ServiceID{}, err
	}
	id, err := serviceOf(chain[0])
	if err != nil {
		return id, err
	}
	if id.TrustDomain != r.trustDomain {
		return id, fmt.Errorf("the certificate is of trust domain %s, not %s", id.TrustDomain, r.trustDomain)
	}
	r.verified.remember(key, id, ways[0])
	return id, nil
}

// server is the TLS configuration of the public listener. Whoever connects is verified by VerifyConnection.
func (i *identity) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &i.leaf.Load().cert, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := i.verify(s.PeerCertificates, x509.ExtKeyUsageClientAuth)
			return err
		},
		SessionTicketsDisabled:      true, // a connection is as good as its certificates are now
		DynamicRecordSizingDisabled: true,
	}
}

// client is the TLS configuration for connections to instances of want.
func (i *identity) client(want ca.ServiceID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &i.leaf.Load().cert, nil
		},
		InsecureSkipVerify: true, // names are URIs here: VerifyConnection verifies in its place
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := i.verify(s.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err == nil && id != want {
				err = fmt.Errorf("the instance is %s, not %s", id.URI(), want.URI())
			}
			return err
		},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}
