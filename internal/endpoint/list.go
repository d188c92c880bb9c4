package endpoint

import (
	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/tenancy"
)

// allowList decides about a list of ACL objects. One of a single namespace
// needs acl:read there; one of all namespaces shows what the caller may read.
func (b *Backend) allowList(who acl.Caller, s tenancy.Scope) error {
	if s.Namespace == tenancy.Wildcard && b.Resolver.Enabled {
		return nil
	}
	return b.allow(who, s, acl.ACLRead)
}

// readable returns those of rows that who may read, and whether there were
// others.
func readable[R any](who acl.Caller, rows []R, scope func(R) tenancy.Scope) (seen []R, filtered bool) {
	seen = make([]R, 0, len(rows))
	may := map[tenancy.Scope]bool{}
	for _, row := range rows {
		s := scope(row)
		yes, asked := may[s]
		if !asked {
			yes = who.Allowed(s, acl.ACLRead, "")
			may[s] = yes
		}
		if yes {
			seen = append(seen, row)
		}
	}
	return seen, len(seen) < len(rows) && !who.Anonymous()
}
