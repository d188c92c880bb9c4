package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

func aclBindingRuleUpdate() *Command {
	var b base
	var id string
	var noMerge bool
	var body bindingRuleBody
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a binding rule",
		Long: "What is not mentioned stays as it is, unless -no-merge is given.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&id, "id", "", "rule's `ID`, or the beginning of it (required)")
			fs.BoolVar(&noMerge, "no-merge", false, "replace the whole rule by what the flags say")
			body.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if id == "" {
				return complain("Cannot update a binding rule without specifying the -id parameter")
			}
			wanted, err := body.rule()
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			full, err := resolveRule(client, b.read(ctx), id)
			if err != nil {
				return err
			}
			stored, err := readBindingRule(client, b.read(ctx), full)
			if err != nil {
				return err
			}
			wanted.ID, wanted.AuthMethod = stored.ID, stored.AuthMethod
			if !noMerge {
				wanted = mergeBindingRule(flags, stored, wanted)
			}
			updated, _, err := client.ACL().BindingRuleUpdate(wanted, b.write(ctx))
			if err != nil {
				return complain("Error updating binding rule %q: %w", full, err)
			}
			return b.print(env.Out, updated, jsonIndent, func(w io.Writer) { writeBindingRule(w, updated, b.meta) })
		},
	}
}

// mergeBindingRule returns stored with what the command line mentions taken
// from wanted. The default of -bind-type is not a mention.
func mergeBindingRule(fs *flag.FlagSet, stored, wanted *api.ACLBindingRule) *api.ACLBindingRule {
	merged := *stored
	if given(fs, "description") {
		merged.Description = wanted.Description
	}
	if given(fs, "selector") {
		merged.Selector = wanted.Selector
	}
	if given(fs, "bind-type") {
		merged.BindType = wanted.BindType
	}
	if given(fs, "bind-name") {
		merged.BindName = wanted.BindName
	}
	if given(fs, "bind-vars") {
		merged.BindVars = wanted.BindVars
	}
	return &merged
}
