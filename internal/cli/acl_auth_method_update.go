package cli

import (
	"context"
	"flag"
	"io"
	"maps"

	"github.com/hashicorp/consul/api"
)

func aclAuthMethodUpdate() *Command {
	var b base
	var name string
	var noMerge bool
	var body authMethodBody
	return &Command{
		Name: "update", Short: "Change an auth method",
		Long: "What is not mentioned stays as it is, unless -no-merge is given. -config replaces the whole configuration.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "auth method's `name` (required)")
			fs.BoolVar(&noMerge, "no-merge", false, "replace the whole auth method by what the flags say")
			body.register(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return complain("Cannot update an auth method without specifying the -name parameter")
			}
			if err := body.load(env); err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			stored, err := readAuthMethod(client, b.read(ctx), name)
			if err != nil {
				return err
			}
			method := body.method
			if !noMerge {
				method = body.merge(stored)
			}
			method.Name, method.Type = name, stored.Type
			if body.hasKube {
				method.Config = body.kubernetes(maps.Clone(method.Config))
			}
			updated, _, err := client.ACL().AuthMethodUpdate(&method, b.write(ctx))
			if err != nil {
				return complain("Error updating auth method %q: %w", name, err)
			}
			return b.print(env.Out, updated, jsonIndent, func(w io.Writer) { writeAuthMethod(w, updated, b.meta) })
		},
	}
}

// merge returns stored with what the command line mentions.
func (a *authMethodBody) merge(stored *api.ACLAuthMethod) api.ACLAuthMethod {
	merged := *stored
	if given(a.flags, "description") {
		merged.Description = a.method.Description
	}
	if given(a.flags, "display-name") {
		merged.DisplayName = a.method.DisplayName
	}
	if given(a.flags, "max-token-ttl") {
		merged.MaxTokenTTL = a.method.MaxTokenTTL
	}
	if given(a.flags, "token-locality") {
		merged.TokenLocality = a.method.TokenLocality
	}
	if given(a.flags, "token-name-format") {
		merged.TokenNameFormat = a.method.TokenNameFormat
	}
	if a.hasConfig {
		merged.Config = a.method.Config
	}
	if a.hasNSRules {
		merged.NamespaceRules = a.method.NamespaceRules
	}
	return merged
}
