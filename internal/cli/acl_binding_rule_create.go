package cli

import (
	"context"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

// bindingRuleBody holds the flags that say what a binding rule does.
type bindingRuleBody struct {
	description, selector, bindType, bindName string
	bindVars                                  pairsFlag
}

func (r *bindingRuleBody) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.description, "description", "", "what the rule is for, in your own `words`")
	fs.StringVar(&r.selector, "selector", "", "`expression` that selects the logins the rule is for; all if empty")
	fs.StringVar(&r.bindType, "bind-type", string(api.BindingRuleBindTypeService),
		"what a login is granted: service, node, role, policy or templated-policy; its `kind`")
	fs.StringVar(&r.bindName, "bind-name", "", "`name` of what is granted; may hold ${variables} of the login's identity")
	r.bindVars.sep = "="
	fs.Var(&r.bindVars, "bind-vars", "variable of a templated policy, as `name=value`; repeat for more")
}

// rule returns what the flags describe.
func (r *bindingRuleBody) rule() (*api.ACLBindingRule, error) {
	vars, err := templateVariables(r.bindVars.pairs)
	if err != nil {
		return nil, err
	}
	return &api.ACLBindingRule{
		Description: r.description, Selector: r.selector, BindType: api.BindingRuleBindType(r.bindType),
		BindName: r.bindName, BindVars: vars,
	}, nil
}

func aclBindingRuleCreate() *Command {
	var b base
	var method string
	var body bindingRuleBody
	return &Command{
		Name: "create", Short: "Create a binding rule",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&method, "method", "", "`name` of the auth method (required)")
			body.flags(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch {
			case method == "":
				return misuse("Missing required '-method' flag")
			case body.bindName == "":
				return misuse("Missing required '-bind-name' flag")
			}
			rule, err := body.rule()
			if err != nil {
				return err
			}
			rule.AuthMethod = method
			client, err := b.open(env)
			if err != nil {
				return err
			}
			created, _, err := client.ACL().BindingRuleCreate(rule, b.write(ctx))
			if err != nil {
				return complain("Failed to create new binding rule: %w", err)
			}
			return b.print(env.Out, created, jsonIndent, func(w io.Writer) { writeBindingRule(w, created, b.meta) })
		},
	}
}
