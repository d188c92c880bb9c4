package cli

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclBindingRule() *Command {
	return &Command{
		Name:  "binding-rule",
		Short: "Manage binding rules: what a login is granted",
		Sub: []*Command{
			aclBindingRuleCreate(), aclBindingRuleDelete(), aclBindingRuleList(), aclBindingRuleRead(), aclBindingRuleUpdate(),
		},
	}
}

// resolveRule returns the full ID of the rule that prefix begins.
func resolveRule(client *api.Client, q *api.QueryOptions, prefix string) (string, error) {
	id, err := bindingRuleID(client, q, prefix)
	if err != nil {
		return "", complain("Error determining binding rule ID: %w", err)
	}
	return id, nil
}

func readBindingRule(client *api.Client, q *api.QueryOptions, id string) (*api.ACLBindingRule, error) {
	rule, _, err := client.ACL().BindingRuleRead(id, q)
	if err != nil {
		return nil, complain("Error reading binding rule %q: %w", id, err)
	}
	if rule == nil {
		return nil, complain("Binding rule not found with ID %q", id)
	}
	return rule, nil
}

func aclBindingRuleRead() *Command {
	var b base
	var id string
	return &Command{
		Name: "read", Short: "Show one binding rule",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&id, "id", "", "rule's `ID`, or the beginning of it (required)")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if id == "" {
				return complain("Must specify the -id parameter.")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			full, err := resolveRule(client, b.read(ctx), id)
			if err != nil {
				return err
			}
			rule, err := readBindingRule(client, b.read(ctx), full)
			if err != nil {
				return err
			}
			return b.print(env.Out, rule, jsonIndent, func(w io.Writer) { writeBindingRule(w, rule, b.meta) })
		},
	}
}

func aclBindingRuleDelete() *Command {
	var b base
	var id string
	return &Command{
		Name: "delete", Short: "Delete a binding rule",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			fs.StringVar(&id, "id", "", "rule's `ID`, or the beginning of it (required)")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if id == "" {
				return complain("Must specify the -id parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			full, err := resolveRule(client, b.read(ctx), id)
			if err != nil {
				return err
			}
			if _, err := client.ACL().BindingRuleDelete(full, b.write(ctx)); err != nil {
				return complain("Error deleting binding rule %q: %w", full, err)
			}
			fmt.Fprintf(env.Out, "Binding rule %q deleted successfully\n", full)
			return nil
		},
	}
}

func aclBindingRuleList() *Command {
	var b base
	var method string
	return &Command{
		Name: "list", Short: "List all binding rules",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&method, "method", "", "list only the rules of the auth method of this `name`")
		},
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			rules, _, err := client.ACL().BindingRuleList(method, b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the binding rule list: %w", err)
			}
			return b.print(env.Out, rules, jsonIndent, func(w io.Writer) {
				for _, r := range rules {
					entry(w, r.ID, func(w io.Writer) { writeBindingRuleBody(w, r, b.meta) })
				}
			})
		}),
	}
}

const bindingRuleWidth = 14

func writeBindingRule(w io.Writer, r *api.ACLBindingRule, meta bool) {
	block{w, bindingRuleWidth}.line("ID", r.ID)
	writeBindingRuleBody(w, r, meta)
	fmt.Fprintln(w)
}

// writeBindingRuleBody writes everything but the ID.
func writeBindingRuleBody(w io.Writer, r *api.ACLBindingRule, meta bool) {
	out := block{w, bindingRuleWidth}
	out.tenancy(r.Partition, r.Namespace)
	out.line("AuthMethod", r.AuthMethod)
	out.line("Description", r.Description)
	out.line("BindType", r.BindType)
	out.line("BindName", r.BindName)
	if r.BindVars != nil {
		fmt.Fprintf(w, "BindVars:\n   - Name: %s\n", r.BindVars.Name)
	}
	out.line("Selector", r.Selector)
	if meta {
		out.indexes(nil, r.CreateIndex, r.ModifyIndex)
	}
}
