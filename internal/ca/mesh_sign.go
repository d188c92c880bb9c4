package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// maxCSR bounds a certificate signing request, in bytes of PEM. One with an EC
// P-256 key and no names takes some 400.
const maxCSR = 16 << 10

// Signer signs what agents and services ask for: a root, the provider that has its key, and how
// long its certificates live.
type Signer struct {
	Provider Provider
	Root     *Root
	Life     time.Duration // 0 is 72 h
}

// Leaf is a certificate that was signed.
type Leaf struct {
	Chain               string // PEM: the certificate, then what leads from older roots to the one that signed
	Serial              string // hex with colons
	NotBefore, NotAfter time.Time
}

// AgentNames is what the certificate of a client agent says, all of it verified
// by whoever signs.
type AgentNames struct {
	ID  AgentID
	DNS []string // beside localhost
	IPs []net.IP // beside 127.0.0.1 and ::1
}

// SignAgent signs a certificate for a client agent (agent.md section 13.2) and returns its chain. csr
// is PEM. Nothing of it counts but its public key, and that it was made with the private one; it
// returns errs.Invalid if that is not an EC P-256 key.
func (s Signer) SignAgent(ctx context.Context, csr []byte, names AgentNames, now time.Time) (Leaf, error) {
	request, err := readCSR(csr)
	if err != nil {
		return Leaf{}, err
	}
	return s.sign(ctx, request, &x509.Certificate{
		URIs:        []*url.URL{names.ID.URI()},
		DNSNames:    append([]string{"localhost"}, names.DNS...),
		IPAddresses: append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, names.IPs...),
	}, now)
}

// ServiceCSR is a service's signing request whose sender has the private key.
type ServiceCSR struct {
	ID      ServiceID // that it asks for; whether its sender may have it is not decided yet
	request *x509.CertificateRequest
}

// ReadServiceCSR reads a service's signing request, PEM. It returns errs.Invalid unless it has an EC
// P-256 key and names exactly one thing, the URI of a service.
func ReadServiceCSR(csr []byte) (ServiceCSR, error) {
	r, err := readCSR(csr)
	if err != nil {
		return ServiceCSR{}, err
	}
	if len(r.URIs) != 1 || len(r.DNSNames)+len(r.IPAddresses)+len(r.EmailAddresses) > 0 {
		return ServiceCSR{}, errs.Errorf(errs.Invalid, "Invalid CSR: it has to name one URI and nothing else, not %d URIs and %d other names",
			len(r.URIs), len(r.DNSNames)+len(r.IPAddresses)+len(r.EmailAddresses))
	}
	id, err := ParseServiceID(r.URIs[0])
	if err != nil {
		return ServiceCSR{}, errs.Errorf(errs.Invalid, "Invalid CSR: %w", err)
	}
	return ServiceCSR{ID: id, request: r}, nil
}

// SignService signs the leaf of a service (mesh.md section 1.4). Nothing of the request gets into it but the public key and the
// identity, which the caller has verified.
func (s Signer) SignService(ctx context.Context, csr ServiceCSR, now time.Time) (Leaf, error) {
	return s.sign(ctx, csr.request, &x509.Certificate{URIs: []*url.URL{csr.ID.URI()}}, now)
}

// sign completes a template that has names alone with what all certificates share.
func (s Signer) sign(ctx context.Context, request *x509.CertificateRequest, template *x509.Certificate, now time.Time) (Leaf, error) {
	root, err := s.Root.Certificate()
	if err != nil {
		return Leaf{}, fmt.Errorf("read mesh root: %w", err)
	}
	if now.After(root.NotAfter) {
		return Leaf{}, errs.New(errs.Unavailable, "the root of the mesh CA has expired")
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return Leaf{}, err
	}
	if template.SubjectKeyId, err = meshKeyID(request.PublicKey); err != nil {
		return Leaf{}, err
	}
	life := s.Life
	if life == 0 {
		life = defaultLeafTTL
	}
	template.AuthorityKeyId = root.SubjectKeyId
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = earliest(now.Add(life), root.NotAfter)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment |
		x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.BasicConstraintsValid = true
	der, err := s.Provider.Sign(ctx, s.Root, template, request.PublicKey)
	if err != nil {
		return Leaf{}, fmt.Errorf("sign certificate: %w", err)
	}
	return Leaf{
		Chain:     encodeCert(der) + strings.Join(s.Root.Intermediates(), ""),
		Serial:    colonHex(template.SerialNumber.Bytes()),
		NotBefore: template.NotBefore.UTC().Truncate(time.Second),
		NotAfter:  template.NotAfter.UTC().Truncate(time.Second),
	}, nil
}

// NewCSR makes an EC P-256 key and a signing request for it. It names the URIs alone; for none,
// whoever signs verifies and writes the names.
func NewCSR(uris ...*url.URL) (csr []byte, key logging.Secret, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: uris}, private)
	if err != nil {
		return nil, "", fmt.Errorf("make signing request: %w", err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, "", fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		logging.Secret(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})), nil
}

// readCSR reads a signing request whose sender has the private key, which is EC P-256.
func readCSR(csr []byte) (*x509.CertificateRequest, error) {
	if len(csr) > maxCSR {
		return nil, errs.Errorf(errs.Invalid, "CSR too large, max size: %d bytes", maxCSR)
	}
	block, rest := pem.Decode(csr)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errs.New(errs.Invalid, "Invalid CSR: not one PEM certificate request")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid CSR: %w", err)
	}
	if pub, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P256() {
		return nil, errs.New(errs.Invalid, "Invalid CSR: the key has to be EC P-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid CSR: %w", err)
	}
	return request, nil
}
