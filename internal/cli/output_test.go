package cli

import (
	"strings"
	"testing"
)

// What the API says in the tests below.
const (
	policyA = `{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader","Description":"read one key","Rules":"key \"a\" { policy = \"read\" }","Datacenters":["dc1","dc2"],"Hash":"nSKPVnKH","CreateIndex":836,"ModifyIndex":837}`
	policyB = `{"ID":"b6a0ffff-a3c3-1724-385b-5512df1962ea","Name":"bare","Description":"","Rules":"","Hash":"AA==","CreateIndex":5,"ModifyIndex":5,"Namespace":"team","Partition":"ecs"}`

	policyList = `[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader","Description":"read one key","Datacenters":null,"Hash":"nSKPVnKH","CreateIndex":836,"ModifyIndex":837},` +
		`{"ID":"b6a0ffff-a3c3-1724-385b-5512df1962ea","Name":"writer","Description":"","Datacenters":["dc1"],"Hash":"AA==","CreateIndex":5,"ModifyIndex":5}]`

	roleA = `{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops","Description":"","Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"}],` +
		`"ServiceIdentities":[{"ServiceName":"web","Datacenters":["dc1","dc2"]},{"ServiceName":"api"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"}],` +
		`"TemplatedPolicies":[{"TemplateID":"x","TemplateName":"builtin/service","TemplateVariables":{"name":"api"}}],"Hash":"nSKPVnKH","CreateIndex":7,"ModifyIndex":8}`

	tokenA = `{"AccessorID":"138c06b4-05c8-a868-20a5-d6b9c3140c17","SecretID":"352fa8e0-262f-faa6-4a9b-8121f346438e","Description":"batch job",` +
		`"Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"}],"Roles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops"}],` +
		`"ServiceIdentities":[{"ServiceName":"web"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"}],"Local":true,"AuthMethod":"ecs-clients",` +
		`"ExpirationTime":"2030-01-02T04:04:05.169809101Z","CreateTime":"2030-01-02T03:04:05.169809101Z","Hash":"Nx/FPQ==","CreateIndex":839,"ModifyIndex":839}`
	tokenB = `{"AccessorID":"00000000-0000-0000-0000-000000000002","SecretID":"anonymous","Description":"","Local":false,` +
		`"CreateTime":"2030-01-02T03:04:05Z","Hash":"AA==","CreateIndex":6,"ModifyIndex":6,"Namespace":"default","Partition":"default"}`

	methodA = `{"MaxTokenTTL":"1h0m0s","Name":"ecs-clients","Type":"aws-iam","DisplayName":"ECS","Description":"client tokens","TokenLocality":"global",` +
		`"Config":{"EnableIAMEntityDetails":true,"BoundIAMPrincipalArns":["arn:aws:iam::123456789012:role/consul-ecs/*"]},` +
		`"NamespaceRules":[{"Selector":"entity_name == web","BindNamespace":"team"}],"CreateIndex":41,"ModifyIndex":42}`
	methodB = `{"Name":"bare","Type":"jwt","Config":{},"CreateIndex":43,"ModifyIndex":43}`

	ruleA = `{"ID":"1efdec21-ad71-aedb-7546-a591b565a0ad","Description":"","AuthMethod":"ecs-svc","Selector":"","BindType":"service",` +
		`"BindName":"${entity_tags.consul.hashicorp.com.service-name}","CreateIndex":44,"ModifyIndex":44}`
	ruleB = `{"ID":"2efdec21-ad71-aedb-7546-a591b565a0ad","Description":"d","AuthMethod":"ecs-svc","Selector":"entity_name == web","BindType":"templated-policy",` +
		`"BindName":"builtin/service","BindVars":{"name":"${entity_name}"},"CreateIndex":45,"ModifyIndex":45}`

	namespaceA = `{"Name":"team-1","Description":"Team one","ACLs":{"PolicyDefaults":[{"ID":"0b2e6c1a-58e3-4d66-9a07-b0a1a6e1c9f4","Name":"node-read"}],` +
		`"RoleDefaults":[{"ID":"69e1f9f4-58e3-4d66-9a07-b0a1a6e1c9f4","Name":"reader"}]},"Meta":{"team":"a","owner":"ops"},"CreateIndex":55,"ModifyIndex":56}`

	templateA = `{"TemplateName":"builtin/service","Schema":"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"description\":\"the service's name\"}},\"required\":[\"name\"]}",` +
		`"Template":"service \"{{.Name}}\" {\n  policy = \"write\"\n}","Description":"for a service"}`

	expandedA = `{"AccessorID":"138c06b4-05c8-a868-20a5-d6b9c3140c17","SecretID":"352fa8e0-262f-faa6-4a9b-8121f346438e","Description":"batch job",` +
		`"Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"}],"Roles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops"}],` +
		`"ServiceIdentities":[{"ServiceName":"web"}],"NodeIdentities":[{"NodeName":"n1","Datacenter":"dc1"}],` +
		`"TemplatedPolicies":[{"TemplateName":"builtin/service","TemplateVariables":{"name":"api"}}],"Local":false,"CreateTime":"2030-01-02T03:04:05Z","Hash":"AA==","CreateIndex":1,"ModifyIndex":2,` +
		`"ExpandedPolicies":[` + policyA + `,` +
		`{"ID":"s1","Name":"synthetic-1","Description":"synthetic policy for service identity \"web\"","Rules":"service \"web\" {\n  policy = \"write\"\n}\n"},` +
		`{"ID":"s2","Name":"synthetic-2","Description":"synthetic policy for node identity \"n1\"","Rules":"node \"n1\" { policy = \"write\" }","Datacenters":["dc1"]},` +
		`{"ID":"s3","Name":"synthetic-3","Description":"synthetic policy generated from templated policy: builtin/service","Rules":"service \"api\" { policy = \"write\" }"},` +
		`{"ID":"s4","Name":"synthetic-4","Description":"synthetic policy for service identity \"ecs/team/cart\"","Rules":"service \"cart\" { policy = \"write\" }"}],` +
		`"ExpandedRoles":[{"ID":"3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe","Name":"ops","Description":"","Policies":[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Name":"reader"}],"ServiceIdentities":[{"ServiceName":"cart"}]}],` +
		`"NamespaceDefaultPolicyIDs":["b6a0f713-a3c3-1724-385b-5512df1962ea"],"NamespaceDefaultRoleIDs":null,` +
		`"AgentACLDefaultPolicy":"deny","AgentACLDownPolicy":"extend-cache","ResolvedByAgent":"srv1"}`

	agentMembers = `[{"Name":"web-1","Addr":"10.0.0.9","Port":8301,"Tags":{"role":"node","dc":"dc1","ap":"ecs","build":"1.19.2:048f","vsn":"2"},"Status":4},` +
		`{"Name":"srv1","Addr":"10.0.0.5","Port":8301,"Tags":{"role":"consul","dc":"dc1","build":"1.19.2:048f","vsn":"2","acls":"1"},"Status":1}]`

	keyringPools = `[{"WAN":true,"Datacenter":"dc1","Segment":"","Keys":{"aaaa=":1},"PrimaryKeys":{"aaaa=":1},"NumNodes":1},` +
		`{"WAN":false,"Datacenter":"dc1","Segment":"","Messages":{"n3":"truncated key list response"},"Keys":{"cccc=":1,"bbbb=":3},"PrimaryKeys":{"bbbb=":3},"NumNodes":3}]`

	coordinates = `[{"Node":"n1","Segment":"","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.0001}},` +
		`{"Node":"n2","Segment":"","Coord":{"Vec":[0.0003,0.0004,0,0,0,0,0,0],"Error":1.5,"Adjustment":0.0001,"Height":0.0002}},` +
		`{"Node":"n3","Segment":"alpha","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.0001}}]`

	wanCoordinates = `[{"Datacenter":"dc1","AreaID":"wan","Coordinates":` + coordinates + `}]`

	agentSelf = `{"Config":{"NodeName":"n1","Datacenter":"dc1"},"Stats":{"raft":{"state":"Leader","commit_index":"90"},"agent":{"checks":"0"}}}`
)

