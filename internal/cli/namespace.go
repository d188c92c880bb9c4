package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

func namespace() *Command {
	return &Command{
		Name:  "namespace",
		Short: "Manage the namespaces of a partition",
		Sub: []*Command{
			namespaceCreate(), namespaceDelete(), namespaceList(), namespaceRead(), namespaceUpdate(), namespaceWrite(),
		},
	}
}

// namespaceFlags registers what every namespace command takes.
func (b *base) namespaceFlags(fs *flag.FlagSet) {
	b.server(fs)
	b.tenancyPartition(fs)
}

func namespaceRead() *Command {
	var b base
	return &Command{
		Name: "read", Args: "NAME", Short: "Show one namespace",
		Flags: func(fs *flag.FlagSet) { b.namespaceFlags(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: func(ctx context.Context, env *Env, args []string) error {
			name, err := one(args, "the namespace's name")
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			stored, err := readNamespace(client, b.read(ctx), name)
			if err != nil {
				return err
			}
			return b.printNamespace(env, stored)
		},
	}
}

func readNamespace(client *api.Client, q *api.QueryOptions, name string) (*api.Namespace, error) {
	stored, _, err := client.Namespaces().Read(name, q)
	if err != nil {
		return nil, complain("Error reading namespace %q: %w", name, err)
	}
	if stored == nil {
		return nil, complain("No namespace with name %q found", name)
	}
	return stored, nil
}

func namespaceList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all namespaces",
		Flags: func(fs *flag.FlagSet) { b.namespaceFlags(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			list, _, err := client.Namespaces().List(b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the namespace list: %w", err)
			}
			return b.print(env.Out, list, jsonNarrow, func(w io.Writer) {
				for _, n := range list {
					entry(w, n.Name, func(w io.Writer) { writeNamespaceBody(w, n, b.meta) })
				}
				fmt.Fprintln(w)
			})
		}),
	}
}

func namespaceDelete() *Command {
	var b base
	return &Command{
		Name: "delete", Args: "NAME", Short: "Delete a namespace and everything in it",
		Flags: func(fs *flag.FlagSet) { b.namespaceFlags(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			name, err := one(args, "the namespace's name")
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if _, err := client.Namespaces().Delete(name, b.write(ctx)); err != nil {
				return complain("Error deleting namespace %q: %w", name, err)
			}
			fmt.Fprintf(env.Out, "Namespace %q deleted successfully\n", name)
			return nil
		},
	}
}

func (b *base) printNamespace(env *Env, n *api.Namespace) error {
	return b.print(env.Out, n, jsonNarrow, func(w io.Writer) {
		fmt.Fprintf(w, "Name: %s\n", n.Name)
		writeNamespaceBody(w, n, b.meta)
	})
}

// writeNamespaceBody writes everything but the name.
func writeNamespaceBody(w io.Writer, n *api.Namespace, meta bool) {
	if n.Partition != "" {
		fmt.Fprintf(w, "Partition: %s\n", n.Partition)
	}
	writeDescription(w, n.Description)
	if len(n.Meta) > 0 {
		fmt.Fprintln(w, "Meta:")
		for _, key := range slices.Sorted(maps.Keys(n.Meta)) {
			fmt.Fprintf(w, "   %s: %s\n", key, n.Meta[key])
		}
	}
	if n.ACLs != nil && len(n.ACLs.PolicyDefaults)+len(n.ACLs.RoleDefaults) > 0 {
		fmt.Fprintln(w, "ACLs:")
		writeDefaults(w, "Default Policies", n.ACLs.PolicyDefaults)
		writeDefaults(w, "Default Roles", n.ACLs.RoleDefaults)
	}
	if n.DeletedAt != nil {
		fmt.Fprintf(w, "Deleted At: %s\n", n.DeletedAt)
	}
	if meta {
		fmt.Fprintf(w, "Create Index: %d\nModify Index: %d\n", n.CreateIndex, n.ModifyIndex)
	}
}

func writeDefaults(w io.Writer, title string, links []api.ACLLink) {
	if len(links) == 0 {
		return
	}
	fmt.Fprintf(w, "   %s:\n", title)
	for _, l := range links {
		fmt.Fprintf(w, "      %s / %s\n", l.ID, l.Name)
	}
}
