package ca

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func authority(t *testing.T, spec CASpec) *AgentCA {
	t.Helper()
	made, err := spec.New(noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadAgentCA(made.Pair)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestKindsOfCertificates(t *testing.T) {
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c := authority(t, CASpec{})
	clients := ClientNames{Datacenter: "dc7", Domain: "example", DNS: []string{"more.example"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}}
	tests := []struct {
		name   string
		sign   func() (Pair, error)
		common string
		dns    []string
		ips    int
		usage  []x509.ExtKeyUsage
	}{
		{"a server's", func() (Pair, error) {
			return c.Server(ServerNames{Datacenter: "dc7", Domain: "example", Node: "one"}, noon, time.Hour)
		}, "server.dc7.example", []string{"one.server.dc7.example", "server.dc7.example", "localhost"}, 1, both},
		{"a client agent's", func() (Pair, error) { return c.Client(clients, noon, time.Hour) },
			"client.dc7.example", []string{"more.example", "client.dc7.example", "localhost"}, 2, both},
		{"an operator's", func() (Pair, error) { return c.CLI(clients, noon, time.Hour) },
			"cli.dc7.example", []string{"more.example", "cli.dc7.example", "localhost"}, 1, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			pair, err := tc.sign()
			if err != nil {
				t.Fatal(err)
			}
			cert := parse(t, pair.Cert)
			if cert.Subject.CommonName != tc.common || !slices.Equal(cert.DNSNames, tc.dns) || len(cert.IPAddresses) != tc.ips {
				t.Errorf("subject %q, names %q, addresses %v", cert.Subject, cert.DNSNames, cert.IPAddresses)
			}
			if !slices.Equal(cert.ExtKeyUsage, tc.usage) || cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
				t.Errorf("usages %v %v", cert.ExtKeyUsage, cert.KeyUsage)
			}
			if cert.SignatureAlgorithm != x509.ECDSAWithSHA256 || cert.IsCA {
				t.Errorf("signed with %v, CA %v", cert.SignatureAlgorithm, cert.IsCA)
			}
		})
	}
}

func TestSpecOfCA(t *testing.T) {
	uri := &url.URL{Scheme: "spiffe", Host: "11111111-2222.consul"}
	c := authority(t, CASpec{CommonName: "Our CA", URI: uri, Permitted: []string{"consul", "localhost"}})
	if c.cert.Subject.CommonName != "Our CA" || len(c.cert.URIs) != 1 || *c.cert.URIs[0] != *uri {
		t.Errorf("subject %q, URIs %v", c.cert.Subject, c.cert.URIs)
	}
	if !c.cert.PermittedDNSDomainsCritical {
		t.Error("the constraint is not critical")
	}
	names := ServerNames{Datacenter: "dc1", Domain: "consul"}
	if _, err := c.Server(names, noon, time.Hour); err != nil {
		t.Errorf("a permitted name: %v", err)
	}
	names.DNS = []string{"www.elsewhere.example"}
	if _, err := c.Server(names, noon, time.Hour); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("a name that is not permitted: %v", err)
	}
	names.DNS = nil
	if _, err := c.Server(names, noon.Add(2*time.Hour), time.Hour); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA signs: %v", err)
	}
}

func TestWhatIsNoCA(t *testing.T) {
	c, other := authority(t, CASpec{}), authority(t, CASpec{})
	leaf, err := c.Server(ServerNames{Datacenter: "dc1", Domain: "consul"}, noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		pair Pair
		text string
	}{
		{"a server's certificate", leaf, "not that of a CA"},
		{"the key of another CA", Pair{Cert: c.Cert, Key: other.Key}, "private key does not match"},
		{"no PEM", Pair{Cert: []byte("hello"), Key: c.Key}, "failed to find any PEM data"},
	} {
		if _, err := LoadAgentCA(tc.pair); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.text)
		}
	}
}
