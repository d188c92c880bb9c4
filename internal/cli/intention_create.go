package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

func intentionCreate() *Command {
	var c conn
	var o intentionOptions
	o.meta.sep = "="
	return &Command{
		Name: "create", Args: "SRC DST | -file FILE...", Short: "Create an intention",
		Long: "SRC and DST are names of services, or * for all: name, namespace/name, or partition/namespace/name. " +
			"Without -deny the intention allows connections. With -file the arguments are files, each with one intention in JSON.",
		Flags: func(fs *flag.FlagSet) {
			c.intentionFlags(fs)
			fs.BoolVar(&o.allow, "allow", false, "the intention allows connections; the default")
			fs.BoolVar(&o.deny, "deny", false, "the intention denies connections")
			fs.Var(&o.meta, "meta", "`key=value` of the intention's metadata. May be repeated")
			fs.BoolVar(&o.replace, "replace", false, "replace an intention that is there already")
			fs.BoolVar(&o.file, "file", false, "the arguments are files")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			list, err := o.intentions(env, args)
			if err != nil {
				return err
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			for _, i := range list {
				did, err := o.write(client, i, c.read(ctx), c.write(ctx))
				if err != nil {
					return err
				}
				fmt.Fprintf(env.Out, "%s: %s\n", did, describe(i))
			}
			return nil
		},
	}
}

type intentionOptions struct {
	allow, deny, replace, file bool
	meta                       pairsFlag
}

// intentions returns what the arguments describe.
func (o *intentionOptions) intentions(env *Env, args []string) ([]*api.Intention, error) {
	switch {
	case o.allow && o.deny:
		return nil, complain("Only one of -allow or -deny may be specified.")
	case o.file && len(args) == 0:
		return nil, complain("Error: must specify at least one file")
	case !o.file && len(args) != 2:
		return nil, complain("Error: must specify two arguments: source and destination")
	case !o.file:
		i, err := o.between(args[0], args[1])
		return []*api.Intention{i}, err
	}
	var list []*api.Intention
	for _, path := range args {
		text, err := loadFile(env, path)
		if err != nil {
			return nil, err
		}
		i := &api.Intention{}
		if err := json.Unmarshal([]byte(text), i); err != nil {
			return nil, complain("Error parsing intention file %q: %w", path, err)
		}
		list = append(list, i)
	}
	return list, nil
}

func (o *intentionOptions) between(source, destination string) (*api.Intention, error) {
	from, err := parseEnd(source)
	if err != nil {
		return nil, complain("Invalid intention source: %w", err)
	}
	to, err := parseEnd(destination)
	if err != nil {
		return nil, complain("Invalid intention destination: %w", err)
	}
	i := &api.Intention{
		SourcePartition: from.partition, SourceNS: from.namespace, SourceName: from.name,
		DestinationPartition: to.partition, DestinationNS: to.namespace, DestinationName: to.name,
		SourceType: api.IntentionSourceConsul, Action: api.IntentionActionAllow, Meta: o.meta.pairs,
	}
	if o.deny {
		i.Action = api.IntentionActionDeny
	}
	return i, nil
}

// write creates an intention, or with -replace replaces the one between the same services. It
// returns what it did.
func (o *intentionOptions) write(client *api.Client, i *api.Intention, r *api.QueryOptions, w *api.WriteOptions) (string, error) {
	connect := client.Connect()
	if o.replace {
		old, _, err := connect.IntentionGetExact(argument(i.SourcePartition, i.SourceNS, i.SourceName),
			argument(i.DestinationPartition, i.DestinationNS, i.DestinationName), r)
		if err != nil {
			return "", complain("Error looking up intention for replacement with source %q and destination %q: %w", sourceOf(i), destinationOf(i), err)
		}
		if old != nil {
			i.ID = old.ID
			if i.ID == "" {
				_, err = connect.IntentionUpsert(i, w)
			} else {
				//lint:ignore SA1019 an intention with an ID is reached by that alone
				_, err = connect.IntentionUpdate(i, w)
			}
			if err != nil {
				return "", complain("Error replacing intention %q: %w", describe(i), err)
			}
			return "Replaced", nil
		}
	}
	//lint:ignore SA1019 the other replaces what is there
	if _, _, err := connect.IntentionCreate(i, w); err != nil {
		return "", complain("Error creating intention %q: %w", describe(i), err)
	}
	return "Created", nil
}

// argument is a service as the API's parameters name it.
func argument(partition, namespace, name string) string {
	switch {
	case partition != "":
		return partition + "/" + cmp.Or(namespace, "default") + "/" + name
	case namespace != "":
		return namespace + "/" + name
	}
	return name
}
