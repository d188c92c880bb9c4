package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"

	"github.com/lictor/lictor/internal/local"
)

func servicesDeregister() *Command {
	var b base
	var id string
	return &Command{
		Name: "deregister", Args: "[FILE...]", Short: "Deregister services from the agent",
		Long: "The services are those of files, as they were registered, or the one whose ID is given. Only services of this agent can be deregistered.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.StringVar(&id, "id", "", "`ID` of the service")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) == 0 && id == "":
				return complain("Service deregistration requires at least one argument or -id.")
			case len(args) > 0 && id != "":
				return complain("Service deregistration requires arguments or -id, not both.")
			}
			list, err := serviceFiles(env, args)
			if err != nil {
				return err
			}
			if id != "" {
				list = []local.ServiceDefinition{{ID: id}}
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			for _, s := range list {
				id := cmp.Or(s.ID, s.Name)
				q := b.read(ctx)
				q.Namespace, q.Partition, q.Token = s.Namespace, s.Partition, s.Token.Reveal()
				if err := client.Agent().ServiceDeregisterOpts(id, q); err != nil {
					return complain("Error deregistering service %q: %w", s.Name, err)
				}
				fmt.Fprintf(env.Out, "Deregistered service: %s\n", id)
			}
			return nil
		},
	}
}
