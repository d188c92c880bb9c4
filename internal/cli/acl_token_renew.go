package cli

import (
	"context"
	"flag"
	"io"
	"net/http"

	"github.com/hashicorp/consul/api"
)

func aclTokenRenew() *Command {
	var b base
	return &Command{
		Name: "renew", Short: "Give the token of a login more time",
		Long: "The token is the one that the command sends, with -token-file or in another way. Its secret stays the same.\n" +
			"Its auth method says how long a token may live with renewals; after that, log in again.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if len(args) > 0 {
				return complain("Should have no non-flag arguments.")
			}
			if err := b.check(); err != nil {
				return err
			}
			var token api.ACLToken
			if _, err := b.raw(ctx, env, call{method: http.MethodPost, path: "/v1/acl/token/renew"}, &token); err != nil {
				return complain("Error renewing token: %w", err)
			}
			return b.print(env.Out, &token, jsonIndent, func(w io.Writer) { writeToken(w, &token, b.meta) })
		},
	}
}
