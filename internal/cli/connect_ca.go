package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

func connectCA() *Command {
	return &Command{
		Name: "ca", Short: "Look at the mesh CA, and configure it",
		Sub: []*Command{connectCAGetConfig(), connectCASetConfig()},
	}
}

func connectCAGetConfig() *Command {
	var b base
	return &Command{
		Name: "get-config", Short: "Show the configuration of the mesh CA as JSON",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			c, _, err := client.Connect().CAGetConfig(b.read(ctx))
			if err != nil {
				return complain("Error querying CA configuration: %w", err)
			}
			text, err := json.MarshalIndent(c, "", "\t")
			if err != nil {
				return complain("Error formatting CA configuration: %w", err)
			}
			fmt.Fprintln(env.Out, string(text))
			return nil
		}),
	}
}

func connectCASetConfig() *Command {
	var b base
	var path string
	var force bool
	return &Command{
		Name: "set-config", Short: "Configure the mesh CA",
		Long: "FILE is JSON as get-config prints it. What it leaves out has its default. Another key, kind of key, certificate or provider " +
			"makes another root: the one before signs it, and stays trusted until nothing that it has signed is in use.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.StringVar(&path, "config-file", "", "`file` with the configuration, or - for standard input")
			fs.BoolVar(&force, "force-without-cross-signing", false, "do not have the root before sign the new one: connections may fail until everybody knows it")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if path == "" {
				return misuse("The -config-file flag is required")
			}
			text, err := loadFile(env, path)
			if err != nil {
				return complain("Error reading config file: %w", err)
			}
			var c api.CAConfig
			dec := json.NewDecoder(strings.NewReader(text))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&c); err != nil {
				return complain("Error parsing config file: %w", err)
			}
			if dec.More() {
				return complain("Error parsing config file: there is something after the configuration")
			}
			c.ForceWithoutCrossSigning = c.ForceWithoutCrossSigning || force
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if _, err := client.Connect().CASetConfig(&c, b.write(ctx)); err != nil {
				return complain("Error setting CA configuration: %w", err)
			}
			fmt.Fprintln(env.Out, "Configuration updated!")
			return nil
		},
	}
}
