package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// body checks that the last request was line with a body that holds, next to
// anything else, the fields of want (JSON). A null in want is a field that is absent or empty.
func (f *fakeAPI) body(t *testing.T, line, want string) {
	t.Helper()
	last := f.last(t)
	if last.line != line {
		t.Fatalf("asked %s, want %s", last.line, line)
	}
	var got, fields map[string]any
	if err := json.Unmarshal([]byte(last.body), &got); err != nil {
		t.Fatalf("body %q: %v", last.body, err)
	}
	if err := json.Unmarshal([]byte(want), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		if !reflect.DeepEqual(got[name], value) && !(value == nil && (got[name] == "" || got[name] == nil)) {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

const (
	anonymousPath = "/v1/acl/token/" + anonymousAccessor
	policyPath    = "/v1/acl/policy/b6a0f713-a3c3-1724-385b-5512df1962ea"
	rolePath      = "/v1/acl/role/3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe"
	tokenPath     = "/v1/acl/token/138c06b4-05c8-a868-20a5-d6b9c3140c17"
	rulePath      = "/v1/acl/binding-rule/1efdec21-ad71-aedb-7546-a591b565a0ad"
)

// What a command sends last, for the commands that change something.
func TestRequests(t *testing.T) {
	rules := write(t, "rules.hcl", "acl = \"read\"\n")
	templates := write(t, "templates.hcl", "TemplatedPolicy \"builtin/service\" { Name = \"web\" }\nTemplatedPolicy \"builtin/dns\" {}\n")
	config := write(t, "config.json", `{"BoundIAMPrincipalARNs":["arn:aws:iam::123456789012:*"]}`)
	tests := []struct {
		name string
		args []string
		play answers
		line string
		body string
	}{
		{"policy create", []string{"acl", "policy", "create", "-name", "p", "-description", "d", "-rules", "@" + rules, "-valid-datacenter", "dc1", "-valid-datacenter", "dc2"},
			answers{"PUT /v1/acl/policy": policyA}, "PUT /v1/acl/policy",
			`{"Name":"p","Description":"d","Rules":"acl = \"read\"\n","Datacenters":["dc1","dc2"],"ID":null}`},
		{"policy create with literal rules", []string{"acl", "policy", "create", "-name", "p", "-rules", `key "@" {}`},
			answers{"PUT /v1/acl/policy": policyA}, "PUT /v1/acl/policy", `{"Rules":"key \"@\" {}"}`},
		{"policy update keeps what is not mentioned", []string{"acl", "policy", "update", "-name", "reader", "-description", ""},
			answers{"GET /v1/acl/policy/name/reader": policyA, "GET " + policyPath: policyA, "PUT " + policyPath: policyA}, "PUT " + policyPath,
			`{"Name":"reader","Description":"","Rules":"key \"a\" { policy = \"read\" }","Datacenters":["dc1","dc2"]}`},
		{"policy update renames", []string{"acl", "policy", "update", "-id", "b6a0f713", "-name", "new", "-rules", "@" + rules},
			answers{"GET /v1/acl/policies": "[" + policyA + "]", "GET " + policyPath: policyA, "PUT " + policyPath: policyA}, "PUT " + policyPath,
			`{"Name":"new","Description":"read one key","Rules":"acl = \"read\"\n"}`},
		{"policy update without merge", []string{"acl", "policy", "update", "-no-merge", "-id", "b6a0f713-a3c3-1724-385b-5512df1962ea", "-name", "new"},
			answers{"PUT " + policyPath: policyA}, "PUT " + policyPath, `{"Name":"new","Description":"","Rules":"","Datacenters":null}`},

		{"role create", []string{"acl", "role", "create", "-name", "r", "-policy-name", "p", "-policy-id", "b6a0f7", "-service-identity", "web:dc1,dc2",
			"-service-identity", "api", "-node-identity", "n1:dc1", "-templated-policy-file", templates},
			answers{"GET /v1/acl/policies": policyList, "PUT /v1/acl/role": roleA}, "PUT /v1/acl/role",
			`{"Name":"r","Policies":[{"ID":"","Name":"p"},{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":""}],` +
				`"ServiceIdentities":[{"ServiceName":"web","Datacenters":["dc1","dc2"]},{"ServiceName":"api"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"}],` +
				`"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"Name":"web"}},{"TemplateName":"builtin/dns"}]}`},
		{"role update adds", []string{"acl", "role", "update", "-id", "3aef", "-policy-name", "reader", "-policy-name", "more", "-append-templated-policy", "builtin/dns"},
			answers{"GET /v1/acl/roles": "[" + roleA + "]", "GET " + rolePath: roleA, "PUT " + rolePath: roleA}, "PUT " + rolePath,
			`{"Name":"ops","Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"},{"ID":"","Name":"more"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"}],` +
				`"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"Name":"api"}},{"TemplateName":"builtin/dns"}]}`},
		{"role update replaces", []string{"acl", "role", "update", "-no-merge", "-id", "3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe", "-name", "r", "-service-identity", "x"},
			answers{"PUT " + rolePath: roleA}, "PUT " + rolePath, `{"Name":"r","Description":"","Policies":null,"ServiceIdentities":[{"ServiceName":"x"}],"TemplatedPolicies":null}`},

		{"token create", []string{"acl", "token", "create", "-accessor", "a", "-secret", "s", "-description", "d", "-expires-ttl", "1h", "-local",
			"-role-name", "r", "-role-id", "3ae", "-templated-policy", "builtin/service", "-var", "name:api"},
			answers{"GET /v1/acl/roles": "[" + roleA + "]", "PUT /v1/acl/token": tokenA}, "PUT /v1/acl/token",
			`{"AccessorID":"a","SecretID":"s","Description":"d","Local":true,"ExpirationTTL":3600000000000,` +
				`"Roles":[{"ID":"","Name":"r"},{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":""}],"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"Name":"api"}}]}`},
		{"token update replaces one list", []string{"acl", "token", "update", "-accessor-id", "138c", "-policy-name", "p"},
			answers{"GET /v1/acl/tokens": "[" + tokenA + "]", "GET " + tokenPath: tokenA, "PUT " + tokenPath: tokenA}, "PUT " + tokenPath,
			`{"Description":"batch job","Local":true,"AuthMethod":"ecs-clients","Policies":[{"ID":"","Name":"p"}],"Roles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops"}],` +
				`"ServiceIdentities":[{"ServiceName":"web"}]}`},
		{"token update adds", []string{"acl", "token", "update", "-accessor-id", "138c06b4-05c8-a868-20a5-d6b9c3140c17", "-append-policy-name", "reader",
			"-append-policy-name", "p", "-append-role-name", "r", "-append-service-identity", "api", "-append-node-identity", "n2:dc1", "-description", "new"},
			answers{"GET " + tokenPath: tokenA, "PUT " + tokenPath: tokenA}, "PUT " + tokenPath,
			`{"Description":"new","Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"},{"ID":"","Name":"p"}],` +
				`"Roles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops"},{"ID":"","Name":"r"}],"ServiceIdentities":[{"ServiceName":"web"},{"ServiceName":"api"}],` +
				`"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"},{"NodeName":"n2","Datacenter":"dc1"}]}`},
		{"token update with the deprecated flags adds", []string{"acl", "token", "update", "-id", "138c06b4-05c8-a868-20a5-d6b9c3140c17", "-merge-policies", "-policy-name", "p",
			"-merge-roles", "-role-name", "r", "-merge-service-identities", "-service-identity", "api", "-merge-node-identities", "-node-identity", "n2:dc1"},
			answers{"GET " + tokenPath: tokenA, "PUT " + tokenPath: tokenA}, "PUT " + tokenPath,
			`{"Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"},{"ID":"","Name":"p"}],"Roles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops"},{"ID":"","Name":"r"}],` +
				`"ServiceIdentities":[{"ServiceName":"web"},{"ServiceName":"api"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"},{"NodeName":"n2","Datacenter":"dc1"}]}`},
		{"token update replaces templates", []string{"acl", "token", "update", "-accessor-id", "anonymous", "-replace-templated-policy", "builtin/dns"},
			answers{"GET " + anonymousPath: tokenB, "PUT " + anonymousPath: tokenB}, "PUT " + anonymousPath, `{"TemplatedPolicies":[{"TemplateName":"builtin/dns"}]}`},
		{"token clone", []string{"acl", "token", "clone", "-accessor-id", "anonymous", "-description", "d"},
			answers{"PUT " + anonymousPath + "/clone": tokenB}, "PUT " + anonymousPath + "/clone", `{"Description":"d"}`},

		{"auth method create", []string{"acl", "auth-method", "create", "-name", "m", "-type", "aws-iam", "-description", "d", "-display-name", "D", "-max-token-ttl", "1h",
			"-token-locality", "global", "-config", "@" + config},
			answers{"PUT /v1/acl/auth-method": methodA}, "PUT /v1/acl/auth-method",
			`{"Name":"m","Type":"aws-iam","Description":"d","DisplayName":"D","MaxTokenTTL":"1h0m0s","TokenLocality":"global","Config":{"BoundIAMPrincipalARNs":["arn:aws:iam::123456789012:*"]},"NamespaceRules":null}`},
		{"kubernetes auth method", []string{"acl", "auth-method", "create", "-name", "m", "-type", "kubernetes", "-kubernetes-host", "h", "-kubernetes-ca-cert", "@" + rules, "-kubernetes-service-account-jwt", "j"},
			answers{"PUT /v1/acl/auth-method": methodA}, "PUT /v1/acl/auth-method", `{"Config":{"Host":"h","CACert":"acl = \"read\"\n","ServiceAccountJWT":"j"}}`},
		{"auth method update keeps what is not mentioned", []string{"acl", "auth-method", "update", "-name", "ecs-clients", "-description", "new"},
			answers{"GET /v1/acl/auth-method/ecs-clients": methodA, "PUT /v1/acl/auth-method/ecs-clients": methodA}, "PUT /v1/acl/auth-method/ecs-clients",
			`{"Type":"aws-iam","Description":"new","DisplayName":"ECS","MaxTokenTTL":"1h0m0s","TokenLocality":"global","NamespaceRules":[{"Selector":"entity_name == web","BindNamespace":"team"}],` +
				`"Config":{"EnableIAMEntityDetails":true,"BoundIAMPrincipalArns":["arn:aws:iam::123456789012:role/consul-ecs/*"]}}`},
		{"auth method update replaces the configuration", []string{"acl", "auth-method", "update", "-name", "ecs-clients", "-config", `{"a":1}`, "-max-token-ttl", "0"},
			answers{"GET /v1/acl/auth-method/ecs-clients": methodA, "PUT /v1/acl/auth-method/ecs-clients": methodA}, "PUT /v1/acl/auth-method/ecs-clients",
			`{"Config":{"a":1},"MaxTokenTTL":null,"Description":"client tokens"}`},
		{"auth method update without merge", []string{"acl", "auth-method", "update", "-no-merge", "-name", "ecs-clients", "-config", `{"a":1}`},
			answers{"GET /v1/acl/auth-method/ecs-clients": methodA, "PUT /v1/acl/auth-method/ecs-clients": methodA}, "PUT /v1/acl/auth-method/ecs-clients",
			`{"Type":"aws-iam","Config":{"a":1},"MaxTokenTTL":null,"Description":null,"NamespaceRules":null}`},

		{"binding rule create has a default type", []string{"acl", "binding-rule", "create", "-method", "m", "-bind-name", "b"},
			answers{"PUT /v1/acl/binding-rule": ruleA}, "PUT /v1/acl/binding-rule", `{"AuthMethod":"m","BindType":"service","BindName":"b","Selector":"","Description":"","BindVars":null}`},
		{"binding rule create for a template", []string{"acl", "binding-rule", "create", "-method", "m", "-bind-name", "builtin/service", "-bind-type", "templated-policy", "-bind-vars", "name=${entity_name}", "-selector", "a == b"},
			answers{"PUT /v1/acl/binding-rule": ruleA}, "PUT /v1/acl/binding-rule", `{"BindType":"templated-policy","BindVars":{"Name":"${entity_name}"},"Selector":"a == b"}`},
		{"binding rule update keeps the stored type", []string{"acl", "binding-rule", "update", "-id", "2ef", "-description", "new"},
			answers{"GET /v1/acl/binding-rules": "[" + ruleA + "," + ruleB + "]", "GET /v1/acl/binding-rule/2efdec21-ad71-aedb-7546-a591b565a0ad": ruleB, "PUT /v1/acl/binding-rule/2efdec21-ad71-aedb-7546-a591b565a0ad": ruleB},
			"PUT /v1/acl/binding-rule/2efdec21-ad71-aedb-7546-a591b565a0ad",
			`{"BindType":"templated-policy","BindName":"builtin/service","BindVars":{"Name":"${entity_name}"},"Selector":"entity_name == web","Description":"new","AuthMethod":"ecs-svc"}`},
		{"binding rule update without merge", []string{"acl", "binding-rule", "update", "-no-merge", "-id", "1efdec21-ad71-aedb-7546-a591b565a0ad", "-bind-type", "role", "-bind-name", "r"},
			answers{"GET " + rulePath: ruleA, "PUT " + rulePath: ruleA}, "PUT " + rulePath, `{"AuthMethod":"ecs-svc","BindType":"role","BindName":"r","Selector":""}`},

		{"agent token", []string{"acl", "set-agent-token", "dns", "secret"}, answers{"PUT /v1/agent/token/dns": ""}, "PUT /v1/agent/token/dns", `{"Token":"secret"}`},

		{"namespace create", []string{"namespace", "create", "-partition", "ecs", "-name", "t", "-description", "d", "-meta", "a=b=c", "-default-policy-id", "i", "-default-policy-name", "n", "-default-role-name", "r"},
			answers{"PUT /v1/namespace?partition=ecs": namespaceA}, "PUT /v1/namespace?partition=ecs",
			`{"Name":"t","Description":"d","Meta":{"a":"b=c"},"ACLs":{"PolicyDefaults":[{"ID":"i","Name":""},{"ID":"","Name":"n"}],"RoleDefaults":[{"ID":"","Name":"r"}]}}`},
		{"namespace update clears what is not given", []string{"namespace", "update", "-name", "team-1", "-meta", "x=y"},
			answers{"GET /v1/namespace/team-1": namespaceA, "PUT /v1/namespace/team-1": namespaceA}, "PUT /v1/namespace/team-1", `{"Description":"Team one","Meta":{"x":"y"},"ACLs":null}`},
		{"namespace update merges", []string{"namespace", "update", "-name", "team-1", "-meta", "x=y", "-merge-meta", "-merge-acls", "-default-policy-name", "node-read", "-default-policy-name", "more"},
			answers{"GET /v1/namespace/team-1": namespaceA, "PUT /v1/namespace/team-1": namespaceA}, "PUT /v1/namespace/team-1",
			`{"Meta":{"x":"y","team":"a","owner":"ops"},"ACLs":{"PolicyDefaults":[{"ID":"0b2e6c1a-58e3-4d66-9a07-b0a1a6e1c9f4","Name":"node-read"},{"ID":"","Name":"more"}],` +
				`"RoleDefaults":[{"ID":"69e1f9f4-58e3-4d66-9a07-b0a1a6e1c9f4","Name":"reader"}]}}`},
		{"partition create", []string{"partition", "create", "-name", "ecs", "-description", "d"}, answers{"PUT /v1/partition": `{"Name":"ecs"}`}, "PUT /v1/partition", `{"Name":"ecs","Description":"d"}`},
		{"partition update", []string{"partition", "update", "-name", "ecs", "-description", "d"},
			answers{"GET /v1/partition/ecs": `{"Name":"ecs","DisableGossip":true}`, "PUT /v1/partition/ecs": `{"Name":"ecs"}`}, "PUT /v1/partition/ecs", `{"Description":"d","DisableGossip":true}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, tc.play)
			if got := api.run(t, tc.args...); got.code != 0 || got.out == "" {
				t.Fatalf("exit code %d: %s", got.code, got.err)
			}
			api.body(t, tc.line, tc.body)
		})
	}
}

// Values and files may come from standard input.
func TestStandardInput(t *testing.T) {
	tests := []struct {
		command, stdin, line, body string
		answer                     string
	}{
		{"acl policy create -name p -rules -", "acl = \"read\"", "PUT /v1/acl/policy", `{"Rules":"acl = \"read\""}`, policyA},
		{"acl auth-method create -name m -type jwt -config -", `{"a":"b"}`, "PUT /v1/acl/auth-method", `{"Config":{"a":"b"}}`, methodA},
		{"acl bootstrap -", " wanted \n", "PUT /v1/acl/bootstrap", `{"BootstrapSecret":"wanted"}`, tokenB},
		{"partition write -", `name = "ecs" Description = "d"`, "PUT /v1/partition/ecs", `{"Name":"ecs","Description":"d"}`, `{"Name":"ecs"}`},
		{"namespace write -", namespaceA, "PUT /v1/namespace/team-1", `{"Name":"team-1","Description":"Team one","Meta":{"owner":"ops","team":"a"},"CreateIndex":null}`, namespaceA},
		{"namespace write -partition ecs -", "name = \"t\"\nmeta { a = \"b\" }\nacls { policy_defaults { name = \"x\" } policy_defaults { id = \"y\" } role_defaults = [] }",
			"PUT /v1/namespace/t?partition=ecs", `{"Name":"t","Meta":{"a":"b"},"ACLs":{"PolicyDefaults":[{"ID":"","Name":"x"},{"ID":"y","Name":""}],"RoleDefaults":null}}`, namespaceA},
		{"acl templated-policy preview -file -", `{"TemplatedPolicy":{"builtin/service":[{"Name":"web"}]}}`, "POST /v1/acl/templated-policy/preview/builtin/service", `{"Name":"web"}`, policyA},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			api := newAPI(t, answers{tc.line: tc.answer})
			w := api.at()
			w.stdin = tc.stdin
			if got := w.run(t, strings.Fields(tc.command)...); got.code != 0 {
				t.Fatal(got.err)
			}
			api.body(t, tc.line, tc.body)
		})
	}
}

// A full ID needs no listing, and a prefix exactly one.
func TestResolution(t *testing.T) {
	const one, two = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
	tests := []struct {
		name, prefix, id, err string
	}{
		{"the only match", "bbb", "bbbbbbbb-0000-0000-0000-000000000001", ""},
		{"two matches", "aaa", "", "Partial policy ID is not unique"},
		{"no match", "ccc", "", "No such policy ID with prefix: ccc"},
		{"all but the last letter of two", "aaaaaaaa-0000-0000-0000-00000000000", "", "Partial policy ID is not unique"},
		{"a whole ID", two, two, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := byPrefix("policy", tc.prefix, []string{one, two, "bbbbbbbb-0000-0000-0000-000000000001"})
			if got != tc.id || err == nil != (tc.err == "") || err != nil && err.Error() != tc.err {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
