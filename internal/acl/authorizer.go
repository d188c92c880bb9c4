package acl

import (
	"iter"

	"github.com/lictor/lictor/internal/tenancy"
)

// Authorizer decides what a caller may do. Make one with Compile. It is
// immutable and safe for concurrent use; a decision does not allocate.
type Authorizer struct {
	layers []*layer // the token's own rules, then those of its namespace
	allow  bool     // where no rule decides
	all    bool     // whatever the rules
}

var (
	allowAll = &Authorizer{all: true}
	denyAll  = &Authorizer{}
)

// AllowAll returns the authorizer that allows everything, acl too: that of a
// server without ACLs, and of work that the server does for itself.
func AllowAll() *Authorizer { return allowAll }

// DenyAll returns the authorizer that allows nothing.
func DenyAll() *Authorizer { return denyAll }

// Allowed reports whether p on segment in s is granted (acl.md section 10.3,
// tenancy.md section 7.2). Segment is "" for resources without one. The exact
// rule for the segment decides, else that of the longest prefix; where the block
// for a namespace says nothing, the next wider one is asked; then the rules of
// the namespace's defaults; then the agent's default policy, except for acl.
func (a *Authorizer) Allowed(s tenancy.Scope, p Permission, segment string) bool {
	if !p.exists() {
		return false
	}
	if a.all {
		return true
	}
	switch {
	case p.WritePrefix:
		return a.allowedBelow(home(s, p), p, segment)
	case p.Resource == Intention && segment == tenancy.Wildcard:
		return a.allowedOnAll(s, p)
	}
	for _, l := range a.layers {
		if got := l.decide(s, p, segment); got != Unset {
			return grants(got, p.Access)
		}
	}
	return a.byDefault(p)
}

// allowedBelow decides about all that begins with segment: the prefix rule that
// covers it must grant the access, and no rule below it less.
func (a *Authorizer) allowedBelow(s tenancy.Scope, p Permission, segment string) bool {
	for r := range a.rulesBelow(s, p.Resource, segment) {
		if !grants(r, p.Access) {
			return false
		}
	}
	if got := findIn(a.layers, s, p.Resource, segment, true); got != Unset {
		return grants(got, p.Access)
	}
	return a.byDefault(p)
}

// allowedOnAll decides about the intention on all services: it can be read by
// whoever reads some intention, and written by whoever may by a rule for all.
func (a *Authorizer) allowedOnAll(s tenancy.Scope, p Permission) bool {
	if p.Access == Read && a.readsSome(s, Intention) {
		return true
	}
	if got := findIn(a.layers, s, Intention, "", true); got != Unset {
		return grants(got, p.Access)
	}
	return a.byDefault(p)
}

func (a *Authorizer) readsSome(s tenancy.Scope, r Resource) bool {
	for got := range a.rulesBelow(s, r, "") {
		if grants(got, Read) {
			return true
		}
	}
	return false
}

// byDefault is the answer where no rule decides.
func (a *Authorizer) byDefault(p Permission) bool { return a.allow && p.Resource != ACL }

// grants reports whether a rule's access includes the one asked for.
func grants(rule, want Access) bool { return rule != Deny && rule >= want }

// AnyIn reports whether anything in the namespace of s can be read: some rule
// for it grants that, or the default policy allows.
func (a *Authorizer) AnyIn(s tenancy.Scope) bool {
	if a.all || a.allow {
		return true
	}
	for r := range Resource(numTables) {
		if r != partitionObject && a.readsSome(s, r) {
			return true
		}
	}
	return false
}

// ManagesNamespace reports whether a rule gives want on the namespace s as an
// object: policy directly inside its block. The operator permission, which
// serves as well, is asked for separately (tenancy.md section 2).
func (a *Authorizer) ManagesNamespace(s tenancy.Scope, want Access) bool {
	return a.all || grants(findIn(a.layers, s, namespaceObject, "", false), want)
}

// home returns the scope whose rules decide about p on something in s.
func home(s tenancy.Scope, p Permission) tenancy.Scope {
	switch p.Resource {
	case Event, Keyring, Operator, Query:
		return tenancy.Default // they belong to the datacenter
	case Agent, Mesh, Peering:
		return s.PartitionRoot() // they belong to the partition
	case Node:
		if p.Access == Write {
			return s.PartitionRoot()
		}
	}
	return s
}

// decide returns what the layer's rules say about p on segment, Unset if
// nothing. Nodes can be read by a rule of the namespace as well as by one of the
// partition; without rules of their own, mesh and peering follow operator.
func (l *layer) decide(s tenancy.Scope, p Permission, segment string) Access {
	s = home(s, p)
	got := l.find(s, p.Resource, segment, false)
	switch {
	case got != Unset:
		return got
	case p.Resource == Node && s != s.PartitionRoot():
		return l.find(s.PartitionRoot(), Node, segment, false)
	case (p.Resource == Mesh || p.Resource == Peering) && s.IsDefault():
		return l.find(s, Operator, "", false)
	}
	return Unset
}

// findIn is find in several layers, the first before the second.
func findIn(layers []*layer, s tenancy.Scope, r Resource, segment string, whole bool) Access {
	for _, l := range layers {
		if got := l.find(s, r, segment, whole); got != Unset {
			return got
		}
	}
	return Unset
}

// rulesBelow yields the access of each rule whose label begins with segment and
// that decides about something in s: rules that a more specific block or an
// earlier layer overrules are left out.
func (a *Authorizer) rulesBelow(s tenancy.Scope, r Resource, segment string) iter.Seq[Access] {
	return func(yield func(Access) bool) {
		for n, l := range a.layers {
			for i := range len(l.wide) + 1 {
				b := l.at(s, i)
				if b == nil || b.tables[r] == nil {
					continue
				}
				overruled := func(label string, whole bool) bool {
					return findIn(a.layers[:n], s, r, label, whole) != Unset || l.findAmong(s, i, r, label, whole) != Unset
				}
				if !b.tables[r].below(segment, overruled, yield) {
					return
				}
			}
		}
	}
}

// at returns the i-th block that may count for s, the most specific first, and
// nil if it does not. There are len(l.wide)+1.
func (l *layer) at(s tenancy.Scope, i int) *block {
	if i == 0 {
		return l.exact[s]
	}
	if b := l.wide[i-1]; b.partition.matches(s.Partition) && b.namespace.matches(s.Namespace) {
		return b
	}
	return nil
}

// find returns the access of the rule that decides about segment, Unset if
// there is none. With whole set it asks about all that begins with segment, and
// exact rules do not count.
func (l *layer) find(s tenancy.Scope, r Resource, segment string, whole bool) Access {
	return l.findAmong(s, len(l.wide)+1, r, segment, whole)
}

// findAmong is find among the first n blocks.
func (l *layer) findAmong(s tenancy.Scope, n int, r Resource, segment string, whole bool) Access {
	for i := range n {
		if b := l.at(s, i); b != nil {
			if got := b.tables[r].find(segment, whole); got != Unset {
				return got
			}
		}
	}
	return Unset
}
