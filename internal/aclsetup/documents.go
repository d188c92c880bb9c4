package aclsetup

import (
	"cmp"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// Tags of a task's IAM role (spec: ecs.md section 9). A binding rule's name cannot hold a slash.
const (
	TagServiceName = "consul.hashicorp.com.service-name"
	TagNamespace   = "consul.hashicorp.com.namespace"
)

// Keys of a login's metadata, which say what task its token is for (spec: ecs.md section 6).
const (
	MetaTask    = "consul.hashicorp.com/task-id"
	MetaCluster = "consul.hashicorp.com/cluster"
)

// The auth methods, as the documents name them.
const (
	DefaultClientMethod  = "iam-ecs-client-token"
	DefaultServiceMethod = "iam-ecs-service-token"
)

// Names are those of the objects that logins of tasks need.
type Names struct {
	ClientMethod  string `json:"client_method"`
	ServiceMethod string `json:"service_method"`
	ClientPolicy  string `json:"client_policy"`
	ClientRole    string `json:"client_role"`
}

// OrDefault returns n with the documents' names in place of those that are empty.
func (n Names) OrDefault() Names {
	return Names{
		ClientMethod:  cmp.Or(n.ClientMethod, DefaultClientMethod),
		ServiceMethod: cmp.Or(n.ServiceMethod, DefaultServiceMethod),
		ClientPolicy:  cmp.Or(n.ClientPolicy, "consul-ecs-client-policy"),
		ClientRole:    cmp.Or(n.ClientRole, "consul-ecs-client-role"),
	}
}

// Tasks makes the objects that logins of tasks need, one by one, as the documents describe them.
type Tasks struct {
	Names     Names
	Partition string   // "" where partitions are not used
	Trusted   []string // ARNs of IAM roles
}

// ClientMethod is the auth method for the tokens of tasks' agents.
func (t Tasks) ClientMethod() api.ACLAuthMethod { return t.method(t.Names.ClientMethod, "client") }

// ServiceMethod is the auth method for the tokens of tasks' services. It reads the tag for the service
// alone.
func (t Tasks) ServiceMethod() api.ACLAuthMethod {
	m := t.method(t.Names.ServiceMethod, "service")
	m.Config["IAMEntityTags"] = []string{TagServiceName}
	return m
}

func (t Tasks) method(name, what string) api.ACLAuthMethod {
	return api.ACLAuthMethod{
		Name: name, Type: "aws-iam", Description: "AWS IAM auth method for ECS " + what + " tokens", Partition: t.Partition,
		Config: map[string]any{boundARNs: t.Trusted, "EnableIAMEntityDetails": true},
	}
}

// NamespaceRules say that a role's tag chooses the namespace of its tasks' services. The method has to
// read that tag.
func NamespaceRules() []*api.ACLAuthMethodNamespaceRule {
	return []*api.ACLAuthMethodNamespaceRule{{
		Selector:      fmt.Sprintf(`entity_tags[%q] != ""`, TagNamespace),
		BindNamespace: "${entity_tags." + TagNamespace + "}",
	}}
}

// ClientPolicy lets an agent write every node of the partition.
func (t Tasks) ClientPolicy() api.ACLPolicy {
	rules := "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	if t.Partition != "" {
		rules = fmt.Sprintf("partition %q {\n  node_prefix \"\" {\n    policy = \"write\"\n  }\n  namespace_prefix \"\" {\n"+
			"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n", t.Partition)
	}
	return api.ACLPolicy{Name: t.Names.ClientPolicy, Description: "Consul Client Token Policy for ECS", Rules: rules, Partition: t.Partition}
}

// ClientRole has the policy of agents.
func (t Tasks) ClientRole() api.ACLRole {
	return api.ACLRole{
		Name: t.Names.ClientRole, Description: "Consul Client Token Role for ECS",
		Policies: []*api.ACLLink{{Name: t.Names.ClientPolicy}}, Partition: t.Partition,
	}
}

// ClientRule gives agents that role.
func (t Tasks) ClientRule() api.ACLBindingRule {
	return api.ACLBindingRule{
		AuthMethod: t.Names.ClientMethod, BindType: api.BindingRuleBindTypeRole, BindName: t.Names.ClientRole,
		Description: "Bind a policy for Consul clients on ECS", Partition: t.Partition,
	}
}

// ServiceRule gives a task the identity of the service that its role's tag names.
func (t Tasks) ServiceRule() api.ACLBindingRule {
	return api.ACLBindingRule{
		AuthMethod: t.Names.ServiceMethod, BindType: api.BindingRuleBindTypeService, BindName: "${entity_tags." + TagServiceName + "}",
		Description: "Bind a service identity from IAM role tag for ECS", Partition: t.Partition,
	}
}
