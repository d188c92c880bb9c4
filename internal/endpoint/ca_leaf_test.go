package endpoint

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

func (w *world) leafs() *Leafs {
	return &Leafs{Backend: w.Backend, Providers: ca.BuiltInProviders(), Datacenter: "dc1"}
}

func serviceURI(s tenancy.Scope, service string) *url.URL {
	return ca.ServiceID{TrustDomain: meshCluster + ".consul", Datacenter: "dc1", Service: service, Scope: s}.URI()
}

func leafRequest(t testing.TB, uris ...*url.URL) LeafRequest {
	t.Helper()
	csr, _, err := ca.NewCSR(uris...)
	if err != nil {
		t.Fatal(err)
	}
	return LeafRequest{CSR: string(csr)}
}

// customRequest asks with whatever a template says.
func customRequest(t testing.TB, template x509.CertificateRequest) LeafRequest {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificateRequest(rand.Reader, &template, key))(t)
	return LeafRequest{CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}
}

func signedLeaf(t testing.TB, a *LeafAnswer) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(a.CertPEM))
	return must(x509.ParseCertificate(block.Bytes))(t)
}

const writesWeb = `service "web" { policy = "write" }`

func TestAServiceGetsItsLeaf(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	east := w.in("east", "team")
	for _, s := range []tenancy.Scope{tenancy.Default, east} {
		who := w.caller(s, writesWeb)
		a := must(w.leafs().Sign(ctx, who, leafRequest(t, serviceURI(s, "web"))))(t)
		cert := signedLeaf(t, a)
		if cert.URIs[0].String() != serviceURI(s, "web").String() || a.ServiceURI != cert.URIs[0].String() || a.Service != "web" {
			t.Errorf("URIs %v, answer %+v", cert.URIs, a)
		}
		if !a.ValidBefore.Equal(w.clock.Add(72*time.Hour)) || !a.ValidAfter.Equal(cert.NotBefore) || a.RootID != root.ID || a.Index < 2 || a.SerialNumber == "" {
			t.Errorf("got %+v", a)
		}
	}
}

func TestALeafLivesAsLongAsConfigured(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	if err := w.caConfigs().Set(ctx, w.root, CAConfig{Provider: "consul", Config: map[string]any{"LeafCertTTL": "2h"}}); err != nil {
		t.Fatal(err)
	}
	a := must(w.leafs().Sign(ctx, w.root, leafRequest(t, serviceURI(tenancy.Default, "web"))))(t)
	if !a.ValidBefore.Equal(w.clock.Add(2 * time.Hour)) {
		t.Errorf("until %v", a.ValidBefore)
	}
	w.rotateCA()
	a = must(w.leafs().Sign(ctx, w.root, leafRequest(t, serviceURI(tenancy.Default, "web"))))(t)
	if n := strings.Count(a.CertPEM, "BEGIN CERTIFICATE"); n != 2 {
		t.Errorf("%d certificates in the chain after a rotation", n)
	}
}

// A token gets the leafs of the services that it may write, and of no other, whatever its CSR says.
func TestCVE_2022_40716_WhoGetsNoLeaf(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	east, team := w.in("east", "default"), w.in("default", "team")
	web, db := serviceURI(tenancy.Default, "web"), serviceURI(tenancy.Default, "db")
	own := w.caller(tenancy.Default, writesWeb)
	reader := w.caller(tenancy.Default, `service_prefix "" { policy = "read" } node_prefix "" { policy = "write" }`)
	changed := func(change func(*ca.ServiceID)) *url.URL {
		id := ca.ServiceID{TrustDomain: meshCluster + ".consul", Datacenter: "dc1", Service: "web", Scope: tenancy.Default}
		change(&id)
		return id.URI()
	}
	for _, tc := range []struct {
		name string
		who  acl.Caller
		req  LeafRequest
		kind errs.Kind
		says string
	}{
		{"for another service", own, leafRequest(t, db), errs.Denied, `lacks permission 'service:write' on "db"`},
		{"for a name that begins alike", own, leafRequest(t, serviceURI(tenancy.Default, "web2")), errs.Denied, `'service:write' on "web2"`},
		{"for two services, the first its own", own, leafRequest(t, web, db), errs.Invalid, "it has to name one URI"},
		{"for two services, the last its own", own, leafRequest(t, db, web), errs.Invalid, "it has to name one URI"},
		{"for nobody", own, leafRequest(t), errs.Invalid, "it has to name one URI"},
		{"of another namespace", own, leafRequest(t, serviceURI(team, "web")), errs.Denied, `in namespace "team"`},
		{"of another partition", own, leafRequest(t, serviceURI(east, "web")), errs.Denied, `in partition "east"`},
		{"of a namespace that does not exist", w.root, leafRequest(t, serviceURI(tenancy.Scope{Partition: "default", Namespace: "none"}, "web")), errs.Invalid, `Namespace "none" does not exist`},
		{"of a foreign trust domain", own, leafRequest(t, changed(func(id *ca.ServiceID) { id.TrustDomain = "ffffffff-0000-4000-8000-000000000001.consul" })), errs.Invalid, "is not that of this cluster"},
		{"of another datacenter", own, leafRequest(t, changed(func(id *ca.ServiceID) { id.Datacenter = "dc2" })), errs.Invalid, `this server is in datacenter "dc1", not in "dc2"`},
		{"with a server's DNS name", own, customRequest(t, x509.CertificateRequest{URIs: []*url.URL{web}, DNSNames: []string{"server.dc1.consul"}}), errs.Invalid, "it has to name one URI"},
		{"for an agent", w.root, leafRequest(t, ca.AgentID{TrustDomain: meshCluster + ".consul", Datacenter: "dc1", Node: "n1"}.URI()), errs.Invalid, "not the URI of a service"},
		{"for the CA", w.root, leafRequest(t, &url.URL{Scheme: "spiffe", Host: meshCluster + ".consul"}), errs.Invalid, "not the URI of a service"},
		{"with a token that reads", reader, leafRequest(t, web), errs.Denied, `'service:write' on "web"`},
		{"without a token", w.resolve(""), leafRequest(t, web), errs.Denied, "'service:write'"},
		{"without a CSR", own, LeafRequest{}, errs.Invalid, "not one PEM certificate request"},
		{"with a huge CSR", own, LeafRequest{CSR: strings.Repeat("a", 1<<20)}, errs.Invalid, "CSR too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := w.leafs().Sign(ctx, tc.who, tc.req)
			if err == nil || errs.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %+v, %v: %v", a, errs.KindOf(err), err)
			}
		})
	}
}

