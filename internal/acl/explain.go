package acl

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/tenancy"
)

// Decider is what a decision came from.
type Decider string

// The deciders.
const (
	ByRule    Decider = "rule"           // of a policy, role or identity of the token, or of its namespace's defaults
	ByDefault Decider = "default-policy" // no rule speaks about it
	ByNothing Decider = "no-permission"  // what was asked for does not exist
)

// Explanation is a decision and what it came from.
type Explanation struct {
	Allowed bool
	By      Decider
	// Rules speak about the deciding thing, those that decided first; empty
	// unless By is ByRule.
	Rules []DecidingRule
	// Change is what would have to change for the answer to be yes; empty if it is.
	Change string
}

// DecidingRule is a rule behind a decision.
type DecidingRule struct {
	Default bool   // a rule of the namespace's defaults
	Grant   int    // index of the rule's grant in own or, for such a rule, in defaults
	Text    string // the rule's head with the blocks around it: namespace "team" / service_prefix "web"
	Line    int    // where it stands in the text of its policy, from 1
	Column  int
	Access  Access // what it grants
	Decides bool   // false where another rule for the same thing overrules it
}

// Explain decides as Compile(own, defaults, d).Allowed(s, p, segment) does, and
// says why. It compiles the rules anew each time, to keep their origin out of what decides
// for every request.
func Explain(own, defaults []Grant, d Defaults, s tenancy.Scope, p Permission, segment string) Explanation {
	a := Compile(own, defaults, d)
	out := Explanation{Allowed: a.Allowed(s, p, segment), By: ByNothing}
	if !p.exists() {
		return out
	}
	e := explainer{grants: [2][]Grant{own, defaults}}
	for i, grants := range e.grants {
		e.layers[i] = compileLayer(grants)
	}
	where, ok := e.decide(s, p, segment)
	out.By = ByDefault
	if ok {
		out.By, out.Rules = ByRule, e.rulesAt(where)
	}
	if !out.Allowed {
		out.Change = where.change(s, p, segment, e.held(s, p, segment, d))
	}
	return out
}

// explainer finds rules in the layers that they were compiled into; a layer
// without rules is nil.
type explainer struct {
	grants [2][]Grant
	layers [2]*layer
}

// spot is the place of a decision: a layer, a block in it and what is decided about there.
type spot struct {
	layer  int
	block  *block
	to     target
	access Access
}

// decide returns the place that decides, as Authorizer.Allowed finds it; ok is
// false if no rule does.
func (e *explainer) decide(s tenancy.Scope, p Permission, segment string) (_ spot, ok bool) {
	switch {
	case p.WritePrefix:
		s = home(s, p)
		for _, at := range e.below(s, p.Resource, segment) {
			if !grants(at.access, p.Access) {
				return at, true
			}
		}
		return e.find(s, p.Resource, segment, true)
	case p.Resource == Intention && segment == tenancy.Wildcard:
		for _, at := range e.below(s, Intention, "") {
			if p.Access == Read && grants(at.access, Read) {
				return at, true
			}
		}
		return e.find(s, Intention, "", true)
	}
	for i := range e.layers {
		if at, ok := e.decideIn(i, home(s, p), p, segment); ok {
			return at, true
		}
	}
	return spot{}, false
}

// decideIn is layer.decide with the place.
func (e *explainer) decideIn(i int, s tenancy.Scope, p Permission, segment string) (at spot, ok bool) {
	if at, ok = e.findIn(i, s, p.Resource, segment, false); ok {
		return at, true
	}
	switch {
	case p.Resource == Node && s != s.PartitionRoot():
		return e.findIn(i, s.PartitionRoot(), Node, segment, false)
	case (p.Resource == Mesh || p.Resource == Peering) && s.IsDefault():
		return e.findIn(i, s, Operator, "", false)
	}
	return spot{}, false
}

func (e *explainer) find(s tenancy.Scope, r Resource, segment string, whole bool) (spot, bool) {
	for i := range e.layers {
		if at, ok := e.findIn(i, s, r, segment, whole); ok {
			return at, true
		}
	}
	return spot{}, false
}

// findIn is layer.find with the place.
func (e *explainer) findIn(i int, s tenancy.Scope, r Resource, segment string, whole bool) (spot, bool) {
	l := e.layers[i]
	if l == nil {
		return spot{}, false
	}
	for n := range len(l.wide) + 1 {
		b := l.at(s, n)
		if b == nil || b.tables[r] == nil {
			continue
		}
		if to, access := b.tables[r].locate(r, segment, whole); access != Unset {
			return spot{i, b, to, access}, true
		}
	}
	return spot{}, false
}

// locate is find with what is decided about.
func (t *table) locate(r Resource, segment string, whole bool) (target, Access) {
	if a := t.exact[segment]; a != Unset && !whole {
		return target{r, false, segment}, a
	}
	for _, n := range t.lengths {
		if n <= len(segment) {
			if a := t.prefixes[segment[:n]]; a != Unset {
				return target{r, true, segment[:n]}, a
			}
		}
	}
	return target{}, Unset
}

// below returns the places of the rules whose label begins with segment and that
// decide about something in s, by label.
func (e *explainer) below(s tenancy.Scope, r Resource, segment string) []spot {
	var out []spot
	for i, l := range e.layers {
		if l == nil {
			continue
		}
		for n := range len(l.wide) + 1 {
			b := l.at(s, n)
			if b == nil || b.tables[r] == nil {
				continue
			}
			for _, to := range b.tables[r].targets(r, segment) {
				if at, ok := e.find(s, r, to.label, to.prefix); ok && at.layer == i && at.block == b && at.to == to {
					out = append(out, at)
				}
			}
		}
	}
	return out
}

