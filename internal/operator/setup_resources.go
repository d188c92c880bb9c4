package operator

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

// Tags of a task's IAM role, and the metadata that names its task (the documents' names).
const (
	tagServiceName = "consul.hashicorp.com.service-name"
	tagNamespace   = "consul.hashicorp.com.namespace"
	metaTask       = "consul.hashicorp.com/task-id"
)

// resources are the ACL objects that the file asks for.
func (f *SetupFile) resources() aclsetup.Resources {
	clients := f.method(f.Names.ClientMethod, "client")
	services := f.method(f.Names.ServiceMethod, "service")
	tags := []string{tagServiceName}
	if f.Namespaces {
		tags = append(tags, tagNamespace)
		services.NamespaceRules = []*api.ACLAuthMethodNamespaceRule{{
			Selector:      fmt.Sprintf("entity_tags[%q] != \"\"", tagNamespace),
			BindNamespace: "${entity_tags." + tagNamespace + "}",
		}}
	}
	services.Config["IAMEntityTags"] = tags
	r := aclsetup.Resources{
		Methods: []api.ACLAuthMethod{clients, services},
		Rules: []api.ACLBindingRule{f.clientRule(), {
			AuthMethod: f.Names.ServiceMethod, BindType: api.BindingRuleBindTypeService, BindName: "${entity_tags." + tagServiceName + "}",
			Description: "Bind a service identity from IAM role tag for ECS", Partition: f.Partition,
		}},
	}
	if f.Partition != "" {
		r.Partition = &api.Partition{Name: f.Partition}
	}
	if f.ClientPolicy == documents {
		r.Policies = []api.ACLPolicy{{
			Name: f.Names.ClientPolicy, Description: "Consul Client Token Policy for ECS", Rules: f.clientRules(), Partition: f.Partition,
		}}
		r.Roles = []api.ACLRole{{
			Name: f.Names.ClientRole, Description: "Consul Client Token Role for ECS", Partition: f.Partition,
			Policies: []*api.ACLLink{{Name: f.Names.ClientPolicy}},
		}}
	}
	return r
}

func (f *SetupFile) method(name, what string) api.ACLAuthMethod {
	var trusted []string
	for _, id := range f.Accounts {
		trusted = append(trusted, "arn:aws:iam::"+id+":role"+f.RolePath+"*")
	}
	m := api.ACLAuthMethod{
		Name: name, Type: "aws-iam", Description: "AWS IAM auth method for ECS " + what + " tokens", Partition: f.Partition, MaxTokenTTL: f.ttl,
		Config: map[string]any{"BoundIAMPrincipalARNs": trusted, "EnableIAMEntityDetails": true, "LeaseMetaKey": metaTask},
	}
	if f.SingleUse {
		m.Config["SingleUseTokens"] = true
	}
	return m
}

// clientRule says what the token of a task's agent may do: write the node that is named for the
// task, as STS proves it, or what the documents' policy says.
func (f *SetupFile) clientRule() api.ACLBindingRule {
	r := api.ACLBindingRule{AuthMethod: f.Names.ClientMethod, Partition: f.Partition}
	if f.ClientPolicy == documents {
		r.BindType, r.BindName = api.BindingRuleBindTypeRole, f.Names.ClientRole
		r.Description = "Bind a policy for Consul clients on ECS"
	} else {
		r.BindType, r.BindName = api.BindingRuleBindTypeNode, "${session_name}"
		r.Description = "Bind a node identity to the task, for ECS"
	}
	return r
}

// clientRules are those of the documents' policy.
func (f *SetupFile) clientRules() string {
	if f.Partition == "" {
		return "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	}
	return fmt.Sprintf("partition %q {\n  node_prefix \"\" {\n    policy = \"write\"\n  }\n  namespace_prefix \"\" {\n"+
		"    service_prefix \"\" {\n      policy = \"read\"\n    }\n  }\n}\n", f.Partition)
}

// terraform is the same as a Terraform configuration for the consul and aws providers.
func (f *SetupFile) terraform() string {
	r := f.resources()
	var b strings.Builder
	block := func(kind, name string, lines ...string) {
		fmt.Fprintf(&b, "resource %q %q {\n", kind, name)
		for _, line := range lines {
			if line != "" {
				fmt.Fprintf(&b, "  %s\n", line)
			}
		}
		b.WriteString("}\n\n")
	}
	partition := ""
	if f.Partition != "" {
		block("consul_admin_partition", "tasks", fmt.Sprintf("name = %s", quote(f.Partition)))
		partition = "partition = consul_admin_partition.tasks.name"
	}
	for _, p := range r.Policies {
		block("consul_acl_policy", "clients", "name = "+quote(p.Name), "description = "+quote(p.Description), partition,
			"rules = <<-EOT\n"+indent(p.Rules, "    ")+"  EOT")
	}
	for _, role := range r.Roles {
		block("consul_acl_role", "clients", "name = "+quote(role.Name), "description = "+quote(role.Description), partition,
			"policies = [consul_acl_policy.clients.id]")
	}
	labels := []string{"clients", "services"}
	for i, m := range r.Methods {
		lines := []string{
			"name = " + quote(m.Name), "type = " + quote(m.Type), "description = " + quote(m.Description), partition,
			"config_json = jsonencode(" + tfValue(m.Config) + ")",
		}
		if m.MaxTokenTTL > 0 {
			lines = append(lines, "max_token_ttl = "+quote(m.MaxTokenTTL.String()))
		}
		for _, rule := range m.NamespaceRules {
			lines = append(lines, "namespace_rule {", "  selector = "+quote(rule.Selector), "  bind_namespace = "+quote(rule.BindNamespace), "}")
		}
		block("consul_acl_auth_method", labels[i], lines...)
	}
	for i, rule := range r.Rules {
		name := quote(rule.BindName)
		if rule.BindType == api.BindingRuleBindTypeRole {
			name = "consul_acl_role.clients.name"
		}
		block("consul_acl_binding_rule", labels[i], "auth_method = consul_acl_auth_method."+labels[i]+".name",
			"bind_type = "+quote(string(rule.BindType)), "bind_name = "+name, "description = "+quote(rule.Description), partition)
	}
	f.terraformSecrets(block)
	return strings.TrimSuffix(b.String(), "\n")
}

func (f *SetupFile) terraformSecrets(block func(kind, name string, lines ...string)) {
	if f.Secrets == nil {
		return
	}
	for _, s := range f.Secrets.list() {
		label := strings.ReplaceAll(s.suffix, "-", "_")
		content := fmt.Sprintf("trimspace(file(%s))", quote(s.file))
		if f.Secrets.Store == parameterStore {
			block("aws_ssm_parameter", label, "name = "+quote(f.Secrets.nameOf(s)), `type = "SecureString"`, "value = "+content)
			continue
		}
		block("aws_secretsmanager_secret", label, "name = "+quote(f.Secrets.nameOf(s)))
		block("aws_secretsmanager_secret_version", label, "secret_id = aws_secretsmanager_secret."+label+".id", "secret_string = "+content)
	}
}

// quote writes a string literal of Terraform, in which ${ and %{ mean themselves.
func quote(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", s))
}

func tfValue(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, key := range sortedKeys(v) {
			parts = append(parts, key+" = "+tfValue(v[key]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case string:
		return quote(v)
	default:
		return fmt.Sprint(v)
	}
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}
