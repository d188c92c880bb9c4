package endpoint

import (
	"slices"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/state"
)

// Expansion is everything that a token's links mean (acl.md section 4.3). Its
// JSON is the API's.
type Expansion struct {
	ExpandedPolicies          []acl.Policy
	ExpandedRoles             []acl.Role
	NamespaceDefaultPolicyIDs []string
	NamespaceDefaultRoleIDs   []string
	AgentACLDefaultPolicy     string
	AgentACLDownPolicy        string
	ResolvedByAgent           string
}

// expand returns what t's links mean: policies in the order in which they were
// reached, each once, also those that are limited to other datacenters.
func (r *Resolver) expand(tx *state.Tx, t *acl.Token) (*Expansion, error) {
	all, err := r.gather(tx, t, false)
	if err != nil {
		return nil, err
	}
	out := &Expansion{
		ExpandedPolicies:      []acl.Policy{},
		AgentACLDefaultPolicy: "deny",
		AgentACLDownPolicy:    r.DownPolicy,
		ResolvedByAgent:       r.NodeName,
	}
	if r.DefaultPolicyAllow {
		out.AgentACLDefaultPolicy = "allow"
	}
	for _, s := range slices.Concat(all.own, all.defaults) {
		p, err := s.policy()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out.ExpandedPolicies, func(have acl.Policy) bool { return have.ID == p.ID }) {
			out.ExpandedPolicies = append(out.ExpandedPolicies, p)
		}
	}
	for _, row := range all.roles {
		role, err := showRole(tx, row)
		if err != nil {
			return nil, err
		}
		out.ExpandedRoles = append(out.ExpandedRoles, *role)
	}
	if all.ns != nil && all.ns.ACLs != nil {
		for _, l := range all.ns.ACLs.PolicyDefaults {
			out.NamespaceDefaultPolicyIDs = append(out.NamespaceDefaultPolicyIDs, l.ID)
		}
		for _, l := range all.ns.ACLs.RoleDefaults {
			out.NamespaceDefaultRoleIDs = append(out.NamespaceDefaultRoleIDs, l.ID)
		}
	}
	return out, nil
}
