addresses = {
  dns = "127.0.0.1"
  grpc = "127.0.0.1"
  http = "127.0.0.1"
}
advertise_addr = "10.0.3.17"
advertise_reconnect_timeout = "15m"
client_addr = "0.0.0.0"
datacenter = "dc2"
node_name = "0123abcd"
enable_central_service_config = true
leave_on_terminate = true
ports {
  grpc = 8502
}
retry_join = ["provider=aws tag_key=role tag_value=consul-server"]
encrypt = "a2V5"
auto_encrypt = {
  tls = true
  ip_san = ["10.0.3.17"]
}
tls {
  defaults {
    ca_file = "testdata/ca/consul-ca-cert.pem"
    verify_outgoing = true
  }
}
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens {
    agent = "secret-id"
  }
}
partition = "team-a"
