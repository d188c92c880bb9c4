package faults

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/test/cluster"
)

// silence is how long a server that says nothing has taken a connection.
const silence = 500 * time.Millisecond

// TestRollingChanges changes everything that a cluster runs with, one server at a
// time, while clients write and read. No request fails.
func TestRollingChanges(t *testing.T) {
	rounds := 1
	if long {
		rounds = 10
	}
	c := startPatient(t, 1)
	tr := startTraffic(t, c)
	binaries := []string{newBinary, oldBinary}
	for i := range rounds {
		tr.phase("servers to another binary", func(t *testing.T) { rotate(t, c, binaries[i%2]) })
		tr.phase("gossip key", func(t *testing.T) { changeGossipKey(t, c) })
		tr.phase("CA", func(t *testing.T) { changeCA(t, c) })
	}
	tr.stop()
	tr.verify()
}

// rotate restarts one server after the other with a binary.
func rotate(t *testing.T, c *cluster.Cluster, binary string) {
	for _, s := range c.Servers {
		s.Use(binary)
		restart(t, s)
	}
	want := oldBuild
	if binary == newBinary {
		want = newBuild
	}
	for _, s := range c.Servers {
		var v struct{ BuildDate time.Time }
		ask(t, s, http.MethodGet, "/v1/agent/version", nil, &v)
		if got := v.BuildDate.Format(time.RFC3339); got != want {
			t.Errorf("%s runs the build of %s, not of %s", s.Name, got, want)
		}
	}
}

// restart restarts a server as an upgrade does, and returns once it serves.
func restart(t *testing.T, s *cluster.Agent) {
	must(t, s.Stop())
	must(t, s.Start())
}

// ask sends a request that may be sent again.
func ask(t *testing.T, a *cluster.Agent, method, path string, in, out any) {
	t.Helper()
	c := newCaller(a.HTTP, finalAnswer)
	defer c.close()
	again(t, func() error { return c.do(t.Context(), method, path, in, out) })
}

// changeGossipKey changes the key as operators do, and lets a server join anew
// that has the old one in its configuration.
func changeGossipKey(t *testing.T, c *cluster.Cluster) {
	type key struct{ Key string }
	const path = "/v1/operator/keyring"
	old, next := c.GossipKey, cluster.NewGossipKey()
	ask(t, c.Servers[0], http.MethodPost, path, key{next}, nil)
	ask(t, c.Servers[1], http.MethodPut, path, key{next}, nil)
	ask(t, c.Servers[2], http.MethodDelete, path, key{old}, nil)
	c.GossipKey = next
	restart(t, c.Servers[0])
	await(t, func() error { // it serves before it has joined
		var rings []struct {
			NumNodes int
			Keys     map[string]int
		}
		ask(t, c.Servers[0], http.MethodGet, path, nil, &rings)
		all := len(c.Servers) + len(c.Clients)
		if len(rings) != 1 || rings[0].NumNodes != all || len(rings[0].Keys) != 1 || rings[0].Keys[next] != all {
			return fmt.Errorf("%d members, and not all have the new key alone: %+v", all, rings)
		}
		return nil
	})
}

// changeCA moves everybody to another CA: first all trust both, then all servers
// get certificates of the new one, then nobody trusts the old one.
func changeCA(t *testing.T, c *cluster.Cluster) {
	next, err := cluster.NewCA()
	must(t, err)
	all := append(c.Servers[:len(c.Servers):len(c.Servers)], c.Clients...)
	for _, a := range all {
		must(t, a.Trust(c.CA, next))
		must(t, a.Reload())
	}
	for _, s := range c.Servers {
		must(t, s.Certify(next))
		must(t, s.Reload())
	}
	for _, a := range all {
		must(t, a.Trust(next))
		must(t, a.Reload())
	}
	for _, s := range c.Servers {
		if takes(t, s, c.CA, next, patience) {
			t.Errorf("%s still has a certificate of the old CA", s.Name)
		}
		if takes(t, s, next, c.CA, patience) {
			t.Errorf("%s takes a server whose certificate is of the old CA", s.Name)
		}
		if !takes(t, s, next, next, silence) {
			t.Errorf("%s does not take a server whose certificate is of the new CA", s.Name)
		}
	}
	c.CA = next
	restart(t, c.Servers[1]) // connects with everybody anew
}

// takes reports whether a server's port lets another server replicate that trusts
// one CA and has a certificate of another: it says nothing for some time.
func takes(t *testing.T, s *cluster.Agent, trust, own *ca.AgentCA, silent time.Duration) bool {
	t.Helper()
	pair, err := own.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	must(t, err)
	loaded, err := tls.X509KeyPair(pair.Cert, []byte(pair.Key.Reveal()))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trust.Cert)
	conn, err := tls.Dial("tcp", s.Advertised(), &tls.Config{
		RootCAs: roots, ServerName: "server.dc1.consul", Certificates: []tls.Certificate{loaded}, NextProtos: []string{"raft"},
	})
	if err != nil {
		return false
	}
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(silent)))
	_, err = conn.Read(make([]byte, 1)) // nothing, or with TLS 1.3 that our certificate is refused
	return errors.Is(err, os.ErrDeadlineExceeded)
}
