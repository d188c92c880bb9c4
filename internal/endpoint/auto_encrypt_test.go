package endpoint

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

const meshCluster = "0f1e2d3c-0000-4000-8000-000000000001"

// meshRoot makes a root of the mesh CA and lets it sign.
func (w *world) meshRoot() ca.Root {
	w.t.Helper()
	root := must(ca.BuiltIn{}.NewRoot(ctx, ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: meshCluster}, Now: w.clock}))(w.t)
	active := ""
	if old := must(w.state.Read().ActiveCARoot(nil))(w.t); old != nil {
		active = old.ID
	}
	w.propose(fsm.CARootSet{Root: root, IfActive: active})
	return root
}

func (w *world) autoEncrypts() *AutoEncrypts {
	return &AutoEncrypts{
		Backend: w.Backend, Allowed: true, Datacenter: "dc1", Domain: "consul", Providers: ca.BuiltInProviders(),
		TLS: func() ([]string, bool) { return []string{"the configured CA"}, true },
	}
}

func (w *world) signRequest(node string) SignRequest {
	w.t.Helper()
	csr, _, err := ca.NewCSR()
	if err != nil {
		w.t.Fatal(err)
	}
	return SignRequest{CSR: string(csr), NodeName: node, Datacenter: "dc1", Scope: tenancy.Default}
}

func leaf(t testing.TB, a *SignAnswer) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(a.Certificate))
	return must(x509.ParseCertificate(block.Bytes))(t)
}

func TestAnAgentGetsACertificateForItsOwnNode(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	who := w.caller(tenancy.Default, `node "n1" { policy = "write" }`)
	req := w.signRequest("n1")
	req.DNSSAN, req.IPSAN = []string{"n1.example.com"}, []net.IP{net.IPv4(10, 0, 0, 7)}
	a := must(w.autoEncrypts().Sign(ctx, who, req))(t)
	cert := leaf(t, a)
	if got := cert.URIs[0].String(); got != "spiffe://"+meshCluster+".consul/agent/client/dc/dc1/id/n1" {
		t.Errorf("URI %s", got)
	}
	if len(cert.DNSNames) != 2 || len(cert.IPAddresses) != 3 || !cert.NotAfter.Equal(w.clock.Add(72*time.Hour)) {
		t.Errorf("names %v %v, until %v", cert.DNSNames, cert.IPAddresses, cert.NotAfter)
	}
	if a.Mesh.ActiveRootID != root.ID || a.ManualCARoots[0] != "the configured CA" || !a.VerifyServerHostname {
		t.Errorf("got %+v", a)
	}
	text, err := json.Marshal(a)
	if err != nil || strings.Contains(string(text), "PRIVATE KEY") {
		t.Errorf("the answer holds a key: %v", err)
	}
}

// An old route signed the identity that a request named. Here a token gets the certificate of
// its own node alone.
func TestCVE_2021_27098_WhoGetsNoCertificate(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	east := w.in("east", "default")
	n1 := w.caller(tenancy.Default, `node "n1" { policy = "write" }`)
	reader := w.caller(tenancy.Default, `node_prefix "" { policy = "read" }`)
	all := w.caller(tenancy.Default, `node_prefix "" { policy = "write" }`)
	tests := []struct {
		name   string
		who    acl.Caller
		change func(*SignRequest, *AutoEncrypts)
		kind   errs.Kind
		says   string
	}{
		{"for another node", n1, func(r *SignRequest, _ *AutoEncrypts) { r.NodeName = "n2" }, errs.Denied, `lacks permission 'node:write' on "n2"`},
		{"for a node whose name begins alike", n1, func(r *SignRequest, _ *AutoEncrypts) { r.NodeName = "n11" }, errs.Denied, `'node:write' on "n11"`},
		{"with a token that only reads", reader, nil, errs.Denied, `'node:write' on "n1"`},
		{"in another partition", n1, func(r *SignRequest, _ *AutoEncrypts) { r.Scope = east }, errs.Denied, `in partition "east"`},
		{"in a partition that does not exist", w.root, func(r *SignRequest, _ *AutoEncrypts) { r.Partition = "nowhere" }, errs.Invalid, `Partition "nowhere" does not exist`},
		{"in another datacenter", n1, func(r *SignRequest, _ *AutoEncrypts) { r.Datacenter = "dc2" }, errs.Invalid, `this server is in datacenter "dc1", not in "dc2"`},
		{"where it is not allowed", n1, func(_ *SignRequest, e *AutoEncrypts) { e.Allowed = false }, errs.Denied, "auto_encrypt.allow_tls"},
		{"with a server's name", n1, func(r *SignRequest, _ *AutoEncrypts) { r.DNSSAN = []string{"server.dc1.consul"} }, errs.Invalid, "reserved for servers"},
		{"with a path as name", all, func(r *SignRequest, _ *AutoEncrypts) { r.NodeName = "n1/../n2" }, errs.Invalid, "Invalid node name"},
		{"without a CSR", n1, func(r *SignRequest, _ *AutoEncrypts) { r.CSR = "" }, errs.Invalid, "not one PEM certificate request"},
		{"with a huge CSR", n1, func(r *SignRequest, _ *AutoEncrypts) { r.CSR = strings.Repeat("a", 1<<20) }, errs.Invalid, "CSR too large"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			req, e := w.signRequest("n1"), w.autoEncrypts()
			if tc.change != nil {
				tc.change(&req, e)
			}
			_, err := e.Sign(ctx, tc.who, req)
			if err == nil || errs.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v: %v", errs.KindOf(err), err)
			}
		})
	}
	if _, err := w.autoEncrypts().Sign(ctx, w.resolve(""), w.signRequest("n1")); errs.KindOf(err) != errs.Denied {
		t.Errorf("without a token: %v", err)
	}
}

