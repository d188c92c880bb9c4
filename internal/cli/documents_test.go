package cli

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/logging"
)

// The commands that the guide to a secure set-up on ECS tells an operator to
// type, with its placeholders filled in, and what each sends.
func TestCommandsOfTheGuide(t *testing.T) {
	t.Chdir(t.TempDir())
	const rules = "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"
	for _, name := range []string{"client-token-policy.hcl", "client-token-policy-ent.hcl"} {
		if err := os.WriteFile(name, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		line   string
		answer string
		body   string
	}{
		{"auth method for client tokens", []string{"acl", "auth-method", "create", "-type", "aws-iam", "-name", "iam-ecs-client-token",
			"-description=AWS IAM auth method for ECS client tokens",
			"-config", "{\n\"BoundIAMPrincipalArns\": [\"arn:aws:iam::123456789012:role/consul-ecs/*\"],\n\"EnableIAMEntityDetails\": true\n}"},
			"PUT /v1/acl/auth-method", methodA,
			`{"Name":"iam-ecs-client-token","Type":"aws-iam","Description":"AWS IAM auth method for ECS client tokens",` +
				`"Config":{"BoundIAMPrincipalArns":["arn:aws:iam::123456789012:role/consul-ecs/*"],"EnableIAMEntityDetails":true},"NamespaceRules":null}`},
		{"policy", []string{"acl", "policy", "create", "-name", "consul-ecs-client-policy", "-rules", "@client-token-policy.hcl"},
			"PUT /v1/acl/policy", policyA,
			`{"Name":"consul-ecs-client-policy","Rules":"node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n"}`},
		{"role", []string{"acl", "role", "create", "-name", "consul-ecs-client-role", "-policy-name", "consul-ecs-client-policy"},
			"PUT /v1/acl/role", roleA, `{"Name":"consul-ecs-client-role","Policies":[{"ID":"","Name":"consul-ecs-client-policy"}]}`},
		{"binding rule for client tokens", []string{"acl", "binding-rule", "create", "-method", "iam-ecs-client-token",
			"-description", "Bind a role for Consul clients on ECS", "-bind-type", "role", "-bind-name", "consul-ecs-client-role"},
			"PUT /v1/acl/binding-rule", ruleA,
			`{"AuthMethod":"iam-ecs-client-token","Description":"Bind a role for Consul clients on ECS","BindType":"role","BindName":"consul-ecs-client-role"}`},
		{"binding rule for service tokens", []string{"acl", "binding-rule", "create", "-method", "iam-ecs-service-token",
			"-description", "Bind a service identity from IAM role tags for ECS service tokens",
			"-bind-type", "service", "-bind-name", "${entity_tags.consul.hashicorp.com.service-name}"},
			"PUT /v1/acl/binding-rule", ruleA,
			`{"AuthMethod":"iam-ecs-service-token","BindType":"service","BindName":"${entity_tags.consul.hashicorp.com.service-name}"}`},
		{"policy in a partition", []string{"acl", "policy", "create", "-partition", "ecs", "-name", "consul-ecs-client-policy", "-rules", "@client-token-policy-ent.hcl"},
			"PUT /v1/acl/policy?partition=ecs", policyA, `{"Name":"consul-ecs-client-policy"}`},
		{"role in a partition", []string{"acl", "role", "create", "-partition", "ecs", "-name", "consul-ecs-client-role", "-policy-name", "consul-ecs-client-policy"},
			"PUT /v1/acl/role?partition=ecs", roleA, `{"Name":"consul-ecs-client-role"}`},
		{"auth method for service tokens, with namespaces", []string{"acl", "auth-method", "create", "-partition", "ecs", "-type", "aws-iam", "-name", "iam-ecs-service-token",
			"-description=AWS IAM auth method for ECS service tokens",
			"-namespace-rule-selector", `entity_tags["consul.hashicorp.com.namespace"] != ""`,
			"-namespace-rule-bind-namespace", "${entity_tags.consul.hashicorp.com.namespace}",
			"-config", `{"BoundIAMPrincipalArns":["arn:aws:iam::123456789012:role/consul-ecs/*"],"EnableIAMEntityDetails":true,` +
				`"IAMEntityTags":["consul.hashicorp.com.service-name","consul.hashicorp.com.namespace"]}`},
			"PUT /v1/acl/auth-method?partition=ecs", methodA,
			`{"Name":"iam-ecs-service-token","NamespaceRules":[{"Selector":"entity_tags[\"consul.hashicorp.com.namespace\"] != \"\"",` +
				`"BindNamespace":"${entity_tags.consul.hashicorp.com.namespace}"}]}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, answers{tc.line: tc.answer})
			if got := api.run(t, tc.args...); got.code != 0 {
				t.Fatal(got.err)
			}
			api.body(t, tc.line, tc.body)
		})
	}
}

// The start-up script of a task: log in over HTTPS, see that the token works,
// and log out at the end.
func TestTaskOfTheGuide(t *testing.T) {
	api := &fakeAPI{}
	server := httptest.NewTLSServer(api.handler(answers{
		"POST /v1/acl/login?partition=ecs": loginToken,
		"GET /v1/acl/token/self?stale=":    tokenA,
		"POST /v1/acl/logout":              "true",
	}))
	defer server.Close()
	ca := write(t, "consul-https-ca-cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	sink := filepath.Join(t.TempDir(), "client-token")

	signed := func(context.Context, awsiam.BearerInput) (logging.Secret, error) { return "signed", nil }
	w := world{root: &Command{Name: "consul", Sub: []*Command{login(signed), acl(), logout()}}}
	for _, args := range [][]string{
		{"login", "-http-addr", server.URL, "-ca-file", ca, "-partition", "ecs", "-type", "aws-iam", "-method", "iam-ecs-client-token",
			"-meta", "consul.hashicorp.com/task-id=1a2b", "-meta", "consul.hashicorp.com/cluster=arn:aws:ecs:us-west-2:000000000000:cluster/c",
			"-aws-region", "us-west-2", "-aws-auto-bearer-token", "-aws-include-entity", "-token-sink-file", sink},
		{"acl", "token", "read", "-http-addr", server.URL, "-ca-file", ca, "-stale", "-self", "-token-file", sink},
		{"logout", "-http-addr", server.URL, "-ca-file", ca, "-token-file", sink},
	} {
		if got := w.run(t, args...); got.code != 0 || got.err != "" {
			t.Fatalf("%s: %+v", args[0], got)
		}
		if last := api.last(t); args[0] != "login" && last.token != "c1b1f7d2-0000-0000-0000-000000000001" {
			t.Errorf("%s sent token %q", args[0], last.token)
		}
	}
}
