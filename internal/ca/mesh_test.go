package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

const clusterID = "0f1e2d3c-0000-4000-8000-000000000001"

var (
	meshNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	names   = AgentNames{
		ID:  AgentID{TrustDomain: clusterID + ".consul", Datacenter: "dc1", Node: "n1"},
		DNS: []string{"n1.example.com"},
		IPs: []net.IP{net.IPv4(10, 0, 0, 7)},
	}
)

func meshRoot(t testing.TB) *Root {
	t.Helper()
	return newRoot(t, Settings{Config: DefaultConfig(), ClusterID: clusterID})
}

func newRoot(t testing.TB, s Settings) *Root {
	t.Helper()
	r, err := BuiltIn{}.NewRoot(t.Context(), RootSpec{Settings: s, Now: meshNow})
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

// signer signs with a root, for three days.
func signer(r *Root) Signer { return Signer{Provider: BuiltIn{}, Root: r} }

// csr returns a signing request with a template's names.
func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns what r makes of a signing request for names.
func sign(t testing.TB, r *Root, request []byte) *x509.Certificate {
	t.Helper()
	leaf, err := signer(r).SignAgent(t.Context(), request, names, meshNow)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCert(leaf.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Serial != colonHex(cert.SerialNumber.Bytes()) || !leaf.NotAfter.Equal(cert.NotAfter) || !leaf.NotBefore.Equal(cert.NotBefore) {
		t.Errorf("%+v is said of %v", leaf, cert)
	}
	return cert
}

func uris(t testing.TB, texts ...string) []*url.URL {
	t.Helper()
	var out []*url.URL
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

func TestAMeshRootIsWhatItShouldBe(t *testing.T) {
	r := meshRoot(t)
	cert, err := r.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^pri-[0-9a-f]{8}\.consul\.ca\.0f1e2d3c\.consul$`).MatchString(cert.Subject.CommonName) {
		t.Errorf("common name %q", cert.Subject.CommonName)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://"+clusterID+".consul" || r.TrustDomain != clusterID+".consul" {
		t.Errorf("URIs %v, trust domain %s", cert.URIs, r.TrustDomain)
	}
	if !cert.IsCA || cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature {
		t.Errorf("CA %v, key usage %b", cert.IsCA, cert.KeyUsage)
	}
	if len(cert.SubjectKeyId) != 32 || !bytes.Equal(cert.SubjectKeyId, cert.AuthorityKeyId) {
		t.Errorf("key ids %x and %x", cert.SubjectKeyId, cert.AuthorityKeyId)
	}
	if !regexp.MustCompile(`^([0-9a-f]{2}:){19}[0-9a-f]{2}$`).MatchString(r.ID) || len(SigningKeyID(cert)) != 32*3-1 {
		t.Errorf("id %s, signing key id %s", r.ID, SigningKeyID(cert))
	}
	if !r.Active || !r.Created.Equal(meshNow) || cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() > 48 {
		t.Errorf("active %v, created %v, serial %v", r.Active, r.Created, cert.SerialNumber)
	}
	if _, err := tls.X509KeyPair([]byte(r.RootCert), []byte(r.PrivateKey.Reveal())); err != nil {
		t.Errorf("certificate and key: %v", err)
	}
}

func TestAnAgentsCertificateIsWhatItShouldBe(t *testing.T) {
	request, key, err := NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	cert := sign(t, meshRoot(t), request)
	if cert.Subject.String() != "" {
		t.Errorf("subject %s", cert.Subject)
	}
	for _, e := range cert.Extensions {
		if e.Id.String() == "2.5.29.17" && !e.Critical {
			t.Error("the alternative names are not critical") // RFC 5280 section 4.2.1.6
		}
	}
	if !slices.Equal(cert.DNSNames, []string{"localhost", "n1.example.com"}) {
		t.Errorf("DNS names %v", cert.DNSNames)
	}
	if got := ips(cert.IPAddresses); got != "127.0.0.1 ::1 10.0.0.7" {
		t.Errorf("IP addresses %s", got)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://"+clusterID+".consul/agent/client/dc/dc1/id/n1" {
		t.Errorf("URIs %v", cert.URIs)
	}
	if !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}) || cert.IsCA {
		t.Errorf("usage %v, CA %v", cert.ExtKeyUsage, cert.IsCA)
	}
	if _, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), []byte(key.Reveal())); err != nil {
		t.Errorf("certificate and key: %v", err)
	}
}

func ips(list []net.IP) string {
	var texts []string
	for _, ip := range list {
		texts = append(texts, ip.String())
	}
	return strings.Join(texts, " ")
}

func TestAnAgentsCertificateIsValidForThreeDays(t *testing.T) {
	r := meshRoot(t)
	cert := sign(t, r, csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{}))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(r.RootCert))
	tests := []struct {
		name string
		at   time.Time
		ok   bool
	}{
		{"more than a minute before it was signed", meshNow.Add(-time.Minute - time.Second), false},
		{"a minute before", meshNow.Add(-time.Minute), true},
		{"when it was signed", meshNow, true},
		{"at the end of three days", meshNow.Add(72 * time.Hour), true},
		{"after three days", meshNow.Add(72*time.Hour + time.Second), false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
				_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: tc.at, KeyUsages: []x509.ExtKeyUsage{usage}})
				if (err == nil) != tc.ok {
					t.Errorf("usage %v: %v", usage, err)
				}
			}
		})
	}
}

func TestACertificateDoesNotOutliveItsRoot(t *testing.T) {
	brief := Settings{Config: DefaultConfig(), ClusterID: clusterID}
	brief.RootCertTTL = time.Hour
	r := newRoot(t, brief)
	if cert := sign(t, r, csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{})); !cert.NotAfter.Equal(meshNow.Add(time.Hour)) {
		t.Errorf("valid until %v", cert.NotAfter)
	}
	if _, err := signer(r).SignAgent(t.Context(), csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{}), names, meshNow.Add(2*time.Hour)); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("an expired root signs: %v", err)
	}
}

// A CSR's own names never count, however many it has and whoever they are of.
func TestCVE_2022_40716_NamesOfACSRDoNotCount(t *testing.T) {
	const own = "spiffe://" + clusterID + ".consul/agent/client/dc/dc1/id/n1"
	requests := map[string]x509.CertificateRequest{
		"two URIs":              {URIs: uris(t, own, "spiffe://"+clusterID+".consul/ns/default/dc/dc1/svc/db")},
		"another node's URI":    {URIs: uris(t, "spiffe://"+clusterID+".consul/agent/client/dc/dc1/id/n2")},
		"a server's URI":        {URIs: uris(t, "spiffe://"+clusterID+".consul/agent/server/dc/dc1")},
		"a server's DNS name":   {DNSNames: []string{"server.dc1.consul"}},
		"a subject":             {Subject: pkix.Name{CommonName: "server.dc1.consul"}},
		"an address":            {IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		"an e-mail address":     {EmailAddresses: []string{"root@example.com"}},
		"the right to sign":     {ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}},
		"no name":               {},
		"a second set of names": {ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 17}, Value: []byte{0x30, 0}}}},
	}
	for name, template := range requests {
		t.Run(name, func(t *testing.T) {
			cert := sign(t, meshRoot(t), csr(t, ecKey(t, elliptic.P256()), template))
			if len(cert.URIs) != 1 || cert.URIs[0].String() != own || cert.Subject.String() != "" || cert.IsCA {
				t.Errorf("URIs %v, subject %s, CA %v", cert.URIs, cert.Subject, cert.IsCA)
			}
			if !slices.Equal(cert.DNSNames, []string{"localhost", "n1.example.com"}) || len(cert.IPAddresses) != 3 || len(cert.EmailAddresses) > 0 {
				t.Errorf("names %v %v %v", cert.DNSNames, cert.IPAddresses, cert.EmailAddresses)
			}
		})
	}
}

func TestCVE_2021_32574_AForeignTrustDomainDoesNotCount(t *testing.T) {
	const foreign = "spiffe://ffffffff-0000-4000-8000-000000000001.consul/agent/client/dc/dc1/id/n1"
	r := meshRoot(t)
	cert := sign(t, r, csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{URIs: uris(t, foreign)}))
	id, err := ParseAgentID(cert.URIs[0])
	if err != nil || id.TrustDomain != r.TrustDomain {
		t.Errorf("got %+v, %v", id, err)
	}
	other := newRoot(t, Settings{Config: DefaultConfig(), ClusterID: "ffffffff-0000-4000-8000-000000000001"})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(other.RootCert))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: meshNow}); err == nil {
		t.Error("another cluster's root verifies it")
	}
}

func TestARefusedCSR(t *testing.T) {
	good := csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	tests := []struct {
		name string
		csr  []byte
		says string
	}{
		{"nothing", nil, "not one PEM certificate request"},
		{"no PEM", []byte("hello"), "not one PEM certificate request"},
		{"a certificate", []byte(meshRoot(t).RootCert), "not one PEM certificate request"},
		{"two requests", slices.Concat(good, good), "not one PEM certificate request"},
		{"no DER", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte{1, 2}}), "Invalid CSR"},
		{"too large", bytes.Repeat([]byte("a"), maxCSR+1), "CSR too large"},
		{"an RSA key", csr(t, rsaKey, x509.CertificateRequest{}), "EC P-256"},
		{"another curve", csr(t, ecKey(t, elliptic.P384()), x509.CertificateRequest{}), "EC P-256"},
		{"somebody else's key", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged}), "Invalid CSR"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := signer(meshRoot(t)).SignAgent(t.Context(), tc.csr, names, meshNow)
			if err == nil || errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNamesOfAnAgent(t *testing.T) {
	with := func(change func(*AgentNames)) AgentNames {
		n := names
		change(&n)
		return n
	}
	dns := func(name string) AgentNames { return with(func(n *AgentNames) { n.DNS = []string{name} }) }
	node := func(name string) AgentNames { return with(func(n *AgentNames) { n.ID.Node = name }) }
	tests := []struct {
		name  string
		names AgentNames
		says  string
	}{
		{"as they should be", names, ""},
		{"a server of somebody else", dns("server.example.com"), ""},
		{"a node name with dots", node("ip-10-0-0-1.eu-west-1.compute.internal"), ""},
		{"no node", node(""), "Invalid node name"},
		{"a path as node", node("a/b"), "Invalid node name"},
		{"a way up", node(".."), "Invalid node name"},
		{"an escaped slash", node("a%2fb"), "Invalid node name"},
		{"a query", node("a?b"), "Invalid node name"},
		{"a newline", node("a\nb"), "Invalid node name"},
		{"a letter that is none", node("ｎ1"), "Invalid node name"},
		{"another datacenter's path", with(func(n *AgentNames) { n.ID.Datacenter = "dc1/id/n2" }), "Invalid node name or datacenter"},
		{"a server's name", dns("server.dc1.consul"), "reserved for servers"},
		{"a server's name in capitals", dns("SERVER.DC1.Consul"), "reserved for servers"},
		{"a server of another datacenter", dns("server.dc2.consul"), "reserved for servers"},
		{"one server's name", dns("n1.server.dc1.consul"), "reserved for servers"},
		{"a server between clusters", dns("server.dc1.peering." + clusterID + ".consul"), "reserved for servers"},
		{"a server in the configured domain", dns("server.dc1.corp.example"), "reserved for servers"},
		{"a wildcard", dns("*.dc1.consul"), "Invalid DNS name"},
		{"a final dot", dns("server.dc1.consul."), "Invalid DNS name"},
		{"an empty name", dns(""), "Invalid DNS name"},
		{"a NUL", dns("a\x00.example.com"), "Invalid DNS name"},
		{"a long name", dns(strings.Repeat("a.", 127) + "aa"), "Invalid DNS name"},
		{"too many names", with(func(n *AgentNames) { n.DNS = slices.Repeat([]string{"a"}, 33) }), "Too many names"},
		{"too many addresses", with(func(n *AgentNames) { n.IPs = slices.Repeat(names.IPs, 33) }), "Too many names"},
		{"no address", with(func(n *AgentNames) { n.IPs = []net.IP{nil} }), "Invalid IP address"},
		{"any address", with(func(n *AgentNames) { n.IPs = []net.IP{net.IPv4zero} }), "Invalid IP address"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.names.Check("corp.example")
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAgentIDs(t *testing.T) {
	for _, id := range []AgentID{
		{TrustDomain: "u.consul", Datacenter: "dc1", Node: "n1"},
		{TrustDomain: "u.consul", Partition: "east", Datacenter: "dc1", Node: "n1"},
	} {
		if got, err := ParseAgentID(id.URI()); err != nil || got != id {
			t.Errorf("%+v comes back as %+v, %v", id, got, err)
		}
	}
	if got := (AgentID{TrustDomain: "u", Partition: "default", Datacenter: "d", Node: "n"}).URI().String(); got != "spiffe://u/agent/client/dc/d/id/n" {
		t.Errorf("in the default partition: %s", got)
	}
	for _, text := range []string{
		"", "https://u/agent/client/dc/d/id/n", "spiffe:///agent/client/dc/d/id/n", "spiffe://u", "spiffe://u/agent/client/dc/d/id/",
		"spiffe://u/agent/client/dc//id/n", "spiffe://u/agent/server/dc/d/id/n", "spiffe://u/agent/client/dc/d/id/n/x",
		"spiffe://u/agent/client/dc/d/id/n?x", "spiffe://u/agent/client/dc/d/id/n#x", "spiffe://a@u/agent/client/dc/d/id/n",
		"spiffe://u/ap//agent/client/dc/d/id/n", "spiffe://u/ap/default/agent/client/dc/d/id/n",
		"spiffe://u/agent/client/dc/d/id/a%2fb", "spiffe:opaque", "spiffe://u//agent/client/dc/d/id/n",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := ParseAgentID(u); err == nil {
			t.Errorf("%s is taken for %+v", text, id)
		}
	}
}

func FuzzSignAgent(f *testing.F) {
	r := meshRoot(f)
	f.Add(csr(f, ecKey(f, elliptic.P256()), x509.CertificateRequest{}))
	f.Add(csr(f, ecKey(f, elliptic.P384()), x509.CertificateRequest{DNSNames: []string{"server.dc1.consul"}}))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, request []byte) {
		leaf, err := signer(r).SignAgent(t.Context(), request, names, meshNow)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("got %v", err)
			}
			return
		}
		cert, err := parseCert(leaf.Chain)
		if err != nil || len(cert.URIs) != 1 || len(cert.DNSNames) != 2 {
			t.Errorf("got %v, %v", cert, err)
		}
	})
}

func FuzzParseAgentID(f *testing.F) {
	f.Add("spiffe://u.consul/agent/client/dc/dc1/id/n1")
	f.Add("spiffe://u.consul/ap/east/agent/client/dc/dc1/id/n1")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		if id, err := ParseAgentID(u); err == nil && id.URI().String() != u.String() {
			t.Errorf("%q is taken for %+v", text, id)
		}
	})
}
