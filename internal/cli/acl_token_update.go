package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
)

func aclTokenUpdate() *Command {
	var b base
	var ref tokenRef
	var description string
	links := tokenLinks{append: grantFlags{prefix: "append-"}}
	templates := templateUpdate{append: templateFlags{prefix: "append-"}, replace: templateFlags{prefix: "replace-"}}
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a token",
		Long: "A list that is given replaces the token's list, and one given with the append- flags is\nadded to it. " +
			"What is not mentioned stays as it is.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			ref.flags(fs)
			fs.StringVar(&description, "description", "", "what the token is for, in your own `words`")
			links.flags(fs)
			templates.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if err := links.check(flags); err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			accessor, err := ref.resolve(env, client, b.read(ctx), missingUpdateAccessor)
			if err != nil {
				return err
			}
			links.warn(env.Err)
			token, _, err := client.ACL().TokenRead(accessor, b.read(ctx))
			if err != nil {
				return complain("Error when retrieving current token: %w", err)
			}
			replace, err := links.replace.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			more, err := links.append.resolve(client, b.read(ctx))
			if err != nil {
				return err
			}
			wanted := links.merge(flags, tokenGrants(token), replace).add(more)
			if wanted.templates, err = templates.apply(env, wanted.templates); err != nil {
				return err
			}
			setTokenGrants(token, wanted)
			if given(flags, "description") {
				token.Description = description
			}
			token, _, err = client.ACL().TokenUpdate(token, b.write(ctx))
			if err != nil {
				return complain("Failed to update token %s: %w", accessor, err)
			}
			return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeToken(w, token, b.meta) })
		},
	}
}

// tokenLinks are the flags that change a token's lists.
type tokenLinks struct {
	replace, append grantFlags
	// These turn a flag that replaces into one that adds. They are deprecated.
	mergePolicies, mergeRoles, mergeServices, mergeNodes bool
}

func (l *tokenLinks) flags(fs *flag.FlagSet) {
	l.replace.flags(fs, true)
	l.append.flags(fs, true)
	fs.BoolVar(&l.mergePolicies, "merge-policies", false, "deprecated: use -append-policy-id or -append-policy-name")
	fs.BoolVar(&l.mergeRoles, "merge-roles", false, "deprecated: use -append-role-id or -append-role-name")
	fs.BoolVar(&l.mergeServices, "merge-service-identities", false, "deprecated: use -append-service-identity")
	fs.BoolVar(&l.mergeNodes, "merge-node-identities", false, "deprecated: use -append-node-identity")
}

// check refuses a list that is to be replaced and added to at once.
func (l *tokenLinks) check(fs *flag.FlagSet) error {
	for _, names := range [][]string{
		{"policy-id", "policy-name"}, {"role-id", "role-name"}, {"service-identity"}, {"node-identity"},
	} {
		var variants []string
		for _, name := range names {
			variants = append(variants, "append-"+name)
		}
		if given(fs, names...) && given(fs, variants...) {
			what := names[0]
			if len(names) > 1 {
				what += "/" + names[1]
			}
			return complain("Cannot combine the use of %s flags with append- variants. "+
				"Either replace the list or add to it", what)
		}
	}
	return nil
}

func (l *tokenLinks) warn(w io.Writer) {
	for _, old := range []struct {
		used         bool
		name, advice string
	}{
		{l.mergePolicies, "merge-policies", "`append-policy-name` or `append-policy-id`"},
		{l.mergeRoles, "merge-roles", "`append-role-name` or `append-role-id`"},
		{l.mergeServices, "merge-service-identities", "`append-service-identity`"},
		{l.mergeNodes, "merge-node-identities", "`append-node-identity`"},
	} {
		if old.used {
			fmt.Fprintf(w, "%s is deprecated and will be removed in a future Consul version. Use %s instead.\n", old.name, old.advice)
		}
	}
}

// merge returns stored with each list that the command line gives replaced, or
// added to if the deprecated flag says so.
func (l *tokenLinks) merge(fs *flag.FlagSet, stored, wanted grants) grants {
	if l.mergePolicies {
		stored.policies = appendLinks(stored.policies, wanted.policies)
	} else if given(fs, "policy-id", "policy-name") {
		stored.policies = wanted.policies
	}
	if l.mergeRoles {
		stored.roles = appendLinks(stored.roles, wanted.roles)
	} else if given(fs, "role-id", "role-name") {
		stored.roles = wanted.roles
	}
	if l.mergeServices {
		stored.services = slices.Concat(stored.services, wanted.services)
	} else if given(fs, "service-identity") {
		stored.services = wanted.services
	}
	if l.mergeNodes {
		stored.nodes = slices.Concat(stored.nodes, wanted.nodes)
	} else if given(fs, "node-identity") {
		stored.nodes = wanted.nodes
	}
	return stored
}
