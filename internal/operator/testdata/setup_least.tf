resource "consul_acl_auth_method" "clients" {
  name = "iam-ecs-client-token"
  type = "aws-iam"
  description = "AWS IAM auth method for ECS client tokens"
  config_json = jsonencode({ BoundIAMPrincipalARNs = ["arn:aws:iam::123456789012:role/consul-ecs/*"], EnableIAMEntityDetails = true, LeaseMetaKey = "consul.hashicorp.com/task-id" })
}

resource "consul_acl_auth_method" "services" {
  name = "iam-ecs-service-token"
  type = "aws-iam"
  description = "AWS IAM auth method for ECS service tokens"
  config_json = jsonencode({ BoundIAMPrincipalARNs = ["arn:aws:iam::123456789012:role/consul-ecs/*"], EnableIAMEntityDetails = true, IAMEntityTags = ["consul.hashicorp.com.service-name"], LeaseMetaKey = "consul.hashicorp.com/task-id" })
}

resource "consul_acl_binding_rule" "clients" {
  auth_method = consul_acl_auth_method.clients.name
  bind_type = "node"
  bind_name = "$${session_name}"
  description = "Bind a node identity to the task, for ECS"
}

resource "consul_acl_binding_rule" "services" {
  auth_method = consul_acl_auth_method.services.name
  bind_type = "service"
  bind_name = "$${entity_tags.consul.hashicorp.com.service-name}"
  description = "Bind a service identity from IAM role tag for ECS"
}
