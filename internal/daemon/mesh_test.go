package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
)

// meshAgents starts a server with TLS and a client agent that has its certificate from it, and
// returns both configurations with the published client of each.
func meshAgents(t *testing.T, change ...func(agent *Config)) (cfgs [2]Config, clients [2]*api.Client) {
	t.Helper()
	authority := newAuthority(t)
	server, agent := testConfig(t), testConfig(t)
	server.ConnectEnabled, server.AutoEncrypt.AllowTLS = true, true
	server.TLS.InternalRPC = writeRPC(t, t.TempDir(), authority, authority)
	agent.NodeName, agent.Server, agent.Bootstrap, agent.AutoEncrypt.TLS = "task1", false, false, true
	agent.ACL.Tokens.Agent = management
	agent.RetryJoin = []string{fmt.Sprintf("127.0.0.1:%d", server.Ports.SerfLAN)}
	agent.Ports.Server = server.Ports.Server
	agent.TLS.InternalRPC = TLSListener{CAFile: server.TLS.InternalRPC.CAFile, VerifyOutgoing: true, VerifyServerHostname: true}
	for _, c := range change {
		c(&agent)
	}
	cfgs = [2]Config{server, agent}
	for i, cfg := range cfgs {
		start(t, cfg, nil)
		c, err := api.NewClient(&api.Config{Address: fmt.Sprintf("127.0.0.1:%d", cfg.Ports.HTTP), Token: management})
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = c
	}
	return cfgs, clients
}

func rootsOf(t *testing.T, list *api.CARootList) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, r := range list.Roots {
		if !pool.AppendCertsFromPEM([]byte(r.RootCertPEM)) {
			t.Fatal("a root is no PEM")
		}
	}
	return pool
}

// checkLeaf verifies the chain of a leaf, and that its key belongs to it.
func checkLeaf(t *testing.T, leaf *api.LeafCert, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(cert)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the leaf of %s: %v", leaf.ServiceURI, err)
	}
	return pair.Leaf
}

// The root is changed three times while a server and a client agent, whose own certificate the
// mesh CA has signed, hand out leafs.
func TestRotationsOfTheMeshCA(t *testing.T) {
	cfgs, clients := meshAgents(t)
	server := clients[0]
	first, _, err := server.Connect().CARoots(nil)
	if err != nil {
		t.Fatal(err)
	}
	oldest := rootsOf(t, first)
	var index [2]uint64
	for i, c := range clients {
		leaf, meta, err := c.Agent().ConnectCALeaf("web", nil)
		if err != nil {
			t.Fatal(err)
		}
		checkLeaf(t, leaf, oldest)
		index[i] = meta.LastIndex
	}
	for n, bits := range []int{384, 256, 521} {
		config, _, err := server.Connect().CAGetConfig(nil)
		if err != nil {
			t.Fatal(err)
		}
		config.Config["PrivateKeyBits"] = bits
		if _, err := server.Connect().CASetConfig(config, nil); err != nil {
			t.Fatal(err)
		}
		for i, c := range clients {
			leaf, meta, err := c.Agent().ConnectCALeaf("web", &api.QueryOptions{WaitIndex: index[i]})
			if err != nil || meta.LastIndex <= index[i] {
				t.Fatalf("%s: index %d after %d, %v", cfgs[i].NodeName, meta.LastIndex, index[i], err)
			}
			index[i] = meta.LastIndex
			checkLeaf(t, leaf, oldest) // who knows the first root alone can verify it
			list, _, err := c.Agent().ConnectCARoots(nil)
			if err != nil || len(list.Roots) != n+2 {
				t.Fatalf("%s knows %+v, %v", cfgs[i].NodeName, list, err)
			}
			signed := checkLeaf(t, leaf, rootsOf(t, list))
			root := ca.Root{RootCert: list.Roots[0].RootCertPEM}
			if cert, err := root.Certificate(); err != nil || !list.Roots[0].Active || !bytes.Equal(signed.AuthorityKeyId, cert.SubjectKeyId) {
				t.Errorf("%s: the leaf is not signed by the root that is active: %v", cfgs[i].NodeName, err)
			}
		}
		must(t, cfgs[1], http.MethodGet, "/v1/catalog/nodes", "") // goes to the server with the agent's certificate
	}
}

func TestConnectionsAreDecidedOnEveryAgent(t *testing.T) {
	_, clients := meshAgents(t)
	list, _, err := clients[0].Connect().CARoots(nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := &api.AgentAuthorizeParams{Target: "db", ClientCertURI: "spiffe://" + list.TrustDomain + "/ns/default/dc/dc1/svc/web"}
	foreign := &api.AgentAuthorizeParams{Target: "db", ClientCertURI: "spiffe://ffffffff-0000-4000-8000-000000000001.consul/ns/default/dc/dc1/svc/web"}
	decide := func(want bool, reason string) {
		t.Helper()
		for _, c := range clients {
			d, err := c.Agent().ConnectAuthorize(ask)
			if err != nil || d.Authorized != want || !strings.HasPrefix(d.Reason, reason) {
				t.Errorf("got %+v, %v", d, err)
			}
			if d, err := c.Agent().ConnectAuthorize(foreign); err != nil || d.Authorized {
				t.Errorf("of another trust domain: %+v, %v", d, err)
			}
		}
	}
	decide(false, "Default behavior configured by ACLs")
	if _, err := clients[0].Connect().IntentionUpsert(&api.Intention{SourceName: "web", DestinationName: "db", Action: api.IntentionActionAllow}, nil); err != nil {
		t.Fatal(err)
	}
	decide(true, "Matched L4 intention: default/web => default/db (Precedence: 9, Action: ALLOW)")
	for _, c := range clients {
		_, _, err := c.Agent().ConnectCALeaf("db", &api.QueryOptions{Token: string(acl.AnonymousSecret)})
		if err == nil || !strings.Contains(err.Error(), "Permission denied: anonymous token lacks permission 'service:write' on \"db\"") {
			t.Errorf("without a token: %v", err)
		}
	}
}
