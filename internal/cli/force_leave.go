package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/consul/api"
)

func forceLeave() *Command {
	var b base
	var opts api.ForceLeaveOpts
	var partition string
	return &Command{
		Name: "force-leave", Args: "NODE", Short: "Make a failed agent one that has left",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.BoolVar(&opts.Prune, "prune", false, "remove it from the list of members at once")
			fs.BoolVar(&opts.WAN, "wan", false, "the name is a server's and ends in its datacenter, as members -wan shows it")
			fs.StringVar(&partition, "partition", "", "admin `partition` of the agent; also CONSUL_PARTITION")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if len(args) != 1 {
				return misuse("A single node name must be specified to force leave.")
			}
			b.partition = partition
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if err := client.Agent().ForceLeaveOptions(args[0], opts, b.read(ctx)); err != nil {
				return complain("Error force leaving: %w", err)
			}
			return nil
		},
	}
}
