package acl

import "github.com/lictor/lictor/internal/tenancy"

// Authorizer decides what a caller may do. It is immutable and safe for
// concurrent use.
type Authorizer struct {
	all bool
}

// AllowAll returns the authorizer that allows everything.
func AllowAll() *Authorizer { return &Authorizer{all: true} }

// DenyAll returns the authorizer that allows nothing.
func DenyAll() *Authorizer { return &Authorizer{} }

// Allowed reports whether p on segment in s is granted.
func (a *Authorizer) Allowed(s tenancy.Scope, p Permission, segment string) bool { return a.all }

// AnyIn reports whether anything in s is granted.
func (a *Authorizer) AnyIn(s tenancy.Scope) bool { return a.all }
