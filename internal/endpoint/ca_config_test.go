package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

func (w *world) caConfigs() *CAConfigs {
	return &CAConfigs{Backend: w.Backend, Providers: ca.BuiltInProviders()}
}

// rotateCA lets another root sign, by the key of an operator.
func (w *world) rotateCA() {
	w.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
	der := must(x509.MarshalECPrivateKey(key))(w.t)
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := w.caConfigs().Set(ctx, w.root, CAConfig{Provider: "consul", Config: map[string]any{"PrivateKey": string(text)}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) roots() CARootList {
	w.t.Helper()
	return must(listCARoots(w.state.Read(), nil))(w.t)
}

func TestTheConfigurationOfTheMeshCA(t *testing.T) {
	w := newWorld(t)
	first := w.meshRoot()
	e := w.caConfigs()
	c, m, err := e.Read(ctx, w.root, Read{})
	if err != nil || c.Provider != "consul" || c.Config["LeafCertTTL"] != "72h" || len(c.Config) != 3 || c.ModifyIndex != 0 || m.Index != 1 {
		t.Fatalf("got %+v, %+v, %v", c, m, err)
	}
	c.Config["LeafCertTTL"], c.Config["test_state"] = "2h", map[string]any{"foo": "bar"}
	if err := e.Set(ctx, w.root, *c); err != nil {
		t.Fatal(err)
	}
	c, m, err = e.Read(ctx, w.root, Read{})
	if err != nil || c.Config["LeafCertTTL"] != "2h" || c.State["foo"] != "bar" || c.ModifyIndex != m.Index || m.Index < 2 {
		t.Fatalf("got %+v, %+v, %v", c, m, err)
	}
	before := w.raft.index
	if err := e.Set(ctx, w.root, *c); err != nil {
		t.Errorf("what was read cannot be set: %v", err)
	}
	again, _, err := e.Read(ctx, w.root, Read{})
	if err != nil || again.ModifyIndex != c.ModifyIndex || again.State["foo"] != "bar" || w.raft.index == before {
		t.Errorf("got %+v, %v", again, err)
	}
	if list := w.roots(); list.ActiveRootID != first.ID || len(list.Roots) != 1 {
		t.Errorf("the root has changed: %+v", list)
	}
	again.State = map[string]string{"foo": "another"}
	wantError(t, e.Set(ctx, w.root, *again), errs.Invalid, "State is what the provider remembers: it cannot be set")
}

// A rule that is broken is a 400 with the text that clients know (mesh.md section 1.2).
func TestConfigurationsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	e := w.caConfigs()
	wantError(t, e.Set(ctx, w.root, CAConfig{Provider: "consul"}), errs.Unavailable, "the mesh CA has no root yet")
	w.meshRoot()
	wantError(t, e.Set(ctx, w.root, CAConfig{Provider: "bogus"}), errs.Invalid, `could not initialize provider: unknown CA provider "bogus"`)
	wantError(t, e.Set(ctx, w.root, CAConfig{Provider: "consul", Config: map[string]any{"LeafCertTTL": "1s"}}),
		errs.Invalid, "error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s")
	e.Off = true
	wantError(t, e.Set(ctx, w.root, CAConfig{Provider: "consul"}), errs.Invalid, "Connect must be enabled in order to use this endpoint")
}

func TestCVE_2020_28053_TheConfigurationNeedsOperatorWrite(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	w.rotateCA()
	e := w.caConfigs()
	east := w.in("east", "default")
	for name, who := range map[string]acl.Caller{
		"without a token":           w.resolve(""),
		"who reads":                 w.caller(tenancy.Default, `operator = "read" acl = "write" mesh = "write"`),
		"who writes in a partition": w.caller(east, `acl = "write" mesh = "write"`),
		"who has other rights":      w.caller(tenancy.Default, `node_prefix "" { policy = "write" } service_prefix "" { policy = "write" } keyring = "write"`),
	} {
		if _, _, err := e.Read(ctx, who, Read{}); errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: reads, %v", name, err)
		}
		if err := e.Set(ctx, who, CAConfig{Provider: "consul"}); errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: writes, %v", name, err)
		}
	}
	c, _, err := e.Read(ctx, w.caller(tenancy.Default, `operator = "write"`), Read{})
	if err != nil {
		t.Fatal(err)
	}
	if _, shown := c.Config["PrivateKey"]; shown {
		t.Error("the key is shown")
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	first := w.meshRoot()
	w.rotateCA()
	list := w.roots()
	if len(list.Roots) != 2 || list.ActiveRootID == first.ID || list.TrustDomain != first.TrustDomain {
		t.Fatalf("got %+v", list)
	}
	second, old := list.Roots[0], list.Roots[1]
	if !second.Active || len(second.IntermediateCerts) != 1 || old.Active || old.ID != first.ID || !old.RotatedOutAt.Equal(w.clock) {
		t.Errorf("got %+v\nand %+v", second, old)
	}
	if err := w.caConfigs().Set(ctx, w.root, CAConfig{Provider: "consul", ForceWithoutCrossSigning: true, Config: map[string]any{"PrivateKeyType": "rsa"}}); err != nil {
		t.Fatal(err)
	}
	list = w.roots()
	if r := list.Roots[0]; len(list.Roots) != 3 || len(r.IntermediateCerts) > 0 || r.PrivateKeyType != "rsa" || r.PrivateKeyBits != 2048 {
		t.Errorf("got %+v", r)
	}
	c, _, err := w.caConfigs().Read(ctx, w.root, Read{})
	if err != nil || !c.ForceWithoutCrossSigning || c.Config["PrivateKeyType"] != "rsa" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// Two operators may change the CA at a time: the second change is one of what the first has made.
func TestTwoRotationsAtATime(t *testing.T) {
	w := newWorld(t)
	first := w.meshRoot()
	once := false
	w.raft.before = func(cmd fsm.Command) {
		if _, ok := cmd.(fsm.CASet); ok && !once {
			once = true
			w.rotateCA()
		}
	}
	w.rotateCA()
	list := w.roots()
	if len(list.Roots) != 3 || len(list.Roots[0].IntermediateCerts) != 2 {
		t.Errorf("got %+v", list)
	}
	if !slices.ContainsFunc(list.Roots, func(r CARoot) bool { return r.ID == first.ID && !r.Active }) {
		t.Error("the first root is lost")
	}
}

// Certificates of client agents go with their root: with what leads to it from the ones before, and for as long as leafs live.
func TestAgentsCertificatesAfterARotation(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	w.rotateCA()
	a := must(w.autoEncrypts().Sign(ctx, w.root, w.signRequest("n1")))(t)
	if n := strings.Count(a.Certificate, "BEGIN CERTIFICATE"); n != 2 || len(a.Mesh.Roots) != 2 {
		t.Errorf("%d certificates in the chain, roots %+v", n, a.Mesh)
	}
}
