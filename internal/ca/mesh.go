package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// Lives of what the mesh CA signs (spec: mesh.md sections 1.2 and 1.4).
const (
	MeshRootLife = 87600 * time.Hour // ten years
	AgentLife    = 72 * time.Hour
)

// maxCSR bounds a certificate signing request, in bytes of PEM. One with an EC
// P-256 key and no names takes some 400.
const maxCSR = 16 << 10

// Root is a root of the mesh CA. Servers replicate it with its key, so that
// each of them can sign.
type Root struct {
	ID          string // SHA-1 of the certificate in hex with colons
	Name        string
	TrustDomain string         // "<cluster uuid>.consul"
	RootCert    string         // PEM
	PrivateKey  logging.Secret `json:"-"` // PEM
	Active      bool           // it signs; at most one root does
	Created     time.Time
	CreateIndex uint64
	ModifyIndex uint64
}

// NewMeshRoot makes a root for the cluster with a UUID, valid for life from
// now on.
func NewMeshRoot(clusterID string, now time.Time, life time.Duration) (Root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Root{}, fmt.Errorf("make mesh root key: %w", err)
	}
	keyID, err := meshKeyID(&key.PublicKey)
	if err != nil {
		return Root{}, err
	}
	domain := clusterID + ".consul"
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(keyID[:6]), // clients read it as a JSON number
		Subject:               pkix.Name{CommonName: fmt.Sprintf("pri-%x.consul.ca.%.8s.consul", keyID[:4], clusterID)},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
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
		return Root{}, fmt.Errorf("sign mesh root: %w", err)
	}
	pair, err := encode(der, key)
	if err != nil {
		return Root{}, err
	}
	return Root{
		ID:          colonHex(sha1Sum(der)),
		Name:        "Consul CA Primary Cert",
		TrustDomain: domain,
		RootCert:    string(pair.Cert),
		PrivateKey:  pair.Key,
		Active:      true,
		Created:     now,
	}, nil
}

// Certificate parses the root's certificate.
func (r *Root) Certificate() (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(r.RootCert))
	if block == nil {
		return nil, errors.New("a mesh root is no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// SigningKeyID is the subject key identifier of a root's certificate as the
// API shows it.
func SigningKeyID(cert *x509.Certificate) string { return colonHex(cert.SubjectKeyId) }

// key parses the root's private key.
func (r *Root) key() (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(r.PrivateKey.Reveal()))
	if block == nil {
		return nil, errors.New("the key of a mesh root is no PEM")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// AgentID is who a client agent is (mesh.md section 1.1).
type AgentID struct {
	TrustDomain string
	Partition   string // "" and "default" are the same
	Datacenter  string
	Node        string
}

// URI returns the identity as a SPIFFE ID. Its parts have to be free of slashes.
func (id AgentID) URI() *url.URL {
	path := "/agent/client/dc/" + id.Datacenter + "/id/" + id.Node
	if id.Partition != "" && id.Partition != "default" {
		path = "/ap/" + id.Partition + path
	}
	return &url.URL{Scheme: "spiffe", Host: id.TrustDomain, Path: path}
}

// ParseAgentID reads what URI returns. It returns errs.Invalid for any other URI.
func ParseAgentID(u *url.URL) (AgentID, error) {
	wrong := errs.New(errs.Invalid, "not the URI of a client agent")
	if u.Scheme != "spiffe" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return AgentID{}, wrong
	}
	id := AgentID{TrustDomain: u.Host}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if len(parts) == 8 && parts[0] == "ap" {
		id.Partition, parts = parts[1], parts[2:]
	}
	if len(parts) != 6 {
		return AgentID{}, wrong
	}
	id.Datacenter, id.Node = parts[3], parts[5]
	if id.Datacenter == "" || id.Node == "" || id.URI().String() != u.String() {
		return AgentID{}, wrong
	}
	return id, nil
}

// AgentNames is what the certificate of a client agent says, all of it verified
// by whoever signs.
type AgentNames struct {
	ID  AgentID
	DNS []string // beside localhost
	IPs []net.IP // beside 127.0.0.1 and ::1
}

// SignAgent signs a certificate for a client agent (agent.md section 13.2). csr
// is PEM. Nothing of it counts but its public key, and that it was made with the private one; it
// returns errs.Invalid if that is not an EC P-256 key.
func (r *Root) SignAgent(csr []byte, names AgentNames, now time.Time) ([]byte, error) {
	pub, err := csrKey(csr)
	if err != nil {
		return nil, err
	}
	root, err := r.Certificate()
	if err != nil {
		return nil, fmt.Errorf("read mesh root: %w", err)
	}
	key, err := r.key()
	if err != nil {
		return nil, fmt.Errorf("read mesh root: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	keyID, err := meshKeyID(pub)
	if err != nil {
		return nil, err
	}
	end := now.Add(AgentLife)
	if root.NotAfter.Before(end) {
		end = root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-backdate),
		NotAfter:     end,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment |
			x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{names.ID.URI()},
		DNSNames:              append([]string{"localhost"}, names.DNS...),
		IPAddresses:           append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, names.IPs...),
		SubjectKeyId:          keyID,
		AuthorityKeyId:        root.SubjectKeyId,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, root, pub, key)
	if err != nil {
		return nil, fmt.Errorf("sign agent certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// NewCSR makes an EC P-256 key and a signing request for it. The request says
// no names: whoever signs verifies and writes them.
func NewCSR() (csr []byte, key logging.Secret, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
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

// csrKey returns the public key of a signing request whose sender has the
// private one. Everything else in it is ignored.
func csrKey(csr []byte) (*ecdsa.PublicKey, error) {
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
	pub, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, errs.New(errs.Invalid, "Invalid CSR: the key has to be EC P-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid CSR: %w", err)
	}
	return pub, nil
}

// meshKeyID is the key identifier of what the mesh CA signs: 32 bytes.
func meshKeyID(pub *ecdsa.PublicKey) ([]byte, error) {
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
