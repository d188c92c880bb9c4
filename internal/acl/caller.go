package acl

import (
	"fmt"
	"sync/atomic"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// ErrNotFound is the answer to a secret that no token has. Clients match its
// text (acl.md section 1.1).
var ErrNotFound = errs.New(errs.Denied, "ACL not found")

// ErrDisabled is the answer of every ACL operation where ACLs are off.
var ErrDisabled = errs.New(errs.Unauthorized, "ACL support disabled")

// Caller is who makes a request and what they may do. Endpoints take one as
// their first argument after the context, so that no operation can forget to decide.
type Caller struct {
	AccessorID string      // of the token, or a name in parentheses' place such as "agent-recovery:n1"
	Token      *Token      // nil for callers that are no stored token; read-only
	Authorizer *Authorizer // never nil; decides

	// Asked is set to true by the first question of what the caller may do.
	// An edge puts one here to find answers that nobody decided about.
	Asked *atomic.Bool
}

// Anonymous reports whether the request carried no token of its own.
func (c Caller) Anonymous() bool { return c.AccessorID == AnonymousAccessor }

// Allowed reports whether c has p on segment in s. Segment is "" for
// resources without one (acl, operator, keyring, mesh, peering).
func (c Caller) Allowed(s tenancy.Scope, p Permission, segment string) bool {
	if c.Asked != nil {
		c.Asked.Store(true)
	}
	return c.Authorizer.Allowed(s, p, segment)
}

// Require is Allowed with the denial as an error of kind errs.Denied. Its text
// is the original's (acl.md section 13.1).
func (c Caller) Require(s tenancy.Scope, p Permission, segment string) error {
	if c.Allowed(s, p, segment) {
		return nil
	}
	who, note := fmt.Sprintf("token with AccessorID '%s'", c.AccessorID), ""
	if c.Anonymous() {
		who = "anonymous token"
		note = ". The anonymous token is used implicitly when a request does not specify a token."
	}
	on := ""
	if segment != "" {
		on = fmt.Sprintf(" on %q", segment)
	}
	if s.Partition != tenancy.DefaultName {
		on += fmt.Sprintf(" in partition %q", s.Partition)
	}
	if s.Namespace != tenancy.DefaultName {
		on += fmt.Sprintf(" in namespace %q", s.Namespace)
	}
	return errs.Errorf(errs.Denied, "Permission denied: %s lacks permission '%s'%s%s", who, p, on, note)
}
