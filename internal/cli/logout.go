package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/consul/api"
)

func logout() *Command {
	var b base
	return &Command{
		Name: "logout", Short: "Destroy the token of a login",
		Long:  "The token is the one that the command sends: -token-file, -token or the environment.",
		Flags: func(fs *flag.FlagSet) { b.acl(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			if _, err := client.ACL().Logout(b.write(ctx)); err != nil {
				return complain("Error destroying token: %w", err)
			}
			return nil
		}),
	}
}
