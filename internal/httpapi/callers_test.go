package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/peer"
)

// caller is somebody who calls every row. All but right have nothing to say about
// what the rows are asked for, which lives in the default namespace of the default partition.
type caller int

const (
	nobody          caller = iota // no token
	unknown                       // a secret that no token has
	unrelated                     // a token without rights
	otherNamespace                // a token that may do everything, but in the namespace "team"
	otherPartition                // a token that may do everything, but in the partition "pay"
	rightsElsewhere               // a token of the default namespace with all rights in "team" and "pay" alone
	right                         // a token with what the row says, and no more
	numCallers
)

var callerNames = [numCallers]string{
	"no token", "an unknown token", "an unrelated token", "a token of another namespace", "a token of another partition",
	"a token with rights elsewhere", "the right token",
}

// All that rules can give where the callers who may do nothing here have their rights.
const (
	allOfNamespace = `acl = "write"
		agent_prefix "" { policy = "write" }
		key_prefix "" { policy = "write" }
		node_prefix "" { policy = "read" }
		service_prefix "" { policy = "write" intentions = "write" }
		session_prefix "" { policy = "write" }`
	allOfPartition = `acl = "write"
		mesh = "write"
		peering = "write"
		agent_prefix "" { policy = "write" }
		node_prefix "" { policy = "write" }
		namespace_prefix "" { policy = "write" acl = "write" }`
)

// Beginnings of answers that several rows share.
const (
	notFound = "403 ACL not found"
	noLogin  = "403 Permission denied: token wasn't created via login"
)

// expectation is how a row answers. What stands in it as <word> is the ID of that object.
type expectation struct {
	row   string
	query string
	body  string // "" is {}
	rules string // of the right token; "" is the row's permission
	// answers begin with these, in the order of the callers. With one answer
	// alone it is the right token's, and all others are denied what lacks says.
	lacks   string // the permission in the denial and what it is about; "" is the row's permission
	answers []string
}

// same is one answer for everybody.
func same(answer string) []string {
	return []string{answer, answer, answer, answer, answer, answer, answer}
}

// filtered is a list in which nobody but the right token sees anything.
func filtered(answer string) []string {
	return []string{"200 []$", notFound, "200 []$", "200 []$", "200 []$", "200 []$", answer}
}

// mapped is filtered for a map.
func mapped(answer string) []string {
	return []string{"200 {}$", notFound, "200 {}$", "200 {}$", "200 {}$", "200 {}$", answer}
}

// denied is for what only the right token may do, where denials say no more.
func denied(answer string) []string {
	const no = "403 Permission denied$"
	return []string{no, notFound, no, no, no, no, answer}
}

// known is one answer for everybody whose token exists.
func known(answer string) []string {
	return []string{answer, notFound, answer, answer, answer, answer, answer}
}

func only(answer string) []string { return []string{answer} }

const (
	readNodes      = `node_prefix "" { policy = "read" }`
	readServices   = `service_prefix "" { policy = "read" }`
	readBoth       = readNodes + readServices
	writeWebRule   = `service "web" { policy = "write" }`
	writeWeb       = `'service:write' on "web"`
	readWeb        = `'service:read' on "web"`
	writeWeb1      = `'node:write' on "web1"`
	noEntry        = "404 Must provide both a kind and name to delete$"
	exactEnds      = "source=db&destination=web"
	readIntention  = `'intention:read' on "web"`
	writeIntention = `service "web" { policy = "read" intentions = "write" }`
	connection     = `{"Target":"web","ClientCertURI":"spiffe://u.consul/ns/default/dc/dc1/svc/db"}`
	noNode         = `200 {"Node":null,"Services":null}$`
)

