package cli

import (
	"context"
	"flag"
	"io"
)

func aclTokenRead() *Command {
	var b base
	var ref tokenRef
	var self, expanded bool
	return &Command{
		Name: "read", Short: "Show one token",
		Long: "With -self, that is the token of the command itself.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			ref.flags(fs)
			fs.BoolVar(&self, "self", false, "show the token that the command sends")
			fs.BoolVar(&expanded, "expanded", false, "also show the rules that the token's links amount to")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if self && expanded {
				return complain("Cannot use both -expanded and -self. " +
					"Instead, use -expanded and -accessor-id=<accessor id>.")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if self {
				token, _, err := client.ACL().TokenReadSelf(b.read(ctx))
				if err != nil {
					return complain("Error reading token: %w", err)
				}
				return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeToken(w, token, b.meta) })
			}
			accessor, err := ref.resolve(env, client, b.read(ctx), missingAccessor)
			if err != nil {
				return err
			}
			if expanded {
				token, _, err := client.ACL().TokenReadExpanded(accessor, b.read(ctx))
				if err != nil {
					return complain("Error reading token %q: %w", accessor, err)
				}
				return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeExpanded(w, token, b.meta) })
			}
			token, _, err := client.ACL().TokenRead(accessor, b.read(ctx))
			if err != nil {
				return complain("Error reading token %q: %w", accessor, err)
			}
			return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeToken(w, token, b.meta) })
		},
	}
}
