package peer

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/ca"
)

// One option did not imply what it cannot do without, and connections were in the clear:
// what a server demands, what who dials it demands and presents, and who it is then taken for.
func TestCVE_2018_19653_OptionMatrix(t *testing.T) {
	ours, other, meshCA := newAuthority(t), newAuthority(t), newAuthority(t)
	serverPair, clientPair := ours.server(t, "dc1"), ours.client(t, "dc1")
	with := func(cfg TLSConfig, change func(*TLSConfig)) TLSConfig { change(&cfg); return cfg }
	production := strict(serverPair, ours)
	lenient := with(production, func(c *TLSConfig) { c.VerifyIncoming = false })
	client := func(pair ca.Pair) TLSConfig { return strict(pair, ours) }
	agentURI := "spiffe://11111111-2222-3333-4444-555555555555.consul/agent/client/dc/dc1/id/task-1"
	meshAgent := meshCA.custom(t, []string{"localhost"}, agentURI)

	const (
		signOnly    = "403"
		refused     = "TLS handshake"
		unknownCA   = "certificate signed by unknown authority"
		remoteError = "remote error: tls:"
	)
	tests := []struct {
		name   string
		server TLSConfig
		client TLSConfig
		mesh   *ca.Pair // the client's
		h2     string   // the answer's body or status, or a part of the error
		raft   string   // "ok", or a part of the error
	}{
		{"a server", production, client(serverPair), nil, "server s1", "ok"},
		{"a client agent never speaks raft", production, client(clientPair), nil, "client agent", remoteError},
		{"an operator's certificate is nobody's, but verified", production, client(ours.cli(t)), nil, "nobody", remoteError},
		{"without a certificate", production, client(ca.Pair{}), nil, signOnly, remoteError},
		{"a certificate of another CA", production, client(other.server(t, "dc1")), nil, remoteError, remoteError},
		{"a server of another datacenter", production,
			with(client(ours.server(t, "dc2")), func(c *TLSConfig) {}), nil, "nobody", remoteError},
		{"a client agent of another datacenter", production, client(ours.client(t, "dc2")), nil, "nobody", remoteError},
		{"a name that only ends like a server's", production,
			client(ours.custom(t, []string{"s1.server.dc1.consul", "xserver.dc1.consul"})), nil, "nobody", remoteError},
		{"a wildcard is no server", production, client(ours.custom(t, []string{"*.dc1.consul"})), nil, "nobody", remoteError},
		{"case does not matter in names", production, client(ours.custom(t, []string{"SERVER.dc1.Consul"})), nil, "server", "ok"},

		{"auto_encrypt", production, client(ca.Pair{}), &meshAgent, "client agent task-1", remoteError},
		{"a server's name from the mesh CA makes no server", production, client(ca.Pair{}),
			ptr(meshCA.custom(t, []string{"server.dc1.consul"}, agentURI)), "client agent task-1", remoteError},
		{"a service's certificate is not an agent's", production, client(ca.Pair{}),
			ptr(meshCA.custom(t, []string{"server.dc1.consul", "client.dc1.consul"}, "spiffe://x.consul/ns/default/dc/dc1/svc/web")), signOnly, remoteError},
		{"two identities are none", production, client(ca.Pair{}),
			ptr(meshCA.custom(t, nil, agentURI, agentURI+"2")), signOnly, remoteError},
		{"auto_encrypt of another datacenter", production, client(ca.Pair{}),
			ptr(meshCA.custom(t, nil, strings.Replace(agentURI, "/dc1/", "/dc2/", 1))), signOnly, remoteError},

		{"verify_incoming off: no certificate needed, nor believed", lenient, client(ca.Pair{}), nil, "nobody", remoteError},
		{"verify_incoming off: raft needs a server all the same", lenient, client(clientPair), nil, "client agent", remoteError},
		{"verify_incoming off: a given certificate is verified", lenient, client(other.client(t, "dc1")), nil, remoteError, remoteError},

		{"the dialled server is of another datacenter", strict(ours.server(t, "dc2"), ours), client(serverPair), nil, "not server.dc1.consul", "not server.dc1.consul"},
		{"the dialled one is a client agent", strict(clientPair, ours), client(serverPair), nil, "not server.dc1.consul", "not server.dc1.consul"},
		{"the dialled server is of another CA", strict(other.server(t, "dc1"), other, ours), client(serverPair), nil, unknownCA, unknownCA},
		{"the dialled server has its name from the mesh CA", strict(meshCA.custom(t, []string{"server.dc1.consul"}), ours), client(serverPair), nil, unknownCA, unknownCA},
		{"without verify_server_hostname the CA is enough, but not for raft", strict(ours.server(t, "dc2"), ours),
			with(client(serverPair), func(c *TLSConfig) { c.VerifyServerHostname = false }), nil, "server s1", "not server.dc1.consul"},
		{"without verify_server_hostname another CA is still refused", strict(other.server(t, "dc1"), other, ours),
			with(client(serverPair), func(c *TLSConfig) { c.VerifyServerHostname = false }), nil, unknownCA, unknownCA},
		{"verify_server_hostname alone means TLS", production,
			with(client(serverPair), func(c *TLSConfig) { c.VerifyIncoming, c.VerifyOutgoing = false, false }), nil, "server s1", "ok"},
		{"verify_incoming alone means TLS, and a verified server", production,
			with(client(serverPair), func(c *TLSConfig) { c.VerifyOutgoing, c.VerifyServerHostname = false, false }), nil, "server s1", "ok"},

		{"in the clear to a TLS port", production, TLSConfig{}, nil, "request not sent", "EOF"},
		{"TLS to a port in the clear", TLSConfig{}, client(serverPair), nil, refused, refused},
		{"both in the clear", TLSConfig{}, TLSConfig{}, nil, "server", "ok"},
		{"material without demands is in the clear", with(production, clear), with(client(serverPair), clear), nil, "server", "ok"},

		{"TLS 1.3 demanded and spoken", with(production, func(c *TLSConfig) { c.MinVersion = "TLSv1_3" }), client(serverPair), nil, "server s1", "ok"},
		{"a cipher for TLS 1.2", with(production, func(c *TLSConfig) { c.CipherSuites = []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"} }),
			client(serverPair), nil, "server s1", "ok"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := newTLS(t, tc.server)
			if err := server.SetMesh([][]byte{meshCA.Cert}, nil); err != nil {
				t.Fatal(err)
			}
			p := open(t, server, defaultLimits, whoami)
			dialler := newTLS(t, tc.client)
			if err := dialler.SetMesh([][]byte{meshCA.Cert}, tc.mesh); err != nil {
				t.Fatal(err)
			}
			checkHTTP(t, newClient(t, dialler), p.addr(), tc.h2)
			accepted := p.echo(t)
			checkRaft(t, p.addr(), dialler, tc.raft)
			if tc.raft != "ok" && accepted.Load() > 0 {
				t.Error("raft: accepted")
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func clear(c *TLSConfig) {
	c.VerifyIncoming, c.VerifyOutgoing, c.VerifyServerHostname = false, false, false
}

func checkHTTP(t *testing.T, c *Client, addr, want string) {
	t.Helper()
	status, body, err := get(t, c, addr, "/v1/status/leader")
	switch {
	case err != nil:
		if !strings.Contains(err.Error(), want) || want == "server" || want == "nobody" {
			t.Errorf("HTTP/2: %v, want %q", err, want)
		}
	case want == "403":
		if status != 403 {
			t.Errorf("HTTP/2: status %d, body %q", status, body)
		}
		if status, _, err := get(t, c, addr, SignPath); err != nil || status != 200 {
			t.Errorf("asking for a certificate: status %d, %v", status, err)
		}
	case body != want || status != 200:
		t.Errorf("HTTP/2: status %d, body %q, want %q", status, body, want)
	}
}

// checkRaft dials as raft with dialler and has the other end echo.
func checkRaft(t *testing.T, addr string, dialler *TLS, want string) {
	t.Helper()
	c, err := (&Listener{tls: dialler}).Raft(fakeAddr{}).Dial(raft.ServerAddress(addr), quiet)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(quiet))
		_, err = c.Write([]byte("hello"))
	}
	if err == nil {
		_, err = c.Read(make([]byte, 5))
	}
	switch {
	case want == "ok" && err != nil:
		t.Errorf("raft: %v", err)
	case want != "ok" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("raft: %v, want %q", err, want)
	}
}

// The name of the dialled server was not verified where that was asked for. Here it is,
// whatever else is asked for, and raft verifies it always.
func TestCVE_2019_9764_TheNameOfAServerIsVerified(t *testing.T) {
	ours := newAuthority(t)
	impostors := map[string]ca.Pair{
		"a client agent":             ours.client(t, "dc1"),
		"an operator":                ours.cli(t),
		"another datacenter":         ours.server(t, "dc2"),
		"a wildcard":                 ours.custom(t, []string{"*.dc1.consul", "*.consul"}),
		"a name that ends alike":     ours.custom(t, []string{"xserver.dc1.consul"}),
		"a name that goes on":        ours.custom(t, []string{"server.dc1.consul.evil.example"}),
		"an address and no name":     ours.custom(t, nil),
		"a server's name as address": ours.custom(t, nil, "spiffe://x.consul/server.dc1.consul"),
	}
	own := ours.server(t, "dc1")
	for name, pair := range impostors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, newTLS(t, strict(pair, ours)), defaultLimits, whoami)
			accepted := p.echo(t)
			for _, c := range []struct{ incoming, outgoing, hostname bool }{
				{false, false, true}, {true, false, true}, {false, true, true}, {true, true, true},
				{true, true, false}, {false, true, false}, {true, false, false},
			} {
				cfg := strict(own, ours)
				cfg.VerifyIncoming, cfg.VerifyOutgoing, cfg.VerifyServerHostname = c.incoming, c.outgoing, c.hostname
				dialler := newTLS(t, cfg)
				if c.hostname {
					checkHTTP(t, newClient(t, dialler), p.addr(), "server.dc1.consul")
				}
				checkRaft(t, p.addr(), dialler, "server.dc1.consul")
			}
			if accepted.Load() > 0 {
				t.Error("raft: accepted")
			}
		})
	}
}

