cp /bin/consul /bin/consul-inject/consul

ECS_IPV4=$(curl -s $ECS_CONTAINER_METADATA_URI_V4 | jq -r '.Networks[0].IPv4Addresses[0]')

# Obtain details from the task metadata
ECS_TASK_META=$(curl -s $ECS_CONTAINER_METADATA_URI_V4/task)
TASK_REGION=$(echo "$ECS_TASK_META" | jq -r .TaskARN | cut -d ':' -f 4)
TASK_ID=$(echo "$ECS_TASK_META" | jq -r .TaskARN | cut -d '/' -f 3)
CLUSTER_ARN=$(echo "$ECS_TASK_META" | jq -r .TaskARN | sed -E 's|:task/([^/]+).*|:cluster/\1|')
{{if .CASecret}}
# Write the CA certs to files in the shared volume
echo "$CONSUL_CACERT_PEM" > /consul/consul-ca-cert.pem
{{end}}{{if .HTTPSCASecret}}echo "$CONSUL_HTTPS_CACERT_PEM" > /consul/consul-https-ca-cert.pem
{{end}}{{if .LoggingIn}}
consul_login() {
  echo "Logging into auth method"
  consul login \
    -http-addr {{quote .ServerAddr}} \
{{if .HTTPSCASecret}}    -ca-file /consul/consul-https-ca-cert.pem \
{{end}}{{if .Partition}}    -partition {{quote .Partition}} \
{{end}}    -type aws-iam \
    -method {{quote .ClientMethod}} \
    -meta "consul.hashicorp.com/task-id=$TASK_ID" \
    -meta "consul.hashicorp.com/cluster=$CLUSTER_ARN" \
    -aws-region "$TASK_REGION" \
    -aws-auto-bearer-token -aws-include-entity \
    -token-sink-file /consul/client-token
}

read_token_stale() {
  consul acl token read -http-addr {{quote .ServerAddr}} \
{{if .HTTPSCASecret}}    -ca-file /consul/consul-https-ca-cert.pem \
{{end}}    -stale -self -token-file /consul/client-token \
    > /dev/null
}

# Retry in order to login successfully.
while ! consul_login; do
  sleep 2
done

# Allow the health-sync container to read this token for consul logout.
chmod 0644 /consul/client-token

COUNT=20
while [ "$COUNT" -gt 0 ]; do
  echo "Checking that the ACL token exists when reading it in the stale consistency mode ($COUNT attempts remaining)"
  if read_token_stale; then
    echo "Successfully read ACL token from the server"
    break
  fi
  sleep 0.1
  COUNT=$((COUNT - 1))
done
if [ "$COUNT" -eq 0 ]; then
  echo "Unable to read ACL token from a Consul server; please check that your server cluster is healthy"
  exit 1
fi

# This is interpolated into the agent-defaults.hcl
export AGENT_TOKEN=$(cat /consul/client-token)
{{end}}
# Write the Consul agent configuration file.
cat << EOF > /consul/agent-defaults.hcl
addresses = {
  dns = "127.0.0.1"
  grpc = "127.0.0.1"
  http = "127.0.0.1"
}
advertise_addr = "$ECS_IPV4"
advertise_reconnect_timeout = "15m"
client_addr = "0.0.0.0"
datacenter = "{{if .Datacenter}}$CONSUL_DATACENTER{{else}}dc1{{end}}"
node_name = "$TASK_ID"
enable_central_service_config = true
leave_on_terminate = true
ports {
  grpc = 8502
}
retry_join = [{{range $i, $addr := .RetryJoin}}{{if $i}}, {{end}}"{{$addr}}"{{end}}]
telemetry {
  disable_compat_1.9 = true
}
{{if .GossipSecret}}
# Configure gossip encryption key
encrypt = "$CONSUL_GOSSIP_ENCRYPTION_KEY"
{{end}}{{if .CASecret}}
# Configure TLS settings
auto_encrypt = {
  tls = true
  ip_san = ["$ECS_IPV4"]
}
tls {
  defaults {
    ca_file = "/consul/consul-ca-cert.pem"
    verify_outgoing = true
  }
}
{{end}}{{if .LoggingIn}}
# Configure ACLs
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens {
    agent = "$AGENT_TOKEN"
  }
}
{{end}}{{if .Partition}}
partition = "{{.Partition}}"
{{end}}EOF

exec consul agent -data-dir /consul/data -config-file /consul/agent-defaults.hcl
