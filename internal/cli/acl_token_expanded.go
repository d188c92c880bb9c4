package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// writeExpanded writes a token with the rules that its links amount to, layer
// by layer in the order in which they decide.
func writeExpanded(w io.Writer, t *api.ACLTokenExpanded, meta bool) {
	writeTokenHead(w, &t.ACLToken, meta)
	e := expansion{w: w, policies: t.ExpandedPolicies, roles: t.ExpandedRoles}
	e.grants(tokenGrants(&t.ACLToken), 0)

	fmt.Fprintln(w, "=== End of Authorizer Layer 0: Token ===")
	if len(t.NamespaceDefaultPolicyIDs)+len(t.NamespaceDefaultRoleIDs) > 0 {
		fmt.Fprintln(w, "=== Start of Authorizer Layer 1: Namespace Defaults (Inherited) ===")
		fmt.Fprintf(w, "Description: What the namespace grants to each of its tokens, where the token's own rules say nothing\n\n")
		e.grants(grants{policies: linksTo(t.NamespaceDefaultPolicyIDs), roles: linksTo(t.NamespaceDefaultRoleIDs)}, 0)
		fmt.Fprintln(w, "=== End of Authorizer Layer 1: Namespace Defaults ===")
	}
	fmt.Fprintln(w, "=== Start of Authorizer Layer 2: Agent Configuration Defaults (Inherited) ===")
	fmt.Fprintln(w, "Description: Decided when a request is made, by the configuration of the agent that resolves the token")
	fmt.Fprintf(w, "Resolved By Agent: %q\n\n", t.ResolvedByAgent)
	fmt.Fprintf(w, "Default Policy: %s\n\tDescription: What holds where no rule says anything\n\n", t.AgentACLDefaultPolicy)
	fmt.Fprintf(w, "Down Policy: %s\n\tDescription: What holds while no server can be asked about the token\n\n", t.AgentACLDownPolicy)
}

func linksTo(ids []string) []*api.ACLLink {
	var links []*api.ACLLink
	for _, id := range ids {
		links = append(links, &api.ACLLink{ID: id})
	}
	return links
}

// expansion writes grants with what the server expanded them to.
type expansion struct {
	w        io.Writer
	policies []api.ACLPolicy
	roles    []api.ACLRole
}

// put writes text at a depth of tabs.
func (e expansion) put(depth int, format string, args ...any) {
	fmt.Fprint(e.w, indent(strings.Repeat("\t", depth), fmt.Sprintf(format, args...)+"\n"))
}

// grants writes every section of g that is not empty. Each entry ends with a
// blank line.
func (e expansion) grants(g grants, depth int) {
	section := func(title string, n int) {
		if n > 0 {
			e.put(depth, "%s:", title)
		}
	}
	section("Policies", len(g.policies))
	for _, link := range g.policies {
		i := slices.IndexFunc(e.policies, func(p api.ACLPolicy) bool { return p.ID == link.ID })
		name := link.Name
		if i >= 0 {
			name = e.policies[i].Name
		}
		e.put(depth+1, "Policy Name: %s", name)
		e.put(depth+2, "ID: %s", link.ID)
		e.rules(i, depth+2)
	}
	section("Templated Policies", len(g.templates))
	for _, t := range g.templates {
		variable := ""
		if t.TemplateVariables != nil {
			variable = t.TemplateVariables.Name
		}
		name := t.TemplateName
		if variable != "" {
			name += " (Name: " + variable + ")"
		}
		e.put(depth+1, "Name: %s (Datacenters: %s)", name, datacenters(t.Datacenters))
		e.rules(e.synthetic("templated policy", variable, t.Datacenters, t.TemplateName), depth+2)
	}
	section("Service Identities", len(g.services))
	for _, s := range g.services {
		e.put(depth+1, "Name: %s (Datacenters: %s)", s.ServiceName, datacenters(s.Datacenters))
		e.rules(e.synthetic("service identity", s.ServiceName, s.Datacenters, ""), depth+2)
	}
	section("Node Identities", len(g.nodes))
	for _, n := range g.nodes {
		e.put(depth+1, "Name: %s (Datacenter: %s)", n.NodeName, n.Datacenter)
		e.rules(e.synthetic("node identity", n.NodeName, []string{n.Datacenter}, ""), depth+2)
	}
	section("Roles", len(g.roles))
	for _, link := range g.roles {
		i := slices.IndexFunc(e.roles, func(r api.ACLRole) bool { return r.ID == link.ID })
		if i < 0 {
			e.put(depth+1, "Role Name: %s", link.Name)
			e.put(depth+2, "ID: %s\n", link.ID)
			continue
		}
		role := &e.roles[i]
		e.put(depth+1, "Role Name: %s", role.Name)
		e.put(depth+2, "ID: %s", role.ID)
		e.put(depth+2, "Description: %s", role.Description)
		e.grants(roleGrants(role), depth+2)
	}
}

// rules writes the description and rules of the policy at index i, if there is
// one, and a blank line.
func (e expansion) rules(i, depth int) {
	if i >= 0 {
		e.put(depth, "Description: %s", e.policies[i].Description)
		e.put(depth, "Rules:")
		e.put(depth+1, "%s", strings.TrimRight(e.policies[i].Rules, "\n"))
	}
	fmt.Fprintln(e.w)
}

// synthetic returns the index of the policy that the server made for an
// identity or a template, or -1. Only its description says what it was made for: it
// names the kind and ends with the name, quoted and after its tenancy for an identity.
func (e expansion) synthetic(kind, name string, datacenters []string, template string) int {
	return slices.IndexFunc(e.policies, func(p api.ACLPolicy) bool {
		if !strings.Contains(p.Description, kind) || !sameSet(p.Datacenters, datacenters) {
			return false
		}
		if template != "" {
			return strings.HasSuffix(p.Description, template) && strings.Contains(p.Rules, name)
		}
		return strings.HasSuffix(p.Description, `"`+name+`"`) || strings.HasSuffix(p.Description, "/"+name+`"`)
	})
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