// Who has no CA to verify a server with trusted every one. Here verification without a CA is
// no configuration, and it is not lost by a change of it.
func TestCVE_2026_52724_WithoutACANothingIsTrusted(t *testing.T) {
	ours := newAuthority(t)
	pair := ours.server(t, "dc1")
	good := strict(pair, ours)
	working := newTLS(t, good)
	p := open(t, newTLS(t, strict(newAuthority(t).server(t, "dc1"), ours)), defaultLimits, whoami)
	for _, c := range []struct{ incoming, outgoing, hostname bool }{
		{true, false, false}, {false, true, false}, {false, false, true}, {true, true, true},
	} {
		for name, cas := range map[string][][]byte{"no CA": nil, "an empty file": {{}}, "a file without a certificate": {[]byte("no PEM")}, "a key": {[]byte(pair.Key.Reveal())}} {
			cfg := TLSConfig{Cert: pair.Cert, Key: pair.Key, CAs: cas, VerifyIncoming: c.incoming, VerifyOutgoing: c.outgoing, VerifyServerHostname: c.hostname}
			if _, err := NewTLS(cfg); err == nil {
				t.Errorf("%s and %+v is a configuration", name, c)
			}
			if err := working.Update(cfg); err == nil {
				t.Errorf("%s and %+v replaces one that works", name, c)
			}
		}
	}
	checkHTTP(t, newClient(t, working), p.addr(), "certificate signed by unknown authority")
}

