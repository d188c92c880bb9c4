package acl

import (
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestWhoMayImport(t *testing.T) {
	for _, c := range []struct {
		rules string
		want  bool
	}{
		{``, false},
		{`service "web" { policy = "read" }`, false},
		{`service "web" { policy = "write" }`, true},
		{`service_prefix "a" { policy = "write" }`, true},
		{`service_prefix "" { policy = "read" }`, false},
		{`node_prefix "" { policy = "read" }`, false},
		{`service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`, true},
		{`service_prefix "" { policy = "read" } service "x" { policy = "deny" } node_prefix "" { policy = "read" }`, false},
		{`namespace "team" { service "web" { policy = "write" } }`, false},
		{`key_prefix "" { policy = "write" }`, false},
	} {
		who := Caller{Authorizer: Compile([]Grant{grant(t, tenancy.Default, c.rules)}, nil, Defaults{})}
		if got := who.MayImport(tenancy.Default); got != c.want {
			t.Errorf("%s: %v", c.rules, got)
		}
		if who.MayImport(tenancy.Scope{Partition: "east", Namespace: "default"}) {
			t.Errorf("%s: in another partition", c.rules)
		}
	}
	if !(Caller{Authorizer: AllowAll()}).MayImport(tenancy.Default) || (Caller{Authorizer: DenyAll()}).MayImport(tenancy.Default) {
		t.Error("all and nothing")
	}
}
