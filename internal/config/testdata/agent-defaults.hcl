addresses = { dns = "127.0.0.1" grpc = "127.0.0.1" http = "127.0.0.1" }
advertise_addr = "10.0.3.17"
advertise_reconnect_timeout = "15m"
client_addr = "0.0.0.0"
datacenter = "dc1"
enable_central_service_config = true
leave_on_terminate = true
ports { grpc = 8502 }
retry_join = ["provider=aws tag_key=role tag_value=consul-server"]
telemetry { disable_compat_1.9 = true }

# Configure gossip encryption key
encrypt = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

# Configure TLS settings
auto_encrypt = {
  tls = true
  ip_san = ["10.0.3.17"]
}
tls {
  defaults {
    ca_file = "CA_FILE"
    verify_outgoing = true
  }
}

# Configure ACLs
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens {
    agent = "1b1c7d8e-0000-4000-8000-000000000001"
  }
}

partition = "part-1"

audit {
  enabled = true
  sink "stdout" {
    type = "file"
    format = "json"
    path = "/dev/stdout"
    delivery_guarantee = "best-effort"
  }
}