// targets returns what the table decides about whose label begins with segment,
// by label, exact ones first.
func (t *table) targets(r Resource, segment string) []target {
	var out []target
	for label := range t.exact {
		if strings.HasPrefix(label, segment) {
			out = append(out, target{r, false, label})
		}
	}
	for label := range t.prefixes {
		if strings.HasPrefix(label, segment) {
			out = append(out, target{r, true, label})
		}
	}
	slices.SortFunc(out, func(a, b target) int {
		if c := strings.Compare(a.label, b.label); c != 0 || a.prefix == b.prefix {
			return c
		}
		if b.prefix {
			return -1
		}
		return 1
	})
	return out
}

// rulesAt returns the rules that were merged at a place, those that decided first.
func (e *explainer) rulesAt(at spot) []DecidingRule {
	var decided, overruled []DecidingRule
	for i, g := range e.grants[at.layer] {
		for j := range g.Rules.rules {
			r := &g.Rules.rules[j]
			if !r.standsAt(at, g.Scope) {
				continue
			}
			out := DecidingRule{
				Default: at.layer == 1, Grant: i, Text: r.head(), Line: r.at.line, Column: r.at.col, Access: r.accessTo(at.to.resource),
			}
			if out.Decides = out.Access == at.access; out.Decides {
				decided = append(decided, out)
			} else {
				overruled = append(overruled, out)
			}
		}
	}
	return append(decided, overruled...)
}

// standsAt reports whether the rule, of a policy in s, speaks about what a place does.
func (r *rule) standsAt(at spot, s tenancy.Scope) bool {
	partition, namespace := r.reach(s)
	resource := at.to.resource
	if resource == Intention {
		resource = Service
	}
	return r.access != Unset && partition == at.block.partition && namespace == at.block.namespace &&
		r.resource == resource && r.prefix == at.to.prefix && r.label == at.to.label
}

// accessTo returns what the rule grants on a resource: a service rule speaks about intentions too.
func (r *rule) accessTo(to Resource) Access {
	switch {
	case to != Intention:
		return r.access
	case r.intentions != Unset:
		return r.intentions
	case r.access == Write:
		return Read
	}
	return r.access
}

// head returns the rule without what it grants, with the blocks around it.
func (r *rule) head() string {
	var parts []string
	if r.partition.how != own && r.resource != partitionObject {
		parts = append(parts, r.partition.describe("partition"))
	}
	if r.namespace.how != own && r.resource != namespaceObject {
		parts = append(parts, r.namespace.describe("namespace"))
	}
	text := r.keyword
	if keywords[strings.TrimSuffix(r.keyword, "_prefix")].labelled {
		text = r.title()
	}
	return strings.Join(append(parts, text), " / ")
}

// change says what would have to change for p to be granted. The zero spot is
// where no rule decides. A rule for exactly what was asked for suffices, unless one stands
// there already that denies, or one below it that grants less than a write on all below needs.
func (at spot) change(s tenancy.Scope, p Permission, segment string, service Access) string {
	s = home(s, p)
	if at.block != nil && at.layer == 0 && at.block.partition.is(s.Partition) && at.block.namespace.is(s.Namespace) {
		same := at.to == wanted(p, segment)
		switch {
		case same && at.access == Deny:
			return "the rule that denies has to go: no other rule for the same thing counts against it"
		case !same && p.WritePrefix && strings.HasPrefix(at.to.label, segment):
			return "every rule below " + strconv.Quote(segment) + " has to grant " + p.Access.String()
		}
	}
	return "a policy of the token has to say: " + suggestion(s, p, segment, service)
}

// held returns what there is on the service of an intention, so that a rule for
// the intention can say the same about the service.
func (e *explainer) held(s tenancy.Scope, p Permission, segment string, d Defaults) Access {
	to := wanted(p, segment)
	if at, ok := e.find(s, Service, to.label, to.prefix); ok {
		return at.access
	}
	if d.Allow {
		return Write
	}
	return Read
}

// wanted is what a rule that grants p on segment, and nothing more, speaks about.
func wanted(p Permission, segment string) target {
	switch {
	case p.Resource == Intention && segment == tenancy.Wildcard:
		return target{Intention, true, ""}
	case p.Resource == Intention || keywords[p.Resource.String()].labelled:
		return target{p.Resource, p.WritePrefix, segment}
	}
	return target{p.Resource, true, ""}
}

// suggestion returns a rule that grants p on segment in s, on one line, for a
// policy of the default namespace in the default partition. A rule for an
// intention grants service on the service.
func suggestion(s tenancy.Scope, p Permission, segment string, service Access) string {
	to, access := wanted(p, segment), strconv.Quote(p.Access.String())
	word, body := p.Resource.String(), "policy = "+access
	if p.Resource == Intention {
		word, body = Service.String(), "policy = "+strconv.Quote(service.String())+" intentions = "+access
	}
	text := word + " = " + access
	if keywords[word].labelled {
		if to.prefix {
			word += "_prefix"
		}
		text = word + " " + strconv.Quote(to.label) + " { " + body + " }"
	}
	if s.Namespace != tenancy.DefaultName {
		text = "namespace " + strconv.Quote(s.Namespace) + " { " + text + " }"
	}
	if s.Partition != tenancy.DefaultName {
		text = "partition " + strconv.Quote(s.Partition) + " { " + text + " }"
	}
	return text
}
