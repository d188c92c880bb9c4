package cli

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclRole() *Command {
	return &Command{
		Name:  "role",
		Short: "Manage ACL roles: named sets of policies and identities",
		Sub:   []*Command{aclRoleCreate(), aclRoleDelete(), aclRoleList(), aclRoleRead(), aclRoleUpdate()},
	}
}

// roleRef is how a command line names one role.
type roleRef struct{ id, name string }

func (r *roleRef) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.id, "id", "", "role's `ID`, or the beginning of it")
	fs.StringVar(&r.name, "name", "", "role's `name`")
}

// resolve returns the role's ID.
func (r *roleRef) resolve(client *api.Client, q *api.QueryOptions) (id string, err error) {
	switch {
	case r.id != "":
		id, err = roleID(client, q, r.id)
	case r.name != "":
		id, err = roleIDByName(client, q, r.name)
	default:
		return "", complain("Must specify the -id or -name parameters")
	}
	if err != nil {
		return "", complain("Error determining role ID: %w", err)
	}
	return id, nil
}

func aclRoleRead() *Command {
	var b base
	var ref roleRef
	return &Command{
		Name: "read", Short: "Show one role",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs); b.metaFlag(fs, "meta"); ref.flags(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			role, err := readRole(client, b.read(ctx), ref)
			if err != nil {
				return err
			}
			return b.print(env.Out, role, jsonIndent, func(w io.Writer) { writeRole(w, role, b.meta) })
		}),
	}
}

func readRole(client *api.Client, q *api.QueryOptions, ref roleRef) (*api.ACLRole, error) {
	var role *api.ACLRole
	var err error
	what, asked := "name", ref.name
	if ref.id == "" && ref.name != "" {
		role, _, err = client.ACL().RoleReadByName(ref.name, q)
	} else {
		var id string
		if id, err = ref.resolve(client, q); err != nil {
			return nil, err
		}
		what, asked = "ID", id
		role, _, err = client.ACL().RoleRead(id, q)
	}
	if err != nil {
		return nil, complain("Error reading role %q: %w", asked, err)
	}
	if role == nil {
		return nil, complain("Role not found with %s %q", what, asked)
	}
	return role, nil
}

func aclRoleDelete() *Command {
	var b base
	var ref roleRef
	return &Command{
		Name: "delete", Short: "Delete a role",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); ref.flags(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			id, err := ref.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			if _, err := client.ACL().RoleDelete(id, b.write(ctx)); err != nil {
				return complain("Error deleting role %q: %w", id, err)
			}
			fmt.Fprintf(env.Out, "Role %q deleted successfully\n", id)
			return nil
		}),
	}
}

func aclRoleList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all roles",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			roles, _, err := client.ACL().RoleList(b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the role list: %w", err)
			}
			return b.print(env.Out, roles, jsonIndent, func(w io.Writer) {
				for _, r := range roles {
					entry(w, r.Name, func(w io.Writer) { writeRoleBody(block{w, roleWidth}, r, b.meta) })
				}
			})
		}),
	}
}

const roleWidth = 14

func writeRole(w io.Writer, r *api.ACLRole, meta bool) {
	out := block{w, roleWidth}
	out.line("ID", r.ID)
	out.line("Name", r.Name)
	writeRoleRest(out, r, meta)
	fmt.Fprintln(w)
}

// writeRoleBody writes what a list shows below the role's name.
func writeRoleBody(out block, r *api.ACLRole, meta bool) {
	out.line("ID", r.ID)
	writeRoleRest(out, r, meta)
}

func writeRoleRest(out block, r *api.ACLRole, meta bool) {
	out.tenancy(r.Partition, r.Namespace)
	out.line("Description", r.Description)
	if meta {
		out.indexes(r.Hash, r.CreateIndex, r.ModifyIndex)
	}
	roleGrants(r).write(out.w)
}

func roleGrants(r *api.ACLRole) grants {
	return grants{
		policies: r.Policies, services: r.ServiceIdentities, nodes: r.NodeIdentities, templates: r.TemplatedPolicies,
	}
}

// setRoleGrants makes g everything that r grants.
func setRoleGrants(r *api.ACLRole, g grants) {
	r.Policies, r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies = g.policies, g.services, g.nodes, g.templates
}
