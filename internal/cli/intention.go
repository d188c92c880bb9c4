package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/tenancy"
)

func intention() *Command {
	return &Command{
		Name: "intention", Short: "Say who may connect to whom in the service mesh",
		Sub: []*Command{intentionCheck(), intentionCreate(), intentionDelete(), intentionGet(), intentionList(), intentionMatch()},
	}
}

// exitCheckFailed is the exit code of a check that gives no answer; 1 is Denied.
const exitCheckFailed = 2

func (c *conn) intentionFlags(fs *flag.FlagSet) {
	c.server(fs)
	c.tenancy(fs)
}

// end is a service as an argument names it: name, namespace/name or partition/namespace/name.
type end struct{ partition, namespace, name string }

func parseEnd(arg string) (end, error) {
	parts := strings.Split(arg, "/")
	if len(parts) > 3 {
		return end{}, complain("%q can contain at most two '/'", arg)
	}
	parts = append(make([]string, 3-len(parts)), parts...)
	return end{parts[0], parts[1], parts[2]}, nil
}

func intentionCheck() *Command {
	var c conn
	return &Command{
		Name: "check", Args: "SRC DST", Short: "Say whether a connection between two services is allowed",
		Long:  "The exit code is 0 if it is allowed, 1 if it is denied, and 2 if that could not be found out. An intention with permissions, which decides by request, does not allow the connection as a whole.",
		Flags: c.intentionFlags,
		Run: func(ctx context.Context, env *Env, args []string) error {
			allowed, err := c.mayConnect(ctx, env, args)
			if err != nil {
				fmt.Fprintln(env.Err, err)
				return ExitCode(exitCheckFailed)
			}
			if !allowed {
				fmt.Fprintln(env.Out, "Denied")
				return ExitCode(exitFailure)
			}
			fmt.Fprintln(env.Out, "Allowed")
			return nil
		},
	}
}

func (c *conn) mayConnect(ctx context.Context, env *Env, args []string) (bool, error) {
	if len(args) != 2 {
		return false, complain("Error: command requires exactly two arguments: src and dst")
	}
	client, err := c.open(env)
	if err != nil {
		return false, err
	}
	allowed, _, err := client.Connect().IntentionCheck(&api.IntentionCheck{
		Source: args[0], Destination: args[1], SourceType: api.IntentionSourceConsul,
	}, c.read(ctx))
	if err != nil {
		return false, complain("Error checking the connection: %w", err)
	}
	return allowed, nil
}

func intentionList() *Command {
	var c base
	return &Command{
		Name: "list", Short: "List intentions, in the order in which they count", Flags: c.intentionFlags,
		Run: c.callingAlone(func(ctx context.Context, env *Env, client *api.Client) error {
			list, _, err := client.Connect().Intentions(c.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the intentions list: %w", err)
			}
			if len(list) == 0 {
				fmt.Fprintln(env.Err, "There are no intentions.")
				return nil
			}
			table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ID\tSource\tAction\tDestination\tPrecedence")
			for _, i := range list {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", i.ID, sourceOf(i), intentionAction(i), destinationOf(i), i.Precedence)
			}
			return table.Flush()
		}),
	}
}

// sourceOf and destinationOf are the ends of an intention, with what is not the default before the name.
func sourceOf(i *api.Intention) string { return endOf(i.SourcePartition, i.SourceNS, i.SourceName) }

func destinationOf(i *api.Intention) string {
	return endOf(i.DestinationPartition, i.DestinationNS, i.DestinationName)
}

func endOf(partition, namespace, name string) string {
	namespace = cmp.Or(namespace, api.IntentionDefaultNamespace)
	switch {
	case partition != "" && partition != tenancy.DefaultName:
		return partition + "/" + namespace + "/" + name
	case namespace != api.IntentionDefaultNamespace:
		return namespace + "/" + name
	}
	return name
}

// describe is an intention in a line.
func describe(i *api.Intention) string {
	return fmt.Sprintf("%s => %s (%s)", sourceOf(i), destinationOf(i), intentionAction(i))
}

