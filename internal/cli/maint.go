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

// The checks that stand for maintenance (spec: agent.md section 16.4).
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:" // and the service's ID
)

func maint() *Command {
	var b base
	var enable, disable bool
	var reason, service string
	return &Command{
		Name: "maint", Short: "Put the agent's node or one of its services into maintenance, or out of it",
		Long: "Without options it lists what is in maintenance. What is in maintenance is critical, and not found by those who look for healthy instances.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			b.tenancy(fs)
			fs.BoolVar(&enable, "enable", false, "put it into maintenance")
			fs.BoolVar(&disable, "disable", false, "take it out of maintenance")
			fs.StringVar(&reason, "reason", "", "`text` that says why, for others to read")
			fs.StringVar(&service, "service", "", "`ID` of a service of this agent; without it the whole node is meant")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			switch {
			case enable && disable:
				return complain("Only one of -enable or -disable may be provided")
			case !enable && reason != "":
				return complain("Reason may only be provided with -enable")
			case !enable && !disable && service != "":
				return complain("Service requires either -enable or -disable")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if !enable && !disable {
				checks, err := client.Agent().ChecksWithFilterOpts("", b.read(ctx))
				if err != nil {
					return complain("Error getting checks: %w", err)
				}
				printMaintenance(env.Out, checks)
				return nil
			}
			if err := maintain(client, enable, service, reason, b.read(ctx)); err != nil {
				return err
			}
			word := "disabled"
			if enable {
				word = "enabled"
			}
			if service == "" {
				fmt.Fprintf(env.Out, "Node maintenance is now %s\n", word)
			} else {
				fmt.Fprintf(env.Out, "Service maintenance is now %s for %q\n", word, service)
			}
			return nil
		},
	}
}

func maintain(client *api.Client, enable bool, service, reason string, q *api.QueryOptions) error {
	var err error
	word, agent := "enabling", client.Agent()
	switch {
	case enable && service == "":
		err = agent.EnableNodeMaintenance(reason)
	case enable:
		err = agent.EnableServiceMaintenanceOpts(service, reason, q)
	case service == "":
		word, err = "disabling", agent.DisableNodeMaintenance()
	default:
		word, err = "disabling", agent.DisableServiceMaintenanceOpts(service, q)
	}
	switch {
	case err == nil:
		return nil
	case service == "":
		return complain("Error %s node maintenance: %w", word, err)
	}
	return complain("Error %s service maintenance: %w", word, err)
}

func printMaintenance(w io.Writer, checks map[string]*api.AgentCheck) {
	for _, key := range slices.Sorted(maps.Keys(checks)) {
		c := checks[key]
		switch {
		case c.CheckID == nodeMaintenance:
			fmt.Fprintf(w, "Node:\n  Name:   %s\n  Reason: %s\n\n", c.Node, c.Notes)
		case strings.HasPrefix(c.CheckID, serviceMaintenance):
			fmt.Fprintf(w, "Service:\n  ID:     %s\n  Reason: %s\n\n", c.ServiceID, c.Notes)
		}
	}
}
