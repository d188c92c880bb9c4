package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// session runs commands one after the other in the working directory and returns what
// a user sees.
func session(t *testing.T, commands ...string) string {
	t.Helper()
	var seen strings.Builder
	for _, line := range commands {
		r := world{}.run(t, strings.Fields(line)...)
		fmt.Fprintf(&seen, "$ consul %s\n%s%s", line, r.err, r.out)
		if r.code != 0 {
			fmt.Fprintf(&seen, "exit code %d\n", r.code)
		}
	}
	return seen.String()
}

func TestTLSFiles(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	t.Chdir(work)
	seen := session(t,
		"tls ca create",
		"tls ca create",
		"tls ca create -domain example.com -days 30 -common-name Ours",
		"tls cert create -server",
		"tls cert create -server -dc dc1 -node one -additional-dnsname consul.example.com -additional-ipaddress 10.0.0.1",
		"tls cert create -client -dc dc2",
		"tls cert create -cli",
		"tls cert create -client -domain example.com",
		"tls cert create",
		"tls cert create -server -client",
		"tls cert create -client -node one",
		"tls cert create -server -ca no.pem",
		"tls cert create -server -key no.pem",
		"tls cert create -server -ca dc1-server-consul-0.pem -key dc1-server-consul-0-key.pem",
		"tls cert create -server -key example.com-agent-ca-key.pem",
		"tls cert create -server -days 0",
		"tls cert create -server -dc ../dc1",
		"tls cert create -server -domain consul..",
		"tls ca create -domain a/b",
		"tls ca create -domain other -additional-name-constraint example.com",
		"tls ca create -domain other -days 100000",
	)
	t.Chdir(here)
	golden(t, "tls", seen)
	t.Chdir(work)
	for path, mode := range map[string]os.FileMode{
		"consul-agent-ca.pem": 0o644, "consul-agent-ca-key.pem": 0o600,
		"dc1-server-consul-1.pem": 0o644, "dc1-server-consul-1-key.pem": 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, mode %v, want %v", path, err, info.Mode(), mode)
		}
	}
	server := certificate(t, "dc1-server-consul-1.pem")
	if want := []string{"consul.example.com", "one.server.dc1.consul", "server.dc1.consul", "localhost"}; !slices.Equal(server.DNSNames, want) {
		t.Errorf("names %q, want %q", server.DNSNames, want)
	}
	if life := time.Until(server.NotAfter); life < 364*24*time.Hour || life > 365*24*time.Hour {
		t.Errorf("a certificate lives %v", life)
	}
	if common := certificate(t, "example.com-agent-ca.pem").Subject.CommonName; common != "Ours" {
		t.Errorf("common name %q", common)
	}
	for _, name := range []string{"dc1-server-consul-0", "dc2-client-consul-0", "dc1-cli-consul-0", "dc1-client-example.com-0"} {
		if _, err := tls.LoadX509KeyPair(name+".pem", name+"-key.pem"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) != 2*2+2*5 {
		t.Errorf("files are left: %q", left)
	}
}

func TestTLSNameConstraint(t *testing.T) {
	t.Chdir(t.TempDir())
	got := world{}.run(t, "tls", "ca", "create", "-name-constraint", "-additional-name-constraint", "example.com", "-cluster-id", "11111111-2222")
	if got.code != 0 {
		t.Fatal(got.err)
	}
	made := certificate(t, "consul-agent-ca.pem")
	if want := []string{"consul", "localhost", "example.com"}; !slices.Equal(made.PermittedDNSDomains, want) {
		t.Errorf("permitted are %q, want %q", made.PermittedDNSDomains, want)
	}
	if len(made.URIs) != 1 || made.URIs[0].String() != "spiffe://11111111-2222.consul" {
		t.Errorf("URIs %v", made.URIs)
	}
	if got := (world{}).run(t, "tls", "cert", "create", "-server", "-additional-dnsname", "www.example.com"); got.code != 0 {
		t.Errorf("a permitted name: %s", got.err)
	}
	got = world{}.run(t, "tls", "cert", "create", "-server", "-additional-dnsname", "www.example.org")
	if got.code != 1 || !strings.Contains(got.err, "www.example.org") {
		t.Errorf("a name that is not permitted: exit code %d, %s", got.code, got.err)
	}
	if exists("dc1-server-consul-1.pem") {
		t.Error("a certificate that nobody accepts was saved")
	}
}

// A pair is saved as a whole or not at all, and nothing is overwritten.
func TestSavePair(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a-key.pem", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := create("a-key.pem", []byte("other"), 0o600); err == nil {
		t.Error("a file was overwritten")
	}
	if cert, key := freeFiles("a"); cert != "a-0.pem" || key != "a-0-key.pem" {
		t.Errorf("%s, %s", cert, key)
	}
	if err := os.Symlink("nowhere", "a-0-key.pem"); err != nil {
		t.Fatal(err)
	}
	if cert, _ := freeFiles("a"); cert != "a-1.pem" {
		t.Errorf("a dangling link is free: %s", cert)
	}
}