// Each answer as the command shows it, whole.
func TestOutput(t *testing.T) {
	tests := []struct {
		golden, command string
		play            answers
	}{
		{"policy_read", "acl policy read -name reader", answers{"GET /v1/acl/policy/name/reader": policyA}},
		{"policy_read_meta", "acl policy read -meta -id b6a0f713-a3c3-1724-385b-5512df1962ea", answers{"GET /v1/acl/policy/b6a0f713-a3c3-1724-385b-5512df1962ea": policyA}},
		{"policy_read_json", "acl policy read -format json -name reader", answers{"GET /v1/acl/policy/name/reader": policyA}},
		{"policy_create", "acl policy create -partition ecs -namespace team -name bare", answers{"PUT /v1/acl/policy?ns=team&partition=ecs": policyB}},
		{"policy_list", "acl policy list", answers{"GET /v1/acl/policies": policyList}},
		{"policy_list_meta", "acl policy list -meta", answers{"GET /v1/acl/policies": policyList}},
		{"policy_list_json", "acl policy list -format=json", answers{"GET /v1/acl/policies": policyList}},
		{"role_read", "acl role read -name ops", answers{"GET /v1/acl/role/name/ops": roleA}},
		{"role_read_meta", "acl role read -meta -id 3aef", answers{"GET /v1/acl/roles": "[" + roleA + "]", "GET /v1/acl/role/3aef394e-2b8d-8404-dcf6-bbd2bdcf84fe": roleA}},
		{"role_read_json", "acl role read -format json -name ops", answers{"GET /v1/acl/role/name/ops": roleA}},
		{"role_list", "acl role list -meta", answers{"GET /v1/acl/roles": "[" + roleA + "," + roleA + "]"}},
		{"token_read", "acl token read -accessor-id 138c", answers{"GET /v1/acl/tokens": "[" + tokenA + "]", "GET /v1/acl/token/138c06b4-05c8-a868-20a5-d6b9c3140c17": tokenA}},
		{"token_read_meta", "acl token read -meta -self -stale", answers{"GET /v1/acl/token/self?stale=": tokenA}},
		{"token_read_json", "acl token read -self -format json", answers{"GET /v1/acl/token/self": tokenA}},
		{"token_read_anonymous", "acl token read -accessor-id anonymous", answers{"GET /v1/acl/token/00000000-0000-0000-0000-000000000002": tokenB}},
		{"token_read_expanded", "acl token read -expanded -accessor-id 138c06b4-05c8-a868-20a5-d6b9c3140c17", answers{"GET /v1/acl/token/138c06b4-05c8-a868-20a5-d6b9c3140c17?expanded=true": expandedA}},
		{"token_read_expanded_json", "acl token read -expanded -format json -accessor-id 138c06b4-05c8-a868-20a5-d6b9c3140c17", answers{"GET /v1/acl/token/138c06b4-05c8-a868-20a5-d6b9c3140c17?expanded=true": expandedA}},
		{"token_list", "acl token list", answers{"GET /v1/acl/tokens": "[" + tokenA + "," + tokenB + "]"}},
		{"token_list_json", "acl token list -format json", answers{"GET /v1/acl/tokens": "[" + tokenA + "," + tokenB + "]"}},
		{"token_clone", "acl token clone -accessor-id anonymous", answers{"PUT /v1/acl/token/00000000-0000-0000-0000-000000000002/clone": tokenB}},
		{"bootstrap", "acl bootstrap", answers{"PUT /v1/acl/bootstrap": tokenB}},
		{"auth_method_read", "acl auth-method read -meta -name ecs-clients", answers{"GET /v1/acl/auth-method/ecs-clients": methodA}},
		{"auth_method_read_bare", "acl auth-method read -name bare", answers{"GET /v1/acl/auth-method/bare": methodB}},
		{"auth_method_read_json", "acl auth-method read -format json -name ecs-clients", answers{"GET /v1/acl/auth-method/ecs-clients": methodA}},
		{"auth_method_list", "acl auth-method list -meta", answers{"GET /v1/acl/auth-methods": "[" + methodA + "," + methodB + "]"}},
		{"binding_rule_read", "acl binding-rule read -id 1ef", answers{"GET /v1/acl/binding-rules": "[" + ruleA + "," + ruleB + "]", "GET /v1/acl/binding-rule/1efdec21-ad71-aedb-7546-a591b565a0ad": ruleA}},
		{"binding_rule_read_json", "acl binding-rule read -format json -id 2efdec21-ad71-aedb-7546-a591b565a0ad", answers{"GET /v1/acl/binding-rule/2efdec21-ad71-aedb-7546-a591b565a0ad": ruleB}},
		{"binding_rule_list", "acl binding-rule list -method ecs-svc", answers{"GET /v1/acl/binding-rules?authmethod=ecs-svc": "[" + ruleA + "," + ruleB + "]"}},
		{"binding_rule_list_meta", "acl binding-rule list -meta", answers{"GET /v1/acl/binding-rules": "[" + ruleA + "," + ruleB + "]"}},
		{"templated_policy_list", "acl templated-policy list", answers{"GET /v1/acl/templated-policies": `{"builtin/service":` + templateA + `,"builtin/dns":{"TemplateName":"builtin/dns"}}`}},
		{"templated_policy_read", "acl templated-policy read -meta -name builtin/service", answers{"GET /v1/acl/templated-policy/name/builtin/service": templateA}},
		{"templated_policy_preview", "acl templated-policy preview -name builtin/service -var name:api", answers{"POST /v1/acl/templated-policy/preview/builtin/service": policyA}},
		{"namespace_read", "namespace read team-1", answers{"GET /v1/namespace/team-1": namespaceA}},
		{"namespace_read_meta", "namespace read -meta -partition ecs team-1", answers{"GET /v1/namespace/team-1?partition=ecs": namespaceA}},
		{"namespace_read_json", "namespace read -format json team-1", answers{"GET /v1/namespace/team-1": namespaceA}},
		{"namespace_list", "namespace list", answers{"GET /v1/namespaces": `[{"Name":"default","Description":"Builtin Default Namespace"},` + namespaceA + `]`}},
		{"partition_read", "partition read -meta ecs", answers{"GET /v1/partition/ecs": `{"Name":"ecs","Description":"tasks","CreateIndex":3,"ModifyIndex":4}`}},
		{"partition_read_deleted", "partition read ecs", answers{"GET /v1/partition/ecs": `{"Name":"ecs","DeletedAt":"2030-01-02T03:04:05Z"}`}},
		{"partition_read_json", "partition read -format json ecs", answers{"GET /v1/partition/ecs": `{"Name":"ecs","Description":"tasks","CreateIndex":3,"ModifyIndex":4}`}},
		{"partition_list", "partition list", answers{"GET /v1/partitions": `[{"Name":"default","Description":"Builtin Default Partition"},{"Name":"ecs"}]`}},
		{"members", "members", answers{"GET /v1/agent/members?segment=_all": agentMembers}},
		{"members_detailed", "members -detailed -status alive", answers{"GET /v1/agent/members?segment=_all": agentMembers}},
		{"keyring_list", "keyring -list", answers{"GET /v1/operator/keyring": keyringPools}},
		{"keyring_list_primary", "keyring -list-primary -local-only -relay-factor 5", answers{"GET /v1/operator/keyring?local-only=true&relay-factor=5": keyringPools}},
		{"info", "info", answers{"GET /v1/agent/self": agentSelf}},
		{"version", "version", nil},
		{"version_json", "version -format json", nil},
	}
	for _, tc := range tests {
		t.Run(tc.golden, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("exit code %d: %s", got.code, got.err)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

// Commands whose whole answer is one line, or nothing.
func TestShortOutput(t *testing.T) {
	const id = "b6a0f713-a3c3-1724-385b-5512df1962ea"
	tests := []struct{ command, line, out string }{
		{"acl policy delete -id " + id, "DELETE /v1/acl/policy/" + id, `Policy "` + id + `" deleted successfully` + "\n"},
		{"acl role delete -id " + id, "DELETE /v1/acl/role/" + id, `Role "` + id + `" deleted successfully` + "\n"},
		{"acl token delete -accessor-id " + id, "DELETE /v1/acl/token/" + id, `Token "` + id + `" deleted successfully` + "\n"},
		{"acl auth-method delete -name y", "DELETE /v1/acl/auth-method/y", `Auth method "y" deleted successfully` + "\n"},
		{"acl binding-rule delete -id " + id, "DELETE /v1/acl/binding-rule/" + id, `Binding rule "` + id + `" deleted successfully` + "\n"},
		{"acl set-agent-token default s", "PUT /v1/agent/token/default", `ACL token "default" set successfully` + "\n"},
		{"acl set-agent-token master s", "PUT /v1/agent/token/agent_recovery", `ACL token "master" set successfully` + "\n"},
		{"acl set-agent-token recovery s", "PUT /v1/agent/token/agent_recovery", `ACL token "recovery" set successfully` + "\n"},
		{"namespace delete team", "DELETE /v1/namespace/team", `Namespace "team" deleted successfully` + "\n"},
		{"partition delete ecs", "DELETE /v1/partition/ecs", `Partition "ecs" deleted successfully` + "\n"},
		{"logout -token s", "POST /v1/acl/logout", ""},
		{"leave", "PUT /v1/agent/leave", "Graceful leave complete\n"},
		{"join 10.0.0.9:8301", "PUT /v1/agent/join/10.0.0.9:8301", "Successfully joined cluster by contacting 1 nodes.\n"},
		{"join -partition ecs 10.0.0.9", "PUT /v1/agent/join/10.0.0.9?partition=ecs", "Successfully joined cluster by contacting 1 nodes.\n"},
		{"force-leave n2", "PUT /v1/agent/force-leave/n2", ""},
		{"force-leave -prune n2", "PUT /v1/agent/force-leave/n2?prune=1", ""},
		{"force-leave -wan -partition ecs n2.dc1", "PUT /v1/agent/force-leave/n2.dc1?partition=ecs&wan=1", ""},
		{"keyring -install k", "POST /v1/operator/keyring", "==> Installing new gossip encryption key...\n"},
		{"keyring -use k -relay-factor 2", "PUT /v1/operator/keyring?relay-factor=2", "==> Changing primary gossip encryption key...\n"},
		{"keyring -remove k", "DELETE /v1/operator/keyring", "==> Removing gossip encryption key...\n"},
		{"reload", "PUT /v1/agent/reload", "Configuration reload triggered\n"},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			api := newAPI(t, answers{tc.line: "true"})
			got := api.run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" || got.out != tc.out {
				t.Errorf("exit code %d, stdout %q, stderr %q; want stdout %q", got.code, got.out, got.err, tc.out)
			}
		})
	}
}

