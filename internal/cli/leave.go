package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

func leave() *Command {
	var b base
	return &Command{
		Name: "leave", Short: "Make an agent leave its cluster and stop",
		Flags: func(fs *flag.FlagSet) { b.client(fs) },
		Run: func(_ context.Context, env *Env, args []string) error {
			if len(args) > 0 {
				return &usageError{text: fmt.Sprintf("Error found unexpected args: %v", args), usageOnOut: true}
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if err := client.Agent().Leave(); err != nil {
				return complain("Error leaving: %w", err)
			}
			fmt.Fprintln(env.Out, "Graceful leave complete")
			return nil
		},
	}
}

func reload() *Command {
	var b base
	return &Command{
		Name: "reload", Short: "Make an agent read its configuration files again",
		Flags: func(fs *flag.FlagSet) { b.client(fs) },
		Run: b.calling(func(_ context.Context, env *Env, client *api.Client) error {
			if err := client.Agent().Reload(); err != nil {
				return complain("Error reloading: %w", err)
			}
			fmt.Fprintln(env.Out, "Configuration reload triggered")
			return nil
		}),
	}
}
