package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclPolicyUpdate() *Command {
	var b base
	var ref policyRef
	var body policyBody
	var noMerge bool
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a policy",
		Long: "What is not mentioned stays as it is, unless -no-merge is given.\nWith both -id and -name, the policy is renamed.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			ref.flags(fs)
			body.flags(fs)
			fs.BoolVar(&noMerge, "no-merge", false, "replace the whole policy by what the flags say")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			rules, err := load(env, body.rules)
			if err != nil {
				return complain("Error loading rules: %w", err)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			id, err := ref.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			policy := &api.ACLPolicy{
				ID: id, Name: ref.name, Description: body.description, Rules: rules, Datacenters: body.datacenters,
			}
			if !noMerge {
				stored, err := readPolicy(client, b.read(ctx), policyRef{id: id})
				if err != nil {
					return err
				}
				policy = mergePolicy(flags, stored, policy)
			}
			policy, _, err = client.ACL().PolicyUpdate(policy, b.write(ctx))
			if err != nil {
				return complain("Error updating policy %q: %w", id, err)
			}
			return b.print(env.Out, policy, jsonIndent, func(w io.Writer) { writePolicy(w, policy, b.meta) })
		},
	}
}

// mergePolicy returns stored with what the command line mentions taken from wanted.
func mergePolicy(fs *flag.FlagSet, stored, wanted *api.ACLPolicy) *api.ACLPolicy {
	merged := *stored
	if wanted.Name != "" {
		merged.Name = wanted.Name
	}
	if given(fs, "description") {
		merged.Description = wanted.Description
	}
	if given(fs, "rules") {
		merged.Rules = wanted.Rules
	}
	if given(fs, "valid-datacenter") {
		merged.Datacenters = wanted.Datacenters
	}
	return &merged
}