// expectations has every row of the table.
var expectations = []expectation{
	{row: "PUT /v1/acl/bootstrap", answers: same("403 Permission denied: ACL bootstrap no longer allowed (reset index: ")},
	{row: "GET /v1/acl/replication", answers: same(`200 {"Enabled":false`)},
	{row: "POST /v1/internal/acl/authorize", body: `[{"Resource":"acl","Access":"read"},{"Resource":"operator","Access":"read"}]`, rules: `acl = "read"`,
		answers: []string{noneAllowed, notFound, noneAllowed, noneAllowed, noneAllowed, noneAllowed, `200 [{"Resource":"acl","Access":"read","Allow":true},{"Resource":"operator","Access":"read","Allow":false}]`}},
	{row: "POST /v1/acl/explain", body: `{"AccessorID":"<token>","Resource":"key","Access":"read"}`, rules: `acl = "read"`, lacks: "'acl:read'", answers: only(`200 {"AccessorID":"<token>"`)},

	{row: "PUT /v1/acl/token", answers: only(`200 {"AccessorID":"`)},
	{row: "GET /v1/acl/token/self", answers: []string{"403 token does not exist: ACL not found", "403 token does not exist: ACL not found",
		ownToken, ownToken, ownToken, ownToken, ownToken}},
	{row: "POST /v1/acl/token/renew", answers: []string{noLogin, notFound, noLogin, noLogin, noLogin, noLogin, noLogin}},
	{row: "PUT /v1/acl/token/renew", answers: []string{noLogin, notFound, noLogin, noLogin, noLogin, noLogin, noLogin}},
	{row: "GET /v1/acl/token/{accessor}", answers: only(`200 {"AccessorID":"<token>","SecretID":"\u003chidden\u003e"`)},
	{row: "PUT /v1/acl/token/{accessor}", answers: only(`200 {"AccessorID":"<token>"`)},
	{row: "DELETE /v1/acl/token/{accessor}", answers: only("200 true$")},
	{row: "PUT /v1/acl/token/{accessor}/clone", answers: only(`200 {"AccessorID":"`)},
	{row: "GET /v1/acl/tokens", answers: only(`200 [{"AccessorID":"`)},

	{row: "PUT /v1/acl/policy", body: `{"Name":"new"}`, answers: only(`200 {"ID":"`)},
	{row: "GET /v1/acl/policy/{policy_id}", answers: only(`200 {"ID":"<policy>"`)},
	{row: "PUT /v1/acl/policy/{policy_id}", body: `{"Name":"p"}`, answers: only(`200 {"ID":"<policy>"`)},
	{row: "DELETE /v1/acl/policy/{policy_id}", answers: only("200 true$")},
	{row: "GET /v1/acl/policy/name/{policy_name...}", answers: only(`200 {"ID":"<policy>"`)},
	{row: "GET /v1/acl/policies", answers: only(`200 [{"ID":"`)},

	{row: "PUT /v1/acl/role", body: `{"Name":"new"}`, answers: only(`200 {"ID":"`)},
	{row: "GET /v1/acl/role/{role_id}", answers: only(`200 {"ID":"<role>"`)},
	{row: "PUT /v1/acl/role/{role_id}", body: `{"Name":"r"}`, answers: only(`200 {"ID":"<role>"`)},
	{row: "DELETE /v1/acl/role/{role_id}", answers: only("200 true$")},
	{row: "GET /v1/acl/role/name/{role_name}", answers: only(`200 {"ID":"<role>"`)},
	{row: "GET /v1/acl/roles", answers: only(`200 [{"ID":"<role>"`)},

	{row: "GET /v1/acl/templated-policies", answers: only(`200 {"builtin/`)},
	{row: "GET /v1/acl/templated-policy/name/{template_name...}", answers: only(`200 {"TemplateName":"builtin/dns"`)},
	{row: "POST /v1/acl/templated-policy/preview/{template_name...}", answers: only(`200 {"ID":"`)},

	{row: "PUT /v1/acl/auth-method", body: `{"Name":"new","Type":"aws-iam","Config":{"Password":"x"}}`, answers: only(`200 {"Name":"new"`)},
	{row: "GET /v1/acl/auth-method/{auth_method}", answers: only(`200 {"MaxTokenTTL":"1h0m0s","Name":"m"`)},
	{row: "PUT /v1/acl/auth-method/{auth_method}", body: `{"Type":"aws-iam","Config":{"Password":"y"}}`, answers: only(`200 {"Name":"m"`)},
	{row: "DELETE /v1/acl/auth-method/{auth_method}", answers: only("200 true$")},
	{row: "GET /v1/acl/auth-methods", answers: only(`200 [{"MaxTokenTTL":"1h0m0s","Name":"m"`)},

	{row: "PUT /v1/acl/binding-rule", body: `{"AuthMethod":"m","BindType":"service","BindName":"x"}`, answers: only(`200 {"ID":"`)},
	{row: "GET /v1/acl/binding-rule/{binding_rule}", answers: only(`200 {"ID":"<rule>"`)},
	{row: "PUT /v1/acl/binding-rule/{binding_rule}", body: `{"BindType":"service","BindName":"x"}`, answers: only(`200 {"ID":"<rule>"`)},
	{row: "DELETE /v1/acl/binding-rule/{binding_rule}", answers: only("200 true$")},
	{row: "GET /v1/acl/binding-rules", answers: only(`200 [{"ID":"<rule>"`)},

	{row: "POST /v1/acl/login", body: `{"AuthMethod":"m","BearerToken":"web:wrong"}`, answers: same("403 Permission denied: wrong password")},
	{row: "POST /v1/acl/login/explain", body: `{"AuthMethod":"m","BearerToken":"web:secret"}`, answers: only(`200 {`)},
	{row: "GET /v1/acl/login/{login}", answers: only(`200 {"ID":"<login>"`)},
	{row: "POST /v1/acl/logout", answers: []string{"401 Supplied token does not exist", notFound, noLogin, noLogin, noLogin, noLogin, noLogin}},

	{row: "GET /v1/partitions", answers: only(`200 [{"Name":"default"`)},
	{row: "PUT /v1/partition", body: `{"Name":"new"}`, answers: only(`200 {"Name":"new"`)},
	{row: "GET /v1/partition/{partition}", lacks: "'operator:read'", answers: only(`200 {"Name":"gone"`)},
	{row: "PUT /v1/partition/{partition}", answers: only(`200 {"Name":"gone"`)},
	{row: "DELETE /v1/partition/{partition}", answers: only("200 $")},
	{row: "GET /v1/namespaces", answers: []string{"200 []$", notFound, "200 []$", onlyTeam, "200 []$", onlyTeam, `200 [{"Name":"default"`}},
	{row: "PUT /v1/namespace", body: `{"Name":"new"}`, answers: only(`200 {"Name":"new"`)},
	{row: "GET /v1/namespace/{namespace}", answers: only(`200 {"Name":"gone"`)},
	{row: "PUT /v1/namespace/{namespace}", answers: only(`200 {"Name":"gone"`)},
	{row: "DELETE /v1/namespace/{namespace}", answers: only("200 $")},

	{row: "GET /v1/agent/self", rules: readAgent, lacks: `'agent:read' on "n1"`, answers: only(`200 {`)},
	{row: "GET /v1/agent/version", answers: same(`200 {"SHA"`)},
	{row: "GET /v1/agent/host", answers: only(`200 {"Memory":{"total":`)},
	{row: "GET /v1/agent/metrics", rules: readAgent, lacks: `'agent:read' on "n1"`, answers: only("503 this agent keeps no metrics$")},
	{row: "GET /v1/agent/metrics/stream", rules: readAgent, lacks: `'agent:read' on "n1"`, answers: only("503 this agent keeps no metrics$")},
	{row: "GET /v1/agent/monitor", rules: readAgent, lacks: `'agent:read' on "n1"`, answers: only("503 monitor: this log cannot be followed$")},
	{row: "PUT /v1/agent/reload", rules: writeAgent, lacks: agentWrite, answers: only("200 $")},
	{row: "PUT /v1/agent/leave", rules: writeAgent, lacks: agentWrite, answers: only("200 $")},
	{row: "PUT /v1/agent/token/{kind}", rules: writeAgent, lacks: agentWrite, answers: only("200 $")},
	{row: "PUT /v1/agent/join/{addr}", rules: writeAgent, lacks: agentWrite, answers: only("200 $")},
	{row: "PUT /v1/agent/force-leave/{node}", answers: only("200 $")},
	{row: "GET /v1/agent/members", rules: readNodes, answers: filtered(`200 [{"Name":"srv1"`)},

	{row: "GET /v1/agent/services", rules: readServices, answers: mapped(`200 {"web":{"ID":"web"`)},
	{row: "GET /v1/agent/service/{agent_service...}", rules: readServices, lacks: readWeb, answers: only(`200 {"ID":"web"`)},
	{row: "PUT /v1/agent/service/register", body: `{"Name":"web"}`, rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/service/deregister/{agent_service...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/service/maintenance/{agent_service...}", query: "enable=true", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/maintenance", query: "enable=true", rules: `node "n1" { policy = "write" }`, lacks: `'node:write' on "n1"`, answers: only("200 $")},
	{row: "GET /v1/agent/checks", rules: readServices, answers: mapped(`200 {"service:web":{"Node":"n1"`)},
	{row: "PUT /v1/agent/check/register", body: `{"Name":"c","TTL":"1m","ServiceID":"web"}`, rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/check/deregister/{agent_check...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/check/pass/{agent_check...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/check/warn/{agent_check...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/check/fail/{agent_check...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "PUT /v1/agent/check/update/{agent_check...}", body: `{"Status":"passing"}`, rules: writeWebRule, lacks: writeWeb, answers: only("200 $")},
	{row: "GET /v1/agent/health/service/id/{agent_service...}", rules: readServices, lacks: readWeb, answers: only(`503 {"AggregatedStatus":"critical","Service":{"ID":"web"`)},
	{row: "GET /v1/agent/health/service/name/{agent_service_name...}", rules: readServices, lacks: readWeb, answers: only(`503 [{"AggregatedStatus":"critical"`)},

	{row: "PUT /v1/catalog/register", body: `{"Node":"web1","Address":"10.0.0.9"}`, rules: `node "web1" { policy = "write" }`, lacks: writeWeb1, answers: only("200 true$")},
	{row: "PUT /v1/catalog/deregister", body: `{"Node":"web1","ServiceID":"web"}`, rules: `node "web1" { policy = "write" }`, lacks: writeWeb1, answers: only("200 true$")},
	{row: "GET /v1/catalog/nodes", rules: readNodes, answers: filtered(`200 [{"ID":"","Node":"web1"`)},
	{row: "GET /v1/catalog/services", rules: readServices,
		answers: []string{"200 {}$", notFound, "200 {}$", "200 {}$", "200 {}$", "200 {}$", `200 {"web":["v1"]}$`}},
	{row: "GET /v1/catalog/service/{service...}", rules: readBoth, answers: filtered(`200 [{"ID":"","Node":"web1"`)},
	{row: "GET /v1/catalog/connect/{service...}", rules: readBoth, answers: filtered(`200 [{"ID":"","Node":"web1"`)},
	{row: "GET /v1/catalog/node/{node...}", rules: readBoth,
		answers: []string{"200 null$", notFound, "200 null$", "200 null$", "200 null$", "200 null$", `200 {"Node":{"ID":"","Node":"web1"`}},
	{row: "GET /v1/catalog/node-services/{node...}", rules: readBoth,
		answers: []string{noNode, notFound, noNode, noNode, noNode, noNode, `200 {"Node":{"ID":"","Node":"web1"`}},
	{row: "GET /v1/catalog/gateway-services/{gateway...}", rules: readServices, answers: filtered("200 []$")},
	{row: "GET /v1/health/node/{node...}", rules: readBoth, answers: filtered(`200 [{"Node":"web1"`)},
	{row: "GET /v1/health/checks/{service...}", rules: readBoth, answers: filtered(`200 [{"Node":"web1"`)},
	{row: "GET /v1/health/service/{service...}", rules: readBoth, answers: filtered(`200 [{"Node":{"ID":"","Node":"web1"`)},
	{row: "GET /v1/health/connect/{service...}", rules: readBoth, answers: filtered(`200 [{"Node":{"ID":"","Node":"web1"`)},
	{row: "GET /v1/health/ingress/{service...}", rules: readBoth, answers: filtered("200 []$")},
	{row: "GET /v1/health/state/{state}", rules: readBoth, answers: filtered(`200 [{"Node":"web1"`)},
	{row: "PUT /v1/config", body: `{"Kind":"service-defaults","Name":"web"}`, rules: writeWebRule, lacks: writeWeb, answers: only("200 true$")},
	{row: "GET /v1/config/{entry_kind}", rules: readServices, answers: filtered(`200 [{"Kind":"service-defaults","Name":"web"`)},
	{row: "DELETE /v1/config/{entry_kind}", rules: writeWebRule, answers: []string{noEntry, notFound, noEntry, noEntry, noEntry, noEntry, noEntry}},
	{row: "GET /v1/config/{entry_kind}/{entry_name...}", rules: readServices, lacks: readWeb, answers: only(`200 {"Kind":"service-defaults","Name":"web"`)},
	{row: "DELETE /v1/config/{entry_kind}/{entry_name...}", rules: writeWebRule, lacks: writeWeb, answers: only("200 {}$")},
	{row: "GET /v1/exported-services", answers: only("200 []$")},
	{row: "GET /v1/connect/intentions", rules: readServices, answers: filtered(`200 [{"ID":"<intention>"`)},
	{row: "POST /v1/connect/intentions", body: `{"SourceName":"new","DestinationName":"web","Action":"allow"}`, rules: writeIntention, answers: denied(`200 {"ID":"`)},
	{row: "GET /v1/connect/intentions/exact", query: exactEnds, rules: readServices, lacks: readIntention, answers: only(`200 {"ID":"<intention>"`)},
	{row: "PUT /v1/connect/intentions/exact", query: exactEnds, body: `{"Action":"deny"}`, rules: writeIntention, answers: denied("200 true$")},
	{row: "DELETE /v1/connect/intentions/exact", query: exactEnds, rules: writeIntention, answers: denied("200 true$")},
	{row: "GET /v1/connect/intentions/match", query: "by=destination&name=web", rules: readServices, lacks: readIntention, answers: only(`200 {"web":[{"ID":"<intention>"`)},
	{row: "GET /v1/connect/intentions/check", query: exactEnds, rules: readServices, lacks: readWeb, answers: only(`200 {"Allowed":true}$`)},
	{row: "GET /v1/connect/intentions/{intention}", rules: readServices, lacks: readIntention, answers: only(`200 {"ID":"<intention>"`)},
	{row: "PUT /v1/connect/intentions/{intention}", body: `{"SourceName":"db","DestinationName":"web","Action":"deny"}`, rules: writeIntention, answers: denied(`200 {"ID":"<intention>"`)},
	{row: "DELETE /v1/connect/intentions/{intention}", rules: writeIntention, answers: denied("200 true$")},
	{row: "GET /v1/operator/usage", answers: only(`200 {"Usage":{"dc1":{"Nodes":1,"Services":1`)},
	{row: "GET /v1/kv/{key...}", query: "keys", rules: `key "k1" { policy = "read" }`, answers: filtered(`200 ["k1"]$`)},
	{row: "PUT /v1/kv/{key...}", rules: `key "k1" { policy = "write" }`, lacks: `'key:write' on "k1"`, answers: only("200 true$")},
	{row: "DELETE /v1/kv/{key...}", rules: `key "k1" { policy = "write" }`, lacks: `'key:write' on "k1"`, answers: only("200 true$")},
	{row: "PUT /v1/session/create", body: `{"Node":"web1","Checks":[]}`, rules: writeSession, lacks: lacksSession, answers: only(`200 {"ID":"`)},
	{row: "PUT /v1/session/destroy/{session}", rules: writeSession, lacks: lacksSession, answers: only("200 true$")},
	{row: "PUT /v1/session/renew/{session}", rules: writeSession, lacks: lacksSession, answers: only(`200 [{"ID":"<session>"`)},
	{row: "GET /v1/session/info/{session}", rules: readSession, answers: filtered(`200 [{"ID":"<session>"`)},
	{row: "GET /v1/session/node/{node}", rules: readSession, answers: filtered(`200 [{"ID":"<session>"`)},
	{row: "GET /v1/session/list", rules: readSession, answers: filtered(`200 [{"ID":"<session>"`)},
	{row: "PUT /v1/txn", body: `[{"KV":{"Verb":"get","Key":"k1"}}]`, rules: `key "k1" { policy = "read" }`,
		answers: []string{noTxn, notFound, noTxn, noTxn, noTxn, noTxn, `200 {"Results":[{"KV":{"LockIndex":0,"Key":"k1"`}},
	{row: "PUT /v1/event/fire/{event...}", rules: `event "nobody" { policy = "write" }`, answers: denied(`200 {"ID":"`)},
	{row: "GET /v1/event/list", rules: `event_prefix "" { policy = "read" }`, answers: filtered(`200 [{"ID":"`)},
	{row: "GET /v1/coordinate/nodes", rules: readNodes, answers: filtered(`200 [{"Node":"srv1"`)},
	{row: "GET /v1/coordinate/node/{node}", rules: readNodes,
		answers: []string{"404 $", notFound, "404 $", "404 $", "404 $", "404 $", `200 [{"Node":"web1"`}},
	{row: "PUT /v1/coordinate/update", body: `{"Node":"web1","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`, rules: `node "web1" { policy = "write" }`, lacks: writeWeb1, answers: only("200 $")},
	{row: "GET /v1/coordinate/datacenters", answers: same(`200 [{"Datacenter":"dc1"`)},
	{row: "GET /v1/catalog/datacenters", answers: same(`200 ["dc1"]`)},
	{row: "GET /v1/status/leader", answers: same(`200 "127.0.0.1:8300"`)},
	{row: "GET /v1/status/ready", answers: same(`200 {"Ready":true}`)},
	{row: "GET /v1/status/peers", answers: same(`200 ["127.0.0.1:8300"]`)},
	{row: "GET /v1/connect/ca/roots", answers: same(`200 {"ActiveRootID":""`)},
	{row: "GET /v1/agent/connect/ca/roots", answers: same(`200 {"ActiveRootID":""`)},
	{row: "GET /v1/connect/ca/configuration", answers: only(`200 {"Provider":"consul","Config":{"IntermediateCertTTL":"8760h","LeafCertTTL":"72h","RootCertTTL":"87600h"},"State":null`)},
	{row: "PUT /v1/connect/ca/configuration", body: `{"Provider":"consul"}`, answers: only("503 the mesh CA has no root yet$")},
	{row: "GET /v1/agent/connect/ca/leaf/{service...}", rules: writeWebRule, lacks: writeWeb, answers: only(`200 {"SerialNumber":"09"`)},
	{row: "POST /v1/agent/connect/authorize", body: connection, rules: writeWebRule, lacks: writeWeb, answers: only("503 the mesh CA has no root yet$")},

	{row: "GET /v1/operator/keyring", answers: only(`200 [{"WAN":false`)},
	{row: "POST /v1/operator/keyring", body: `{"Key":"k"}`, answers: only("200 $")},
	{row: "PUT /v1/operator/keyring", body: `{"Key":"k"}`, answers: only("200 $")},
	{row: "DELETE /v1/operator/keyring", body: `{"Key":"k"}`, answers: only("200 $")},
	{row: "GET /debug/pprof/{profile}", query: "debug=1", answers: only("200 heap profile: ")},
	{row: "GET /v1/operator/raft/configuration", answers: only(`200 {"Servers"`)},
	{row: "DELETE /v1/operator/raft/peer", query: "id=s3", answers: only("200 $")},
	{row: "POST /v1/operator/raft/transfer-leader", answers: only(`200 {"Success":true}`)},
	{row: "GET /v1/operator/autopilot/configuration", answers: only(`200 {`)},
	{row: "PUT /v1/operator/autopilot/configuration", answers: only("200 true$")},
	{row: "GET /v1/operator/autopilot/health", answers: only(`200 {`)},
	{row: "GET /v1/operator/autopilot/state", answers: only(`200 {`)},
	{row: "POST /v1/operator/audit-hash", body: `{"Input":"x"}`, answers: only("400 Audit logging is not enabled on this agent")},
	{row: "GET /v1/snapshot", answers: only("200 \x1f\x8b")},
	{row: "PUT /v1/snapshot", answers: only("400 ")},

	{row: "GET /internal/read-index", answers: same(`200 {"Index":7`)},
	{row: "GET /internal/raft-log", answers: same(`200 {`)},
	{row: "GET /internal/servers", answers: same(`200 [{"ID":"a"`)},
	{row: "POST " + peer.SignPath, body: `{"CSR":"x","NodeName":"n2","Datacenter":"dc1"}`, rules: `node "n2" { policy = "write" }`, lacks: `'node:write' on "n2"`,
		answers: only("403 auto_encrypt.allow_tls is not enabled on this server")},
	{row: "POST /internal/connect/sign", body: `{"CSR":"x"}`, rules: writeWebRule, answers: known("400 Invalid CSR")},
	{row: "POST /internal/connect/authorize", body: connection, rules: writeWebRule, lacks: writeWeb, answers: only("503 the mesh CA has no root yet$")},
	{row: "POST /internal/acl/resolve", body: `{"Secret":"nobody"}`, answers: same(notFound)},
	{row: "GET /internal/acl/changes", answers: same("200 ")},
}

const (
	noneAllowed  = `200 [{"Resource":"acl","Access":"read","Allow":false},{"Resource":"operator","Access":"read","Allow":false}]`
	ownToken     = `200 {"AccessorID":"<caller>"`
	noTxn        = `409 {"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied: `
	readSession  = `session "web1" { policy = "read" }`
	writeSession = `session "web1" { policy = "write" }`
	lacksSession = `'session:write' on "web1"`
	onlyTeam     = `200 [{"Name":"team","Partition":"default","CreateIndex":14,"ModifyIndex":14}]$`
	writeAgent   = `agent "n1" { policy = "write" }`
	readAgent    = `agent "n1" { policy = "read" }`
	agentWrite   = `'agent:write' on "n1"`
)

// crowd is a server with something of every kind in its default namespace, and
// with everybody who calls.
type crowd struct {
	*world
	port    http.Handler // the server port
	secrets [numCallers]string
	ids     [numCallers]string // accessors
	path    *strings.Replacer  // of what varies in a path
	objects *strings.Replacer  // of what stands for IDs in expectations
}

// newCrowd returns a crowd whose right token has rules.
func newCrowd(t *testing.T, rules string) *crowd {
	w, _, port := newPort(t, withGossip(cluster()), onServer)
	for _, target := range []string{"/v1/partition/pay", "/v1/partition/gone", "/v1/namespace/team", "/v1/namespace/gone"} {
		w.must("PUT", target, "{}", nil)
	}
	c := &crowd{world: w, port: port}
	c.fill()
	c.secrets[unknown] = "bbbbbbbb-0000-4000-8000-000000000000"
	c.enter(unrelated, "", "")
	c.enter(otherNamespace, "ns=team", allOfNamespace)
	c.enter(otherPartition, "partition=pay", allOfPartition)
	c.enter(rightsElsewhere, "", `namespace "team" { `+allOfNamespace+` } partition "pay" { `+allOfPartition+` }`)
	c.enter(right, "", rules)
	return c
}

// enter gives a caller a token of the tenancy that query names, with rules.
func (c *crowd) enter(who caller, query, rules string) {
	c.t.Helper()
	name := fmt.Sprint("caller-", int(who))
	policy, _ := json.Marshal(map[string]string{"Name": name, "Rules": rules})
	c.must("PUT", "/v1/acl/policy?"+query, string(policy), nil)
	var t acl.Token
	c.must("PUT", "/v1/acl/token?"+query, `{"Policies":[{"Name":"`+name+`"}]}`, &t)
	c.secrets[who], c.ids[who] = t.SecretID.Reveal(), t.AccessorID
}

// fill makes an object of each kind.
func (c *crowd) fill() {
	c.t.Helper()
	create := func(target, body string) string {
		var made struct{ ID, AccessorID string }
		c.must("PUT", target, body, &made)
		return made.AccessorID + made.ID
	}
	token := create("/v1/acl/token", "{}")
	policy := create("/v1/acl/policy", `{"Name":"p"}`)
	role := create("/v1/acl/role", `{"Name":"r"}`)
	create("/v1/acl/auth-method", `{"Name":"m","Type":"aws-iam","MaxTokenTTL":"1h","Config":{"Password":"secret"}}`)
	rule := create("/v1/acl/binding-rule", `{"AuthMethod":"m","BindType":"service","BindName":"x"}`)
	login := c.call("POST", "/v1/acl/login", `{"AuthMethod":"m","BearerToken":"web:wrong"}`).Header().Get(loginIDHeader)
	c.must("PUT", "/v1/catalog/register", `{"Node":"web1","Address":"10.0.0.1",
		"Service":{"Service":"web","Tags":["v1"],"Connect":{"Native":true}},
		"Checks":[{"CheckID":"alive"},{"CheckID":"web","ServiceID":"web"}]}`, nil)
	c.must("PUT", "/v1/agent/service/register", `{"Name":"web","Check":{"TTL":"1h"}}`, nil)
	c.must("PUT", "/v1/kv/k1", "x", nil)
	c.must("PUT", "/v1/event/fire/seen", "", nil)
	c.must("PUT", "/v1/config", `{"Kind":"service-defaults","Name":"web"}`, nil)
	var intention struct{ ID string }
	c.must("POST", "/v1/connect/intentions", `{"SourceName":"db","DestinationName":"web","Action":"allow"}`, &intention)
	session := create("/v1/session/create", `{"Node":"web1","Checks":[]}`)
	c.path = strings.NewReplacer("{key...}", "k1", "{event...}", "nobody", "{entry_kind}", "service-defaults", "{entry_name...}", "web", "{intention}", intention.ID, "{session}", session, "{agent_service...}", "web", "{agent_service_name...}", "web", "{agent_check...}", "service:web",
		"{accessor}", token, "{policy_id}", policy, "{policy_name...}", "p", "{role_id}", role, "{role_name}", "r",
		"{auth_method}", "m", "{login}", login, "{binding_rule}", rule, "{template_name...}", "builtin/dns", "{namespace}", "gone",
		"{partition}", "gone", "{kind}", "agent", "{addr}", "127.0.0.1", "{node}", "web1",
		"{node...}", "web1", "{service...}", "web", "{gateway...}", "gw", "{state}", "any", "{profile}", "heap")
	c.objects = strings.NewReplacer("<token>", token, "<policy>", policy, "<role>", role, "<rule>", rule, "<login>", login, "<session>", session, "<intention>", intention.ID)
}

// ask makes who's request of a row in a scope, and returns the status and the body.
func (c *crowd) ask(h http.Handler, row route, e expectation, who caller, scope string) string {
	body := "{}"
	if e.body != "" {
		body = c.objects.Replace(e.body)
	}
	// What an answer that goes on for ever begins with is there at once.
	ctx, cancel := context.WithCancel(c.t.Context())
	if row.operation == "internal.acl.changes" {
		cancel()
	}
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, row.method, c.path.Replace(row.path)+"?"+scope+"&"+e.query, strings.NewReader(body))
	if c.secrets[who] != "" {
		r.Header.Set("X-Consul-Token", c.secrets[who])
	}
	kind := peer.Nobody
	if row.options&fromAgent != 0 {
		kind = peer.Agent
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, onPort(r, kind))
	return fmt.Sprint(rec.Code, " ", rec.Body)
}

// want returns what e says for who, who asks for something in a scope whose
// denials end in where.
func (c *crowd) want(row route, e expectation, who caller, where string) string {
	lacks := e.lacks
	if lacks == "" {
		lacks = "'" + row.permission + "'"
	}
	lacks += where
	answer := ""
	switch {
	case len(e.answers) == int(numCallers):
		answer = e.answers[who]
	case who == right && where == "":
		answer = e.answers[0]
	case who == nobody:
		answer = "403 Permission denied: anonymous token lacks permission " + lacks +
			". The anonymous token is used implicitly when a request does not specify a token.$"
	case who == unknown:
		answer = notFound + "$"
	default:
		answer = "403 Permission denied: token with AccessorID '" + c.ids[who] + "' lacks permission " + lacks + "$"
	}
	return strings.ReplaceAll(c.objects.Replace(answer), "<caller>", c.ids[who])
}

// answered reports whether an answer is the wanted one: it begins with it or,
// where that ends in a dollar, is equal to it.
func answered(got, want string) bool {
	if whole, ok := strings.CutSuffix(want, "$"); ok {
		return got == whole
	}
	return strings.HasPrefix(got, want)
}

// rulesFor returns the rules of the right token: no more than what the row asks for.
func rulesFor(row route, e expectation) string {
	if e.rules != "" || !row.needsDecision() {
		return e.rules
	}
	resource, access, _ := strings.Cut(row.permission, ":")
	return resource + ` = "` + access + `"`
}

// expected returns the rows of every table with what they are expected to answer.
// It fails the test where one is missing.
func expected(t *testing.T) map[*route]expectation {
	t.Helper()
	byRow := map[string]expectation{}
	for _, e := range expectations {
		if _, twice := byRow[e.row]; twice {
			t.Errorf("%s has two expectations", e.row)
		}
		byRow[e.row] = e
	}
	out := map[*route]expectation{}
	for _, table := range [][]route{routes, internalRoutes} {
		for i := range table {
			name := table[i].method + " " + table[i].path
			e, ok := byRow[name]
			if n := len(e.answers); !ok || n != 1 && n != int(numCallers) {
				t.Errorf("%s: nothing says what it answers to whom", name)
				continue
			}
			out[&table[i]] = e
			delete(byRow, name)
		}
	}
	for name := range byRow {
		t.Errorf("%s is expected to answer, but no row of the table", name)
	}
	return out
}

func TestCVE_2020_7955_EveryRouteAsksForItsPermission(t *testing.T) {
	for row, e := range expected(t) {
		internal := strings.HasPrefix(row.path, "/internal/")
		for _, onPort := range []bool{false, true} {
			if onPort == (row.served == Local && !internal) || !onPort && internal {
				continue
			}
			c := newCrowd(t, rulesFor(*row, e))
			h := c.http
			if onPort {
				h = c.port
			}
			for who := range numCallers {
				if got, want := c.ask(h, *row, e, who, "partition=default&ns=default"), c.want(*row, e, who, ""); !answered(got, want) {
					t.Errorf("%s %s with %s (server port: %v):\ngot  %s\nwant %s", row.method, row.path, callerNames[who], onPort, got, want)
				}
			}
			if strings.Contains(c.log.String(), errUndecided.Error()) {
				t.Errorf("%s %s was answered without a decision: %s", row.method, row.path, c.log)
			}
		}
	}
}

// scoped are the rows that work in one namespace, whichever a request names.
func scoped(t *testing.T) map[*route]expectation {
	all := expected(t)
	maps.DeleteFunc(all, func(row *route, _ expectation) bool {
		return !strings.HasPrefix(row.path, "/v1/acl/") || !row.needsDecision()
	})
	return all
}

// What a token may do in its own namespace it may do nowhere else, in whatever
// way a request says where it wants to be.
func TestNoTokenOfTheDefaultNamespaceReachesAnother(t *testing.T) {
	for row, e := range scoped(t) {
		c := newCrowd(t, rulesFor(*row, e))
		for _, tc := range []struct{ scope, where string }{
			{"ns=team", ` in namespace "team"`},
			{"namespace=TEAM", ` in namespace "team"`},
			{"partition=pay", ` in partition "pay"`},
			{"ap=pay&ns=default", ` in partition "pay"`},
			{"ap=pay&ns=team", ` in partition "pay" in namespace "team"`},
		} {
			for _, who := range []caller{nobody, unknown, unrelated, right} {
				want := c.want(*row, e, who, tc.where)
				if who == right && row.operation == "acl.login.refused" { // its ID says where it was
					want = c.want(*row, e, who, "")
				}
				if got := c.ask(c.http, *row, e, who, tc.scope); !answered(got, want) {
					t.Errorf("%s %s?%s with %s:\ngot  %s\nwant %s", row.method, row.path, tc.scope, callerNames[who], got, want)
				}
			}
		}
	}
}

// All namespaces at once can be listed; nothing else works in more than one, and
// what belongs to none does not look at them.
func TestTheNamespaceThatARequestNames(t *testing.T) {
	for row, e := range expected(t) {
		if row.served == Local || len(e.answers) > 1 && row.namespaced() {
			continue
		}
		c := newCrowd(t, rulesFor(*row, e))
		want := c.want(*row, e, right, "")
		if row.namespaced() && (row.options&anyNamespace == 0 || strings.HasPrefix(row.operation, "config.")) { // an entry of the default namespace
			want = `400 Invalid namespace "*": wildcard is not allowed$`
		}
		if got := c.ask(c.http, *row, e, right, "ns=*"); !answered(got, want) {
			t.Errorf("%s %s?ns=*:\ngot  %s\nwant %s", row.method, row.path, got, want)
		}
	}
}

// Whoever may do everything in one namespace finds nothing there by the ID that a
// thing has in another, and changes nothing.
func TestAnIDOfAnotherNamespaceIsUnknown(t *testing.T) {
	for row, e := range scoped(t) {
		if !strings.Contains(row.path, "{") || strings.HasPrefix(row.operation, "acl.template.") {
			continue
		}
		c := newCrowd(t, rulesFor(*row, e))
		before := c.dump()
		for _, tc := range []struct {
			who   caller
			scope string
		}{
			{otherNamespace, ""},
			{otherNamespace, "ns=team"},
			{otherPartition, ""},
			{otherPartition, "partition=pay"},
			{rightsElsewhere, "ns=team"},
			{rightsElsewhere, "partition=pay"},
		} {
			got := c.ask(c.http, *row, e, tc.who, tc.scope)
			creates := row.operation == "acl.auth_method.set" && strings.Contains(got, `"Name":"m"`) && !strings.Contains(got, `"Namespace":"default","Partition":"default"`)
			if strings.HasPrefix(got, "200") && !creates {
				t.Errorf("%s %s?%s with %s: %s", row.method, row.path, tc.scope, callerNames[tc.who], got)
			}
		}
		if after := c.dump(); after != before {
			t.Errorf("%s %s changed the default namespace:\nfrom %s\nto   %s", row.method, row.path, before, after)
		}
	}
}

// dump returns all objects of the default namespace as they are shown to management.
func (c *crowd) dump() string {
	var all strings.Builder
	for _, list := range []string{"tokens", "policies", "roles", "auth-methods", "binding-rules"} {
		all.WriteString(c.call("GET", "/v1/acl/"+list, "", asManagement).Body.String())
	}
	return all.String()
}
