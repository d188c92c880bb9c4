package acl

import (
	"cmp"
	"slices"

	"github.com/lictor/lictor/internal/tenancy"
)

// Grant is the rules of a policy and the scope that the policy lives in, which
// is where its unscoped rules count.
type Grant struct {
	Rules *Rules
	Scope tenancy.Scope
}

// Defaults is what decides where no rule does. The zero value denies.
type Defaults struct {
	Allow bool // the agent's default_policy is "allow"; never extends to acl
}

// Compile merges rules into an authorizer. own are those of a token's policies,
// roles and identities; defaults are those of its namespace, which count only
// for what own says nothing about. Their order does not matter: rules for the
// same thing merge, deny before write before list before read (acl.md 10.3).
func Compile(own, defaults []Grant, d Defaults) *Authorizer {
	a := &Authorizer{allow: d.Allow}
	for _, grants := range [][]Grant{own, defaults} {
		if l := compileLayer(grants); l != nil {
			a.layers = append(a.layers, l)
		}
	}
	return a
}

func compileLayer(grants []Grant) *layer {
	type place struct{ partition, namespace selector }
	merged := map[place]map[target]verdict{}
	for _, g := range grants {
		for i := range g.Rules.rules {
			r := &g.Rules.rules[i]
			if r.access == Unset {
				continue
			}
			var at place
			at.partition, at.namespace = r.reach(g.Scope)
			if merged[at] == nil {
				merged[at] = map[target]verdict{}
			}
			to := target{r.resource, r.prefix, r.label}
			v := merged[at][to]
			merged[at][to] = verdict{merge(v.access, r.access), merge(v.intentions, r.intentions)}
		}
	}
	if len(merged) == 0 {
		return nil
	}
	l := &layer{exact: map[tenancy.Scope]*block{}}
	for at, rules := range merged {
		b := &block{partition: at.partition, namespace: at.namespace}
		b.fill(rules)
		if at.partition.how == exactly && at.namespace.how == exactly {
			l.exact[tenancy.Scope{Partition: at.partition.name, Namespace: at.namespace.name}] = b
		} else {
			l.wide = append(l.wide, b)
		}
	}
	slices.SortFunc(l.wide, func(a, b *block) int {
		return cmp.Or(a.partition.compare(b.partition), a.namespace.compare(b.namespace))
	})
	return l
}

// target is what a rule speaks about in a block; verdict is what rules say there.
type target struct {
	resource Resource
	prefix   bool
	label    string
}

type verdict struct{ access, intentions Access }

// merge combines two rules for the same thing.
func merge(a, b Access) Access {
	if a == Deny || b == Deny {
		return Deny
	}
	return max(a, b)
}

// fill builds the block's tables. A service rule without intentions lets
// intentions be read where it lets the service be read or written.
func (b *block) fill(rules map[target]verdict) {
	for to, v := range rules {
		b.set(to, v.access)
		if to.resource != Service {
			continue
		}
		to.resource = Intention
		switch {
		case v.intentions != Unset:
			b.set(to, v.intentions)
		case v.access == Write:
			b.set(to, Read)
		default:
			b.set(to, v.access)
		}
	}
	for _, t := range b.tables {
		if t != nil {
			slices.SortFunc(t.lengths, func(a, b int) int { return b - a })
		}
	}
}

// set enters a rule; each target is entered once.
func (b *block) set(to target, a Access) {
	t := b.tables[to.resource]
	if t == nil {
		t = &table{}
		b.tables[to.resource] = t
	}
	if !to.prefix {
		if t.exact == nil {
			t.exact = map[string]Access{}
		}
		t.exact[to.label] = a
		return
	}
	if t.prefixes == nil {
		t.prefixes = map[string]Access{}
	}
	t.prefixes[to.label] = a
	if !slices.Contains(t.lengths, len(to.label)) {
		t.lengths = append(t.lengths, len(to.label))
	}
}
