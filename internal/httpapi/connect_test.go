package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/fsm"
)

// meshRoot makes the first root of w's mesh CA.
func (w *world) meshRoot() ca.Root {
	w.t.Helper()
	root, err := ca.NewMeshRoot("d9a1a5c4-0000-4000-8000-000000000001", time.Now(), ca.MeshRootLife)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.raft.Propose(w.t.Context(), fsm.CARootSet{Root: root}); err != nil {
		w.t.Fatal(err)
	}
	return root
}

func TestRootsOfTheMeshCA(t *testing.T) {
	w := newWorld(t)
	root := w.meshRoot()
	for _, path := range []string{"/v1/connect/ca/roots", "/v1/agent/connect/ca/roots"} {
		rec := w.call(http.MethodGet, path, "")
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), root.ID) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
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
		if body := rec.Body.String(); strings.Contains(body, "PRIVATE KEY") || strings.Contains(body, line) {
			t.Errorf("%s shows the key", row.path)
		}
	}
}
