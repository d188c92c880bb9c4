package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/uuid"
)

// Provider makes the roots of the mesh CA, and has or reaches their keys.
type Provider interface {
	// NewRoot makes a root, or takes over the one that spec gives. What is wrong with
	// that is errs.Invalid.
	NewRoot(ctx context.Context, spec RootSpec) (Root, error)
	// Sign signs a certificate of pub with the key of a root that NewRoot has made. It returns DER.
	Sign(ctx context.Context, root *Root, template *x509.Certificate, pub crypto.PublicKey) ([]byte, error)
}

// Providers are the providers there are, by the name in a Config.
type Providers map[string]Provider

// BuiltInProviders returns the providers that need nothing but this program.
func BuiltInProviders() Providers { return Providers{ConsulProvider: BuiltIn{}} }

// Of returns the provider that signs with a root's key.
func (p Providers) Of(r *Root) (Provider, error) {
	name := r.Provider
	if name == "" {
		name = ConsulProvider
	}
	if by := p[name]; by != nil {
		return by, nil
	}
	return nil, errs.Errorf(errs.Unavailable, "this server does not know CA provider %q", name)
}

// RootSpec says what a root is to be.
type RootSpec struct {
	TrustDomain string // "" takes that of the settings' certificate or cluster, or makes one
	Settings    Settings
	Now         time.Time
}

// BuiltIn is the provider that keeps its keys in the replicated state.
type BuiltIn struct{}

// NewRoot implements Provider.
func (BuiltIn) NewRoot(_ context.Context, spec RootSpec) (Root, error) {
	key, err := spec.key()
	if err != nil {
		return Root{}, err
	}
	var cert *x509.Certificate
	if spec.Settings.RootCert != "" {
		cert, err = spec.given(key)
	} else {
		cert, err = spec.make(key)
	}
	if err != nil {
		return Root{}, err
	}
	private, err := encodeKey(key)
	if err != nil {
		return Root{}, err
	}
	return Root{
		ID:          colonHex(sha1Sum(cert.Raw)),
		Name:        "Consul CA Primary Cert",
		TrustDomain: cert.URIs[0].Host,
		RootCert:    encodeCert(cert.Raw),
		PrivateKey:  private,
		Active:      true,
		Created:     spec.Now,
		Provider:    ConsulProvider,
		LeafTTL:     spec.Settings.LeafCertTTL,
	}, nil
}

// Sign implements Provider.
func (BuiltIn) Sign(_ context.Context, root *Root, template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	parent, err := root.Certificate()
	if err != nil {
		return nil, fmt.Errorf("read mesh root: %w", err)
	}
	key, err := parseKey(root.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("read the key of a mesh root: %w", err)
	}
	return x509.CreateCertificate(rand.Reader, template, parent, pub, key)
}

// key returns the private key that the settings give, or a new one.
func (s *RootSpec) key() (crypto.Signer, error) {
	if s.Settings.PrivateKey != "" {
		return parseKey(s.Settings.PrivateKey)
	}
	if s.Settings.RootCert != "" {
		return nil, wrongConfig("a root certificate needs its private key")
	}
	curves := map[int]elliptic.Curve{224: elliptic.P224(), 256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}
	kind, bits := s.Settings.PrivateKeyType, s.Settings.PrivateKeyBits
	if kind == rsaType {
		return rsa.GenerateKey(rand.Reader, bits)
	}
	return ecdsa.GenerateKey(curves[bits], rand.Reader)
}

// make makes the certificate of a root (mesh.md section 1.2).
func (s *RootSpec) make(key crypto.Signer) (*x509.Certificate, error) {
	keyID, err := meshKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	domain := s.TrustDomain
	if domain == "" {
		if domain, err = newTrustDomain(s.Settings.ClusterID); err != nil {
			return nil, err
		}
	}
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(keyID[:6]), // clients read it as a JSON number
		Subject:               pkix.Name{CommonName: fmt.Sprintf("pri-%x.consul.ca.%.8s.consul", keyID[:4], domain)},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore:             s.Now.Add(-backdate),
		NotAfter:              s.Now.Add(s.Settings.RootCertTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          keyID,
		AuthorityKeyId:        keyID,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign mesh root: %w", err)
	}
	return x509.ParseCertificate(der)
}

// newTrustDomain returns the trust domain of a cluster that begins.
func newTrustDomain(clusterID string) (string, error) {
	if clusterID == "" {
		clusterID = uuid.New()
	}
	if !uuid.Valid(clusterID) || clusterID != strings.ToLower(clusterID) {
		return "", wrongConfig("cluster ID %q is no UUID in lower case", clusterID)
	}
	return clusterID + ".consul", nil
}

