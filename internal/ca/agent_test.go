package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestServerCertificateIsGoodForItsNamesOnly(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	authority, err := NewAgentCA(now, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server(ServerNames{
		Datacenter: "dc1", Domain: "consul", Node: "srv1",
		DNS: []string{"consul.example"}, IPs: []net.IP{net.IPv4(10, 0, 0, 7)},
	}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Cert, []byte(pair.Key.Reveal()))
	if err != nil {
		t.Fatalf("key and certificate do not match: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.Cert) {
		t.Fatal("the CA certificate is not PEM")
	}
	verify := func(name string, at time.Time) error {
		_, err := loaded.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
		return err
	}
	for _, name := range []string{"server.dc1.consul", "srv1.server.dc1.consul", "localhost", "127.0.0.1", "10.0.0.7", "consul.example"} {
		if err := verify(name, now); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	for _, name := range []string{"server.dc2.consul", "client.dc1.consul", "10.0.0.8"} {
		if verify(name, now) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if verify("localhost", now.Add(2*time.Hour)) == nil {
		t.Error("an expired certificate is accepted")
	}
	other, err := NewAgentCA(now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if other.cert.SerialNumber.Cmp(authority.cert.SerialNumber) == 0 {
		t.Error("two CAs share a serial number")
	}
	if !strings.HasPrefix(authority.cert.Subject.CommonName, "Consul Agent CA ") || !authority.cert.IsCA {
		t.Errorf("subject %q, CA %v", authority.cert.Subject, authority.cert.IsCA)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	authority, err := NewAgentCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", authority.Pair, authority.Pair, authority.Pair); strings.Contains(printed, "PRIVATE KEY") {
		t.Error("printing a pair shows its key")
	}
}
