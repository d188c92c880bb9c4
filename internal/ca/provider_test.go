package ca

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

func settings(t testing.TB, raw map[string]any) Settings {
	t.Helper()
	s, err := ParseSettings(ConsulProvider, raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rotate returns the root that follows r.
func rotate(t testing.TB, r *Root, s Settings, now time.Time) *Root {
	t.Helper()
	next, err := BuiltIn{}.NewRoot(t.Context(), RootSpec{TrustDomain: r.TrustDomain, Settings: s, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if next, err = CrossSign(t.Context(), BuiltIn{}, r, next, s.IntermediateCertTTL, now); err != nil {
		t.Fatal(err)
	}
	return &next
}

// webLeaf has r sign a leaf, and returns it as TLS presents it.
func webLeaf(t testing.TB, r *Root, now time.Time) tls.Certificate {
	t.Helper()
	text, key, err := NewCSR(uris(t, web)...)
	if err != nil {
		t.Fatal(err)
	}
	request, err := ReadServiceCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer(r).SignService(t.Context(), request, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(leaf.Chain), []byte(key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// trusted reports whether the chain of a leaf is verified by roots.
func trusted(t testing.TB, leaf tls.Certificate, now time.Time, roots ...*Root) error {
	t.Helper()
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range roots {
		if !pool.AppendCertsFromPEM([]byte(r.RootCert)) {
			t.Fatal("a root is no PEM")
		}
	}
	for _, der := range leaf.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(cert)
	}
	_, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// Whoever knows any of the roots since one was active verifies what later ones sign.
func TestLeafsAreTrustedAcrossThreeRotations(t *testing.T) {
	kinds := []map[string]any{nil, {"PrivateKeyBits": 384.0}, {"PrivateKeyType": "rsa"}, {"PrivateKeyBits": 521.0}}
	roots := []*Root{newRoot(t, settings(t, kinds[0]))}
	for _, raw := range kinds[1:] {
		roots = append(roots, rotate(t, roots[len(roots)-1], settings(t, raw), meshNow))
	}
	if n := len(roots[3].CrossCerts); n != 3 || roots[3].CrossCerts[0].SignedBy != roots[2].ID || roots[3].CrossCerts[2].SignedBy != roots[0].ID {
		t.Fatalf("%d certificates lead to the last root", n)
	}
	for signs, r := range roots {
		leaf := webLeaf(t, r, meshNow)
		for knows, root := range roots {
			err := trusted(t, leaf, meshNow, root)
			if want := knows <= signs; (err == nil) != want {
				t.Errorf("the leaf of root %d, by root %d alone: %v", signs, knows, err)
			}
			if err := trusted(t, leaf, meshNow, roots[:max(knows, signs)+1]...); err != nil {
				t.Errorf("the leaf of root %d, by all up to %d: %v", signs, knows, err)
			}
		}
	}
	pruned := roots[3].Without(func(id string) bool { return id == roots[0].ID })
	leaf := webLeaf(t, &pruned, meshNow)
	if err := trusted(t, leaf, meshNow, roots[1]); err != nil || trusted(t, leaf, meshNow, roots[0]) == nil {
		t.Errorf("after the first root was removed: %v", err)
	}
}

func TestTheChainOfALeafIsBounded(t *testing.T) {
	r := meshRoot(t)
	for range maxCrossCerts + 3 {
		r = rotate(t, r, settings(t, nil), meshNow)
	}
	if len(r.CrossCerts) != maxCrossCerts {
		t.Errorf("%d certificates", len(r.CrossCerts))
	}
}

func TestWhatCannotBeCrossSigned(t *testing.T) {
	r := meshRoot(t)
	next := *meshRoot(t)
	if _, err := CrossSign(t.Context(), BuiltIn{}, r, next, time.Hour, meshNow.Add(11*365*24*time.Hour)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an expired root signs: %v", err)
	}
	crossed, err := CrossSign(t.Context(), BuiltIn{}, r, next, 2*defaultRootTTL, meshNow)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCert(crossed.CrossCerts[0].Cert)
	if err != nil || cert.NotAfter.After(meshNow.Add(defaultRootTTL)) {
		t.Errorf("it outlives its root: until %v, %v", cert.NotAfter, err)
	}
}

// operatorRoot makes a root as an operator does: with a key and a certificate of a trust domain.
func operatorRoot(t testing.TB, change func(*x509.Certificate)) map[string]any {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{
		URIs: uris(t, "spiffe://"+clusterID+".consul"), NotBefore: meshNow, NotAfter: meshNow.Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1}, SerialNumber: big.NewInt(7),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"RootCert": encodeCert(der), "PrivateKey": text.Reveal()}
}

func TestARootOfTheOperator(t *testing.T) {
	raw := operatorRoot(t, nil)
	r := newRoot(t, settings(t, raw))
	if r.RootCert != raw["RootCert"] || r.TrustDomain != clusterID+".consul" {
		t.Errorf("got %+v", r)
	}
	if err := trusted(t, webLeaf(t, r, meshNow), meshNow, r); err != nil {
		t.Error(err)
	}
	other := operatorRoot(t, nil)
	for _, tc := range []struct {
		name string
		raw  map[string]any
		says string
	}{
		{"without its key", map[string]any{"RootCert": raw["RootCert"]}, "a root certificate needs its private key"},
		{"with another's key", map[string]any{"RootCert": raw["RootCert"], "PrivateKey": other["PrivateKey"]}, "the private key is not that of the root certificate"},
		{"that is no certificate", map[string]any{"RootCert": raw["PrivateKey"], "PrivateKey": raw["PrivateKey"]}, "root certificate: not one PEM certificate"},
		{"that is no CA", operatorRoot(t, func(c *x509.Certificate) { c.IsCA = false }), "not that of a CA"},
		{"that may not sign", operatorRoot(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "not that of a CA"},
		{"that has expired", operatorRoot(t, func(c *x509.Certificate) { c.NotAfter = meshNow.Add(-time.Second) }), "not valid now"},
		{"without a URI", operatorRoot(t, func(c *x509.Certificate) { c.URIs = nil }), "has to have one URI"},
		{"with two URIs", operatorRoot(t, func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://a", "spiffe://b") }), "has to have one URI"},
		{"of no cluster", operatorRoot(t, func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://example.com") }), "is no UUID"},
		{"of a path", operatorRoot(t, func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://"+clusterID+".consul/ns/default/dc/dc1/svc/web") }), "has to have one URI"},
	} {
		_, err := BuiltIn{}.NewRoot(t.Context(), RootSpec{Settings: settings(t, tc.raw), Now: meshNow})
		if err == nil || errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
	_, err := BuiltIn{}.NewRoot(t.Context(), RootSpec{TrustDomain: "other.consul", Settings: settings(t, raw), Now: meshNow})
	if err == nil || !strings.Contains(err.Error(), "spiffe://other.consul") {
		t.Errorf("of another trust domain: %v", err)
	}
}

func TestWhichSettingsReplaceTheRoot(t *testing.T) {
	given := operatorRoot(t, nil)
	r, own := meshRoot(t), newRoot(t, settings(t, given))
	key := map[string]any{"PrivateKey": r.PrivateKey.Reveal()}
	for _, tc := range []struct {
		name string
		root *Root
		raw  map[string]any
		want bool
	}{
		{"nothing", r, nil, false},
		{"other lives", r, map[string]any{"LeafCertTTL": "2h", "RootCertTTL": "90000h"}, false},
		{"the same kind of key", r, map[string]any{"PrivateKeyType": "ec", "PrivateKeyBits": 256.0}, false},
		{"its own key", r, key, false},
		{"its own certificate", own, map[string]any{"RootCert": given["RootCert"]}, false},
		{"another size of key", r, map[string]any{"PrivateKeyBits": 384.0}, true},
		{"another kind of key", r, map[string]any{"PrivateKeyType": "rsa"}, true},
		{"another key", r, map[string]any{"PrivateKey": keyText(t, "ec", 256)}, true},
		{"another certificate", r, given, true},
	} {
		s := settings(t, tc.raw)
		if got, err := s.Replaces(tc.root); err != nil || got != tc.want {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
	foreign := *r
	foreign.Provider = "aws-pca"
	s := settings(t, nil)
	if got, err := s.Replaces(&foreign); err != nil || !got {
		t.Errorf("another provider: %v, %v", got, err)
	}
	if _, err := BuiltInProviders().Of(&foreign); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a provider that this server does not have: %v", err)
	}
	s.ClusterID = "ffffffff-0000-4000-8000-000000000001"
	if _, err := s.Replaces(r); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another cluster: %v", err)
	}
}

func TestSettingsDoNotPrintTheirKey(t *testing.T) {
	s := settings(t, map[string]any{"PrivateKey": keyText(t, "ec", 256)})
	line := strings.Split(s.PrivateKey.Reveal(), "\n")[1]
	if printed := fmt.Sprintf("%v %+v %#v", s, s, meshRoot(t)); strings.Contains(printed, line) || strings.Contains(printed, "PRIVATE KEY") {
		t.Error("printing settings or a root shows the key")
	}
}

// A root that an earlier version has stored has its key in another form, and no provider.
func TestARootOfBefore(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	old := logging.Secret(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	r := newRoot(t, settings(t, map[string]any{"PrivateKey": old.Reveal()}))
	r.PrivateKey, r.Provider, r.LeafTTL = old, "", 0
	by, err := BuiltInProviders().Of(r)
	if err != nil || by != Provider(BuiltIn{}) {
		t.Errorf("got %v, %v", by, err)
	}
	if err := trusted(t, webLeaf(t, r, meshNow), meshNow, r); err != nil {
		t.Error(err)
	}
	if got := r.PrunedAt(); !got.Equal(time.Time{}.Add(144 * time.Hour)) {
		t.Errorf("pruned at %v", got)
	}
}

func BenchmarkSignService(b *testing.B) {
	r := meshRoot(b)
	request, err := ReadServiceCSR(csr(b, ecKey(b, elliptic.P256()), x509.CertificateRequest{URIs: uris(b, web)}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := signer(r).SignService(b.Context(), request, meshNow); err != nil {
			b.Fatal(err)
		}
	}
}
