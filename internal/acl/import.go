package acl

import "github.com/lictor/lictor/internal/tenancy"

// MayImport reports whether c may see what other partitions export to the partition of s: whoever may
// write some service in s, or read all services and all nodes there (tenancy.md section 7.2).
func (c Caller) MayImport(s tenancy.Scope) bool {
	if c.Asked != nil {
		c.Asked.Store(true)
	}
	return c.Authorizer.mayImport(s)
}

func (a *Authorizer) mayImport(s tenancy.Scope) bool {
	if a.all {
		return true
	}
	for got := range a.rulesBelow(s, Service, "") {
		if grants(got, Write) {
			return true
		}
	}
	return a.allowedBelow(s, ServiceRead, "") && (a.allowedBelow(s, NodeRead, "") || a.allowedBelow(s.PartitionRoot(), NodeRead, ""))
}
