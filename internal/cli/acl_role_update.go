package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclRoleUpdate() *Command {
	var b base
	var id, name, description string
	var noMerge bool
	var links grantFlags
	templates := templateUpdate{append: templateFlags{prefix: "append-"}, replace: templateFlags{prefix: "replace-"}}
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a role",
		Long: "The links are added to those that the role has, and what is not mentioned stays as it is,\nunless -no-merge is given.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&id, "id", "", "role's `ID`, or the beginning of it (required)")
			fs.StringVar(&name, "name", "", "new `name`")
			fs.StringVar(&description, "description", "", "what the role is for, in your own `words`")
			fs.BoolVar(&noMerge, "no-merge", false, "replace the whole role by what the flags say")
			links.flags(fs, false)
			templates.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if id == "" {
				return complain("Cannot update a role without specifying the -id parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if id, err = (&roleRef{id: id}).resolve(client, b.read(ctx)); err != nil {
				return err
			}
			wanted, err := links.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			role := &api.ACLRole{ID: id, Name: name, Description: description}
			if !noMerge {
				if role, err = readRole(client, b.read(ctx), roleRef{id: id}); err != nil {
					return err
				}
				if name != "" {
					role.Name = name
				}
				if given(flags, "description") {
					role.Description = description
				}
			}
			wanted = roleGrants(role).add(wanted)
			if wanted.templates, err = templates.apply(env, wanted.templates); err != nil {
				return err
			}
			setRoleGrants(role, wanted)
			role, _, err = client.ACL().RoleUpdate(role, b.write(ctx))
			if err != nil {
				return complain("Error updating role %q: %w", id, err)
			}
			return b.print(env.Out, role, jsonIndent, func(w io.Writer) { writeRole(w, role, b.meta) })
		},
	}
}
