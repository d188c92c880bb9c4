package cli

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// exported is a pair in the file that kv export writes and kv import reads.
type exported struct {
	Key       string `json:"key"`
	Flags     uint64 `json:"flags"`
	Value     string `json:"value"` // base64
	Namespace string `json:"namespace,omitempty"`
	Partition string `json:"partition,omitempty"`
}

func kvExport() *Command {
	var c conn
	return &Command{
		Name: "export", Args: "[PREFIX]", Short: "Write all keys with a prefix as JSON",
		Flags: func(fs *flag.FlagSet) { c.kvFlags(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			prefix, err := kvKey(args)
			if err != nil {
				return err
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			pairs, _, err := client.KV().List(prefix, c.read(ctx))
			if err != nil {
				return complain("Error! Failed to query the keys: %w", err)
			}
			out := make([]exported, len(pairs))
			for i, p := range pairs {
				out[i] = exported{p.Key, p.Flags, base64.StdEncoding.EncodeToString(p.Value), p.Namespace, p.Partition}
			}
			text, err := json.MarshalIndent(out, "", "\t")
			if err != nil {
				return complain("Error! Failed to export the keys: %w", err)
			}
			fmt.Fprintln(env.Out, string(text))
			return nil
		},
	}
}

func kvImport() *Command {
	var c conn
	var prefix string
	return &Command{
		Name: "import", Args: "[DATA]", Short: "Write the keys of an export",
		Long: "DATA is JSON as kv export writes it. If it begins with @ it names a file, and - stands for standard input.",
		Flags: func(fs *flag.FlagSet) {
			c.kvFlags(fs)
			fs.StringVar(&prefix, "prefix", "", "`text` to put in front of every key, with a slash between them")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			entries, err := readExport(env, args)
			if err != nil {
				return err
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			for _, e := range entries {
				value, err := base64.StdEncoding.DecodeString(e.Value)
				if err != nil {
					return complain("Error base 64 decoding value for key: %s: %w", e.Key, err)
				}
				pair := &api.KVPair{Key: underPrefix(prefix, e.Key), Flags: e.Flags, Value: value}
				q := c.write(ctx)
				q.Namespace, q.Partition = cmp.Or(c.namespace, e.Namespace), cmp.Or(c.partition, e.Partition)
				if _, err := client.KV().Put(pair, q); err != nil {
					return complain("Error! Failed writing data for key %s: %w", pair.Key, err)
				}
				fmt.Fprintf(env.Out, "Imported: %s\n", pair.Key)
			}
			return nil
		},
	}
}

// underPrefix puts prefix in front of key, with one slash between them.
func underPrefix(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return strings.TrimSuffix(prefix, "/") + "/" + key
}

func readExport(env *Env, args []string) ([]exported, error) {
	switch {
	case len(args) == 0:
		return nil, complain("Error! Missing DATA argument")
	case len(args) > 1:
		return nil, complain("Too many arguments (expected 1, got %d)", len(args))
	}
	data, err := load(env, args[0])
	if err != nil {
		return nil, complain("Error! %w", err)
	}
	var entries []exported
	if err := json.Unmarshal([]byte(data), &entries); err != nil {
		return nil, complain("Cannot unmarshal data: %w", err)
	}
	return entries, nil
}
