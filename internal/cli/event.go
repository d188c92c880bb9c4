package cli

import (
	"context"
	"flag"
	"fmt"
	"regexp"

	"github.com/hashicorp/consul/api"
)

func eventCommand() *Command {
	var b base
	var e api.UserEvent
	return &Command{
		Name: "event", Args: "[PAYLOAD]", Short: "Fire a user event",
		Long: "Gossip brings the event to the agents of the default partition that the filters select, best effort. " +
			"A watch of type event sees it there. The payload may have 512 bytes.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.StringVar(&e.Name, "name", "", "`name` of the event (required)")
			fs.StringVar(&e.NodeFilter, "node", "", "`regexp` over the names of nodes that the event is for")
			fs.StringVar(&e.ServiceFilter, "service", "", "`regexp` over the services of nodes that the event is for")
			fs.StringVar(&e.TagFilter, "tag", "", "`regexp` over the tags of those services; needs -service")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := checkEvent(&e, args); err != nil {
				return err
			}
			if len(args) == 1 {
				e.Payload = []byte(args[0])
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			id, _, err := client.Event().Fire(&e, b.write(ctx))
			if err != nil {
				return complain("Error firing event: %w", err)
			}
			fmt.Fprintf(env.Out, "Event ID: %s\n", id)
			return nil
		},
	}
}

// checkEvent finds out before anything is sent what cannot be fired.
func checkEvent(e *api.UserEvent, args []string) error {
	switch {
	case e.Name == "":
		return misuse("Event name must be specified")
	case e.TagFilter != "" && e.ServiceFilter == "":
		return misuse("-tag needs -service")
	case len(args) > 1:
		return misuse("Too many command line arguments.")
	}
	for _, f := range []struct{ what, text string }{{"node", e.NodeFilter}, {"service", e.ServiceFilter}, {"tag", e.TagFilter}} {
		if _, err := regexp.Compile(f.text); err != nil {
			return complain("Failed to compile %s filter regexp: %w", f.what, err)
		}
	}
	return nil
}