// intentionAction is what an intention does, in a word.
func intentionAction(i *api.Intention) string {
	switch n := len(i.Permissions); n {
	case 0:
		return string(i.Action)
	case 1:
		return "1 permission"
	default:
		return fmt.Sprintf("%d permissions", n)
	}
}

func intentionMatch() *Command {
	var c conn
	var source, destination bool
	return &Command{
		Name: "match", Args: "NAME", Short: "List the intentions about a service, in the order in which they count",
		Flags: func(fs *flag.FlagSet) {
			c.intentionFlags(fs)
			fs.BoolVar(&source, "source", false, "those about connections that the service makes")
			fs.BoolVar(&destination, "destination", false, "those about connections to the service; the default")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) != 1:
				return complain("Error: command requires exactly one argument: src or dst")
			case source && destination:
				return complain("Error: only one of -source or -destination may be specified")
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			by := api.IntentionMatchDestination
			if source {
				by = api.IntentionMatchSource
			}
			found, _, err := client.Connect().IntentionMatch(&api.IntentionMatch{By: by, Names: args}, c.read(ctx))
			if err != nil {
				return complain("Error matching the connection: %w", err)
			}
			for _, i := range found[args[0]] {
				fmt.Fprintln(env.Out, describe(i))
			}
			return nil
		},
	}
}

func intentionGet() *Command {
	var c conn
	return &Command{
		Name: "get", Args: "SRC DST | ID", Short: "Show an intention", Flags: c.intentionFlags,
		Run: func(ctx context.Context, env *Env, args []string) error {
			client, err := c.open(env)
			if err != nil {
				return err
			}
			i, err := findIntention(client, args, c.read(ctx))
			if err != nil {
				return err
			}
			showIntention(env.Out, i)
			return nil
		},
	}
}

// findIntention returns the intention that arguments name: by its ends, or by its ID.
func findIntention(client *api.Client, args []string, q *api.QueryOptions) (i *api.Intention, err error) {
	missing := ""
	switch len(args) {
	case 1:
		//lint:ignore SA1019 an intention with an ID is reached by that alone
		i, _, err = client.Connect().IntentionGet(args[0], q)
		missing = fmt.Sprintf("ID %q", args[0])
	case 2:
		i, _, err = client.Connect().IntentionGetExact(args[0], args[1], q)
		missing = fmt.Sprintf("source %q and destination %q", args[0], args[1])
	default:
		return nil, complain("Error: command requires exactly 1 or 2 arguments: the ID, or the source and the destination")
	}
	switch {
	case err != nil:
		return nil, complain("Error: %w", err)
	case i == nil:
		return nil, complain("Intention not found with %s", missing)
	}
	return i, nil
}

func showIntention(w io.Writer, i *api.Intention) {
	line := func(label string, value any) { fmt.Fprintf(w, "%-13s %v\n", label+":", value) }
	line("Source", sourceOf(i))
	line("Destination", destinationOf(i))
	line("Action", intentionAction(i))
	if i.ID != "" {
		line("ID", i.ID)
	}
	if i.Description != "" {
		line("Description", i.Description)
	}
	for _, key := range slices.Sorted(maps.Keys(i.Meta)) {
		line("Meta["+key+"]", i.Meta[key])
	}
	if !i.CreatedAt.IsZero() {
		line("Created At", i.CreatedAt.UTC().Format(time.RFC850))
	}
}

func intentionDelete() *Command {
	var c conn
	return &Command{
		Name: "delete", Args: "SRC DST | ID", Short: "Delete an intention", Flags: c.intentionFlags,
		Run: func(ctx context.Context, env *Env, args []string) error {
			client, err := c.open(env)
			if err != nil {
				return err
			}
			switch len(args) {
			case 1:
				//lint:ignore SA1019 an intention with an ID is reached by that alone
				_, err = client.Connect().IntentionDelete(args[0], c.write(ctx))
			case 2:
				_, err = client.Connect().IntentionDeleteExact(args[0], args[1], c.write(ctx))
			default:
				return complain("Error: command requires exactly 1 or 2 arguments: the ID, or the source and the destination")
			}
			if err != nil {
				return complain("Error deleting the intention: %w", err)
			}
			fmt.Fprintln(env.Out, "Intention deleted.")
			return nil
		},
	}
}
