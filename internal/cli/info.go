package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

func info() *Command {
	var b base
	return &Command{
		Name: "info", Short: "Show the figures that an agent keeps about itself",
		Flags: func(fs *flag.FlagSet) { b.client(fs) },
		Run: b.calling(func(_ context.Context, env *Env, client *api.Client) error {
			self, err := client.Agent().Self()
			if err != nil {
				return complain("Error querying agent: %w", err)
			}
			stats := self["Stats"]
			for _, section := range slices.Sorted(maps.Keys(stats)) {
				fmt.Fprintf(env.Out, "%s:\n", section)
				figures, _ := stats[section].(map[string]any)
				for _, key := range slices.Sorted(maps.Keys(figures)) {
					fmt.Fprintf(env.Out, "\t%s = %v\n", key, figures[key])
				}
			}
			return nil
		}),
	}
}
