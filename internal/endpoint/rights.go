package endpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// rightsTables are what decides, besides a token itself, what it may do.
var rightsTables = []state.TableName{state.TablePolicies, state.TableRoles, state.TableNamespaces}

// rulesKey names rules that never change: those of one version of a policy, or
// those that an identity amounts to.
type rulesKey struct {
	kind     byte // 'p' policy, 's' service identity, 'n' node identity, 't' templated policy
	scope    tenancy.Scope
	name     string // of the policy, its ID
	variable string // of a templated policy; of a policy, its hash
	index    uint64 // of a policy, its ModifyIndex; together with the hash, also across restored snapshots
}

// contentKey is a hash over the rulesKeys of everything that an authorizer is made of.
type contentKey [sha256.Size]byte

// source is where some of a token's rights come from. policy returns it in
// full; for an identity it has to be made first.
type source struct {
	rulesKey
	policy func() (acl.Policy, error)
}

// rights is everything that a token is linked to.
type rights struct {
	own      []source
	defaults []source // of its namespace: they count where own says nothing
	roles    []*acl.Role
	ns       *tenancy.Namespace // may be nil
}

// gather collects the rights of t: its policies, what its identities amount to,
// the same of its roles, and what its namespace gives to all tokens. Links to what
// does not exist, and with here set what is limited to other datacenters, are left out.
func (r *Resolver) gather(tx *state.Tx, t *acl.Token, here bool) (rights, error) {
	var all rights
	g := gatherer{tx: tx, datacenter: r.Datacenter, all: !here, scope: t.Scope, into: &all.own}
	g.policies(t.Policies)
	g.identities(t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies)
	all.roles = g.linkedRoles(t.Roles)
	if g.err == nil {
		all.ns, g.err = tx.Namespace(nil, t.Partition, t.Namespace)
	}
	if all.ns != nil && all.ns.ACLs != nil {
		g.scope, g.into = t.PartitionRoot(), &all.defaults
		g.policies(aclLinks(all.ns.ACLs.PolicyDefaults))
		all.roles = append(all.roles, g.linkedRoles(aclLinks(all.ns.ACLs.RoleDefaults))...)
	}
	return all, g.err
}

// gatherer appends sources; the first error stops it.
type gatherer struct {
	tx         *state.Tx
	datacenter string
	all        bool // datacenters do not matter
	scope      tenancy.Scope
	into       *[]source
	err        error
}

func (g *gatherer) policies(links []acl.Link) {
	for _, l := range links {
		if g.err != nil {
			return
		}
		var p *acl.Policy
		if p, g.err = g.tx.LinkedPolicy(nil, g.scope, l.ID); p != nil && (g.all || p.AppliesIn(g.datacenter)) {
			g.add(source{
				rulesKey: rulesKey{kind: 'p', scope: p.Scope, name: p.ID, variable: string(p.Hash), index: p.ModifyIndex},
				policy:   func() (acl.Policy, error) { return *p, nil },
			})
		}
	}
}

func (g *gatherer) identities(services []acl.ServiceIdentity, nodes []acl.NodeIdentity, templates []acl.TemplatedPolicy) {
	scope := g.scope
	for _, i := range services {
		if g.applies(i.Datacenters) {
			g.add(source{
				rulesKey: rulesKey{kind: 's', scope: scope, name: i.ServiceName},
				policy:   func() (acl.Policy, error) { return i.SynthesizedPolicy(scope), nil },
			})
		}
	}
	for _, i := range nodes {
		if g.all || i.Datacenter == g.datacenter {
			g.add(source{
				rulesKey: rulesKey{kind: 'n', scope: scope, name: i.NodeName},
				policy:   func() (acl.Policy, error) { return i.SynthesizedPolicy(scope), nil },
			})
		}
	}
	for _, t := range templates {
		if g.applies(t.Datacenters) {
			key := rulesKey{kind: 't', scope: scope, name: t.TemplateName}
			if t.TemplateVariables != nil {
				key.variable = t.TemplateVariables.Name
			}
			g.add(source{rulesKey: key, policy: func() (acl.Policy, error) { return t.SynthesizedPolicy(scope) }})
		}
	}
}