type fakeAddr struct{ net.Addr }

// echo accepts raft connections for the time of the test and returns what it gets. It
// counts them.
func (p *port) echo(t *testing.T) *atomic.Int64 {
	layer := p.Raft(nil)
	accepted := new(atomic.Int64)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := layer.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			all.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { _ = layer.Close(); all.Wait() })
	return accepted
}

// A server never asks a client agent in the place of a server, also where names
// are not verified otherwise.
func TestAClientForServersOnly(t *testing.T) {
	root := newAuthority(t)
	lax := strict(root.server(t, "dc1"), root)
	lax.VerifyServerHostname = false
	impostor := lax
	pair := root.client(t, "dc1")
	impostor.Cert, impostor.Key = pair.Cert, pair.Key
	genuine := open(t, newTLS(t, lax), defaultLimits, whoami)
	other := open(t, newTLS(t, impostor), defaultLimits, whoami)
	for _, only := range []bool{false, true} {
		c := newClient(t, newTLS(t, lax))
		c.ServersOnly = only
		if status, _, err := get(t, c, genuine.addr(), "/"); err != nil || status != http.StatusOK {
			t.Errorf("servers only %v, a server: %d, %v", only, status, err)
		}
		if _, _, err := get(t, c, other.addr(), "/"); (err != nil) != only || only && !errors.Is(err, ErrNotSent) {
			t.Errorf("servers only %v, a client agent: %v", only, err)
		}
	}
}
