// Package ca makes the certificates that agents and their clients use: the
// agent CA and what it signs (spec: cli.md section 5). It is pure: the caller
// gives the time and keeps the files.
package ca

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	Cert []byte
	Key  logging.Secret
}

// AgentCA is a certificate authority for agents of one cluster.
type AgentCA struct {
	Pair
	cert *x509.Certificate
	key  crypto.Signer
}

// backdate is how far NotBefore lies before the caller's time, for peers
// whose clock is behind.
const backdate = time.Minute

// CASpec says what an agent CA is called and for what it may sign. Its zero value works.
type CASpec struct {
	CommonName string   // "Consul Agent CA <serial>" if empty, as the original's tool names it
	URI        *url.URL // that identifies the cluster; nil for none
	Permitted  []string // DNS domains that it may sign names of; empty permits all
}

// NewAgentCA makes a CA of the zero CASpec, valid for life from now on.
func NewAgentCA(now time.Time, life time.Duration) (*AgentCA, error) {
	return CASpec{}.New(now, life)
}

// New makes a CA with an EC P-256 key, valid for life from now on.
func (s CASpec) New(now time.Time, life time.Duration) (*AgentCA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	keyID, err := subjectKeyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cmp.Or(s.CommonName, fmt.Sprintf("Consul Agent CA %d", serial)), Organization: []string{"Lictor"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          keyID,
		AuthorityKeyId:        keyID,

		PermittedDNSDomains:         s.Permitted,
		PermittedDNSDomainsCritical: len(s.Permitted) > 0,
	}
	if s.URI != nil {
		template.URIs = []*url.URL{s.URI}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back CA certificate: %w", err)
	}
	pair, err := encode(der, key)
	if err != nil {
		return nil, err
	}
	return &AgentCA{Pair: pair, cert: cert, key: key}, nil
}

// LoadAgentCA returns the CA whose certificate and key are in pair.
func LoadAgentCA(pair Pair) (*AgentCA, error) {
	loaded, err := tls.X509KeyPair(pair.Cert, []byte(pair.Key.Reveal()))
	if err != nil {
		return nil, err
	}
	key, ok := loaded.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	if !loaded.Leaf.IsCA {
		return nil, errors.New("the certificate is not that of a CA")
	}
	return &AgentCA{Pair: pair, cert: loaded.Leaf, key: key}, nil
}

// ServerNames says for whom a server certificate is.
type ServerNames struct {
	Datacenter string
	Domain     string // "consul" unless configured otherwise
	Node       string // may be empty
	DNS        []string
	IPs        []net.IP
}

// ClientNames says for whom the certificate of a client agent or of an operator is.
type ClientNames struct {
	Datacenter string
	Domain     string // "consul" unless configured otherwise
	DNS        []string
	IPs        []net.IP
}

// Server signs a certificate for a server: server.<dc>.<domain>, localhost
// and 127.0.0.1 are always among its names.
func (c *AgentCA) Server(names ServerNames, now time.Time, life time.Duration) (Pair, error) {
	common := fmt.Sprintf("server.%s.%s", names.Datacenter, names.Domain)
	dns := slices.Clone(names.DNS)
	if names.Node != "" {
		dns = append(dns, names.Node+"."+common)
	}
	return c.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: common},
		ExtKeyUsage: bothEnds(),
		DNSNames:    append(dns, common, "localhost"),
		IPAddresses: append(slices.Clone(names.IPs), loopback()),
	}, now, life)
}

// Client signs a certificate for a client agent: client.<dc>.<domain>, localhost and
// 127.0.0.1 are always among its names.
func (c *AgentCA) Client(names ClientNames, now time.Time, life time.Duration) (Pair, error) {
	common := fmt.Sprintf("client.%s.%s", names.Datacenter, names.Domain)
	return c.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: common},
		ExtKeyUsage: bothEnds(),
		DNSNames:    append(slices.Clone(names.DNS), common, "localhost"),
		IPAddresses: append(slices.Clone(names.IPs), loopback()),
	}, now, life)
}

// CLI signs a certificate for an operator's command line: cli.<dc>.<domain> and
// localhost are always among its names.
func (c *AgentCA) CLI(names ClientNames, now time.Time, life time.Duration) (Pair, error) {
	common := fmt.Sprintf("cli.%s.%s", names.Datacenter, names.Domain)
	return c.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: common},
		DNSNames:    append(slices.Clone(names.DNS), common, "localhost"),
		IPAddresses: names.IPs,
	}, now, life)
}

func bothEnds() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

func loopback() net.IP { return net.IPv4(127, 0, 0, 1) }

// sign makes a key, fills in what all certificates share and signs. What nobody would
// accept, because the CA has expired or may not sign such names, is an error.
func (c *AgentCA) sign(template *x509.Certificate, now time.Time, life time.Duration) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key: %w", err)
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return Pair{}, err
	}
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = now.Add(life)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.BasicConstraintsValid = true
	template.AuthorityKeyId = c.cert.SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, fmt.Errorf("read back certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.cert)
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: usage}); err != nil {
		return Pair{}, fmt.Errorf("sign certificate: %w", err)
	}
	return encode(der, key)
}

func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  logging.Secret(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})),
	}, nil
}

// newSerial returns 127 random bits: positive and at most 20 octets (RFC 5280 section 4.1.2.2).
func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return serial, nil
}

func subjectKeyID(pub *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}
