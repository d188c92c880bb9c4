package ecs

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

const crossNamespace = "cross-namespace-read"

// resources are the objects that logins of the controller's tasks need.
func (c *controller) resources() aclsetup.Resources {
	trusted := fmt.Sprintf("arn:%s:iam::%s:role/%s", strings.SplitN(c.clusterARN, ":", 3)[1], c.accountID, strings.TrimPrefix(c.rolePath+"/*", "/"))
	t := aclsetup.Tasks{Names: aclsetup.Names{}.OrDefault(), Partition: c.partition, Trusted: []string{trusted}}
	services := t.ServiceMethod()
	services.Config["IAMEntityTags"] = []string{aclsetup.TagServiceName, aclsetup.TagNamespace}
	if c.partition != "" {
		services.NamespaceRules = aclsetup.NamespaceRules()
	}
	r := aclsetup.Resources{
		Policies:       []api.ACLPolicy{t.ClientPolicy()},
		Roles:          []api.ACLRole{t.ClientRole()},
		Methods:        []api.ACLAuthMethod{t.ClientMethod(), services},
		Rules:          []api.ACLBindingRule{t.ClientRule(), t.ServiceRule()},
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

func (c *controller) anonymousRules() string {
	if c.partition == "" {
		return "node_prefix \"\" {\n  policy = \"read\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	}
	return "partition_prefix \"\" {\n  namespace_prefix \"\" {\n    node_prefix \"\" {\n      policy = \"read\"\n    }\n" +
		"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n"
}
