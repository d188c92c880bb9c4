package cli

import (
	"strings"
	"testing"
)

const (
	denied = "Permission denied: token with AccessorID 'a' lacks permission 'acl:write'"
	full   = "99999999-9999-9999-9999-999999999999"
)

// What a user reads on stderr, whole unless it ends in an ellipsis, with exit
// code 1 and nothing on stdout.
func TestComplaints(t *testing.T) {
	tests := []struct {
		name, command string
		play          answers
		err           string
	}{
		{"bootstrap twice", "acl bootstrap", answers{"PUT /v1/acl/bootstrap": "403 Permission denied: ACL bootstrap no longer allowed (reset index: 21)"},
			"Failed ACL bootstrapping: Unexpected response code: 403 (Permission denied: ACL bootstrap no longer allowed (reset index: 21))"},
		{"bootstrap from no file", "acl bootstrap nosuch", nil,
			"Error reading provided token: Failed to read file: open nosuch: no such file or directory"},
		{"bootstrap with two arguments", "acl bootstrap a b", nil, "This command takes up to one argument"},

		{"policy without a name", "acl policy create", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"policy rules without a file", "acl policy create -name a -rules @/nosuch", nil,
			"Error loading rules: Failed to read file: open /nosuch: no such file or directory"},
		{"policy that exists", "acl policy create -name reader", answers{"PUT /v1/acl/policy": `400 Invalid Policy: A Policy with Name "reader" already exists`},
			`Failed to create new policy: Unexpected response code: 400 (Invalid Policy: A Policy with Name "reader" already exists)`},
		{"policy without id or name", "acl policy read", nil, "Must specify either the -id or -name parameters"},
		{"policy delete without id or name", "acl policy delete", nil, "Must specify either the -id or -name parameters"},
		{"policy update without id or name", "acl policy update", nil, "Must specify either the -id or -name parameters"},
		{"policy of unknown name", "acl policy read -name nosuch", answers{"GET /v1/acl/policy/name/nosuch": "404 Requested policy does not exist: ACL not found"},
			"Error policy not found: nosuch"},
		{"policy of unknown prefix", "acl policy read -id 11111111", answers{"GET /v1/acl/policies": policyList},
			"Error determining policy ID: No such policy ID with prefix: 11111111"},
		{"policy of an ambiguous prefix", "acl policy delete -id b6a0f", answers{"GET /v1/acl/policies": policyList},
			"Error determining policy ID: Partial policy ID is not unique"},
		{"policy delete of unknown name", "acl policy delete -name nosuch", answers{"GET /v1/acl/policy/name/nosuch": "404 no"},
			"Error determining policy ID: No such policy with name: nosuch"},
		{"policy delete says why it is refused", "acl policy delete -id " + full,
			answers{"DELETE /v1/acl/policy/" + full: "400 Delete operation not permitted on the builtin global-management policy"},
			`Error deleting policy "` + full + `": Unexpected response code: 400 (Delete operation not permitted on the builtin global-management policy)`},
		{"policy list denied", "acl policy list", answers{"GET /v1/acl/policies": "403 " + denied},
			"Failed to retrieve the policy list: Unexpected response code: 403 (" + denied + ")"},

		{"role without a name", "acl role create -policy-name p", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"role that links nothing", "acl role create -name r", nil,
			"Cannot create a role without specifying -policy-name, -policy-id, -service-identity, -node-identity, -templated-policy-file or -templated-policy at least once"},
		{"role with a bad service identity", "acl role create -name r -service-identity a:b:c", nil, `Malformed -service-identity argument: "a:b:c"`},
		{"role with a bad node identity", "acl role create -name r -node-identity a", nil, `Malformed -node-identity argument: "a"`},
		{"role with an unknown policy", "acl role create -name r -policy-id 99999", answers{"GET /v1/acl/policies": policyList},
			"Error resolving policy ID : No such policy ID with prefix: 99999"},
		{"role refused", "acl role create -name r -policy-name p", answers{"PUT /v1/acl/role": "400 Invalid Role: no"},
			"Failed to create new role: Unexpected response code: 400 (Invalid Role: no)"},
		{"role update without id", "acl role update -name r", nil, "Cannot update a role without specifying the -id parameter"},
		{"role of unknown name", "acl role read -name nosuch", answers{"GET /v1/acl/role/name/nosuch": "404 no"}, `Role not found with name "nosuch"`},
		{"role of unknown id", "acl role read -id " + full, answers{"GET /v1/acl/role/" + full: "404 no"}, `Role not found with ID "` + full + `"`},
		{"role of unknown prefix", "acl role read -id zz", answers{"GET /v1/acl/roles": "[]"},
			"Error determining role ID: No such role ID with prefix: zz"},
		{"role delete of unknown name", "acl role delete -name nosuch", answers{"GET /v1/acl/role/name/nosuch": "404 no"},
			"Error determining role ID: No such role with name nosuch"},
		{"role delete without id or name", "acl role delete", nil, "Must specify the -id or -name parameters"},
		{"role list denied", "acl role list", answers{"GET /v1/acl/roles": "403 no"}, "Failed to retrieve the role list: Unexpected response code: 403 (no)"},
		{"role with two kinds of template", "acl role create -name r -templated-policy a -templated-policy-file b", nil,
			"Cannot combine the use of templated-policy flag with templated-policy-file…"},

		{"token that links nothing", "acl token create -description d", nil,
			"Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, -service-identity, -node-identity, -templated-policy, or -templated-policy-file at least once"},
		{"token refused", "acl token create -policy-name p", answers{"PUT /v1/acl/token": `400 No such ACL policy with name "p"`},
			`Failed to create new token: Unexpected response code: 400 (No such ACL policy with name "p")`},
		{"token read without accessor", "acl token read", nil, "Must specify the -accessor-id parameter"},
		{"token update without accessor", "acl token update", nil, "Cannot update a token without specifying the -accessor-id parameter"},
		{"token clone without accessor", "acl token clone", nil, "Cannot update a token without specifying the -accessor-id parameter"},
		{"token of unknown prefix", "acl token delete -accessor-id c99", answers{"GET /v1/acl/tokens": "[]"},
			"Error determining token ID: No such token ID with prefix: c99"},
		{"token of one's own, unknown", "acl token read -self", answers{"GET /v1/acl/token/self": "403 token does not exist: ACL not found"},
			"Error reading token: Unexpected response code: 403 (token does not exist: ACL not found)"},
		{"token, unknown", "acl token read -accessor-id " + full, answers{"GET /v1/acl/token/" + full: "403 token does not exist: ACL not found"},
			`Error reading token "` + full + `": Unexpected response code: 403 (token does not exist: ACL not found)`},
		{"token expanded and self", "acl token read -self -expanded", nil,
			"Cannot use both -expanded and -self. Instead, use -expanded and -accessor-id=<accessor id>."},
		{"token lists replaced and added to", "acl token update -accessor-id x -policy-id a -append-policy-name b", nil,
			"Cannot combine the use of policy-id/policy-name flags with append- variants…"},
		{"token refused at update", "acl token update -accessor-id " + full, answers{"GET /v1/acl/token/" + full: tokenB, "PUT /v1/acl/token/" + "00000000-0000-0000-0000-000000000002": "403 no"},
			"Failed to update token " + full + ": Unexpected response code: 403 (no)"},
		{"token refused at delete", "acl token delete -accessor-id " + full, answers{"DELETE /v1/acl/token/" + full: "403 no"},
			`Error deleting token "` + full + `": Unexpected response code: 403 (no)`},
		{"token list without ACLs", "acl token list", answers{"GET /v1/acl/tokens": "401 ACL support disabled"},
			"Failed to retrieve the token list: Unexpected response code: 401 (ACL support disabled)"},

		{"auth method without a name", "acl auth-method create -type jwt", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"auth method without a type", "acl auth-method create -name a", nil, "Missing required '-type' flag\n\nUsage: …"},
		{"kubernetes without a host", "acl auth-method create -name a -type kubernetes", nil, "Missing required '-kubernetes-host' flag\n\nUsage: …"},
		{"kubernetes without a CA", "acl auth-method create -name a -type kubernetes -kubernetes-host h", nil, "Missing required '-kubernetes-ca-cert' flag\n\nUsage: …"},
		{"kubernetes without a token", "acl auth-method create -name a -type kubernetes -kubernetes-host h -kubernetes-ca-cert c", nil,
			"Missing required '-kubernetes-service-account-jwt' flag\n\nUsage: …"},
		{"half a namespace rule", "acl auth-method create -name a -type jwt -namespace-rule-selector s", nil,
			"Missing required '-namespace-rule-bind-namespace' flag\n\nUsage: …"},
		{"auth method with bad JSON", "acl auth-method create -name a -type jwt -config x", nil,
			"Error parsing JSON configuration file: invalid character 'x' looking for beginning of value"},
		{"auth method without its file", "acl auth-method create -name a -type jwt -config @/nosuch", nil,
			"Error loading configuration file: Failed to read file: open /nosuch: no such file or directory"},
		{"auth method refused", "acl auth-method create -name a -type jwt", answers{"PUT /v1/acl/auth-method": "400 no"},
			"Failed to create new auth method: Unexpected response code: 400 (no)"},
		{"auth method of unknown name", "acl auth-method read -name x", answers{"GET /v1/acl/auth-method/x": "404 no"}, `Auth method not found with name "x"`},
		{"auth method read without name", "acl auth-method read", nil, "Must specify the -name parameter"},
		{"auth method delete without name", "acl auth-method delete", nil, "Must specify the -name parameter"},
		{"auth method update without name", "acl auth-method update", nil, "Cannot update an auth method without specifying the -name parameter"},
		{"auth method refused at update", "acl auth-method update -name y", answers{"GET /v1/acl/auth-method/y": methodB, "PUT /v1/acl/auth-method/y": "403 no"},
			`Error updating auth method "y": Unexpected response code: 403 (no)`},
		{"auth method unknown at delete", "acl auth-method delete -name y", answers{"DELETE /v1/acl/auth-method/y": "404 Cannot find auth method to delete"},
			`Error deleting auth method "y": Unexpected response code: 404 (Cannot find auth method to delete)`},

		{"rule without a method", "acl binding-rule create -bind-name b", nil, "Missing required '-method' flag\n\nUsage: …"},
		{"rule without a bind name", "acl binding-rule create -method m", nil, "Missing required '-bind-name' flag\n\nUsage: …"},
		{"rule refused", "acl binding-rule create -method m -bind-name b", answers{"PUT /v1/acl/binding-rule": `400 cannot find auth method with name "m"`},
			`Failed to create new binding rule: Unexpected response code: 400 (cannot find auth method with name "m")`},
		{"rule with an unknown variable", "acl binding-rule create -method m -bind-name b -bind-vars x=y", nil,
			`Unknown templated policy variable "x": the only variable is name`},
		{"rule read without id", "acl binding-rule read", nil, "Must specify the -id parameter."},
		{"rule delete without id", "acl binding-rule delete", nil, "Must specify the -id parameter"},
		{"rule update without id", "acl binding-rule update", nil, "Cannot update a binding rule without specifying the -id parameter"},
		{"rule of unknown prefix", "acl binding-rule read -id 99999999", answers{"GET /v1/acl/binding-rules": "[" + ruleA + "]"},
			"Error determining binding rule ID: no such rule ID with prefix: 99999999: ACL not found"},
		{"rule of unknown id", "acl binding-rule read -id " + full, answers{"GET /v1/acl/binding-rule/" + full: "404 no"}, `Binding rule not found with ID "` + full + `"`},

		{"template without a name", "acl templated-policy read", nil, "Must specify the -name parameter"},
		{"template of unknown name", "acl templated-policy read -name x", answers{"GET /v1/acl/templated-policy/name/x": "400 Invalid templated policy Name: x"},
			`Error reading templated policy "x": Unexpected response code: 400 (Invalid templated policy Name: x)`},
		{"preview of nothing", "acl templated-policy preview", nil, "Cannot preview a templated policy without specifying -name or -file"},

		{"agent token without arguments", "acl set-agent-token", nil, "Error! Missing TYPE and TOKEN arguments"},
		{"agent token without token", "acl set-agent-token default", nil, "Error! Missing TOKEN argument"},
		{"agent token with too much", "acl set-agent-token a b c d", nil, "Error! Too many arguments: expected 2 got 4"},
		{"agent token of unknown type", "acl set-agent-token bogus s", nil, "Unknown token type\n\nUsage: …"},
		{"agent token denied", "acl set-agent-token agent s", answers{"PUT /v1/agent/token/agent": "403 no"},
			`Failed to set ACL token "agent": Unexpected response code: 403 (no)`},

		{"logout without a token", "logout", answers{"POST /v1/acl/logout": "401 Supplied token does not exist"},
			"Error destroying token: Unexpected response code: 401 (Supplied token does not exist)"},

		{"namespace without a name", "namespace create", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"namespace of unknown name", "namespace read x", answers{"GET /v1/namespace/x": "404 Namespace not found"}, `No namespace with name "x" found`},
		{"namespace read without argument", "namespace read", nil, "Must specify exactly one argument: the namespace's name\n\nUsage: …"},
		{"namespace refused", "namespace create -name consul", answers{"PUT /v1/namespace": `400 Namespace "consul" is reserved for future internal use`},
			`Error creating namespace "consul": Unexpected response code: 400 (Namespace "consul" is reserved for future internal use)`},
		{"partition without a name", "partition create", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"partition of unknown name", "partition read x", answers{"GET /v1/partition/x": "404 no"}, `No partition with name "x" found`},
		{"partition file that is not there", "partition write /nosuch", nil,
			"Error loading partition: Failed to read file: open /nosuch: no such file or directory"},

		{"members with a bad expression", "members -status [", nil, "Failed to compile status regexp: error parsing regexp: missing closing ]: `[`"},
		{"members denied", "members", answers{"GET /v1/agent/members?segment=_all": "403 no"}, "Error retrieving members: Unexpected response code: 403 (no)"},
		{"info denied", "info", answers{"GET /v1/agent/self": "403 no"}, "Error querying agent: Unexpected response code: 403 (no)"},
		{"join of nobody", "join", nil, "At least one address to join must be specified.\n\nUsage: …"},
		{"join refused", "join 10.0.0.9:1", answers{"PUT /v1/agent/join/10.0.0.9:1": "500 1 error occurred:\n\t* Failed to join 10.0.0.9:1: no\n\n"},
			"Error joining address '10.0.0.9:1': Unexpected response code: 500 (1 error occurred:\n\t* Failed to join 10.0.0.9:1: no)\nFailed to join any nodes."},
		{"force-leave of nobody", "force-leave", nil, "A single node name must be specified to force leave.\n\nUsage: …"},
		{"force-leave of two", "force-leave a b", nil, "A single node name must be specified to force leave.\n\nUsage: …"},
		{"force-leave of an unknown node", "force-leave x", answers{"PUT /v1/agent/force-leave/x": "500 agent: No node found with name 'x'"},
			"Error force leaving: Unexpected response code: 500 (agent: No node found with name 'x')"},
		{"keyring without an action", "keyring", nil, "One of -list, -list-primary, -install, -use and -remove is needed\n\nUsage: …"},
		{"keyring with two actions", "keyring -list -use k", nil, "Only a single action is allowed"},
		{"keyring with too many relays", "keyring -list -relay-factor 6", nil, "Error parsing relay factor: Relay factor must be in range: [0, 5]"},
		{"keyring change of one member", "keyring -install k -local-only", nil, "Error validating local-only: local-only can only be set for list requests"},
		{"agent with an unknown flag", "agent -nosuch", nil, "==> error parsing flags: flag provided but not defined: -nosuch\n\nUsage: …"},
		{"set-config with an unknown flag", "operator autopilot set-config -nosuch", nil, "Failed to parse args: flag provided but not defined: -nosuch\n\nUsage: …"},
		{"cert create with an unknown flag", "tls cert create -nosuch", nil, "Failed to parse args: flag provided but not defined: -nosuch\n\nUsage: …"},
		{"usage denied", "operator usage instances", answers{"GET /v1/operator/usage": "403 no"}, "Error fetching usage information: Unexpected response code: 403 (no)"},
		{"export of nothing", "services export", nil, "Missing required '-name' flag\n\nUsage: …"},
		{"export to nobody", "services export -name web", nil, "Missing the required -consumer-peers or -consumer-partitions flag\n\nUsage: …"},
		{"export denied", "services export -name web -consumer-partitions p", answers{"GET /v1/config/exported-services/default": "403 no"},
			"Error reading config entry exported-services/default: Unexpected response code: 403 (no)"},
		{"export that others overtake", "services export -name web -consumer-partitions p", answers{
			"GET /v1/config/exported-services/default": "404 Config entry not found", "PUT /v1/config?cas=0": "false"},
			"Config entry not updated: exported-services/default: others change it all the time"},
		{"exported services denied", "services exported-services", answers{"GET /v1/exported-services": "403 no"}, "Error reading exported services: Unexpected response code: 403 (no)"},
		{"event without a name", "event", nil, "Event name must be specified\n\nUsage: …"},
		{"event with a tag of no service", "event -name e -tag v1", nil, "-tag needs -service\n\nUsage: …"},
		{"event with two payloads", "event -name e a b", nil, "Too many command line arguments.\n\nUsage: …"},
		{"event with a filter that is none", "event -name e -node [", nil, "Failed to compile node filter regexp: error parsing regexp: missing closing ]: `[`"},
		{"event denied", "event -name e", answers{"PUT /v1/event/fire/e": "403 Permission denied"}, "Error firing event: Unexpected response code: 403 (Permission denied)"},
		{"rtt of nobody", "rtt", nil, "One or two node names must be specified\n\nUsage: …"},
		{"rtt of three", "rtt a b c", nil, "One or two node names must be specified\n\nUsage: …"},
		{"rtt of no server", "rtt -wan a", nil, `"a" is not <node>.<datacenter>` + "\n\nUsage: …"},
		{"rtt denied", "rtt a b", answers{"GET /v1/coordinate/nodes": "403 no"}, "Error getting coordinates: Unexpected response code: 403 (no)"},
		{"reload refused", "reload", answers{"PUT /v1/agent/reload": "500 no"}, "Error reloading: Unexpected response code: 500 (no)"},
		{"leave refused", "leave", answers{"PUT /v1/agent/leave": "403 no"}, "Error leaving: Unexpected response code: 403 (no)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 1 || got.out != "" {
				t.Errorf("exit code %d, stdout %q", got.code, got.out)
			}
			begin, cut := strings.CutSuffix(tc.err, "…")
			if cut && !strings.HasPrefix(got.err, begin) || !cut && got.err != tc.err+"\n" {
				t.Errorf("stderr is\n%s\nwant\n%s", got.err, tc.err)
			}
		})
	}
}

