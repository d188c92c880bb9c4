package acl

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Texts are those of acl.md section 13.1.
func TestRequireSaysWhatIsMissing(t *testing.T) {
	const accessor = "6f0c12ab-0000-4111-8222-0123456789ab"
	const anonymous = ". The anonymous token is used implicitly when a request does not specify a token."
	for _, c := range []struct {
		name     string
		accessor string
		s        tenancy.Scope
		p        Permission
		segment  string
		want     string
	}{
		{"without a segment", accessor, tenancy.Default, ACLWrite, "", "Permission denied: token with AccessorID '" + accessor + "' lacks permission 'acl:write'"},
		{"with a segment", accessor, tenancy.Default, ServiceRead, `we"b`, "Permission denied: token with AccessorID '" + accessor + `' lacks permission 'service:read' on "we\"b"`},
		{"the anonymous token", AnonymousAccessor, tenancy.Default, NodeWrite, "n", `Permission denied: anonymous token lacks permission 'node:write' on "n"` + anonymous},
		{"the anonymous token without a segment", AnonymousAccessor, tenancy.Default, ACLRead, "", "Permission denied: anonymous token lacks permission 'acl:read'" + anonymous},
		{"the recovery token", "agent-recovery:n1", tenancy.Default, OperatorRead, "", "Permission denied: token with AccessorID 'agent-recovery:n1' lacks permission 'operator:read'"},
		{"in a partition", accessor, in(t, "p", ""), ServiceRead, "web", "Permission denied: token with AccessorID '" + accessor + `' lacks permission 'service:read' on "web" in partition "p"`},
		{"in a namespace", accessor, in(t, "p", "n"), ACLRead, "", "Permission denied: token with AccessorID '" + accessor + `' lacks permission 'acl:read' in partition "p" in namespace "n"`},
		{"to list keys", accessor, tenancy.Default, Permission{Resource: Key, Access: List}, "a/", "Permission denied: token with AccessorID '" + accessor + `' lacks permission 'key:list' on "a/"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Caller{AccessorID: c.accessor, Authorizer: DenyAll()}.Require(c.s, c.p, c.segment)
			if err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Denied {
				t.Errorf("got %v", err)
			}
		})
	}
	var asked atomic.Bool
	who := Caller{AccessorID: accessor, Authorizer: AllowAll(), Asked: &asked}
	if err := who.Require(tenancy.Default, ACLWrite, ""); err != nil || !asked.Load() {
		t.Errorf("an allowed request: %v, asked is %v", err, asked.Load())
	}
}

func TestErrorsThatClientsMatch(t *testing.T) {
	if ErrNotFound.Error() != "ACL not found" || errs.KindOf(ErrNotFound) != errs.Denied {
		t.Errorf("ErrNotFound is %v", ErrNotFound)
	}
	if ErrDisabled.Error() != "ACL support disabled" || errs.KindOf(ErrDisabled) != errs.Unauthorized || errors.Is(ErrDisabled, ErrNotFound) {
		t.Errorf("ErrDisabled is %v", ErrDisabled)
	}
}

func TestParseResourceKnowsTheWordsOfRequests(t *testing.T) {
	for r := range numResources {
		if got, ok := ParseResource(r.String()); !ok || got != r {
			t.Errorf("%s is %v", r, got)
		}
	}
	for _, word := range []string{"", "namespace", "partition", "ACL", "intentions"} {
		if r, ok := ParseResource(word); ok {
			t.Errorf("%q is %v", word, r)
		}
	}
}