// Nothing that a CSR asks for beside its key gets into the leaf.
func TestAttack_ACSRThatAsksToBeACA(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	isCA := pkix.Extension{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}
	mayDoAll := pkix.Extension{Id: []int{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 0, 0xff}}
	req := customRequest(t, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "server.dc1.consul"}, URIs: []*url.URL{serviceURI(tenancy.Default, "web")},
		ExtraExtensions: []pkix.Extension{isCA, mayDoAll},
	})
	cert := signedLeaf(t, must(w.leafs().Sign(ctx, w.root, req))(t))
	if cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign != 0 || cert.Subject.String() != "" {
		t.Errorf("CA %v, usage %b, subject %s", cert.IsCA, cert.KeyUsage, cert.Subject)
	}
}

func TestNoLeafForATokenThatEndedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	who := w.caller(tenancy.Default, writesWeb)
	req := leafRequest(t, serviceURI(tenancy.Default, "web"))
	w.Fresh = func(context.Context, Read) error {
		w.propose(fsm.TokenDelete{Scope: tenancy.Default, AccessorID: who.AccessorID})
		return nil
	}
	if _, err := w.leafs().Sign(ctx, who, req); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("a token whose end this server had not heard of got a leaf: %v", err)
	}
	w.Fresh = func(context.Context, Read) error { return errs.New(errs.Unavailable, "No cluster leader") }
	if _, err := w.leafs().Sign(ctx, w.root, req); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a server that knows no leader signed: %v", err)
	}
}

func TestAttack_AnExpiredTokenGetsNoLeaf(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	p := w.policy(tenancy.Default, "web", writesWeb)
	end := w.clock.Add(time.Hour)
	token := w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}, ExpirationTime: &end})
	who := w.resolve(token.SecretID)
	req := leafRequest(t, serviceURI(tenancy.Default, "web"))
	must(w.leafs().Sign(ctx, who, req))(t)
	w.clock = end
	if _, err := w.leafs().Sign(ctx, who, req); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestLeafsWithoutAMesh(t *testing.T) {
	w := newWorld(t)
	e, req := w.leafs(), leafRequest(t, serviceURI(tenancy.Default, "web"))
	_, err := e.Sign(ctx, w.root, req)
	wantError(t, err, errs.Unavailable, "the mesh CA has no root yet")
	e.Off = true
	_, err = e.Sign(ctx, w.root, req)
	wantError(t, err, errs.Invalid, "Connect must be enabled in order to use this endpoint")
}

func TestServersSignNoMoreThanConfigured(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	e, req := w.leafs(), leafRequest(t, serviceURI(tenancy.Default, "web"))
	configure := func(config map[string]any) {
		t.Helper()
		if err := w.caConfigs().Set(ctx, w.root, CAConfig{Provider: "consul", Config: config}); err != nil {
			t.Fatal(err)
		}
	}
	configure(map[string]any{"CSRMaxPerSecond": 0.001})
	must(e.Sign(ctx, w.root, req))(t)
	if _, err := e.Sign(ctx, w.root, req); errs.KindOf(err) != errs.Throttled || !strings.Contains(err.Error(), "CSRMaxPerSecond") {
		t.Errorf("the second of a rate of one: %v", err)
	}
	configure(map[string]any{"CSRMaxPerSecond": 0.0})
	for range 100 {
		must(e.Sign(ctx, w.root, req))(t)
	}
	configure(map[string]any{"CSRMaxPerSecond": 0.001, "CSRMaxConcurrent": 1.0})
	must(e.Sign(ctx, w.root, req))(t)
	must(e.Sign(ctx, w.root, req))(t)
	_, config, err := caSigner(w.state.Read(), e.Providers)
	if err != nil {
		t.Fatal(err)
	}
	done := must(e.limit.enter(config))(t)
	if _, err := e.Sign(ctx, w.root, req); errs.KindOf(err) != errs.Throttled || !strings.Contains(err.Error(), "CSRMaxConcurrent") {
		t.Errorf("the second at a time: %v", err)
	}
	done()
	must(e.Sign(ctx, w.root, req))(t)
}
