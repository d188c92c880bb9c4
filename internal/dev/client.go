package dev

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// The documents' configuration of a task's client agent. What differs from a
// task of its own host are the ports.
const clientConfig = `addresses = {
  http = "127.0.0.1"
}
node_name = %[1]q
data_dir = %[2]q
bind_addr = "127.0.0.1"
advertise_addr = "127.0.0.1"
advertise_reconnect_timeout = "15m"
client_addr = "127.0.0.1"
datacenter = "dc1"
leave_on_terminate = true
ports {
  http = %[3]d
  server = %[4]d
  serf_lan = %[5]d
}
retry_join = [%[6]s]
# Configure gossip encryption key
encrypt = %[7]q
# Configure TLS settings
auto_encrypt = {
  tls = true
  ip_san = ["127.0.0.1"]
}
tls {
  defaults {
    ca_file = %[8]q
    verify_outgoing = true
  }
}
# Configure ACLs
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens {
    agent = %[9]q
  }
}
partition = %[10]q
`

// startClient starts the task's client agent with its client token, the CA and
// the gossip key.
func (w *world) startClient(ctx context.Context, t *task) (string, error) {
	token, err := os.ReadFile(t.clientToken)
	if err != nil {
		return "", err
	}
	ports, err := freePorts(2)
	if err != nil {
		return "", err
	}
	t.agent = &node{name: "task-" + t.ID[:8], http: ports[0], serf: ports[1]}
	config := fmt.Sprintf(clientConfig, t.agent.name, t.dir+"/data", t.agent.http, w.servers[0].server, t.agent.serf,
		w.joinAddrs(), w.gossipKey.Reveal(), w.caFile(), strings.TrimSpace(string(token)), demoPartition)
	path := t.dir + "/agent-defaults.hcl"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return "", err
	}
	if t.agent.process, err = w.tools.startAgent(ctx, t.dir+"/agent.log", nil, "-config-file", path); err != nil {
		return "", err
	}
	if err := t.agent.process.waitFor(ctx, "Join cluster completed"); err != nil {
		return "", err
	}
	return "certificate by auto_encrypt, joined as " + t.agent.name, nil
}

// member checks how the cluster sees the task's agent.
func (w *world) member(t *task, status string) step {
	return step{"consul members: " + status, func(ctx context.Context) (string, error) {
		out, err := w.tools.consul(ctx, w.operator(), "members")
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, t.agent.name) && strings.Contains(line, status) && strings.Contains(line, demoPartition) {
				return strings.Join(strings.Fields(line)[:4], " "), nil
			}
		}
		return "", fmt.Errorf("%s is not %s:\n%s", t.agent.name, status, out)
	}}
}

// throughAgent uses both tokens through the task's own agent.
func (w *world) throughAgent(t *task) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		for _, sink := range []string{t.clientToken, t.serviceToken} {
			_, err := w.tools.consul(ctx, nil, "acl", "token", "read", "-self", "-token-file", sink, "-http-addr", t.agent.addr(t.agent.http))
			if err != nil {
				return "", err
			}
		}
		return "both work on http://" + t.agent.addr(t.agent.http), nil
	}
}

// stopClient ends the task's agent as ECS does, with SIGTERM.
func (t *task) stopClient(context.Context) (string, error) {
	t.agent.process.stop()
	if code := t.agent.process.cmd.ProcessState.ExitCode(); code != 0 {
		return "", fmt.Errorf("exit code %d\n%s", code, t.agent.process.tail)
	}
	return "left the cluster, exit code 0", nil
}
