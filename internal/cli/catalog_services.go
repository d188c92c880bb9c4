package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/consul/api"
)

func catalogServices() *Command {
	var b base
	var node string
	var tags bool
	meta := pairsFlag{sep: "="}
	return &Command{
		Name: "services", Short: "List the services of a datacenter",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.StringVar(&node, "node", "", "list only the services of this node, by its `name or ID`")
			fs.Var(&meta, "node-meta", "`key=value` that the metadata of a service's node must have. May be repeated")
			fs.BoolVar(&tags, "tags", false, "also show the tags of each service")
		},
		Run: b.callingAlone(func(ctx context.Context, env *Env, client *api.Client) error {
			q := b.read(ctx)
			q.NodeMeta = meta.pairs
			services, err := listServices(client, node, q)
			if err != nil {
				return complain("Error listing services: %w", err)
			}
			if len(services) == 0 {
				fmt.Fprintln(env.Err, "No services match the given query - try expanding your search.")
				return nil
			}
			names := slices.Sorted(maps.Keys(services))
			if !tags {
				printLines(env.Out, names)
				return nil
			}
			table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
			for _, name := range names {
				fmt.Fprintf(table, "%s\t%s\n", name, strings.Join(services[name], ","))
			}
			return table.Flush()
		}),
	}
}

// listServices returns the tags of each service by its name, sorted, of all nodes or of one.
func listServices(client *api.Client, node string, q *api.QueryOptions) (map[string][]string, error) {
	services := map[string][]string{}
	if node == "" {
		all, _, err := client.Catalog().Services(q)
		if err != nil {
			return nil, err
		}
		services = all
	} else {
		on, _, err := client.Catalog().Node(node, q)
		if err != nil {
			return nil, err
		}
		if on != nil {
			for _, s := range on.Services {
				services[s.Service] = append(services[s.Service], s.Tags...)
			}
		}
	}
	for name, list := range services {
		slices.Sort(list)
		services[name] = slices.Compact(list)
	}
	return services, nil
}
