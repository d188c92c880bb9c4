package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func operatorAutopilot() *Command {
	return &Command{
		Name: "autopilot", Short: "Look at what the leader does about the servers, and choose it",
		Sub: []*Command{operatorAutopilotGetConfig(), operatorAutopilotSetConfig(), operatorAutopilotState()},
	}
}

func operatorAutopilotGetConfig() *Command {
	var b base
	return &Command{
		Name: "get-config", Short: "Show what was chosen",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			c, err := client.Operator().AutopilotGetConfiguration(b.read(ctx))
			if err != nil {
				return complain("Error querying Autopilot configuration: %w", err)
			}
			fmt.Fprintf(env.Out, "CleanupDeadServers = %v\nLastContactThreshold = %v\nMaxTrailingLogs = %v\nMinQuorum = %v\n"+
				"ServerStabilizationTime = %v\nRedundancyZoneTag = %q\nDisableUpgradeMigration = %v\nUpgradeVersionTag = %q\n",
				c.CleanupDeadServers, c.LastContactThreshold, c.MaxTrailingLogs, c.MinQuorum,
				c.ServerStabilizationTime, c.RedundancyZoneTag, c.DisableUpgradeMigration, c.UpgradeVersionTag)
			return nil
		}),
	}
}

func operatorAutopilotSetConfig() *Command {
	var b base
	var flags *flag.FlagSet
	var next api.AutopilotConfiguration
	var contact, stable time.Duration
	return &Command{
		Name: "set-config", Short: "Choose what the leader does about the servers", FlagError: "Failed to parse args: ",
		Long: "What no flag speaks of stays as it is.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.server(fs)
			fs.BoolVar(&next.CleanupDeadServers, "cleanup-dead-servers", false, "take servers that are dead out of those that replicate")
			fs.DurationVar(&contact, "last-contact-threshold", 0, "how long a healthy server may not have heard of the leader")
			fs.Uint64Var(&next.MaxTrailingLogs, "max-trailing-logs", 0, "how many log `entries` a healthy server may be behind the leader")
			fs.UintVar(&next.MinQuorum, "min-quorum", 0, "how many `voters` are left when dead ones are removed")
			fs.DurationVar(&stable, "server-stabilization-time", 0, "how long a new server has to be healthy before it votes")
			fs.StringVar(&next.RedundancyZoneTag, "redundancy-zone-tag", "", "node meta `key`; kept, but nothing acts on it")
			fs.BoolVar(&next.DisableUpgradeMigration, "disable-upgrade-migration", false, "kept, but nothing acts on it")
			fs.StringVar(&next.UpgradeVersionTag, "upgrade-version-tag", "", "node meta `key`; kept, but nothing acts on it")
		},
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			config, err := client.Operator().AutopilotGetConfiguration(b.read(ctx))
			if err != nil {
				return complain("Error querying Autopilot configuration: %w", err)
			}
			next.LastContactThreshold, next.ServerStabilizationTime = api.NewReadableDuration(contact), api.NewReadableDuration(stable)
			flags.Visit(func(f *flag.Flag) { choose(config, &next, f.Name) })
			done, err := client.Operator().AutopilotCASConfiguration(config, b.write(ctx))
			switch {
			case err != nil:
				return complain("Error setting Autopilot configuration: %w", err)
			case !done:
				return complain("Configuration could not be atomically updated, please try again")
			}
			fmt.Fprintln(env.Out, "Configuration updated!")
			return nil
		}),
	}
}

// choose takes what a flag speaks of from next.
func choose(config, next *api.AutopilotConfiguration, name string) {
	switch name {
	case "cleanup-dead-servers":
		config.CleanupDeadServers = next.CleanupDeadServers
	case "last-contact-threshold":
		config.LastContactThreshold = next.LastContactThreshold
	case "max-trailing-logs":
		config.MaxTrailingLogs = next.MaxTrailingLogs
	case "min-quorum":
		config.MinQuorum = next.MinQuorum
	case "server-stabilization-time":
		config.ServerStabilizationTime = next.ServerStabilizationTime
	case "redundancy-zone-tag":
		config.RedundancyZoneTag = next.RedundancyZoneTag
	case "disable-upgrade-migration":
		config.DisableUpgradeMigration = next.DisableUpgradeMigration
	case "upgrade-version-tag":
		config.UpgradeVersionTag = next.UpgradeVersionTag
	}
}

func operatorAutopilotState() *Command {
	var b base
	return &Command{
		Name: "state", Short: "Show how healthy the servers are",
		Flags: func(fs *flag.FlagSet) { b.server(fs); b.formatFlag(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			state, err := client.Operator().AutopilotState(b.read(ctx))
			if err != nil {
				return complain("Error querying Autopilot state: %w", err)
			}
			return b.print(env.Out, state, jsonIndent, func(w io.Writer) { writeAutopilotState(w, state) })
		}),
	}
}

func writeAutopilotState(w io.Writer, s *api.AutopilotState) {
	out := block{w, 30}
	out.line("Healthy", s.Healthy)
	out.line("Failure Tolerance", s.FailureTolerance)
	out.line("Optimistic Failure Tolerance", s.OptimisticFailureTolerance)
	out.line("Leader", s.Leader)
	fmt.Fprintf(w, "Voters:\n%s", indent("   ", strings.Join(append(slices.Sorted(slices.Values(s.Voters)), ""), "\n")))
	fmt.Fprint(w, "Servers:\n")
	for _, id := range slices.Sorted(maps.Keys(s.Servers)) {
		var text strings.Builder
		writeAutopilotServer(&text, s.Servers[id])
		fmt.Fprintf(w, "   %s\n%s", id, indent("      ", text.String()))
	}
}

func writeAutopilotServer(w io.Writer, s api.AutopilotServer) {
	out := block{w, 17}
	out.line("Name", s.Name)
	out.line("Address", s.Address)
	out.line("Version", s.Version)
	out.line("Status", s.Status)
	out.line("Node Type", s.NodeType)
	out.line("Node Status", s.NodeStatus)
	out.line("Healthy", s.Healthy)
	out.line("Last Contact", s.LastContact.String())
	out.line("Last Term", s.LastTerm)
	out.line("Last Index", s.LastIndex)
	fmt.Fprint(w, "Meta\n")
	for _, key := range slices.Sorted(maps.Keys(s.Meta)) {
		fmt.Fprintf(w, "   %q: %q\n", key, s.Meta[key])
	}
}
