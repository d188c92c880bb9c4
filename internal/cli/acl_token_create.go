package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclTokenCreate() *Command {
	var b base
	var token api.ACLToken
	var links grantFlags
	var templates templateFlags
	var vars pairsFlag
	return &Command{
		Name: "create", Short: "Create a token",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&token.AccessorID, "accessor", "", "accessor ID to give the token, a `UUID`; a random one if empty")
			fs.StringVar(&token.SecretID, "secret", "", "secret ID to give the token, a `UUID`; a random one if empty")
			fs.StringVar(&token.Description, "description", "", "what the token is for, in your own `words`")
			fs.DurationVar(&token.ExpirationTTL, "expires-ttl", 0, "`duration` after which the token expires, such as 8h; 0 is never")
			fs.BoolVar(&token.Local, "local", false, "make the token in this datacenter only")
			links.flags(fs, true)
			templates.flags(fs)
			templateVars(fs, &vars)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if !links.set() && !templates.set() {
				return complain("Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, " +
					"-service-identity, -node-identity, -templated-policy, or -templated-policy-file at least once")
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
			setTokenGrants(&token, wanted)
			created, _, err := client.ACL().TokenCreate(&token, b.write(ctx))
			if err != nil {
				return complain("Failed to create new token: %w", err)
			}
			return b.print(env.Out, created, jsonIndent, func(w io.Writer) { writeToken(w, created, b.meta) })
		},
	}
}
