package cli

import (
	"context"
	"flag"
	"io"
	"strings"
)

func aclBootstrap() *Command {
	var b base
	return &Command{
		Name: "bootstrap", Args: "[FILE|-]", Short: "Make the first management token",
		Long: "It works once. The token's secret is random, or the content of FILE, or of standard input for -.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.formatFlag(fs)
		},
		Run: func(_ context.Context, env *Env, args []string) error {
			if len(args) > 1 {
				return complain("This command takes up to one argument")
			}
			secret := ""
			if len(args) == 1 {
				text, err := loadFile(env, args[0])
				if err != nil {
					return complain("Error reading provided token: %w", err)
				}
				secret = strings.TrimSpace(text)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			token, _, err := client.ACL().BootstrapWithToken(secret)
			if err != nil {
				return complain("Failed ACL bootstrapping: %w", err)
			}
			return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeToken(w, token, b.meta) })
		},
	}
}
