package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestSnapshotsOfACluster saves a snapshot on one server and restores it through
// another, into the same cluster and into a new one. One that was cut or altered anywhere
// is refused and changes nothing.
func TestSnapshotsOfACluster(t *testing.T) {
	c := newCluster(t, 3, 1)
	c.startAgents()
	acls := c.servers[0].api().ACL()
	kept, _, err := acls.PolicyCreate(&api.ACLPolicy{Name: "kept", Rules: `node "a" { policy = "read" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	management := []string{"CONSUL_HTTP_TOKEN=" + c.management}
	file := filepath.Join(c.dir, "backup.snap")
	c.servers[1].must(t, management, "snapshot", "save", file)
	c.servers[1].must(t, management, "snapshot", "inspect", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acls.PolicyDelete(kept.ID, nil); err != nil {
		t.Fatal(err)
	}

	refused := func(t *testing.T, archive []byte) {
		t.Helper()
		status, answer, err := c.servers[2].ask(t.Context(), http.MethodPut, "/v1/snapshot", c.management, string(archive))
		if err != nil || status < 400 || status >= 500 || answer == "" {
			t.Errorf("status %d, %v: %s", status, err, answer)
		}
		if p, _, err := acls.PolicyReadByName("kept", nil); err != nil || p != nil {
			t.Fatalf("a refused snapshot changed the state: %v, %v", p, err)
		}
	}
	for i := range 8 {
		cut := len(whole) * i / 8
		t.Run(fmt.Sprintf("cut after %d bytes", cut), func(t *testing.T) { refused(t, whole[:cut]) })
		altered := []byte(string(whole))
		at := 10 + (len(whole)-10)*i/8 // behind gzip's header, which says nothing of the content
		altered[at] ^= 1
		t.Run(fmt.Sprintf("altered at byte %d", at), func(t *testing.T) { refused(t, altered) })
	}
	if err := os.WriteFile(filepath.Join(c.dir, "cut.snap"), whole[:len(whole)-7], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"restore", "inspect"} {
		if out, code := c.servers[2].command(management, "snapshot", command, filepath.Join(c.dir, "cut.snap")); code != 1 || strings.TrimSpace(out) == "" {
			t.Errorf("snapshot %s of a cut file: exit code %d: %s", command, code, out)
		}
	}

	c.agents[0].must(t, management, "snapshot", "restore", file)
	for _, h := range append(c.servers, c.agents...) {
		h.awaitPolicy(t, "kept")
	}

	t.Run("into a new cluster", func(t *testing.T) {
		fresh := newCluster(t, 3, 0)
		fresh.servers[1].must(t, management, "snapshot", "restore", file)
		for _, h := range fresh.servers {
			h.awaitPolicy(t, "kept")
		}
	})
}

// awaitPolicy returns once the agent of a host shows a policy.
func (h *host) awaitPolicy(t *testing.T, name string) {
	t.Helper()
	err := every(20*time.Millisecond, func(ctx context.Context) error {
		status, answer, err := h.ask(ctx, http.MethodGet, "/v1/acl/policy/name/"+name, h.cluster.management, "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, answer)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
}