func (g *gatherer) applies(datacenters []string) bool {
	return g.all || len(datacenters) == 0 || slices.Contains(datacenters, g.datacenter)
}

// linkedRoles adds what the roles give and returns those that exist.
func (g *gatherer) linkedRoles(links []acl.Link) []*acl.Role {
	var roles []*acl.Role
	for _, l := range links {
		if g.err != nil {
			break
		}
		var role *acl.Role
		if role, g.err = g.tx.Role(nil, g.scope, l.ID); role != nil {
			roles = append(roles, role)
			g.policies(role.Policies)
			g.identities(role.ServiceIdentities, role.NodeIdentities, role.TemplatedPolicies)
		}
	}
	return roles
}

// add appends s unless it is there already.
func (g *gatherer) add(s source) {
	if !slices.ContainsFunc(*g.into, func(have source) bool { return have.rulesKey == s.rulesKey }) {
		*g.into = append(*g.into, s)
	}
}

// authorizer returns what decides for t.
func (r *Resolver) authorizer(tx *state.Tx, t *acl.Token) (*acl.Authorizer, error) {
	all, err := r.gather(tx, t, true)
	if err != nil {
		return nil, err
	}
	key := all.key()
	if a, ok := r.authorizers.get(key); ok {
		return a, nil
	}
	own, err := r.grants(all.own)
	if err != nil {
		return nil, err
	}
	defaults, err := r.grants(all.defaults)
	if err != nil {
		return nil, err
	}
	a := acl.Compile(own, defaults, acl.Defaults{Allow: r.DefaultPolicyAllow})
	r.authorizers.put(key, a)
	return a, nil
}

// key is the same for all tokens with the same rights.
func (all *rights) key() contentKey {
	h := sha256.New()
	for _, sources := range [][]source{all.own, all.defaults} {
		sorted := slices.Clone(sources)
		slices.SortFunc(sorted, func(a, b source) int { return a.compare(b.rulesKey) })
		writeUint(h, uint64(len(sorted)))
		for _, s := range sorted {
			s.write(h)
		}
	}
	return contentKey(h.Sum(nil))
}

func (k rulesKey) compare(other rulesKey) int {
	if c := int(k.kind) - int(other.kind); c != 0 {
		return c
	}
	if c := strings.Compare(k.name, other.name); c != 0 {
		return c
	}
	if c := strings.Compare(k.variable, other.variable); c != 0 {
		return c
	}
	return strings.Compare(k.scope.String(), other.scope.String())
}

// write writes every field, strings with their length in front.
func (k rulesKey) write(h hash.Hash) {
	_, _ = h.Write([]byte{k.kind})
	writeUint(h, k.index)
	for _, s := range []string{k.scope.Partition, k.scope.Namespace, k.name, k.variable} {
		writeUint(h, uint64(len(s)))
		_, _ = h.Write([]byte(s))
	}
}

func writeUint(h hash.Hash, n uint64) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, n))
}

// grants returns the parsed rules of sources.
func (r *Resolver) grants(sources []source) ([]acl.Grant, error) {
	out := make([]acl.Grant, 0, len(sources))
	for _, s := range sources {
		rules, ok := r.rules.get(s.rulesKey)
		if !ok {
			p, err := s.policy()
			if err != nil {
				return nil, fmt.Errorf("%s: %v", s.name, err)
			}
			if rules, err = acl.ParseRules(p.Rules); err != nil {
				return nil, fmt.Errorf("policy %s: %v", p.Name, err)
			}
			r.rules.put(s.rulesKey, rules)
		}
		out = append(out, acl.Grant{Rules: rules, Scope: s.scope})
	}
	return out, nil
}
