package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// Root is a root of the mesh CA. Servers replicate it with its key, so that
// each of them can sign.
type Root struct {
	ID          string // SHA-1 of the certificate in hex with colons
	Name        string
	TrustDomain string         // "<cluster uuid>.consul"
	RootCert    string         // PEM
	PrivateKey  logging.Secret `json:"-"` // PEM; "" where the provider has it elsewhere
	Active      bool           // it signs; at most one root does
	Created     time.Time
	Provider    string        // that signs with its key; "" is ConsulProvider
	CrossCerts  []CrossCert   // lead from the roots before to this one, the newest first
	LeafTTL     time.Duration // longest life of what it signed; 0 is 72 h
	RotatedOut  time.Time     // when another root took over
	CreateIndex uint64
	ModifyIndex uint64
}

// CrossCert is the certificate of a root's key that an earlier root has signed: who trusts that
// one alone can verify what the root signs.
type CrossCert struct {
	SignedBy string // ID of the earlier root
	Cert     string // PEM
}

// Certificate parses the root's certificate.
func (r *Root) Certificate() (*x509.Certificate, error) { return parseCert(r.RootCert) }

// Intermediates are the certificates that follow a leaf in its chain, PEM.
func (r *Root) Intermediates() []string {
	certs := make([]string, len(r.CrossCerts))
	for i, c := range r.CrossCerts {
		certs[i] = c.Cert
	}
	return certs
}

// Without returns the root without the cross-certificates that earlier roots have signed.
func (r *Root) Without(earlier func(id string) bool) Root {
	out := *r
	out.CrossCerts = nil
	for _, c := range r.CrossCerts {
		if !earlier(c.SignedBy) {
			out.CrossCerts = append(out.CrossCerts, c)
		}
	}
	return out
}

// PrunedAt is when a root that another one has replaced is needed no more: twice the life of
// what it signed has passed (mesh.md section 1.3).
func (r *Root) PrunedAt() time.Time {
	life := r.LeafTTL
	if life == 0 {
		life = defaultLeafTTL
	}
	return r.RotatedOut.Add(2 * life)
}

// SigningKeyID is the subject key identifier of a root's certificate as the
// API shows it.
func SigningKeyID(cert *x509.Certificate) string { return colonHex(cert.SubjectKeyId) }

// KeyType returns the type and size of a certificate's key, "ec" or "rsa" and bits.
func KeyType(cert *x509.Certificate) (kind string, bits int) { return keyType(cert.PublicKey) }

func keyType(pub crypto.PublicKey) (kind string, bits int) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return ecType, pub.Curve.Params().BitSize
	case *rsa.PublicKey:
		return rsaType, pub.N.BitLen()
	}
	return "", 0
}

// parseKey reads a private key in one of the PEM forms that tools write.
func parseKey(text logging.Secret) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(text.Reveal()))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("not one PEM block")
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, errors.New("not a PEM private key")
	}
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	if signer, ok := key.(crypto.Signer); ok {
		if kind, bits := keyType(signer.Public()); checkKeyType(kind, bits) == nil {
			return signer, nil
		}
	}
	return nil, errors.New("neither an EC key with 224, 256, 384 or 521 bits nor an RSA key with 2048 or 4096")
}

func parseCert(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("not one PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encodeCert(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func encodeKey(key crypto.Signer) (logging.Secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode key: %w", err)
	}
	return logging.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// meshKeyID is the key identifier of what the mesh CA signs: 32 bytes.
func meshKeyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:], nil
}

// sha1Sum identifies a certificate; nothing trusts it.
func sha1Sum(der []byte) []byte {
	sum := sha1.Sum(der)
	return sum[:]
}

// colonHex writes bytes as "44:c7:…".
func colonHex(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, ":")
}
