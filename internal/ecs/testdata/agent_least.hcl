addresses = {
  dns = "127.0.0.1"
  grpc = "127.0.0.1"
  http = "127.0.0.1"
}
advertise_addr = "10.0.3.17"
advertise_reconnect_timeout = "15m"
client_addr = "0.0.0.0"
datacenter = "dc1"
node_name = "0123abcd"
enable_central_service_config = true
leave_on_terminate = true
ports {
  grpc = 8502
}
