package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

// shortID is how many characters of a node's ID a list shows.
const shortID = 8

func catalogNodes() *Command {
	var b base
	var detailed bool
	var near, service, filter string
	meta := pairsFlag{sep: "="}
	return &Command{
		Name: "nodes", Short: "List the nodes of a datacenter",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.BoolVar(&detailed, "detailed", false, "show whole IDs, other addresses and metadata")
			fs.StringVar(&near, "near", "", "`name` of a node to sort by distance from; _agent is the agent's own")
			fs.Var(&meta, "node-meta", "`key=value` that a node's metadata must have. May be repeated")
			fs.StringVar(&service, "service", "", "list only the nodes that have an instance of this service, by its `name`")
			fs.StringVar(&filter, "filter", "", "`expression` that selects nodes")
		},
		Run: b.callingAlone(func(ctx context.Context, env *Env, client *api.Client) error {
			q := b.read(ctx)
			q.Near, q.NodeMeta, q.Filter = near, meta.pairs, filter
			nodes, err := listNodes(client, service, q)
			if err != nil {
				return complain("Error listing nodes: %w", err)
			}
			if len(nodes) == 0 {
				fmt.Fprintln(env.Err, "No nodes match the given query - try expanding your search.")
				return nil
			}
			if detailed {
				return writeTable(env.Out, []string{"Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"}, nodes, func(n *api.Node) []string {
					return []string{n.Node, n.ID, n.Address, n.Datacenter, pairsText(n.TaggedAddresses), pairsText(n.Meta)}
				})
			}
			return writeTable(env.Out, []string{"Node", "ID", "Address", "DC"}, nodes, func(n *api.Node) []string {
				return []string{n.Node, n.ID[:min(shortID, len(n.ID))], n.Address, n.Datacenter}
			})
		}),
	}
}

// listNodes returns all nodes, or those with an instance of service, each once. Their
// order is that of the API if distance was asked for, else by name.
func listNodes(client *api.Client, service string, q *api.QueryOptions) ([]*api.Node, error) {
	var nodes []*api.Node
	if service == "" {
		all, _, err := client.Catalog().Nodes(q)
		if err != nil {
			return nil, err
		}
		nodes = all
	} else {
		instances, _, err := client.Catalog().Service(service, "", q)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, i := range instances {
			if !seen[i.Node] {
				nodes = append(nodes, &api.Node{
					ID: i.ID, Node: i.Node, Address: i.Address, Datacenter: i.Datacenter, TaggedAddresses: i.TaggedAddresses, Meta: i.NodeMeta,
				})
			}
			seen[i.Node] = true
		}
	}
	if q.Near == "" {
		slices.SortFunc(nodes, func(a, b *api.Node) int { return cmp.Compare(a.Node, b.Node) })
	}
	return nodes, nil
}
