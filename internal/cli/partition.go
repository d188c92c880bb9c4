package cli

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/hashicorp/consul/api"
)

func partition() *Command {
	return &Command{
		Name:  "partition",
		Short: "Manage admin partitions",
		Sub: []*Command{
			partitionCreate(), partitionDelete(), partitionList(), partitionRead(), partitionUpdate(), partitionWrite(),
		},
	}
}

// one returns the only positional argument of a command that takes one.
func one(args []string, what string) (string, error) {
	if len(args) != 1 || args[0] == "" {
		return "", misuse("Must specify exactly one argument: %s", what)
	}
	return args[0], nil
}

func partitionCreate() *Command {
	var b base
	var wanted api.Partition
	return &Command{
		Name: "create", Short: "Create a partition",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "show-meta")
			fs.StringVar(&wanted.Name, "name", "", "partition's `name` (required)")
			fs.StringVar(&wanted.Description, "description", "", "what the partition is for, in your own `words`")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if wanted.Name == "" {
				return misuse("Missing required '-name' flag")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			created, _, err := client.Partitions().Create(ctx, &wanted, b.write(ctx))
			if err != nil {
				return complain("Error creating partition %q: %w", wanted.Name, err)
			}
			return b.printPartition(env, created)
		},
	}
}

func partitionUpdate() *Command {
	var b base
	var wanted api.Partition
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a partition",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.server(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "show-meta")
			fs.StringVar(&wanted.Name, "name", "", "partition's `name` (required)")
			fs.StringVar(&wanted.Description, "description", "", "what the partition is for, in your own `words`")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if wanted.Name == "" {
				return misuse("Missing required '-name' flag")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			stored, err := readPartition(ctx, &b, client, wanted.Name)
			if err != nil {
				return err
			}
			wanted.DisableGossip = stored.DisableGossip
			if !given(flags, "description") {
				wanted.Description = stored.Description
			}
			updated, _, err := client.Partitions().Update(ctx, &wanted, b.write(ctx))
			if err != nil {
				return complain("Error updating partition %q: %w", wanted.Name, err)
			}
			return b.printPartition(env, updated)
		},
	}
}

func partitionWrite() *Command {
	var b base
	return &Command{
		Name: "write", Args: "FILE|-", Short: "Create or replace a partition from a file",
		Long: "The file is HCL or JSON with the keys Name and Description; - is standard input.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "show-meta")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			path, err := one(args, "the file to read, or - for standard input")
			if err != nil {
				return err
			}
			text, err := loadFile(env, path)
			if err != nil {
				return complain("Error loading partition: %w", err)
			}
			wanted, err := parsePartition(text)
			if err != nil {
				return complain("Failed to decode partition: %w", err)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			written, _, err := client.Partitions().Update(ctx, wanted, b.write(ctx))
			if err != nil {
				return complain("Error writing partition %q: %w", wanted.Name, err)
			}
			return b.printPartition(env, written)
		},
	}
}

// parsePartition reads a partition in HCL or JSON. It takes what a read prints.
func parsePartition(text string) (*api.Partition, error) {
	var file struct {
		Name, Description string
		DisableGossip     bool
		readOnly
	}
	if err := decodeFile(text, &file); err != nil {
		return nil, err
	}
	return &api.Partition{Name: file.Name, Description: file.Description, DisableGossip: file.DisableGossip}, nil
}

// readOnly are the fields of a stored object that a file may repeat.
type readOnly struct {
	CreateIndex, ModifyIndex uint64
	DeletedAt                string
	DeletedAtSnake           string `json:"deleted_at"`
}

func partitionRead() *Command {
	var b base
	return &Command{
		Name: "read", Args: "NAME", Short: "Show one partition",
		Flags: func(fs *flag.FlagSet) { b.server(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: func(ctx context.Context, env *Env, args []string) error {
			name, err := one(args, "the partition's name")
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			stored, err := readPartition(ctx, &b, client, name)
			if err != nil {
				return err
			}
			return b.printPartition(env, stored)
		},
	}
}

func readPartition(ctx context.Context, b *base, client *api.Client, name string) (*api.Partition, error) {
	stored, _, err := client.Partitions().Read(ctx, name, b.read(ctx))
	if err != nil {
		return nil, complain("Error reading partition %q: %w", name, err)
	}
	if stored == nil {
		return nil, complain("No partition with name %q found", name)
	}
	return stored, nil
}

func partitionList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all partitions",
		Flags: func(fs *flag.FlagSet) { b.server(fs); b.formatFlag(fs); b.metaFlag(fs, "show-meta") },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			list, _, err := client.Partitions().List(ctx, b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the partition list: %w", err)
			}
			return b.print(env.Out, list, jsonNarrow, func(w io.Writer) {
				for _, p := range list {
					entry(w, p.Name, func(w io.Writer) { writePartitionBody(w, p, b.meta) })
				}
				fmt.Fprintln(w)
			})
		}),
	}
}

func partitionDelete() *Command {
	var b base
	return &Command{
		Name: "delete", Args: "NAME", Short: "Delete a partition and everything in it",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			name, err := one(args, "the partition's name")
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if _, err := client.Partitions().Delete(ctx, name, b.write(ctx)); err != nil {
				return complain("Error deleting partition %q: %w", name, err)
			}
			fmt.Fprintf(env.Out, "Partition %q deleted successfully\n", name)
			return nil
		},
	}
}

func (b *base) printPartition(env *Env, p *api.Partition) error {
	return b.print(env.Out, p, jsonNarrow, func(w io.Writer) {
		fmt.Fprintf(w, "Name: %s\n", p.Name)
		writePartitionBody(w, p, b.meta)
	})
}

// writePartitionBody writes everything but the name.
func writePartitionBody(w io.Writer, p *api.Partition, meta bool) {
	writeDescription(w, p.Description)
	if p.DeletedAt != nil {
		fmt.Fprintf(w, "Deleted At: %s\n", p.DeletedAt)
	}
	if meta {
		fmt.Fprintf(w, "Create Index: %d\nModify Index: %d\n", p.CreateIndex, p.ModifyIndex)
	}
}

// writeDescription writes text as an indented block under its label.
func writeDescription(w io.Writer, text string) {
	fmt.Fprintln(w, "Description:")
	if text != "" {
		fmt.Fprint(w, indent("   ", text+"\n"))
	}
}
