package operator

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

// resources are the ACL objects that the file asks for.
func (f *SetupFile) resources() aclsetup.Resources {
	t := aclsetup.Tasks{Names: f.Names, Partition: f.Partition}
	for _, id := range f.Accounts {
		t.Trusted = append(t.Trusted, "arn:aws:iam::"+id+":role"+f.RolePath+"*")
	}
	services := t.ServiceMethod()
	if f.Namespaces {
		services.Config["IAMEntityTags"] = []string{aclsetup.TagServiceName, aclsetup.TagNamespace}
		services.NamespaceRules = aclsetup.NamespaceRules()
	}
	r := aclsetup.Resources{Methods: []api.ACLAuthMethod{f.onTerms(t.ClientMethod()), f.onTerms(services)}}
	if f.Partition != "" {
		r.Partition = &api.Partition{Name: f.Partition}
	}
	client := ownNodeRule(t)
	if f.ClientPolicy == documents {
		r.Policies, r.Roles = []api.ACLPolicy{t.ClientPolicy()}, []api.ACLRole{t.ClientRole()}
		client = t.ClientRule()
	}
	r.Rules = []api.ACLBindingRule{client, t.ServiceRule()}
	return r
}

// onTerms adds what the file says about tokens and signatures.
func (f *SetupFile) onTerms(m api.ACLAuthMethod) api.ACLAuthMethod {
	m.MaxTokenTTL = f.ttl
	m.Config["LeaseMetaKey"] = aclsetup.MetaTask
	if f.SingleUse {
		m.Config["SingleUseTokens"] = true
	}
	return m
}

// ownNodeRule lets the agent of a task write the node that is named for the task, as STS proves it.
func ownNodeRule(t aclsetup.Tasks) api.ACLBindingRule {
	return api.ACLBindingRule{
		AuthMethod: t.Names.ClientMethod, BindType: api.BindingRuleBindTypeNode, BindName: "${session_name}",
		Description: "Bind a node identity to the task, for ECS", Partition: t.Partition,
	}
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
