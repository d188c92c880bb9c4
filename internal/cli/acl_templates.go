package cli

import (
	"encoding/json"
	"flag"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/hcl"
)

// templateFlags name a templated policy on the command line: by its name and
// variables, or by a file. One -var serves the flags of every prefix.
type templateFlags struct {
	prefix     string
	name, file string
}

func (t *templateFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&t.name, t.prefix+"templated-policy", "", "`name` of a templated policy, with -var for its variables")
	fs.StringVar(&t.file, t.prefix+"templated-policy-file", "", "HCL or JSON `file` of templated policies and their variables")
}

// set reports whether one of the flags is in use.
func (t *templateFlags) set() bool { return t.name != "" || t.file != "" }

// templateVars is the repeatable flag -var name:value.
func templateVars(fs *flag.FlagSet, vars *pairsFlag) {
	vars.sep = ":"
	fs.Var(vars, "var", "variable of the templated policy, as `name:value`; repeat for more")
}

// resolve returns what the flags name.
func (t *templateFlags) resolve(env *Env, vars map[string]string) ([]*api.ACLTemplatedPolicy, error) {
	switch {
	case t.name != "" && t.file != "":
		return nil, complain("Cannot combine the use of %[1]stemplated-policy flag with %[1]stemplated-policy-file. "+
			"Name the policy with one of them", t.prefix)
	case t.file != "":
		text, err := loadFile(env, t.file)
		if err != nil {
			return nil, err
		}
		return parseTemplates(text)
	case t.name != "":
		variables, err := templateVariables(vars)
		if err != nil {
			return nil, err
		}
		return []*api.ACLTemplatedPolicy{{TemplateName: t.name, TemplateVariables: variables}}, nil
	}
	return nil, nil
}

// templateVariables turns names and values into what the API takes; nil if
// there are none.
func templateVariables(vars map[string]string) (*api.ACLTemplatedPolicyVariables, error) {
	if len(vars) == 0 {
		return nil, nil
	}
	out := &api.ACLTemplatedPolicyVariables{}
	for key, value := range vars {
		if !strings.EqualFold(key, "name") {
			return nil, complain("Unknown templated policy variable %q: the only variable is name", key)
		}
		out.Name = value
	}
	return out, nil
}

// parseTemplates reads one or more templated policies in HCL,
//
//	TemplatedPolicy "builtin/service" { Name = "web" }
//
// or the same in JSON, {"TemplatedPolicy": {"builtin/service": [{"Name": "web"}]}}.
func parseTemplates(text string) ([]*api.ACLTemplatedPolicy, error) {
	var file struct {
		TemplatedPolicy []map[string][]map[string]string
	}
	if err := decodeFile(text, &file); err != nil {
		return nil, complain("Failed to decode templated policy: %w", err)
	}
	var out []*api.ACLTemplatedPolicy
	for _, named := range file.TemplatedPolicy {
		for _, name := range slices.Sorted(maps.Keys(named)) {
			for _, vars := range named[name] {
				variables, err := templateVariables(vars)
				if err != nil {
					return nil, err
				}
				out = append(out, &api.ACLTemplatedPolicy{TemplateName: name, TemplateVariables: variables})
			}
		}
	}
	if len(out) == 0 {
		return nil, complain("Failed to decode templated policy: no TemplatedPolicy in the file")
	}
	return out, nil
}

// decodeFile reads text, which is HCL or JSON, into v. Keys match in any case;
// a key that v has no place for is an error.
func decodeFile(text string, v any) error {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		// The HCL library takes half a JSON document for a whole one.
		if err := json.Unmarshal([]byte(text), new(json.RawMessage)); err != nil {
			return err
		}
	}
	var tree map[string]any
	if err := hcl.Decode(&tree, text); err != nil {
		return err
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// templateUpdate changes the templated policies of a role or token. The flags
// without a prefix mean append.
type templateUpdate struct {
	plain, append, replace templateFlags
	vars                   pairsFlag
}

func (t *templateUpdate) flags(fs *flag.FlagSet) {
	t.plain.flags(fs)
	t.append.flags(fs)
	t.replace.flags(fs)
	templateVars(fs, &t.vars)
}

// apply returns what stored becomes.
func (t *templateUpdate) apply(env *Env, stored []*api.ACLTemplatedPolicy) ([]*api.ACLTemplatedPolicy, error) {
	if t.replace.set() && (t.append.set() || t.plain.set()) {
		return nil, complain("Cannot combine the use of replace-templated-policy flags with append- variants. " +
			"Either replace the templated policies or add to them")
	}
	if t.replace.set() {
		return t.replace.resolve(env, t.vars.pairs)
	}
	for _, f := range []templateFlags{t.plain, t.append} {
		more, err := f.resolve(env, t.vars.pairs)
		if err != nil {
			return nil, err
		}
		stored = slices.Concat(stored, more)
	}
	return stored, nil
}
