package agent

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
)

// TestOverARealServerPort begins with the CA alone, as an agent does, and ends with a
// connection on which the server knows the node.
func TestOverARealServerPort(t *testing.T) {
	authority, err := ca.NewAgentCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.BuiltIn{}.NewRoot(t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: clusterID}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	server := newTLS(t, peer.TLSConfig{
		CAs: [][]byte{authority.Cert}, Cert: own.Cert, Key: own.Key,
		VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true, Datacenter: "dc1",
	})
	if err := server.SetMesh([][]byte{[]byte(root.RootCert)}, nil); err != nil {
		t.Fatal(err)
	}
	out := &lines{}
	port, err := peer.Listen("127.0.0.1:0", server, out.logger())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(peer.SignPath, func(w http.ResponseWriter, r *http.Request) {
		var req endpoint.SignRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		id := ca.AgentID{TrustDomain: root.TrustDomain, Datacenter: "dc1", Node: req.NodeName}
		cert, err := ca.Signer{Provider: ca.BuiltIn{}, Root: &root}.SignAgent(r.Context(), []byte(req.CSR), ca.AgentNames{ID: id}, time.Now())
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(endpoint.SignAnswer{
			Certificate: cert.Chain, ManualCARoots: []string{string(authority.Cert)},
			Mesh: endpoint.CARootList{
				ActiveRootID: root.ID, TrustDomain: root.TrustDomain, Roots: []endpoint.CARoot{{ID: root.ID, RootCert: root.RootCert}},
			},
		})
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(peer.From(r)) })
	stop := run(t, func(ctx context.Context) error { return port.Serve(ctx, mux) })
	defer stop()

	mine := peer.TLSConfig{CAs: [][]byte{authority.Cert}, VerifyOutgoing: true, Datacenter: "dc1"}
	bare, full := newTLS(t, mine), newTLS(t, mine)
	bootstrap, normal := peer.NewClient(bare), peer.NewClient(full)
	defer bootstrap.Close()
	defer normal.Close()
	host, text, _ := net.SplitHostPort(port.Addr().String())
	number, _ := strconv.Atoi(text)
	a := &AutoEncrypt{
		Client: bootstrap, RetryJoin: []string{host}, ServerPort: number, NodeName: "n1", Datacenter: "dc1",
		Token: func() logging.Secret { return "" }, Log: out.logger(),
		Use: func(o Obtained) error { return full.SetMesh(o.ManualRoots, &o.Pair) },
	}
	var who peer.Identity
	if _, err := call(t.Context(), normal, port.Addr().String(), http.MethodGet, "/who", nil, nil, &who); err == nil {
		t.Errorf("without a certificate the server answers %+v", who)
	}
	if !a.attempt(t.Context()) {
		t.Fatalf("no certificate: %s", out)
	}
	if _, err := call(t.Context(), normal, port.Addr().String(), http.MethodGet, "/who", nil, nil, &who); err != nil {
		t.Fatal(err)
	}
	if who.Kind != peer.Agent || who.Node != "n1" {
		t.Errorf("the server sees %+v", who)
	}
}

func newTLS(t *testing.T, cfg peer.TLSConfig) *peer.TLS {
	t.Helper()
	made, err := peer.NewTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}
