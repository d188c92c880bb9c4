package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lictor/lictor/internal/config"
	"github.com/lictor/lictor/internal/configentry"
)

// configGroup is the group of config entries.
func configGroup() *Command {
	return &Command{
		Name: "config", Short: "Read and write config entries",
		Sub: []*Command{configDelete(), configList(), configRead(), configWrite()},
	}
}

// compare is how a write says what it expects to be there.
type compare struct {
	cas   bool
	index uint64
}

func (c *compare) register(fs *flag.FlagSet) {
	fs.BoolVar(&c.cas, "cas", false, "write only if the entry is as -modify-index says")
	fs.Uint64Var(&c.index, "modify-index", 0, "`index` of the entry's last change, with -cas")
}

func (c *compare) query() url.Values {
	if !c.cas {
		return nil
	}
	return url.Values{"cas": {strconv.FormatUint(c.index, 10)}}
}

// entryFile reads the entry in a file, or on standard input for "-".
func entryFile(env *Env, path string) (*configentry.Entry, error) {
	text, err := loadFile(env, path)
	if err != nil {
		return nil, complain("Failed to load data: %w", err)
	}
	entry, err := config.EntryText([]byte(text))
	if err != nil {
		return nil, complain("Failed to decode config entry input: %w", err)
	}
	if entry.Kind == configentry.KindMesh {
		entry.Name = cmp.Or(entry.Name, configentry.MeshName)
	}
	return entry, nil
}

func configWrite() *Command {
	var b base
	var c compare
	return &Command{
		Name: "write", Args: "FILE|-", Short: "Create or replace a config entry",
		Long: "FILE holds one entry, in HCL or JSON, with keys in CamelCase or snake_case. With -cas and no -modify-index the entry " +
			"is written only if there is none yet.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			c.register(fs)
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if len(args) != 1 {
				return misuse("Must provide exactly one positional argument to specify the config entry to write")
			}
			entry, err := entryFile(env, args[0])
			if err != nil {
				return err
			}
			name := fmt.Sprintf("%s/%s", entry.Kind, entry.Name)
			done := false
			_, err = b.raw(ctx, env, call{method: http.MethodPut, path: "/v1/config", query: c.query(), body: entry.View()}, &done)
			switch {
			case err != nil:
				return complain("Error writing config entry %s: %w", name, err)
			case !done:
				return complain("Config entry not updated: %s", name)
			}
			fmt.Fprintf(env.Out, "Config entry written: %s\n", name)
			return nil
		},
	}
}

func configRead() *Command {
	var b base
	var kind, name string
	return &Command{
		Name: "read", Short: "Show a config entry as JSON",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.StringVar(&kind, "kind", "", "`kind` of the entry")
			fs.StringVar(&name, "name", "", "`name` of the entry")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch "" {
			case kind:
				return misuse("Must specify the -kind parameter")
			case name:
				return misuse("Must specify the -name parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			entry, _, err := client.ConfigEntries().Get(kind, name, b.conn.read(ctx))
			if err != nil {
				return complain("Error reading config entry %s/%s: %w", kind, name, err)
			}
			text, err := json.MarshalIndent(entry, "", "    ")
			if err != nil {
				return complain("Failed to encode output data: %w", err)
			}
			fmt.Fprintln(env.Out, string(text))
			return nil
		},
	}
}

func configList() *Command {
	var b base
	var kind string
	return &Command{
		Name: "list", Short: "List the names of the config entries of a kind",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			fs.StringVar(&kind, "kind", "", "`kind` of the entries")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if kind == "" {
				return misuse("Must specify the -kind parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			list, _, err := client.ConfigEntries().List(kind, b.conn.read(ctx))
			if err != nil {
				return complain("Error listing config entries for kind %q: %w", kind, err)
			}
			for _, entry := range list {
				fmt.Fprintln(env.Out, entry.GetName())
			}
			return nil
		},
	}
}

func configDelete() *Command {
	var b base
	var c compare
	var kind, name, file string
	return &Command{
		Name: "delete", Short: "Delete a config entry",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			b.tenancy(fs)
			c.register(fs)
			fs.StringVar(&kind, "kind", "", "`kind` of the entry")
			fs.StringVar(&name, "name", "", "`name` of the entry")
			fs.StringVar(&file, "filename", "", "`file` with an entry, in place of -kind and -name")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch {
			case file != "" && cmp.Or(kind, name) != "":
				return misuse("filename can't be used with kind or name")
			case file == "" && kind == "":
				return misuse("Must specify the -kind or -filename parameter")
			case file == "" && name == "":
				return misuse("Must specify the -name parameter")
			case c.cas && c.index == 0:
				return misuse("Must specify a -modify-index greater than 0 with -cas")
			case !c.cas && c.index > 0:
				return misuse("Cannot specify -modify-index without -cas")
			}
			if file != "" {
				entry, err := entryFile(env, file)
				if err != nil {
					return err
				}
				kind, name = string(entry.Kind), entry.Name
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			entries, done := client.ConfigEntries(), true
			if c.cas {
				done, _, err = entries.DeleteCAS(kind, name, c.index, b.write(ctx))
			} else {
				_, err = entries.Delete(kind, name, b.write(ctx))
			}
			switch {
			case err != nil:
				return complain("Error deleting config entry %s/%s: %w", kind, name, err)
			case !done:
				return complain("Config entry not deleted: %s/%s", kind, name)
			}
			fmt.Fprintf(env.Out, "Config entry deleted: %s/%s\n", kind, name)
			return nil
		},
	}
}
