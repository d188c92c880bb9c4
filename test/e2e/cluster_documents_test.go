package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentsAgent starts a client agent as the documents' start script does:
// with the CA, the gossip key and its task's role it logs in at a server, writes
// agent-defaults.hcl and runs the agent.
func TestDocumentsAgent(t *testing.T) {
	c := newCluster(t, 3, 2)
	operator, task, other := c.servers[0], c.agents[0], c.agents[1]
	operator.file("client-token-policy-ent.hcl", `
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
`)
	for _, command := range [][]string{
		{"partition", "create", "-name", "team-a"},
		{"acl", "policy", "create", "-partition", "team-a", "-name", "consul-ecs-client-policy", "-rules", "@client-token-policy-ent.hcl"},
		{"acl", "role", "create", "-partition", "team-a", "-name", "consul-ecs-client-role", "-policy-name", "consul-ecs-client-policy"},
		{"acl", "auth-method", "create", "-partition", "team-a", "-type", "aws-iam", "-name", "iam-ecs-client-token",
			"-description=AWS IAM auth method for ECS client tokens",
			"-config", `{"BoundIAMPrincipalArns": ["arn:aws:iam::123456789012:role/consul-ecs/*"], "EnableIAMEntityDetails": true}`},
		{"acl", "binding-rule", "create", "-partition", "team-a", "-method", "iam-ecs-client-token",
			"-bind-type", "role", "-bind-name", "consul-ecs-client-role"},
	} {
		operator.must(t, []string{"CONSUL_HTTP_TOKEN=" + c.management}, command...)
	}

	c.writeAgent(task, "", "team-a") // for its CA file
	env := append(c.roleOf(task, "consul-ecs/web"), c.env...)
	https := "https://" + c.servers[1].addr() + ":8501"
	token := filepath.Join(task.dir, "client-token")
	task.must(t, env, "login", "-http-addr", https, "-ca-file", "ca.pem", "-partition", "team-a",
		"-type", "aws-iam", "-method", "iam-ecs-client-token", "-meta", "consul.hashicorp.com/task-id=1",
		"-aws-region", region, "-aws-auto-bearer-token", "-aws-include-entity", "-token-sink-file", token)
	for _, server := range c.servers { // the documents' loop ends at its first attempt, on every server
		task.must(t, nil, "acl", "token", "read", "-http-addr", "https://"+server.addr()+":8501", "-ca-file", "ca.pem",
			"-partition", "team-a", "-stale", "-self", "-token-file", token)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	c.writeAgent(task, strings.TrimSpace(string(secret)), "team-a")
	if err := task.start(); err != nil {
		t.Fatal(err)
	}
	c.awaitMember(t, task)

	members := operator.must(t, []string{"CONSUL_HTTP_TOKEN=" + c.management}, "members")
	if !strings.Contains(members, task.name) || !strings.Contains(members, "team-a") {
		t.Errorf("the client agent is not in its partition:\n%s", members)
	}
	for _, path := range []string{"/v1/acl/token/self", "/v1/agent/members"} {
		status, answer, err := task.ask(t.Context(), http.MethodGet, path, strings.TrimSpace(string(secret)), "")
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: status %d, %v: %s", path, status, err, answer)
		}
	}
	if files, err := filepath.Glob(filepath.Join(task.dir, "*.pem")); err != nil || len(files) != 1 {
		t.Errorf("the client agent was given %v", files)
	}

	// An agent of another partition gets no certificate with the token.
	c.writeAgent(other, strings.TrimSpace(string(secret)), "")
	if _, err := other.launch(); err != nil {
		t.Fatal(err)
	}
	other.saysWhy(t, "not what was asked for")
	c.outsider(t, other)

	// What was handed out ends with the task.
	task.must(t, nil, "logout", "-token-file", token)
	if out, code := task.command(nil, "acl", "token", "read", "-partition", "team-a", "-self", "-token-file", token); code != 1 || !strings.Contains(out, "ACL not found") {
		t.Errorf("after logout: exit code %d: %s", code, out)
	}
}

// must runs consul on the host and returns what it prints.
func (h *host) must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, code := h.command(env, args...)
	if code != 0 {
		t.Fatalf("consul %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// roleOf starts a task with a role on a host, and returns the environment of its commands.
func (c *cluster) roleOf(h *host, role string) []string {
	c.t.Helper()
	task, err := c.aws.startTask(role)
	if err != nil {
		c.t.Fatal(err)
	}
	local := h.serve(c.network.local(h.number), c.aws)
	return []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + strings.Replace(task.CredentialsURI, c.aws.URL(), local, 1)}
}