// given checks the certificate that an operator gives. It has to be a CA for the key, of the
// trust domain, and able to sign what is verified by it.
func (s *RootSpec) given(key crypto.Signer) (*x509.Certificate, error) {
	cert, err := parseCert(s.Settings.RootCert)
	if err != nil {
		return nil, wrongConfig("root certificate: %w", err)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !public.Equal(cert.PublicKey):
		return nil, wrongConfig("the private key is not that of the root certificate")
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, wrongConfig("the root certificate is not that of a CA")
	case s.Now.Before(cert.NotBefore) || s.Now.After(cert.NotAfter):
		return nil, wrongConfig("the root certificate is not valid now")
	case len(cert.SubjectKeyId) == 0:
		return nil, wrongConfig("the root certificate has no subject key identifier")
	}
	if err := s.checkDomain(cert); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: s.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, wrongConfig("root certificate: %w", err)
	}
	return cert, nil
}

// checkDomain checks that a root's certificate says the trust domain, and nothing else, by its URI.
func (s *RootSpec) checkDomain(cert *x509.Certificate) error {
	want := s.TrustDomain
	if len(cert.URIs) == 1 && want == "" {
		id, _, _ := strings.Cut(cert.URIs[0].Host, ".")
		if s.Settings.ClusterID != "" {
			id = s.Settings.ClusterID
		}
		var err error
		if want, err = newTrustDomain(id); err != nil {
			return err
		}
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://"+want {
		return wrongConfig("the root certificate has to have one URI, spiffe://%s", want)
	}
	return nil
}

// Replaces reports whether the settings name another root than the one that signs: another
// provider, key, kind of key or certificate. It returns errs.Invalid where they contradict themselves.
func (s *Settings) Replaces(active *Root) (bool, error) {
	cert, err := active.Certificate()
	if err != nil {
		return false, fmt.Errorf("read mesh root: %w", err)
	}
	id, _, _ := strings.Cut(active.TrustDomain, ".")
	if s.ClusterID != "" && s.ClusterID != id {
		return false, wrongConfig("the cluster ID cannot be changed: the trust domain is %s", active.TrustDomain)
	}
	if active.Provider != "" && active.Provider != s.Provider {
		return true, nil
	}
	if s.RootCert != "" {
		given, err := parseCert(s.RootCert)
		if err != nil {
			return false, wrongConfig("root certificate: %w", err)
		}
		return colonHex(sha1Sum(given.Raw)) != active.ID, nil
	}
	if s.PrivateKey != "" {
		key, err := parseKey(s.PrivateKey)
		if err != nil {
			return false, wrongConfig("private key: %w", err)
		}
		public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return !ok || !public.Equal(key.Public()), nil
	}
	kind, bits := KeyType(cert)
	return kind != s.PrivateKeyType || bits != s.PrivateKeyBits, nil
}

var errNoCrossSigning = errors.New("set ForceWithoutCrossSigning to go on without")

// CrossSign returns next with the certificates that lead to it from active, whose key by has, and from
// those before: who does not know of next yet can verify what it signs. It returns errs.Invalid if active cannot sign it.
func CrossSign(ctx context.Context, by Provider, active *Root, next Root, life time.Duration, now time.Time) (Root, error) {
	old, err := active.Certificate()
	if err != nil {
		return next, fmt.Errorf("read mesh root: %w", err)
	}
	cert, err := next.Certificate()
	if err != nil {
		return next, fmt.Errorf("read mesh root: %w", err)
	}
	if now.After(old.NotAfter) || old.MaxPathLen == 0 && old.MaxPathLenZero {
		return next, errs.Errorf(errs.Invalid, "the root that signs now has expired, or may not sign a CA: %w", errNoCrossSigning)
	}
	serial, err := newSerial()
	if err != nil {
		return next, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		RawSubject:            cert.RawSubject,
		URIs:                  cert.URIs,
		NotBefore:             now.Add(-backdate),
		NotAfter:              earliest(now.Add(life), old.NotAfter, cert.NotAfter),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          cert.SubjectKeyId,
		AuthorityKeyId:        old.SubjectKeyId,
	}
	der, err := by.Sign(ctx, active, template, cert.PublicKey)
	if err != nil {
		return next, fmt.Errorf("cross-sign the new root: %w", err)
	}
	next.CrossCerts = append([]CrossCert{{SignedBy: active.ID, Cert: encodeCert(der)}}, active.CrossCerts...)
	next.CrossCerts = next.CrossCerts[:min(len(next.CrossCerts), maxCrossCerts)]
	return next, nil
}

// maxCrossCerts bounds the chain of a leaf, however often the root is changed.
const maxCrossCerts = 8

func earliest(times ...time.Time) time.Time {
	first := times[0]
	for _, t := range times[1:] {
		if t.Before(first) {
			first = t
		}
	}
	return first
}
