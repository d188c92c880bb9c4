package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclRoleCreate() *Command {
	var b base
	var name, description string
	var links grantFlags
	var templates templateFlags
	var vars pairsFlag
	return &Command{
		Name: "create", Short: "Create a role",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "role's `name` (required)")
			fs.StringVar(&description, "description", "", "what the role is for, in your own `words`")
			links.flags(fs, false)
			templates.flags(fs)
			templateVars(fs, &vars)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return misuse("Missing required '-name' flag")
			}
			if !links.set() && !templates.set() {
				return complain("Cannot create a role without specifying -policy-name, -policy-id, -service-identity, " +
					"-node-identity, -templated-policy-file or -templated-policy at least once")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			wanted, err := links.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			if wanted.templates, err = templates.resolve(env, vars.pairs); err != nil {
				return err
			}
			role := &api.ACLRole{Name: name, Description: description}
			setRoleGrants(role, wanted)
			role, _, err = client.ACL().RoleCreate(role, b.write(ctx))
			if err != nil {
				return complain("Failed to create new role: %w", err)
			}
			return b.print(env.Out, role, jsonIndent, func(w io.Writer) { writeRole(w, role, b.meta) })
		},
	}
}
