package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/tenancy"
)

// meshRoot makes the first root of w's mesh CA.
func (w *world) meshRoot() ca.Root {
	w.t.Helper()
	root, err := ca.BuiltIn{}.NewRoot(w.t.Context(), ca.RootSpec{Settings: ca.Settings{Config: ca.DefaultConfig(), ClusterID: "d9a1a5c4-0000-4000-8000-000000000001"}, Now: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.raft.Propose(w.t.Context(), fsm.CARootSet{Root: root}); err != nil {
		w.t.Fatal(err)
	}
	return root
}

// fakeMesh has a leaf for each service.
type fakeMesh struct {
	connections endpoint.ConnectAuthorizes
	asked       endpoint.LeafRead
	hit         bool
}

func (m *fakeMesh) Leaf(_ context.Context, q endpoint.LeafRead) (endpoint.Leaf, time.Duration, bool, error) {
	m.asked = q
	if err := q.Caller.Require(q.Scope, acl.ServiceWrite, q.Service); err != nil {
		return endpoint.Leaf{}, 0, false, err
	}
	return endpoint.Leaf{
		SerialNumber: "09", CertPEM: "-----BEGIN", PrivateKeyPEM: "-----BEGIN EC PRIVATE KEY", Service: q.Service,
		ServiceURI: "spiffe://u.consul/ns/default/dc/dc1/svc/" + q.Service, CreateIndex: 41, ModifyIndex: 41,
	}, 90 * time.Second, m.hit, nil
}

func (m *fakeMesh) Authorize(ctx context.Context, who acl.Caller, _ logging.Secret, c endpoint.ConnectAuthorize) (*endpoint.ConnectDecision, error) {
	return m.connections.Authorize(ctx, who, c)
}

func TestTheLeafOfAService(t *testing.T) {
	w := newWorld(t)
	mesh := w.api.Mesh.(*fakeMesh)
	token := w.token("web", `service "web" { policy = "write" }`)
	for _, hit := range []bool{false, true} {
		mesh.hit = hit
		rec := w.call(http.MethodGet, "/v1/agent/connect/ca/leaf/web?index=7&wait=3s", "", "X-Consul-Token: "+token)
		cache, age := "MISS", ""
		if hit {
			cache, age = "HIT", "90"
		}
		if rec.Code != http.StatusOK || rec.Header().Get("X-Cache") != cache || rec.Header().Get("Age") != age || rec.Header().Get("X-Consul-Index") != "41" {
			t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
		}
		if !strings.HasPrefix(rec.Body.String(), `{"SerialNumber":"09","CertPEM":"-----BEGIN","PrivateKeyPEM":"-----BEGIN EC PRIVATE KEY","Service":"web","ServiceURI":"spiffe://`) {
			t.Errorf("got %s", rec.Body)
		}
	}
	if q := mesh.asked; q.MinIndex != 7 || q.MaxWait != 3*time.Second || q.Service != "web" || q.Token.Reveal() != token {
		t.Errorf("asked %+v", q)
	}
	if rec := w.call(http.MethodGet, "/v1/agent/connect/ca/leaf/web?ns=team", "", asManagement); rec.Code != http.StatusOK || mesh.asked.Namespace != "team" {
		t.Errorf("%d, asked in %v", rec.Code, mesh.asked.Scope)
	}
}

func TestThePublishedClientConfiguresTheCA(t *testing.T) {
	w := newWorld(t)
	w.meshRoot()
	connect := w.client(management).Connect()
	c, _, err := connect.CAGetConfig(nil)
	if err != nil || c.Provider != "consul" {
		t.Fatalf("got %+v, %v", c, err)
	}
	c.Config["LeafCertTTL"], c.Config["RootCertTTL"] = "2h", 11*8760*time.Hour
	if _, err := connect.CASetConfig(c, nil); err != nil {
		t.Fatal(err)
	}
	if c, _, err = connect.CAGetConfig(nil); err != nil {
		t.Fatal(err)
	}
	parsed, err := api.ParseConsulCAConfig(c.Config)
	if err != nil || parsed.LeafCertTTL != 2*time.Hour || parsed.RootCertTTL != 11*8760*time.Hour || c.ModifyIndex == 0 {
		t.Errorf("got %+v of %+v, %v", parsed, c, err)
	}
	c.Config["PrivateKeyBits"] = 384
	if _, err := connect.CASetConfig(c, nil); err != nil {
		t.Fatal(err)
	}
	list, _, err := connect.CARoots(nil)
	if err != nil || len(list.Roots) != 2 {
		t.Errorf("after a rotation: %+v, %v", list, err)
	}
	for body, want := range map[string]string{
		`{"Provider":"bogus"}`:                                           `400 could not initialize provider: unknown CA provider "bogus"`,
		`{"Provider":"consul","Config":{"LeafCertTTL":"1s"}}`:            "400 error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s",
		`{"Provider":"consul","Config":{"A":1,"A":2}}`:                   "400 Request decode failed: json: duplicate key",
		`{"Provider":"consul","Surprise":1}`:                             "400 Request decode failed: json: unknown field",
		`{"provider":"consul","config":{"leaf_cert_ttl":"3h"}}`:          "200 ",
		`{"Provider":"consul","Config":{"PrivateKey":"` + "not" + `"}}`:  "400 error configuring provider: private key: not one PEM block",
		`{"Provider":"consul","Config":{"PrivateKeyType":"quantum"}}`:    `400 error configuring provider: private key type must be "ec" or "rsa"`,
		`{"Provider":"consul","Config":{"IntermediateCertTTL":"100h"}}`:  "400 error configuring provider: intermediate cert TTL must be",
		`{"Provider":"consul","Config":{"cluster_id":"something-else"}}`: "400 error configuring provider: the cluster ID cannot be changed",
	} {
		rec := w.call(http.MethodPut, "/v1/connect/ca/configuration", body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

func TestThePublishedClientAsksAboutConnections(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	agent := w.client(management).Agent()
	uri := "spiffe://" + root.TrustDomain + "/ns/default/dc/dc1/svc/web"
	d, err := agent.ConnectAuthorize(&api.AgentAuthorizeParams{Target: "db", ClientCertURI: uri, ClientCertSerial: "09"})
	if err != nil || d.Authorized || d.Reason != "Default behavior configured by ACLs" {
		t.Errorf("got %+v, %v", d, err)
	}
	w.must("PUT", "/v1/connect/intentions/exact?source=web&destination=db", `{"Action":"allow"}`, nil)
	d, err = agent.ConnectAuthorize(&api.AgentAuthorizeParams{Target: "db", ClientCertURI: uri, ClientCertSerial: "09"})
	if err != nil || !d.Authorized {
		t.Errorf("got %+v, %v", d, err)
	}
	for body, want := range map[string]string{
		`{}`:                                    "400 Target service must be specified",
		`{"Target":"db","ClientCertURI":"web"}`: "400 ClientCertURI not a valid Connect identifier",
		`[]`:                                    "400 Request decode failed",
	} {
		rec := w.call(http.MethodPost, "/v1/agent/connect/authorize", body, asManagement)
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

// The port of servers signs for agents alone, with the token of whoever asks.
func TestServersSignLeafsForAgents(t *testing.T) {
	w, _, port := newPort(t)
	root := w.meshRoot()
	token := w.token("web", `service "web" { policy = "write" }`)
	sign := func(kind peer.Kind, service string) *httptest.ResponseRecorder {
		id := ca.ServiceID{TrustDomain: root.TrustDomain, Datacenter: "dc1", Service: service, Scope: tenancy.Default}
		csr, _, err := ca.NewCSR(id.URI())
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(endpoint.LeafRequest{CSR: string(csr)})
		if err != nil {
			t.Fatal(err)
		}
		req := onPort(httptest.NewRequest(http.MethodPost, "/internal/connect/sign", strings.NewReader(string(body))), kind)
		req.Header.Set("X-Consul-Token", token)
		rec := httptest.NewRecorder()
		port.ServeHTTP(rec, req)
		return rec
	}
	if rec := sign(peer.Agent, "web"); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "BEGIN CERTIFICATE") {
		t.Errorf("for an agent: %d %s", rec.Code, rec.Body)
	}
	if rec := sign(peer.Agent, "db"); rec.Code != http.StatusForbidden {
		t.Errorf("for another service: %d %s", rec.Code, rec.Body)
	}
	if rec := sign(peer.Nobody, "web"); rec.Code != http.StatusForbidden {
		t.Errorf("for no agent: %d %s", rec.Code, rec.Body)
	}
}

func TestRootsOfTheMeshCA(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	for _, path := range []string{"/v1/connect/ca/roots", "/v1/agent/connect/ca/roots"} {
		rec := w.call(http.MethodGet, path, "")
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), root.ID) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if hit := strings.Contains(path, "agent"); (rec.Header().Get("X-Cache") == "HIT") != hit {
			t.Errorf("%s: headers %v", path, rec.Header())
		}
		if rec.Header().Get("X-Consul-Index") == "1" {
			t.Errorf("%s: headers %v", path, rec.Header())
		}
		rec = w.call(http.MethodGet, path+"?pem=true", "")
		if rec.Body.String() != root.RootCert || rec.Header().Get("Content-Type") != "application/pem-certificate-chain" {
			t.Errorf("%s as PEM: %v %s", path, rec.Header(), rec.Body)
		}
	}
}

func TestThePublishedClientReadsTheRoots(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	c := w.client("")
	list, meta, err := c.Connect().CARoots(&api.QueryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if list.ActiveRootID != root.ID || list.TrustDomain != root.TrustDomain || len(list.Roots) != 1 || meta.LastIndex < 2 {
		t.Fatalf("got %+v, %+v", list, meta)
	}
	got := list.Roots[0]
	if got.RootCertPEM != root.RootCert || !got.Active || got.NotAfter == nil || got.Name != "Consul CA Primary Cert" {
		t.Errorf("got %+v", got)
	}
}

func TestCVE_2020_28053_TheRootsKeyIsNeverShown(t *testing.T) {
	w := newWorld(t)
	key := w.meshRoot().PrivateKey.Reveal()
	line := strings.Split(key, "\n")[1]
	for _, row := range routes {
		if row.method != http.MethodGet {
			continue
		}
		rec := w.call(row.method, parts.Replace(row.path), "", "X-Consul-Token: "+management)
		leaf := row.operation == "agent.connect.ca.leaf" // has a key of its own
		if body := rec.Body.String(); strings.Contains(body, "PRIVATE KEY") && !leaf || strings.Contains(body, line) {
			t.Errorf("%s shows the key", row.path)
		}
	}
}