func TestKeygen(t *testing.T) {
	first, second := world{}.run(t, "keygen", "ignored"), world{}.run(t, "keygen")
	if first.code != 0 || len(first.out) != 45 || first.out == second.out {
		t.Errorf("keys %q and %q", first.out, second.out)
	}
}

func TestEvent(t *testing.T) {
	api := newAPI(t, answers{"PUT /v1/event/fire/deploy?node=n&service=web&tag=v1": `{"ID":"b54fe110-7af5-cafc-d1fb-afc8ba432b1c"}`})
	got := api.run(t, "event", "-name", "deploy", "-node", "n", "-service", "web", "-tag", "v1", "v2")
	if got.code != 0 || got.out != "Event ID: b54fe110-7af5-cafc-d1fb-afc8ba432b1c\n" || got.err != "" {
		t.Errorf("%+v", got)
	}
	if last := api.last(t); last.body != "v2" {
		t.Errorf("sent %q", last.body)
	}
}

func TestRTT(t *testing.T) {
	play := answers{
		"GET /v1/coordinate/nodes": coordinates, "GET /v1/coordinate/datacenters": wanCoordinates, "GET /v1/agent/self": agentSelf,
	}
	tests := []struct {
		command string
		code    int
		out     string // on stdout, or on stderr if code is not 0
	}{
		{"rtt n1 n2", 0, "Estimated n1 <-> n2 rtt: 0.900 ms (using LAN coordinates)\n"},
		{"rtt n2", 0, "Estimated n2 <-> n1 rtt: 0.900 ms (using LAN coordinates)\n"},
		{"rtt -wan n1.dc1 n2.dc1", 0, "Estimated n1.dc1 <-> n2.dc1 rtt: 0.900 ms (using WAN coordinates)\n"},
		{"rtt -wan n2.dc1", 0, "Estimated n2.dc1 <-> n1.dc1 rtt: 0.900 ms (using WAN coordinates)\n"},
		{"rtt n1 nope", 1, "Could not find a coordinate for node \"nope\"\n"},
		{"rtt nope", 1, "Could not find a coordinate for node \"nope\"\n"},
		{"rtt n1 n3", 1, "The coordinates of nodes \"n1\" and \"n3\" cannot be compared\n"},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			got := newAPI(t, play).run(t, strings.Fields(tc.command)...)
			if got.code != tc.code || got.out+got.err != tc.out {
				t.Errorf("exit code %d, %q %q", got.code, got.out, got.err)
			}
		})
	}
}

func TestJoinCountsWhoAnswered(t *testing.T) {
	api := newAPI(t, answers{
		"PUT /v1/agent/join/a": "", "PUT /v1/agent/join/b": "500 1 error occurred:\n\t* Failed to join b: no\n\n", "PUT /v1/agent/join/c": "",
	})
	got := api.run(t, "join", "a", "b", "c")
	if got.code != 0 || got.out != "Successfully joined cluster by contacting 2 nodes.\n" ||
		got.err != "Error joining address 'b': Unexpected response code: 500 (1 error occurred:\n\t* Failed to join b: no)\n" {
		t.Errorf("%+v", got)
	}
}

func TestMembersWithoutMatch(t *testing.T) {
	api := newAPI(t, answers{"GET /v1/agent/members?segment=_all": agentMembers})
	if got := api.run(t, "members", "-status", "left"); got.code != 2 || got.out != "" || got.err != "" {
		t.Errorf("got %+v, want exit code 2 and no word", got)
	}
}
