// Package ca makes the certificates that agents and their clients use: the
// agent CA and what it signs (spec: cli.md section 5). It is pure: the caller
// gives the time and keeps the files.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
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
	key  *ecdsa.PrivateKey
}

// backdate is how far NotBefore lies before the caller's time, for peers
// whose clock is behind.
const backdate = time.Minute

// NewAgentCA makes a CA with an EC P-256 key, valid for life from now on. Its
// common name is "Consul Agent CA <serial>", as the original's tool names it.
func NewAgentCA(now time.Time, life time.Duration) (*AgentCA, error) {
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
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Consul Agent CA %d", serial), Organization: []string{"Lictor"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          keyID,
		AuthorityKeyId:        keyID,
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

// ServerNames says for whom a server certificate is.
type ServerNames struct {
	Datacenter string
	Domain     string // "consul" unless configured otherwise
	Node       string // may be empty
	DNS        []string
	IPs        []net.IP
}

// Server signs a certificate for a server: server.<dc>.<domain>, localhost
// and 127.0.0.1 are always among its names.
func (c *AgentCA) Server(names ServerNames, now time.Time, life time.Duration) (Pair, error) {
	common := fmt.Sprintf("server.%s.%s", names.Datacenter, names.Domain)
	dns := append([]string{}, names.DNS...)
	if names.Node != "" {
		dns = append(dns, names.Node+"."+common)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make server key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: common},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              append(dns, common, "localhost"),
		IPAddresses:           append(append([]net.IP{}, names.IPs...), net.IPv4(127, 0, 0, 1)),
		AuthorityKeyId:        c.cert.SubjectKeyId,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign server certificate: %w", err)
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
