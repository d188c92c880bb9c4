package cli

import (
	"context"
	"flag"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

// namespaceBody holds the flags that say what a namespace is.
type namespaceBody struct {
	name, description                          string
	meta                                       pairsFlag
	policyIDs, policyNames, roleIDs, roleNames listFlag
}

func (n *namespaceBody) flags(fs *flag.FlagSet) {
	n.meta.sep = "="
	fs.StringVar(&n.name, "name", "", "namespace's `name` (required)")
	fs.StringVar(&n.description, "description", "", "what the namespace is for, in your own `words`")
	fs.Var(&n.meta, "meta", "`key=value` to store with the namespace; repeat for more")
	fs.Var(&n.policyIDs, "default-policy-id", "`ID` of a policy for every token of the namespace; repeat for more")
	fs.Var(&n.policyNames, "default-policy-name", "`name` of a policy for every token of the namespace; repeat for more")
	fs.Var(&n.roleIDs, "default-role-id", "`ID` of a role for every token of the namespace; repeat for more")
	fs.Var(&n.roleNames, "default-role-name", "`name` of a role for every token of the namespace; repeat for more")
}

// namespace returns what the flags describe.
func (n *namespaceBody) namespace() *api.Namespace {
	out := &api.Namespace{Name: n.name, Description: n.description, Meta: n.meta.pairs}
	policies, roles := defaults(n.policyIDs, n.policyNames), defaults(n.roleIDs, n.roleNames)
	if len(policies)+len(roles) > 0 {
		out.ACLs = &api.NamespaceACLConfig{PolicyDefaults: policies, RoleDefaults: roles}
	}
	return out
}

func defaults(ids, names []string) []api.ACLLink {
	var links []api.ACLLink
	for _, id := range ids {
		links = append(links, api.ACLLink{ID: id})
	}
	for _, name := range names {
		links = append(links, api.ACLLink{Name: name})
	}
	return links
}

func namespaceCreate() *Command {
	var b base
	var body namespaceBody
	return &Command{
		Name: "create", Short: "Create a namespace",
		Flags: func(fs *flag.FlagSet) {
			b.namespaceFlags(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "show-meta")
			body.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if body.name == "" {
				return misuse("Missing required '-name' flag")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			created, _, err := client.Namespaces().Create(body.namespace(), b.write(ctx))
			if err != nil {
				return complain("Error creating namespace %q: %w", body.name, err)
			}
			return b.printNamespace(env, created)
		},
	}
}

func namespaceUpdate() *Command {
	var b base
	var body namespaceBody
	var mergeACLs, mergeMeta bool
	var flags *flag.FlagSet
	return &Command{
		Name: "update", Short: "Change a namespace",
		Long: "Default policies and roles and the metadata are replaced by what is given, and cleared if nothing is,\n" +
			"unless -merge-acls or -merge-meta is given.",
		Flags: func(fs *flag.FlagSet) {
			flags = fs
			b.namespaceFlags(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "show-meta")
			body.flags(fs)
			fs.BoolVar(&mergeACLs, "merge-acls", false, "add to the default policies and roles")
			fs.BoolVar(&mergeMeta, "merge-meta", false, "add to the metadata")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if body.name == "" {
				return misuse("Missing required '-name' flag")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			stored, err := readNamespace(client, b.read(ctx), body.name)
			if err != nil {
				return err
			}
			wanted := body.namespace()
			if !given(flags, "description") {
				wanted.Description = stored.Description
			}
			if mergeACLs {
				wanted.ACLs = mergeDefaults(stored.ACLs, wanted.ACLs)
			}
			if mergeMeta {
				merged := maps.Clone(stored.Meta)
				if merged == nil {
					merged = map[string]string{}
				}
				maps.Copy(merged, wanted.Meta)
				wanted.Meta = merged
			}
			updated, _, err := client.Namespaces().Update(wanted, b.write(ctx))
			if err != nil {
				return complain("Error updating namespace %q: %w", body.name, err)
			}
			return b.printNamespace(env, updated)
		},
	}
}

// mergeDefaults returns the links of both, each once.
func mergeDefaults(stored, more *api.NamespaceACLConfig) *api.NamespaceACLConfig {
	if stored == nil || more == nil {
		if stored == nil {
			return more
		}
		return stored
	}
	unite := func(list, more []api.ACLLink) []api.ACLLink {
		list = slices.Clone(list)
		for _, link := range more {
			if !slices.ContainsFunc(list, func(l api.ACLLink) bool { return sameLink(l, link) }) {
				list = append(list, link)
			}
		}
		return list
	}
	return &api.NamespaceACLConfig{
		PolicyDefaults: unite(stored.PolicyDefaults, more.PolicyDefaults),
		RoleDefaults:   unite(stored.RoleDefaults, more.RoleDefaults),
	}
}

func namespaceWrite() *Command {
	var b base
	return &Command{
		Name: "write", Args: "FILE|-", Short: "Create or replace a namespace from a file",
		Long: "The file is HCL or JSON with the keys Name, Description, Meta and ACLs, which has PolicyDefaults\n" +
			"and RoleDefaults; - is standard input.",
		Flags: func(fs *flag.FlagSet) { b.namespaceFlags(fs); b.formatFlag(fs); b.metaFlag(fs, "meta") },
		Run: func(ctx context.Context, env *Env, args []string) error {
			path, err := one(args, "the file to read, or - for standard input")
			if err != nil {
				return err
			}
			text, err := loadFile(env, path)
			if err != nil {
				return complain("Error loading namespace: %w", err)
			}
			wanted, err := parseNamespace(text)
			if err != nil {
				return complain("Failed to decode namespace: %w", err)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			written, _, err := client.Namespaces().Update(wanted, b.write(ctx))
			if err != nil {
				return complain("Error writing namespace %q: %w", wanted.Name, err)
			}
			return b.printNamespace(env, written)
		},
	}
}

// parseNamespace reads a namespace in HCL or JSON. It takes what a read prints.
func parseNamespace(text string) (*api.Namespace, error) {
	type links struct {
		PolicyDefaults, RoleDefaults []api.ACLLink
		PolicyDefaultsSnake          []api.ACLLink `json:"policy_defaults"`
		RoleDefaultsSnake            []api.ACLLink `json:"role_defaults"`
	}
	// A block of HCL may be repeated, so that each is a list of one.
	var file struct {
		Name, Description, Partition string
		Meta                         []map[string]string
		ACLs                         []links
		readOnly
	}
	if err := decodeFile(text, &file); err != nil {
		return nil, err
	}
	n := &api.Namespace{Name: file.Name, Description: file.Description, Partition: file.Partition}
	for _, meta := range file.Meta {
		if n.Meta == nil {
			n.Meta = map[string]string{}
		}
		maps.Copy(n.Meta, meta)
	}
	for _, l := range file.ACLs {
		n.ACLs = mergeDefaults(n.ACLs, &api.NamespaceACLConfig{
			PolicyDefaults: slices.Concat(l.PolicyDefaults, l.PolicyDefaultsSnake),
			RoleDefaults:   slices.Concat(l.RoleDefaults, l.RoleDefaultsSnake),
		})
	}
	return n, nil
}
