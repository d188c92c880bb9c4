package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

// policyBody holds the flags that say what is in a policy.
type policyBody struct {
	description, rules string
	datacenters        listFlag
}

func (p *policyBody) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.description, "description", "", "what the policy is for, in your own `words`")
	fs.StringVar(&p.rules, "rules", "", "the `rules` in HCL or JSON; @file reads a file and - standard input")
	fs.Var(&p.datacenters, "valid-datacenter", "`datacenter` that the policy applies in; repeat for more, without it all")
}

func aclPolicyCreate() *Command {
	var b base
	var name string
	var body policyBody
	return &Command{
		Name: "create", Short: "Create a policy",
		Long: "A policy's rules say what a token linked to it may do:\n\n" +
			"  consul acl policy create -name web-read -rules 'service \"web\" { policy = \"read\" }'",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "policy's `name` (required)")
			body.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return misuse("Missing required '-name' flag")
			}
			rules, err := load(env, body.rules)
			if err != nil {
				return complain("Error loading rules: %w", err)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{
				Name: name, Description: body.description, Rules: rules, Datacenters: body.datacenters,
			}, b.write(ctx))
			if err != nil {
				return complain("Failed to create new policy: %w", err)
			}
			return b.print(env.Out, policy, jsonIndent, func(w io.Writer) { writePolicy(w, policy, b.meta) })
		},
	}
}
