package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/consul/api"
)

func aclPolicy() *Command {
	return &Command{
		Name:  "policy",
		Short: "Manage ACL policies: named sets of rules",
		Sub: []*Command{
			aclPolicyCreate(), aclPolicyDelete(), aclPolicyList(), aclPolicyRead(), aclPolicyUpdate(),
		},
	}
}

// policyRef is how a command line names one policy.
type policyRef struct{ id, name string }

func (r *policyRef) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.id, "id", "", "policy's `ID`, or the beginning of it")
	fs.StringVar(&r.name, "name", "", "policy's `name`")
}

// resolve returns the policy's ID.
func (r *policyRef) resolve(client *api.Client, q *api.QueryOptions) (id string, err error) {
	switch {
	case r.id != "":
		id, err = policyID(client, q, r.id)
	case r.name != "":
		id, err = policyIDByName(client, q, r.name)
	default:
		return "", complain("Must specify either the -id or -name parameters")
	}
	if err != nil {
		return "", complain("Error determining policy ID: %w", err)
	}
	return id, nil
}

func aclPolicyRead() *Command {
	var b base
	var ref policyRef
	return &Command{
		Name: "read", Short: "Show one policy",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs); b.metaFlag(fs, "meta"); ref.flags(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			policy, err := readPolicy(client, b.read(ctx), ref)
			if err != nil {
				return err
			}
			return b.print(env.Out, policy, jsonIndent, func(w io.Writer) { writePolicy(w, policy, b.meta) })
		}),
	}
}

func readPolicy(client *api.Client, q *api.QueryOptions, ref policyRef) (*api.ACLPolicy, error) {
	var policy *api.ACLPolicy
	var err error
	asked := ref.id
	if ref.id == "" && ref.name != "" {
		asked = ref.name
		policy, _, err = client.ACL().PolicyReadByName(ref.name, q)
	} else {
		var id string
		if id, err = ref.resolve(client, q); err != nil {
			return nil, err
		}
		policy, _, err = client.ACL().PolicyRead(id, q)
	}
	if err != nil {
		return nil, complain("Error reading policy %q: %w", asked, err)
	}
	if policy == nil {
		return nil, complain("Error policy not found: %s", asked)
	}
	return policy, nil
}

func aclPolicyDelete() *Command {
	var b base
	var ref policyRef
	return &Command{
		Name: "delete", Short: "Delete a policy",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); ref.flags(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			id, err := ref.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			// The client's PolicyDelete loses the text of a refusal.
			if _, err := client.Raw().Delete("/v1/acl/policy/"+id, b.read(ctx)); err != nil {
				return complain("Error deleting policy %q: %w", id, err)
			}
			fmt.Fprintf(env.Out, "Policy %q deleted successfully\n", id)
			return nil
		}),
	}
}

func aclPolicyList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all policies",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			policies, _, err := client.ACL().PolicyList(b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the policy list: %w", err)
			}
			return b.print(env.Out, policies, jsonIndent, func(w io.Writer) {
				for _, p := range policies {
					entry(w, p.Name, func(w io.Writer) { writePolicyEntry(w, p, b.meta) })
				}
			})
		}),
	}
}

const policyWidth = 14

func writePolicy(w io.Writer, p *api.ACLPolicy, meta bool) {
	out := block{w, policyWidth}
	out.line("ID", p.ID)
	out.line("Name", p.Name)
	out.tenancy(p.Partition, p.Namespace)
	out.line("Description", p.Description)
	out.line("Datacenters", strings.Join(p.Datacenters, ", "))
	if meta {
		out.indexes(p.Hash, p.CreateIndex, p.ModifyIndex)
	}
	fmt.Fprintf(w, "Rules:\n%s\n", p.Rules)
}

func writePolicyEntry(w io.Writer, p *api.ACLPolicyListEntry, meta bool) {
	out := block{w, policyWidth}
	out.line("ID", p.ID)
	out.tenancy(p.Partition, p.Namespace)
	out.line("Description", p.Description)
	out.line("Datacenters", strings.Join(p.Datacenters, ", "))
	if meta {
		out.indexes(p.Hash, p.CreateIndex, p.ModifyIndex)
	}
}