func TestLeaveShowsUsageOnStdout(t *testing.T) {
	got := world{}.run(t, "leave", "extra")
	if got.code != 1 || got.err != "Error found unexpected args: [extra]\n" || !strings.HasPrefix(got.out, "Usage: consul leave") {
		t.Errorf("got %+v", got)
	}
}

// Notes on stderr that change nothing about success.
func TestNotes(t *testing.T) {
	const accessor = "00000000-0000-0000-0000-000000000002"
	tests := []struct{ command, note string }{
		{"acl token read -id anonymous", "Use the -accessor-id parameter to specify token by Accessor ID\n"},
		{"acl token update -accessor-id anonymous -merge-policies -policy-name p",
			"merge-policies is deprecated and will be removed in a future Consul version. Use `append-policy-name` or `append-policy-id` instead.\n"},
		{"acl token update -accessor-id anonymous -merge-roles -role-name p",
			"merge-roles is deprecated and will be removed in a future Consul version. Use `append-role-name` or `append-role-id` instead.\n"},
	}
	for _, tc := range tests {
		api := newAPI(t, answers{"GET /v1/acl/token/" + accessor: tokenB, "PUT /v1/acl/token/" + accessor: tokenB})
		if got := api.run(t, strings.Fields(tc.command)...); got.code != 0 || got.err != tc.note || got.out == "" {
			t.Errorf("%s: %+v", tc.command, got)
		}
	}
}

// A mistyped format is noticed before anything changes.
func TestUnknownFormatChangesNothing(t *testing.T) {
	api := newAPI(t, nil)
	got := api.run(t, "acl", "policy", "create", "-name", "a", "-format", "bogus")
	if got.code != 1 || got.err != "Unknown format: bogus\n" || len(api.lines()) != 0 {
		t.Errorf("got %+v after %v", got, api.lines())
	}
}
