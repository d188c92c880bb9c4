package cli

import (
	"context"
	"flag"
	"fmt"
)

func join() *Command {
	var b base
	var wan bool
	var partition string
	return &Command{
		Name: "join", Args: "ADDRESS…", Short: "Make the local agent join a cluster",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.BoolVar(&wan, "wan", false, "join the servers of another datacenter")
			fs.StringVar(&partition, "partition", "", "admin `partition` of the agent; also CONSUL_PARTITION")
		},
		Run: func(_ context.Context, env *Env, addrs []string) error {
			if len(addrs) == 0 {
				return misuse("At least one address to join must be specified.")
			}
			b.partition = partition
			client, err := b.open(env)
			if err != nil {
				return err
			}
			joined := 0
			for _, addr := range addrs {
				if err := client.Agent().Join(addr, wan); err != nil {
					fmt.Fprintf(env.Err, "Error joining address '%s': %v\n", addr, err)
					continue
				}
				joined++
			}
			if joined == 0 {
				return complain("Failed to join any nodes.")
			}
			fmt.Fprintf(env.Out, "Successfully joined cluster by contacting %d nodes.\n", joined)
			return nil
		},
	}
}
