resource "consul_admin_partition" "tasks" {
  name = "team-a"
}

resource "consul_acl_policy" "clients" {
  name = "consul-ecs-client-policy"
  description = "Consul Client Token Policy for ECS"
  partition = consul_admin_partition.tasks.name
  rules = <<-EOT
    partition "team-a" {
      node_prefix "" {
        policy = "write"
      }
      namespace_prefix "" {
        service_prefix "" {
          policy = "read"
        }
      }
    }
  EOT
}

resource "consul_acl_role" "clients" {
  name = "consul-ecs-client-role"
  description = "Consul Client Token Role for ECS"
  partition = consul_admin_partition.tasks.name
  policies = [consul_acl_policy.clients.id]
}

resource "consul_acl_auth_method" "clients" {
  name = "clients"
  type = "aws-iam"
  description = "AWS IAM auth method for ECS client tokens"
  partition = consul_admin_partition.tasks.name
  config_json = jsonencode({ BoundIAMPrincipalARNs = ["arn:aws:iam::123456789012:role/consul-ecs/*", "arn:aws:iam::210987654321:role/consul-ecs/*"], EnableIAMEntityDetails = true, LeaseMetaKey = "consul.hashicorp.com/task-id", SingleUseTokens = true })
  max_token_ttl = "1h0m0s"
}

resource "consul_acl_auth_method" "services" {
  name = "iam-ecs-service-token"
  type = "aws-iam"
  description = "AWS IAM auth method for ECS service tokens"
  partition = consul_admin_partition.tasks.name
  config_json = jsonencode({ BoundIAMPrincipalARNs = ["arn:aws:iam::123456789012:role/consul-ecs/*", "arn:aws:iam::210987654321:role/consul-ecs/*"], EnableIAMEntityDetails = true, IAMEntityTags = ["consul.hashicorp.com.service-name", "consul.hashicorp.com.namespace"], LeaseMetaKey = "consul.hashicorp.com/task-id", SingleUseTokens = true })
  max_token_ttl = "1h0m0s"
  namespace_rule {
    selector = "entity_tags[\"consul.hashicorp.com.namespace\"] != \"\""
    bind_namespace = "$${entity_tags.consul.hashicorp.com.namespace}"
  }
}

resource "consul_acl_binding_rule" "clients" {
  auth_method = consul_acl_auth_method.clients.name
  bind_type = "role"
  bind_name = consul_acl_role.clients.name
  description = "Bind a policy for Consul clients on ECS"
  partition = consul_admin_partition.tasks.name
}

resource "consul_acl_binding_rule" "services" {
  auth_method = consul_acl_auth_method.services.name
  bind_type = "service"
  bind_name = "$${entity_tags.consul.hashicorp.com.service-name}"
  description = "Bind a service identity from IAM role tag for ECS"
  partition = consul_admin_partition.tasks.name
}

resource "aws_secretsmanager_secret" "ca_cert" {
  name = "my-consul-ca-cert"
}

resource "aws_secretsmanager_secret_version" "ca_cert" {
  secret_id = aws_secretsmanager_secret.ca_cert.id
  secret_string = trimspace(file("consul-agent-ca.pem"))
}

resource "aws_secretsmanager_secret" "https_ca_cert" {
  name = "my-consul-https-ca-cert"
}

resource "aws_secretsmanager_secret_version" "https_ca_cert" {
  secret_id = aws_secretsmanager_secret.https_ca_cert.id
  secret_string = trimspace(file("consul-agent-ca.pem"))
}

resource "aws_secretsmanager_secret" "gossip_key" {
  name = "my-consul-gossip-key"
}

resource "aws_secretsmanager_secret_version" "gossip_key" {
  secret_id = aws_secretsmanager_secret.gossip_key.id
  secret_string = trimspace(file("gossip.key"))
}
