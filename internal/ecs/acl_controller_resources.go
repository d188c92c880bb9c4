package ecs

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

// Tags of a task's IAM role. A binding rule's name cannot hold a slash.
const (
	tagServiceName = "consul.hashicorp.com.service-name"
	tagNamespace   = "consul.hashicorp.com.namespace"
)

const (
	clientPolicyName = "consul-ecs-client-policy"
	clientRoleName   = "consul-ecs-client-role"
	crossNamespace   = "cross-namespace-read"
)

// resources are the objects that logins of the controller's tasks need.
func (c *controller) resources() aclsetup.Resources {
	trusted := fmt.Sprintf("arn:%s:iam::%s:role/%s", strings.SplitN(c.clusterARN, ":", 3)[1], c.accountID, strings.TrimPrefix(c.rolePath+"/*", "/"))
	clients := c.method(DefaultClientMethod, "client", trusted)
	services := c.method(serviceMethodName, "service", trusted)
	services.Config["IAMEntityTags"] = []string{tagServiceName, tagNamespace}
	if c.partition != "" {
		services.NamespaceRules = []*api.ACLAuthMethodNamespaceRule{{
			Selector:      fmt.Sprintf(`entity_tags[%q] != ""`, tagNamespace),
			BindNamespace: "${entity_tags." + tagNamespace + "}",
		}}
	}
	r := aclsetup.Resources{
		Policies: []api.ACLPolicy{{
			Name: clientPolicyName, Description: "Consul Client Token Policy for ECS", Rules: c.clientRules(), Partition: c.partition,
		}},
		Roles: []api.ACLRole{{
			Name: clientRoleName, Description: "Consul Client Token Role for ECS",
			Policies: []*api.ACLLink{{Name: clientPolicyName}}, Partition: c.partition,
		}},
		Methods: []api.ACLAuthMethod{clients, services},
		Rules: []api.ACLBindingRule{
			{
				AuthMethod: DefaultClientMethod, BindType: api.BindingRuleBindTypeRole, BindName: clientRoleName,
				Description: "Bind a policy for Consul clients on ECS", Partition: c.partition,
			},
			{
				AuthMethod: serviceMethodName, BindType: api.BindingRuleBindTypeService, BindName: "${entity_tags." + tagServiceName + "}",
				Description: "Bind a service identity from IAM role tag for ECS", Partition: c.partition,
			},
		},
		AnonymousReads: &api.ACLPolicy{Name: "anonymous-token-policy", Description: "Anonymous token Policy", Rules: c.anonymousRules()},
		KeepPolicies:   true,
		ShareMethods:   true,
	}
	if c.partition != "" {
		r.Partition = &api.Partition{Name: c.partition}
		r.Policies = append(r.Policies, api.ACLPolicy{
			Name: crossNamespace, Description: "Allow service and node reads across namespaces within the partition", Partition: c.partition,
			Rules: fmt.Sprintf("partition %q {\n  namespace_prefix \"\" {\n    node_prefix \"\" {\n      policy = \"read\"\n    }\n"+
				"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n", c.partition),
		})
	}
	return r
}

const serviceMethodName = "iam-ecs-service-token"

func (c *controller) method(name, what, trusted string) api.ACLAuthMethod {
	return api.ACLAuthMethod{
		Name: name, Type: "aws-iam", Description: "AWS IAM auth method for ECS " + what + " tokens", Partition: c.partition,
		Config: map[string]any{"BoundIAMPrincipalARNs": []string{trusted}, "EnableIAMEntityDetails": true},
	}
}

func (c *controller) clientRules() string {
	if c.partition == "" {
		return "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	}
	return fmt.Sprintf("partition %q {\n  node_prefix \"\" {\n    policy = \"write\"\n  }\n  namespace_prefix \"\" {\n"+
		"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n", c.partition)
}

func (c *controller) anonymousRules() string {
	if c.partition == "" {
		return "node_prefix \"\" {\n  policy = \"read\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	}
	return "partition_prefix \"\" {\n  namespace_prefix \"\" {\n    node_prefix \"\" {\n      policy = \"read\"\n    }\n" +
		"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n"
}
