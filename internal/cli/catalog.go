package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// catalogGroup is the group of what servers know about nodes and services.
func catalogGroup() *Command {
	return &Command{
		Name: "catalog", Short: "Look up nodes, services and datacenters",
		Sub: []*Command{catalogDatacenters(), catalogNodes(), catalogServices()},
	}
}

func catalogDatacenters() *Command {
	var b base
	return &Command{
		Name: "datacenters", Short: "List the known datacenters",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: b.callingAlone(func(_ context.Context, env *Env, client *api.Client) error {
			list, err := client.Catalog().Datacenters()
			if err != nil {
				return complain("Error listing datacenters: %w", err)
			}
			printLines(env.Out, list)
			return nil
		}),
	}
}

// noArguments refuses positional arguments.
func noArguments(args []string) error {
	if len(args) > 0 {
		return complain("Too many arguments (expected 0, got %d)", len(args))
	}
	return nil
}

func printLines(w io.Writer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

// pairsText is "k=v, k=v", by key.
func pairsText(pairs map[string]string) string {
	words := slices.Sorted(maps.Keys(pairs))
	for i, k := range words {
		words[i] = k + "=" + pairs[k]
	}
	return strings.Join(words, ", ")
}