func TestNobodySignsBeforeThereIsARoot(t *testing.T) {
	w := newWorld(t)
	if _, err := w.autoEncrypts().Sign(ctx, w.root, w.signRequest("n1")); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("got %v", err)
	}
	list, m, err := (&CARoots{Backend: w.Backend}).List(ctx, acl.Caller{}, Read{})
	if err != nil || m.Index != 1 || list.Roots == nil || len(list.Roots) > 0 || list.ActiveRootID != "" {
		t.Errorf("got %+v, %+v, %v", list, m, err)
	}
}

func TestAnAgentOfAPartitionHasItInItsName(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	east := w.in("east", "team")
	who := w.caller(east.PartitionRoot(), `node_prefix "" { policy = "write" }`)
	req := w.signRequest("n1")
	req.Scope = east
	cert := leaf(t, must(w.autoEncrypts().Sign(ctx, who, req))(t))
	if got := cert.URIs[0].String(); got != "spiffe://"+meshCluster+".consul/ap/east/agent/client/dc/dc1/id/n1" {
		t.Errorf("URI %s", got)
	}
}

func TestAWaitForRootsEndsWithANewOne(t *testing.T) {
	w := newWorld(t)
	first := w.meshRoot()
	roots := &CARoots{Backend: w.Backend}
	_, m, err := roots.List(ctx, acl.Caller{}, Read{})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		list CARootList
		err  error
	}
	got := make(chan answer)
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	go func() {
		list, _, err := roots.List(limit, acl.Caller{}, Read{MinIndex: m.Index, MaxWait: time.Minute})
		got <- answer{list, err}
	}()
	second := w.meshRoot()
	a := <-got
	if a.err != nil || len(a.list.Roots) != 2 || a.list.ActiveRootID != second.ID {
		t.Fatalf("got %+v, %v", a.list, a.err)
	}
	if a.list.Roots[0].ID != second.ID || !a.list.Roots[0].Active || a.list.Roots[1].ID != first.ID || a.list.Roots[1].Active {
		t.Errorf("got %+v", a.list.Roots)
	}
	if r := a.list.Roots[0]; r.ExternalTrustDomain != meshCluster || r.SigningKeyID == "" || r.SerialNumber == 0 || r.PrivateKeyType != "ec" {
		t.Errorf("got %+v", r)
	}
}

func TestAServerFollowsTheRoots(t *testing.T) {
	w := newWorld(t)
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	seen, done := make(chan int), make(chan error)
	go func() {
		done <- (&CARoots{Backend: w.Backend}).Follow(limit, func(roots [][]byte) error {
			seen <- len(roots)
			return nil
		})
	}()
	for want := range 3 {
		if got := <-seen; got != want {
			t.Fatalf("%d roots, want %d", got, want)
		}
		if want < 2 {
			w.meshRoot()
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRootsWithoutAMesh(t *testing.T) {
	w := newWorld(t)
	_, _, err := (&CARoots{Backend: w.Backend, Off: true}).List(ctx, acl.Caller{}, Read{})
	wantError(t, err, errs.Invalid, "Connect must be enabled in order to use this endpoint")
}

func TestNoCertificateForATokenThatEndedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	who := w.caller(tenancy.Default, `node "n1" { policy = "write" }`)
	w.Fresh = func(context.Context, Read) error {
		w.propose(fsm.TokenDelete{Scope: tenancy.Default, AccessorID: who.AccessorID})
		return nil
	}
	if _, err := w.autoEncrypts().Sign(ctx, who, w.signRequest("n1")); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("a token whose end this server had not heard of got a certificate: %v", err)
	}
	w.Fresh = func(context.Context, Read) error { return errs.New(errs.Unavailable, "No cluster leader") }
	if _, err := w.autoEncrypts().Sign(ctx, w.root, w.signRequest("n1")); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a server that knows no leader signed: %v", err)
	}
}
