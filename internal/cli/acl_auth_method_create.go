package cli

import (
	"context"
	"encoding/json"
	"flag"
	"io"

	"github.com/hashicorp/consul/api"
)

// authMethodBody holds the flags that say what an auth method is, apart from
// its name and type.
type authMethodBody struct {
	method                         api.ACLAuthMethod // what needs no further look
	config                         string
	kubeHost, kubeCA, kubeJWT      string
	ruleSelector, ruleNamespace    string
	flags                          *flag.FlagSet
	hasConfig, hasKube, hasNSRules bool
}

func (a *authMethodBody) register(fs *flag.FlagSet) {
	a.flags = fs
	fs.StringVar(&a.method.Description, "description", "", "what the method is for, in your own `words`")
	fs.StringVar(&a.method.DisplayName, "display-name", "", "`name` to show to people")
	fs.DurationVar(&a.method.MaxTokenTTL, "max-token-ttl", 0, "`duration` after which the token of a login expires, such as 8h; 0 is never")
	fs.StringVar(&a.method.TokenLocality, "token-locality", "", "`kind` of token that a login makes: local or global")
	fs.StringVar(&a.method.TokenNameFormat, "token-name-format", "", "`template` of the tokens' names")
	fs.StringVar(&a.config, "config", "", "the type's configuration in `JSON`; @file reads a file and - standard input")
	fs.StringVar(&a.kubeHost, "kubernetes-host", "", "`address` of the Kubernetes API server, for the type kubernetes")
	fs.StringVar(&a.kubeCA, "kubernetes-ca-cert", "", "`PEM` of its CA certificate; @file reads a file and - standard input")
	fs.StringVar(&a.kubeJWT, "kubernetes-service-account-jwt", "", "`token` of a service account that may review tokens")
	fs.StringVar(&a.ruleSelector, "namespace-rule-selector", "", "`expression` that says which logins get their token in "+
		"-namespace-rule-bind-namespace")
	fs.StringVar(&a.ruleNamespace, "namespace-rule-bind-namespace", "", "`namespace` of the token of a login that "+
		"-namespace-rule-selector selects; may hold ${variables}")
}

// load reads what the flags refer to and fills the rest of a.method.
func (a *authMethodBody) load(env *Env) error {
	a.hasConfig = given(a.flags, "config")
	a.hasKube = given(a.flags, "kubernetes-host", "kubernetes-ca-cert", "kubernetes-service-account-jwt")
	a.hasNSRules = given(a.flags, "namespace-rule-selector", "namespace-rule-bind-namespace")

	if a.hasNSRules {
		for _, name := range []string{"namespace-rule-selector", "namespace-rule-bind-namespace"} {
			if !given(a.flags, name) {
				return misuse("Missing required '-%s' flag", name)
			}
		}
		a.method.NamespaceRules = []*api.ACLAuthMethodNamespaceRule{
			{Selector: a.ruleSelector, BindNamespace: a.ruleNamespace},
		}
	}
	var err error
	if a.kubeCA, err = load(env, a.kubeCA); err != nil {
		return complain("Error loading Kubernetes CA certificate: %w", err)
	}
	text, err := load(env, a.config)
	if err != nil {
		return complain("Error loading configuration file: %w", err)
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &a.method.Config); err != nil {
			return complain("Error parsing JSON configuration file: %w", err)
		}
	}
	return nil
}

// kubernetes puts the flags of that type into config, which keeps its other fields.
func (a *authMethodBody) kubernetes(config map[string]any) map[string]any {
	if config == nil {
		config = map[string]any{}
	}
	for key, value := range map[string]string{"Host": a.kubeHost, "CACert": a.kubeCA, "ServiceAccountJWT": a.kubeJWT} {
		if value != "" {
			config[key] = value
		}
	}
	return config
}

func aclAuthMethodCreate() *Command {
	var b base
	var name, kind string
	var body authMethodBody
	return &Command{
		Name: "create", Short: "Create an auth method",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.StringVar(&name, "name", "", "auth method's `name` (required)")
			fs.StringVar(&kind, "type", "", "auth method's `type`, such as aws-iam (required)")
			body.register(fs)
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			switch {
			case name == "":
				return misuse("Missing required '-name' flag")
			case kind == "":
				return misuse("Missing required '-type' flag")
			}
			if err := body.load(env); err != nil {
				return err
			}
			method := body.method
			method.Name, method.Type = name, kind
			if kind == "kubernetes" && !body.hasConfig {
				if err := body.requireKubernetes(); err != nil {
					return err
				}
			}
			if body.hasKube {
				method.Config = body.kubernetes(method.Config)
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			created, _, err := client.ACL().AuthMethodCreate(&method, b.write(ctx))
			if err != nil {
				return complain("Failed to create new auth method: %w", err)
			}
			return b.print(env.Out, created, jsonIndent, func(w io.Writer) { writeAuthMethod(w, created, b.meta) })
		},
	}
}

func (a *authMethodBody) requireKubernetes() error {
	for _, f := range []struct{ name, value string }{
		{"kubernetes-host", a.kubeHost},
		{"kubernetes-ca-cert", a.kubeCA},
		{"kubernetes-service-account-jwt", a.kubeJWT},
	} {
		if f.value == "" {
			return misuse("Missing required '-%s' flag", f.name)
		}
	}
	return nil
}
