package cli

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// grants are what roles and tokens have in common: links to what permits
// something. Roles is empty in a role.
type grants struct {
	policies  []*api.ACLLink
	roles     []*api.ACLLink
	services  []*api.ACLServiceIdentity
	nodes     []*api.ACLNodeIdentity
	templates []*api.ACLTemplatedPolicy
}

// grantFlags are the flags that name grants. prefix is put before each name,
// such as "append-".
type grantFlags struct {
	prefix                 string
	policyIDs, policyNames listFlag
	roleIDs, roleNames     listFlag
	services, nodes        listFlag
}

func (g *grantFlags) flags(fs *flag.FlagSet, withRoles bool) {
	verb := "link"
	if g.prefix != "" {
		verb = "also link"
	}
	fs.Var(&g.policyIDs, g.prefix+"policy-id", "`ID` of a policy to "+verb+", or the beginning of it; repeat for more")
	fs.Var(&g.policyNames, g.prefix+"policy-name", "`name` of a policy to "+verb+"; repeat for more")
	if withRoles {
		fs.Var(&g.roleIDs, g.prefix+"role-id", "`ID` of a role to "+verb+", or the beginning of it; repeat for more")
		fs.Var(&g.roleNames, g.prefix+"role-name", "`name` of a role to "+verb+"; repeat for more")
	}
	fs.Var(&g.services, g.prefix+"service-identity", "service to "+verb+" the rights of, as `NAME[:DC,DC]`; repeat for more")
	fs.Var(&g.nodes, g.prefix+"node-identity", "node to "+verb+" the rights of, as `NODE:DC`; repeat for more")
}

// set reports whether any of the flags is in use.
func (g *grantFlags) set() bool {
	return len(g.policyIDs)+len(g.policyNames)+len(g.roleIDs)+len(g.roleNames)+len(g.services)+len(g.nodes) > 0
}

// resolve turns the flags into links, without the templated policies.
func (g *grantFlags) resolve(client *api.Client, q *api.QueryOptions) (grants, error) {
	var out grants
	for _, name := range g.policyNames {
		out.policies = append(out.policies, &api.ACLLink{Name: name})
	}
	for _, prefix := range g.policyIDs {
		id, err := policyID(client, q, prefix)
		if err != nil {
			return out, complain("Error resolving policy ID : %w", err)
		}
		out.policies = append(out.policies, &api.ACLLink{ID: id})
	}
	for _, name := range g.roleNames {
		out.roles = append(out.roles, &api.ACLLink{Name: name})
	}
	for _, prefix := range g.roleIDs {
		id, err := roleID(client, q, prefix)
		if err != nil {
			return out, complain("Error resolving role ID : %w", err)
		}
		out.roles = append(out.roles, &api.ACLLink{ID: id})
	}
	var err error
	if out.services, err = serviceIdentities(g.services); err != nil {
		return out, err
	}
	out.nodes, err = nodeIdentities(g.nodes)
	return out, err
}

// serviceIdentities parses NAME or NAME:DC,DC each.
func serviceIdentities(args []string) ([]*api.ACLServiceIdentity, error) {
	var out []*api.ACLServiceIdentity
	for _, arg := range args {
		name, datacenters, limited := strings.Cut(arg, ":")
		if name == "" || strings.Contains(datacenters, ":") || limited && datacenters == "" {
			return nil, complain("Malformed -service-identity argument: %q", arg)
		}
		id := &api.ACLServiceIdentity{ServiceName: name}
		if limited {
			id.Datacenters = strings.Split(datacenters, ",")
		}
		out = append(out, id)
	}
	return out, nil
}

// nodeIdentities parses NODE:DC each.
func nodeIdentities(args []string) ([]*api.ACLNodeIdentity, error) {
	var out []*api.ACLNodeIdentity
	for _, arg := range args {
		name, datacenter, _ := strings.Cut(arg, ":")
		if name == "" || datacenter == "" || strings.Contains(datacenter, ":") {
			return nil, complain("Malformed -node-identity argument: %q", arg)
		}
		out = append(out, &api.ACLNodeIdentity{NodeName: name, Datacenter: datacenter})
	}
	return out, nil
}

// appendLinks adds the links of more that list does not have yet.
func appendLinks(list, more []*api.ACLLink) []*api.ACLLink {
	for _, link := range more {
		if !slices.ContainsFunc(list, func(l *api.ACLLink) bool { return sameLink(*l, *link) }) {
			list = append(list, link)
		}
	}
	return list
}

// sameLink reports whether b, which may be half a link, links what a does.
func sameLink(a, b api.ACLLink) bool {
	return b.ID != "" && a.ID == b.ID || b.Name != "" && a.Name == b.Name
}

// add returns g with the grants of more that it does not have yet. The server
// unites identities of the same name.
func (g grants) add(more grants) grants {
	return grants{
		policies:  appendLinks(g.policies, more.policies),
		roles:     appendLinks(g.roles, more.roles),
		services:  slices.Concat(g.services, more.services),
		nodes:     slices.Concat(g.nodes, more.nodes),
		templates: slices.Concat(g.templates, more.templates),
	}
}

// write lists the grants the way roles and tokens show them, leaving out what
// is empty.
func (g grants) write(w io.Writer) {
	writeLinks(w, "Policies", g.policies)
	writeLinks(w, "Roles", g.roles)
	if len(g.services) > 0 {
		fmt.Fprintln(w, "Service Identities:")
		for _, s := range g.services {
			fmt.Fprintf(w, "   %s (Datacenters: %s)\n", s.ServiceName, datacenters(s.Datacenters))
		}
	}
	if len(g.nodes) > 0 {
		fmt.Fprintln(w, "Node Identities:")
		for _, n := range g.nodes {
			fmt.Fprintf(w, "   %s (Datacenter: %s)\n", n.NodeName, n.Datacenter)
		}
	}
	if len(g.templates) > 0 {
		fmt.Fprintln(w, "Templated Policies:")
		for _, t := range g.templates {
			fmt.Fprintf(w, "   %s\n", t.TemplateName)
			if t.TemplateVariables != nil && t.TemplateVariables.Name != "" {
				fmt.Fprintf(w, "      Name: %s\n", t.TemplateVariables.Name)
			}
			fmt.Fprintf(w, "      Datacenters: %s\n", datacenters(t.Datacenters))
		}
	}
}

func writeLinks(w io.Writer, title string, links []*api.ACLLink) {
	if len(links) == 0 {
		return
	}
	fmt.Fprintf(w, "%s:\n", title)
	for _, l := range links {
		fmt.Fprintf(w, "   %s - %s\n", l.ID, l.Name)
	}
}

// datacenters names where a grant holds.
func datacenters(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ", ")
}
