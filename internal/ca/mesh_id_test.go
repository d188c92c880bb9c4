package ca

import (
	"crypto/elliptic"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestServiceIDs(t *testing.T) {
	for text, id := range map[string]ServiceID{
		"spiffe://u.consul/ns/default/dc/dc1/svc/web":           {TrustDomain: "u.consul", Datacenter: "dc1", Service: "web", Scope: tenancy.Default},
		"spiffe://u.consul/ns/team/dc/dc1/svc/web":              {TrustDomain: "u.consul", Datacenter: "dc1", Service: "web", Scope: tenancy.Scope{Partition: "default", Namespace: "team"}},
		"spiffe://u.consul/ap/east/ns/team/dc/dc1/svc/mesh-2.x": {TrustDomain: "u.consul", Datacenter: "dc1", Service: "mesh-2.x", Scope: tenancy.Scope{Partition: "east", Namespace: "team"}},
	} {
		if got := id.URI().String(); got != text {
			t.Errorf("%+v is %s, want %s", id, got, text)
		}
		if got, err := ParseServiceID(uris(t, text)[0]); err != nil || got != id {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "spiffe://u.consul", "https://u.consul/ns/default/dc/dc1/svc/web", "spiffe:///ns/default/dc/dc1/svc/web",
		"spiffe://u.consul/ns/default/dc/dc1/svc/", "spiffe://u.consul/ns//dc/dc1/svc/web", "spiffe://u.consul/ns/default/dc//svc/web",
		"spiffe://u.consul/ns/default/dc/dc1/svc/web/x", "spiffe://u.consul/ns/default/dc/dc1/svc/web?x", "spiffe://u.consul/ns/default/dc/dc1/svc/web#x",
		"spiffe://a@u.consul/ns/default/dc/dc1/svc/web", "spiffe://u.consul/ns/default/dc/dc1/svc/a%2fb", "spiffe://u.consul/ns/default/dc/dc1/svc/..",
		"spiffe://u.consul/ap/default/ns/default/dc/dc1/svc/web", "spiffe://u.consul/ap//ns/default/dc/dc1/svc/web", "spiffe://u.consul/NS/default/dc/dc1/svc/web",
		"spiffe://u.consul/ns/Default/dc/dc1/svc/web", "spiffe://u.consul/ns/*/dc/dc1/svc/web", "spiffe://u.consul/ns/default/dc/dc1/svc/*",
		"spiffe://u.consul/agent/client/dc/dc1/id/n1", "spiffe://u.consul//ns/default/dc/dc1/svc/web", "spiffe:opaque", "spiffe://u.consul/ns/default/dc/dc1/svc/ｗeb",
	} {
		if id, err := ParseServiceID(uris(t, text)[0]); err == nil || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s is taken for %+v, %v", text, id, err)
		}
	}
}

const web = "spiffe://" + clusterID + ".consul/ns/default/dc/dc1/svc/web"

func TestALeafIsWhatItShouldBe(t *testing.T) {
	r := meshRoot(t)
	request, err := ReadServiceCSR(csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{URIs: uris(t, web)}))
	if err != nil || request.ID.Service != "web" || request.ID.TrustDomain != r.TrustDomain {
		t.Fatalf("got %+v, %v", request.ID, err)
	}
	leaf, err := signer(r).SignService(t.Context(), request, meshNow)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCert(leaf.Chain)
	if err != nil {
		t.Fatal(err)
	}
	usage := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement
	if cert.Subject.String() != "" || cert.KeyUsage != usage || cert.IsCA || !cert.BasicConstraintsValid || len(cert.ExtKeyUsage) != 2 {
		t.Errorf("subject %s, usage %b %v, CA %v", cert.Subject, cert.KeyUsage, cert.ExtKeyUsage, cert.IsCA)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != web || len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
		t.Errorf("names %v %v %v", cert.URIs, cert.DNSNames, cert.IPAddresses)
	}
	if !cert.NotBefore.Equal(meshNow.Add(-backdate)) || !cert.NotAfter.Equal(meshNow.Add(defaultLeafTTL)) {
		t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
	}
}

func TestCVE_2022_40716_ALeafsCSRNamesOneServiceAndNothingElse(t *testing.T) {
	other := strings.Replace(web, "svc/web", "svc/db", 1)
	for name, template := range map[string]x509.CertificateRequest{
		"no URI":             {},
		"two URIs":           {URIs: uris(t, web, other)},
		"the same URI twice": {URIs: uris(t, web, web)},
		"a DNS name beside":  {URIs: uris(t, web), DNSNames: []string{"server.dc1.consul"}},
		"an address beside":  {URIs: uris(t, web), IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		"an e-mail beside":   {URIs: uris(t, web), EmailAddresses: []string{"root@example.com"}},
		"a DNS name alone":   {DNSNames: []string{"web.service.consul"}},
		"an agent's URI":     {URIs: uris(t, "spiffe://"+clusterID+".consul/agent/client/dc/dc1/id/n1")},
		"a server's URI":     {URIs: uris(t, "spiffe://"+clusterID+".consul/agent/server/dc/dc1")},
		"the CA's URI":       {URIs: uris(t, "spiffe://"+clusterID+".consul")},
		"a web page":         {URIs: uris(t, "https://example.com/ns/default/dc/dc1/svc/web")},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ReadServiceCSR(csr(t, ecKey(t, elliptic.P256()), template)); err == nil || errs.KindOf(err) != errs.Invalid {
				t.Errorf("taken for %+v, %v", got.ID, err)
			}
		})
	}
}

func FuzzReadServiceCSR(f *testing.F) {
	r := meshRoot(f)
	f.Add(csr(f, ecKey(f, elliptic.P256()), x509.CertificateRequest{URIs: uris(f, web)}))
	f.Add(csr(f, ecKey(f, elliptic.P256()), x509.CertificateRequest{URIs: uris(f, web, web), DNSNames: []string{"a"}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := ReadServiceCSR(text)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("got %v", err)
			}
			return
		}
		leaf, err := signer(r).SignService(t.Context(), request, meshNow)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := parseCert(leaf.Chain)
		if err != nil || len(cert.URIs) != 1 || cert.URIs[0].String() != request.ID.URI().String() || cert.IsCA {
			t.Errorf("%+v becomes %v, %v", request.ID, cert, err)
		}
	})
}

func FuzzParseServiceID(f *testing.F) {
	f.Add(web)
	f.Add("spiffe://u.consul/ap/east/ns/team/dc/dc1/svc/web")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		if id, err := ParseServiceID(u); err == nil && id.URI().String() != u.String() {
			t.Errorf("%q is taken for %+v", text, id)
		}
	})
}
