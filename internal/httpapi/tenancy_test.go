package httpapi

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

func TestDeletedNamespacesAndPartitionsAreMarked(t *testing.T) {
	w := newWorld(t)
	c := w.client(management)
	n, _, err := c.Namespaces().Create(&api.Namespace{Name: "team"}, nil)
	check(t, err)
	p, _, err := c.Partitions().Create(t.Context(), &api.Partition{Name: "east"}, nil)
	check(t, err)
	if n.DeletedAt != nil || p.DeletedAt != nil {
		t.Fatalf("new ones are marked: %+v %+v", n, p)
	}
	for _, target := range []string{"/v1/namespace/team", "/v1/partition/east"} {
		rec := w.call("DELETE", target, "", asManagement)
		if rec.Code != 200 || rec.Body.String() != "" {
			t.Errorf("DELETE %s: %d %q", target, rec.Code, rec.Body)
		}
	}
	n, _, err = c.Namespaces().Read("team", nil)
	check(t, err)
	p, _, err = c.Partitions().Read(t.Context(), "east", nil)
	check(t, err)
	if n == nil || n.DeletedAt == nil || p == nil || p.DeletedAt == nil {
		t.Fatalf("no mark: %+v %+v", n, p)
	}
	_, _, err = c.Namespaces().Update(n, nil) // with what it has read, DeletedAt included
	refused(t, err, `400 (Namespace "team" is marked for deletion)`)
	_, err = c.Namespaces().Delete("default", nil)
	refused(t, err, `400 (Cannot delete the "default" namespace)`)
	_, err = c.Namespaces().Delete("nope", nil)
	refused(t, err, "404 (Namespace not found)")
	_, err = c.Partitions().Delete(t.Context(), "nope", nil)
	refused(t, err, "404 (Partition not found)")
}
