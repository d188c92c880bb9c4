package cli

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/consul/api"
)

func kv() *Command {
	return &Command{
		Name:  "kv",
		Short: "Read and write the key-value store",
		Sub:   []*Command{kvDelete(), kvExport(), kvGet(), kvImport(), kvPut()},
	}
}

// kvFlags registers what every kv command takes.
func (c *conn) kvFlags(fs *flag.FlagSet) {
	c.server(fs)
	c.tenancy(fs)
}

var errNoKV = complain("Error! Missing KEY argument")

// kvKey returns the one argument without one slash at its front.
func kvKey(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", nil
	case 1:
		return strings.TrimPrefix(args[0], "/"), nil
	}
	return "", complain("Too many arguments (expected 1, got %d)", len(args))
}

func kvGet() *Command {
	var c conn
	var show kvShow
	var keys, recurse bool
	var separator string
	return &Command{
		Name: "get", Args: "[KEY]", Short: "Show a key's value, or those of all keys with a prefix",
		Flags: func(fs *flag.FlagSet) {
			c.kvFlags(fs)
			fs.BoolVar(&show.base64, "base64", false, "show values in base64")
			fs.BoolVar(&show.detailed, "detailed", false, "show everything that is stored with a key")
			fs.BoolVar(&keys, "keys", false, "show the keys that begin with KEY, without values")
			fs.BoolVar(&recurse, "recurse", false, "show all keys that begin with KEY")
			fs.StringVar(&separator, "separator", "/", "`text` after which -keys does not go deeper")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			key, err := kvKey(args)
			if err != nil {
				return err
			}
			if key == "" && !keys && !recurse {
				return errNoKV
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			switch {
			case keys:
				return printKeys(env, client, c.read(ctx), key, separator)
			case recurse:
				return printTree(env, client, c.read(ctx), key, show)
			}
			pair, _, err := client.KV().Get(key, c.read(ctx))
			if err != nil {
				return complain("Error querying Consul agent: %w", err)
			}
			if pair == nil {
				return complain("Error! No key exists at: %s", key)
			}
			if show.detailed {
				show.block(env.Out, pair)
				return nil
			}
			fmt.Fprintln(env.Out, show.value(pair))
			return nil
		},
	}
}

func printKeys(env *Env, client *api.Client, q *api.QueryOptions, prefix, separator string) error {
	list, _, err := client.KV().Keys(prefix, separator, q)
	if err != nil {
		return complain("Error querying Consul agent: %w", err)
	}
	for _, key := range list {
		fmt.Fprintln(env.Out, key)
	}
	return nil
}

func printTree(env *Env, client *api.Client, q *api.QueryOptions, prefix string, show kvShow) error {
	pairs, _, err := client.KV().List(prefix, q)
	if err != nil {
		return complain("Error querying Consul agent: %w", err)
	}
	for i, pair := range pairs {
		switch {
		case !show.detailed:
			fmt.Fprintf(env.Out, "%s:%s\n", pair.Key, show.value(pair))
			continue
		case i > 0:
			fmt.Fprintln(env.Out)
		}
		show.block(env.Out, pair)
	}
	return nil
}

// kvShow is how pairs are shown.
type kvShow struct{ base64, detailed bool }

func (s kvShow) value(p *api.KVPair) string {
	if s.base64 {
		return base64.StdEncoding.EncodeToString(p.Value)
	}
	return string(p.Value)
}

func (s kvShow) block(w io.Writer, p *api.KVPair) {
	line := func(label string, value any) { fmt.Fprintf(w, "%-17s%v\n", label, value) }
	line("CreateIndex", p.CreateIndex)
	line("Flags", p.Flags)
	line("Key", p.Key)
	line("LockIndex", p.LockIndex)
	line("ModifyIndex", p.ModifyIndex)
	session := p.Session
	if session == "" {
		session = "-"
	}
	line("Session", session)
	line("Value", s.value(p))
	if p.Namespace != "" {
		line("Namespace", p.Namespace)
	}
	if p.Partition != "" {
		line("Partition", p.Partition)
	}
}
