package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func rtt() *Command {
	var b base
	var wan bool
	return &Command{
		Name: "rtt", Args: "NODE1 [NODE2]", Short: "Estimate the round trip time between two nodes",
		Long: "NODE2 is the agent's own node if it is left out.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.BoolVar(&wan, "wan", false, "the nodes are servers, named <node>.<datacenter>")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return misuse("One or two node names must be specified")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if args, err = rttNodes(client, args, wan); err != nil {
				return err
			}
			places, pool := lanPlaces, "LAN"
			if wan {
				places, pool = wanPlaces, "WAN"
			}
			known, err := places(client, b.read(ctx))
			if err != nil {
				return complain("Error getting coordinates: %w", err)
			}
			estimate, err := estimateRTT(known, args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Out, "Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)\n",
				args[0], args[1], float64(estimate)/float64(time.Millisecond), pool)
			return nil
		},
	}
}

// rttNodes returns the two names that are meant by one or two.
func rttNodes(client *api.Client, names []string, wan bool) ([]string, error) {
	if wan {
		for _, name := range names {
			if dot := strings.IndexByte(name, '.'); dot < 1 || dot == len(name)-1 {
				return nil, misuse("%q is not <node>.<datacenter>", name)
			}
		}
	}
	if len(names) == 2 {
		return names, nil
	}
	self, err := client.Agent().Self()
	if err != nil {
		return nil, complain("Unable to look up agent info: %w", err)
	}
	own, _ := self["Config"]["NodeName"].(string)
	if dc, _ := self["Config"]["Datacenter"].(string); wan {
		own += "." + dc
	}
	return []string{names[0], own}, nil
}

// lanPlaces returns where the nodes of the datacenter are.
func lanPlaces(client *api.Client, q *api.QueryOptions) ([]api.CoordinateEntry, error) {
	list, _, err := client.Coordinate().Nodes(q)
	var known []api.CoordinateEntry
	for _, e := range list {
		known = append(known, *e)
	}
	return known, err
}

// wanPlaces returns where the servers are, by their names in the WAN.
func wanPlaces(client *api.Client, _ *api.QueryOptions) ([]api.CoordinateEntry, error) {
	list, err := client.Coordinate().Datacenters()
	var known []api.CoordinateEntry
	for _, dc := range list {
		for _, e := range dc.Coordinates {
			e.Node, e.Segment = e.Node+"."+dc.Datacenter, dc.AreaID
			known = append(known, e)
		}
	}
	return known, err
}

// estimateRTT compares two nodes. Coordinates compare only inside one segment.
func estimateRTT(known []api.CoordinateEntry, a, b string) (time.Duration, error) {
	found := map[string]bool{}
	for _, from := range known {
		found[from.Node] = from.Coord != nil || found[from.Node]
		for _, to := range known {
			if from.Node == a && to.Node == b && from.Segment == to.Segment &&
				from.Coord != nil && to.Coord != nil && from.Coord.IsCompatibleWith(to.Coord) {
				return from.Coord.DistanceTo(to.Coord), nil
			}
		}
	}
	for _, name := range []string{a, b} {
		if !found[name] {
			return 0, complain("Could not find a coordinate for node %q", name)
		}
	}
	return 0, complain("The coordinates of nodes %q and %q cannot be compared", a, b)
}
