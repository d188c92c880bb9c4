upstreams         = ["stock:1234", "paint.art.team-a:1235:dc2"]
tags              = ["v1"]
meta              = ["team=shop"]
server_addr       = "https://consul.internal:8501"
retry_join        = ["consul.internal", "provider=aws tag_key=consul tag_value=server"]
datacenter        = "dc1"
ca_secret         = "arn:aws:secretsmanager:us-west-2:123456789012:secret:my-consul-ca-cert"
https_ca_secret   = "arn:aws:secretsmanager:us-west-2:123456789012:secret:my-consul-https-ca-cert"
gossip_key_secret = "arn:aws:ssm:us-west-2:123456789012:parameter/my-consul-gossip-key"
consul_image      = "example.com/consul:0.1.0"
consul_ecs_image  = "example.com/consul-ecs:0.1.0"
