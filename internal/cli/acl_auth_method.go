package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
)

func aclAuthMethod() *Command {
	return &Command{
		Name:  "auth-method",
		Short: "Manage auth methods: who may log in, and how it is proven",
		Sub: []*Command{
			aclAuthMethodCreate(), aclAuthMethodDelete(), aclAuthMethodExplain(awsiam.NewBearerToken), aclAuthMethodList(), aclAuthMethodRead(), aclAuthMethodUpdate(),
		},
	}
}

func aclAuthMethodRead() *Command {
	var b base
	var name string
	return &Command{
		Name: "read", Short: "Show one auth method",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "auth method's `name` (required)")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return complain("Must specify the -name parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			method, err := readAuthMethod(client, b.read(ctx), name)
			if err != nil {
				return err
			}
			return b.print(env.Out, method, jsonIndent, func(w io.Writer) { writeAuthMethod(w, method, b.meta) })
		},
	}
}

func readAuthMethod(client *api.Client, q *api.QueryOptions, name string) (*api.ACLAuthMethod, error) {
	method, _, err := client.ACL().AuthMethodRead(name, q)
	if err != nil {
		return nil, complain("Error reading auth method %q: %w", name, err)
	}
	if method == nil {
		return nil, complain("Auth method not found with name %q", name)
	}
	return method, nil
}

func aclAuthMethodDelete() *Command {
	var b base
	var name string
	return &Command{
		Name: "delete", Short: "Delete an auth method, its binding rules and the tokens of its logins",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			fs.StringVar(&name, "name", "", "auth method's `name` (required)")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return complain("Must specify the -name parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if _, err := client.ACL().AuthMethodDelete(name, b.write(ctx)); err != nil {
				return complain("Error deleting auth method %q: %w", name, err)
			}
			fmt.Fprintf(env.Out, "Auth method %q deleted successfully\n", name)
			return nil
		},
	}
}

func aclAuthMethodList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all auth methods",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			methods, _, err := client.ACL().AuthMethodList(b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the auth method list: %w", err)
			}
			return b.print(env.Out, methods, jsonIndent, func(w io.Writer) {
				for _, m := range methods {
					entry(w, m.Name, func(w io.Writer) { writeAuthMethodEntry(w, m, b.meta) })
				}
			})
		}),
	}
}

const (
	authMethodWidth      = 15
	authMethodEntryWidth = 14
)

func writeAuthMethod(w io.Writer, m *api.ACLAuthMethod, meta bool) {
	out := block{w, authMethodWidth}
	out.line("Name", m.Name)
	out.tenancy(m.Partition, m.Namespace)
	out.line("Type", m.Type)
	out.lineIf("DisplayName", m.DisplayName)
	out.line("Description", m.Description)
	if m.MaxTokenTTL != 0 {
		out.line("MaxTokenTTL", m.MaxTokenTTL)
	}
	out.lineIf("TokenLocality", m.TokenLocality)
	out.lineIf("TokenNameFormat", m.TokenNameFormat)
	if meta {
		out.indexes(nil, m.CreateIndex, m.ModifyIndex)
	}
	if len(m.NamespaceRules) > 0 {
		fmt.Fprintln(w, "NamespaceRules:")
		for _, r := range m.NamespaceRules {
			fmt.Fprintf(w, "   Selector:      %s\n   BindNamespace: %s\n", r.Selector, r.BindNamespace)
		}
	}
	// The map came out of JSON and goes back.
	config, _ := json.MarshalIndent(m.Config, "", "  ")
	fmt.Fprintf(w, "Config:\n%s\n", config)
}

func writeAuthMethodEntry(w io.Writer, m *api.ACLAuthMethodListEntry, meta bool) {
	out := block{w, authMethodEntryWidth}
	out.tenancy(m.Partition, m.Namespace)
	out.line("Type", m.Type)
	out.lineIf("DisplayName", m.DisplayName)
	out.line("Description", m.Description)
	if meta {
		out.indexes(nil, m.CreateIndex, m.ModifyIndex)
	}
}
