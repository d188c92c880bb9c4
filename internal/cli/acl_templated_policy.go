package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

func aclTemplatedPolicy() *Command {
	return &Command{
		Name:  "templated-policy",
		Short: "Show the templates that roles and tokens can make policies from",
		Sub:   []*Command{aclTemplatedPolicyList(), aclTemplatedPolicyPreview(), aclTemplatedPolicyRead()},
	}
}

func aclTemplatedPolicyList() *Command {
	var b base
	return &Command{
		Name: "list", Short: "List all templated policies",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); b.formatFlag(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			list, _, err := client.ACL().TemplatedPolicyList(b.read(ctx))
			if err != nil {
				return complain("Failed to retrieve the templated policies list: %w", err)
			}
			return b.print(env.Out, list, jsonIndent, func(w io.Writer) {
				for _, name := range slices.Sorted(maps.Keys(list)) {
					fmt.Fprintln(w, name)
				}
				fmt.Fprintln(w)
			})
		}),
	}
}

func aclTemplatedPolicyRead() *Command {
	var b base
	var name string
	return &Command{
		Name: "read", Short: "Show one templated policy",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			fs.BoolVar(&b.meta, "meta", false, "also show the schema and the template")
			fs.StringVar(&name, "name", "", "templated policy's `name` (required)")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if name == "" {
				return complain("Must specify the -name parameter")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			t, _, err := client.ACL().TemplatedPolicyReadByName(name, b.read(ctx))
			if err != nil {
				return complain("Error reading templated policy %q: %w", name, err)
			}
			if t == nil {
				return complain("Templated policy not found with name %q", name)
			}
			return b.print(env.Out, t, jsonIndent, func(w io.Writer) { writeTemplate(w, t, b.meta) })
		},
	}
}

func aclTemplatedPolicyPreview() *Command {
	var b base
	var name, file string
	var vars pairsFlag
	return &Command{
		Name: "preview", Short: "Show the policy that a template makes",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "templated policy's `name`")
			fs.StringVar(&file, "file", "", "HCL or JSON `file` of one templated policy and its variables")
			templateVars(fs, &vars)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			template := templateFlags{name: name, file: file}
			if !template.set() {
				return complain("Cannot preview a templated policy without specifying -name or -file")
			}
			if name != "" && file != "" {
				return complain("Cannot combine the use of -name and -file")
			}
			list, err := template.resolve(env, vars.pairs)
			if err != nil {
				return err
			}
			if len(list) != 1 {
				return complain("Can only preview a single templated policy at a time.")
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			policy, _, err := client.ACL().TemplatedPolicyPreview(list[0], b.write(ctx))
			if err != nil {
				return complain("Failed to generate the templated policy preview: %w", err)
			}
			return b.print(env.Out, policy, jsonIndent, func(w io.Writer) { writePolicy(w, policy, b.meta) })
		},
	}
}

const templateWidth = 17

func writeTemplate(w io.Writer, t *api.ACLTemplatedPolicyResponse, meta bool) {
	out := block{w, templateWidth}
	out.line("Name", t.TemplateName)
	out.line("Description", t.Description)

	variables := templateInputs(t.Schema)
	fmt.Fprintln(w, "Input variables:")
	example := "consul acl token create -templated-policy " + t.TemplateName
	for _, v := range variables {
		need := "Optional"
		if v.required {
			need = "Required"
		}
		fmt.Fprintf(w, "\t%s: String - %s - %s\n", v.name, need, v.description)
		example += " -var name:" + "my-name"
	}
	if len(variables) == 0 {
		fmt.Fprintln(w, "\tNone")
	}
	fmt.Fprintf(w, "Example usage:\n\t%s\n", example)
	if meta {
		fmt.Fprintf(w, "Schema:\n%s\n\nRaw Template:\n%s\n", t.Schema, t.Template)
	}
}

// templateInput is a variable of a templated policy.
type templateInput struct {
	name, description string
	required          bool
}

// templateInputs reads the variables out of a template's JSON schema, sorted by
// name. There are none in a schema that cannot be read.
func templateInputs(schema string) []templateInput {
	var s struct {
		Properties map[string]struct{ Description string }
		Required   []string
	}
	if json.Unmarshal([]byte(schema), &s) != nil {
		return nil
	}
	var out []templateInput
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		name := key
		if name == "name" {
			name = "Name"
		}
		out = append(out, templateInput{name, s.Properties[key].Description, slices.Contains(s.Required, key)})
	}
	return out
}
