package dev

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// The policy of the documents for client tokens, scoped to a partition.
const clientPolicy = `partition %q {
  node_prefix "" {
    policy = "write"
  }
  namespace_prefix "" {
    service_prefix "" {
      policy = "read"
    }
  }
}
`

const clientMethodConfig = `{
  "BoundIAMPrincipalArns": ["arn:aws:iam::` + account + `:role/consul-ecs/*"],
  "EnableIAMEntityDetails": true
}`

const serviceMethodConfig = `{
  "BoundIAMPrincipalArns": ["arn:aws:iam::` + account + `:role/consul-ecs/*"],
  "EnableIAMEntityDetails": true,
  "IAMEntityTags": [
    "consul.hashicorp.com.service-name",
    "consul.hashicorp.com.namespace"
  ]
}`

// The policy that tokens of a namespace have besides their own, so that a service finds its upstreams in other
// namespaces of the partition.
const crossNamespacePolicy = `namespace_prefix "" {
  service_prefix "" {
    policy = "read"
  }
  node_prefix "" {
    policy = "read"
  }
}
`

// setUp types what the documents have the operator type.
func (w *world) setUp(ctx context.Context) error {
	policyFile := w.file("client-token-policy-ent.hcl")
	if err := os.WriteFile(policyFile, []byte(fmt.Sprintf(clientPolicy, demoPartition)), 0o644); err != nil {
		return err
	}
	w.report.section("The documents' set-up, in partition " + demoPartition)
	return w.report.do(ctx,
		w.typed("partitions "+demoPartition+" and "+emptyPartition, "namespace "+demoNamespace+" in each",
			[]string{"partition", "create", "-name", demoPartition},
			[]string{"namespace", "create", "-partition", demoPartition, "-name", demoNamespace},
			[]string{"partition", "create", "-name", emptyPartition},
			[]string{"namespace", "create", "-partition", emptyPartition, "-name", demoNamespace},
		),
		w.typed("auth method "+clientMethod, "trusts role/consul-ecs/*", []string{
			"acl", "auth-method", "create",
			"-partition", demoPartition,
			"-type", "aws-iam",
			"-name", clientMethod,
			"-description=AWS IAM auth method for ECS client tokens",
			"-config", clientMethodConfig,
		}),
		w.typed("policy and role for client tokens", "node write, service read", []string{
			"acl", "policy", "create",
			"-partition", demoPartition,
			"-name", "consul-ecs-client-policy",
			"-rules", "@" + policyFile,
		}, []string{
			"acl", "role", "create",
			"-partition", demoPartition,
			"-name", "consul-ecs-client-role",
			"-policy-name", "consul-ecs-client-policy",
		}),
		w.typed("binding rule for client tokens", "role consul-ecs-client-role", []string{
			"acl", "binding-rule", "create",
			"-partition", demoPartition,
			"-method", clientMethod,
			"-description", "Bind a role for Consul clients on ECS",
			"-bind-type", "role",
			"-bind-name", "consul-ecs-client-role",
		}),
		w.typed("auth method "+serviceMethod, "namespace from the role's tag", []string{
			"acl", "auth-method", "create",
			"-partition", demoPartition,
			"-type", "aws-iam",
			"-name", serviceMethod,
			"-description=AWS IAM auth method for ECS service tokens",
			"-namespace-rule-selector", `entity_tags["consul.hashicorp.com.namespace"] != ""`,
			"-namespace-rule-bind-namespace", "${entity_tags.consul.hashicorp.com.namespace}",
			"-config", serviceMethodConfig,
		}),
		w.typed("binding rule for service tokens", "service identity from the role's tag", []string{
			"acl", "binding-rule", "create",
			"-partition", demoPartition,
			"-method", serviceMethod,
			"-description", "Bind a service identity from IAM role tags for ECS service tokens",
			"-bind-type", "service",
			"-bind-name", "${entity_tags.consul.hashicorp.com.service-name}",
		}),
		w.typed("policy cross-namespace-read", "tokens of "+demoNamespace+" find services of other namespaces", []string{
			"acl", "policy", "create",
			"-partition", demoPartition,
			"-name", crossNamespace,
			"-description", "Allow service and node reads across namespaces within the partition",
			"-rules", crossNamespacePolicy,
		}, []string{
			"namespace", "update",
			"-partition", demoPartition,
			"-name", demoNamespace,
			"-default-policy-name", crossNamespace,
		}),
	)
}

// typed is a step that runs commands as the operator.
func (w *world) typed(title, proof string, commands ...[]string) step {
	return step{title, func(ctx context.Context) (string, error) {
		for _, args := range commands {
			if _, err := w.tools.consul(ctx, w.operator(), args...); err != nil {
				return "", err
			}
		}
		return proof, nil
	}}
}

// shell quotes words so that the line can be pasted into a shell.
func shell(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\"'$`\\*?[]{}()<>|&;#~!") {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
