package configentry

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

var team = tenancy.Scope{Partition: "default", Namespace: "team"}

// settled decodes an entry of s and settles it.
func settled(s tenancy.Scope, text string) (*Entry, error) {
	e, err := DecodeJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	e.Scope = s
	return e, e.Settle()
}

func must(t testing.TB, s tenancy.Scope, text string) *Entry {
	t.Helper()
	e, err := settled(s, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// full is an entry of each kind with something in every field that may be set.
var full = map[Kind]string{
	KindServiceDefaults: `{"Kind":"service-defaults","Name":"web","Protocol":"http","Mode":"transparent",
		"TransparentProxy":{"OutboundListenerPort":15001,"DialedDirectly":true},"MutualTLSMode":"strict","MeshGateway":{"Mode":"local"},
		"Expose":{"Checks":true,"Paths":[{"ListenerPort":21500,"Path":"/health","LocalPathPort":8080,"Protocol":"http2","ParsedFromCheck":true}]},
		"ExternalSNI":"web.example","UpstreamConfig":{"Overrides":[{"Name":"db","Partition":"east","Namespace":"n","Peer":"","EnvoyListenerJSON":"{}",
		"EnvoyClusterJSON":"{}","Protocol":"tcp","ConnectTimeoutMs":100,"Limits":{"MaxConnections":1,"MaxPendingRequests":2,"MaxConcurrentRequests":3,
		"PassiveHealthCheck":{"Interval":5000000000,"MaxFailures":2}},"MeshGateway":{},"BalanceOutboundConnections":"exact_balance"}],
		"Defaults":{"PassiveHealthCheck":{"Interval":10000000000,"MaxFailures":5,"EnforcingConsecutive5xx":99,"EnforcingConsecutiveGatewayFailure":1,
		"Consecutive5xx":3,"ConsecutiveGatewayFailure":2,"MaxEjectionPercent":50,"BaseEjectionTime":30000000000},"MeshGateway":{"Mode":"none"}}},
		"Destination":{"Addresses":["db.example","10.0.0.1","fd00::1"],"Port":5432},"MaxInboundConnections":7,"LocalConnectTimeoutMs":8,
		"LocalRequestTimeoutMs":9,"BalanceInboundConnections":"exact_balance","MaxRequestHeadersKB":64,"RateLimits":{"InstanceLevel":{"RequestsPerSecond":5,
		"RequestsMaxBurst":6,"Routes":[{"PathExact":"/a","PathPrefix":"","PathRegex":"","RequestsPerSecond":1,"RequestsMaxBurst":2}]}},
		"EnvoyExtensions":[{"Name":"builtin/lua","Required":false,"Arguments":{"Script":"x","List":[1,true]},"ConsulVersion":">1","EnvoyVersion":">1"}],
		"Meta":{"a":"b"},"CreateIndex":5,"ModifyIndex":6,"Hash":7}`,
	KindProxyDefaults: `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","local_connect_timeout_ms":500,"nested":{"list":[1,"a"]}},
		"Mode":"direct","TransparentProxy":{},"MutualTLSMode":"strict","MeshGateway":{"Mode":"remote"},"Expose":{},
		"AccessLogs":{"Enabled":true,"DisableListenerLogs":true,"Type":"file","Path":"/dev/null","JSONFormat":"{}"},
		"EnvoyExtensions":[],"FailoverPolicy":{"Mode":"order-by-locality","Regions":["r"]},"PrioritizeByLocality":{"Mode":"failover"}}`,
	KindServiceIntentions: `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"*","Action":"deny"},
		{"Name":"web","Action":"allow","Description":"the shop","Type":"consul","Precedence":1},{"Name":"x","Peer":"p","Action":"allow"},
		{"Name":"api","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/v1","Methods":["GET","PUT"],"Header":[{"Name":"x-a","Present":true},
		{"Name":"x-b","Exact":"v","Invert":true,"IgnoreCase":true}]}},{"Action":"deny","HTTP":{"PathRegex":"/a+"}}]},
		{"Name":"old","Action":"allow","LegacyID":"5e551000-0000-4000-8000-000000000001","LegacyMeta":{"k":"v"},"LegacyCreateTime":"2026-01-02T03:04:05Z"}]}`,
	KindMesh: `{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true},"AllowEnablingPermissiveMutualTLS":true,"ValidateClusters":true,
		"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2","TLSMaxVersion":"TLSv1_3","CipherSuites":["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]},"Outgoing":{"TLSMinVersion":"TLS_AUTO"}},
		"HTTP":{"SanitizeXForwardedClientCert":true,"Incoming":{"RequestNormalization":{"InsecureDisablePathNormalization":true,"MergeSlashes":true,
		"PathWithEscapedSlashesAction":"REJECT_REQUEST","HeadersWithUnderscoresAction":"DROP_HEADER"}}},"Peering":{"PeerThroughMeshGateways":true}}`,
	KindExportedServices: `{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Partition":"East"},{"Peer":"p"}]},
		{"Name":"*","Namespace":"*","Consumers":[{"Partition":"west"}]}]}`,
}

func TestEveryKindReadsWhatItWrites(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			e := must(t, tenancy.Default, full[kind])
			shown, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			again := must(t, tenancy.Default, string(shown))
			if !reflect.DeepEqual(again, e) || again.Hash() != e.Hash() {
				t.Errorf("got %+v\nwant %+v\nfrom %s", again, e, shown)
			}
			before := e.Hash()
			e.CreateIndex, e.ModifyIndex = 8, 9
			if e.Hash() != before {
				t.Error("the indexes change the hash")
			}
			e.Meta = map[string]string{"other": "meta"}
			if e.Hash() == before {
				t.Error("the content does not change the hash")
			}
			if e.Key() != string(kind)+"/"+strings.ToLower(e.Name) {
				t.Error(e.Key())
			}
		})
	}
}

// snake returns a JSON text with the keys of its types in snake_case.
func snake(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = snake(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if key != "Config" && key != "Arguments" && key != "Meta" && key != "LegacyMeta" {
				value = snake(value)
			}
			name := ""
			for i, c := range key {
				if i > 0 && c >= 'A' && c <= 'Z' && (key[i-1] < 'A' || key[i-1] > 'Z') {
					name += "_"
				}
				name += string(c)
			}
			out[strings.ToLower(name)] = value
		}
		return out
	}
	return v
}

func TestKeysMayBeInSnakeCase(t *testing.T) {
	for _, kind := range Kinds() {
		var tree any
		if err := json.Unmarshal([]byte(full[kind]), &tree); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(snake(tree))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := must(t, tenancy.Default, string(text)), must(t, tenancy.Default, full[kind]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v\nwant %+v", text, got, want)
		}
	}
}

func TestWhatIsNoEntry(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"nothing", ``, "EOF"},
		{"a list", `[]`, "Payload is not an object"},
		{"two values", `{"Kind":"mesh"}{}`, "json: data after the value"},
		{"a text that ends", `{"Kind":`, "EOF"},
		{"no kind", `{"Name":"web"}`, "Payload does not contain a kind/Kind key at the top level"},
		{"a number as kind", `{"Kind":5}`, "Kind value in payload is not a string"},
		{"an unknown kind", `{"Kind":"bogus"}`, "invalid config entry kind: bogus"},
		{"a kind that comes later", `{"Kind":"service-router","Name":"web"}`, `config entry kind "service-router" is not supported yet`},
		{"an unknown key", `{"Kind":"mesh","Bogus":1}`, "1 error occurred:\n\t* invalid config key \"Bogus\"\n\n"},
		{"unknown keys further inside", `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Bogus":1}],"Nope":2}`,
			"2 errors occurred:\n\t* invalid config key \"Nope\"\n\t* invalid config key \"Sources[0].Bogus\"\n\n"},
		{"a key twice", `{"Kind":"mesh","Meta":{},"Meta":{}}`, `json: duplicate key "Meta"`},
		{"a key in two spellings", `{"Kind":"service-defaults","Name":"a","ExternalSNI":"x","external_sni":"y"}`, `config key "external_sni" is there twice`},
		{"a key of another kind", `{"Kind":"mesh","Protocol":"http"}`, `invalid config key "Protocol"`},
		{"a list for an object", `{"Kind":"mesh","TLS":[]}`, "TLS: expected an object, got a list"},
		{"a number for a text", `{"Kind":"service-defaults","Name":"a","Protocol":1}`, "Protocol: expected a string, got a number"},
		{"a text for a number", `{"Kind":"service-defaults","Name":"a","MaxInboundConnections":"1"}`, "MaxInboundConnections: expected a number, got a string"},
		{"a fraction", `{"Kind":"service-defaults","Name":"a","MaxInboundConnections":1.5}`, "MaxInboundConnections: 1.5 is not a whole number"},
		{"a huge number", `{"Kind":"service-defaults","Name":"a","MaxInboundConnections":1e300}`, "MaxInboundConnections: 1e+300 is out of range"},
		{"no duration", `{"Kind":"service-defaults","Name":"a","UpstreamConfig":{"Defaults":{"PassiveHealthCheck":{"Interval":"x"}}}}`, `time: invalid duration "x"`},
		{"no time", `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"a","Action":"allow","LegacyCreateTime":"x"}]}`, `cannot parse "x"`},
		{"no name", `{"Kind":"service-defaults"}`, "Name is required"},
		{"another name", `{"Kind":"proxy-defaults","Name":"zz"}`, `invalid name ("zz"), only "global" is supported`},
		{"another mesh", `{"Kind":"mesh","Name":"zz"}`, `invalid name ("zz"), only "mesh" is supported`},
		{"a wildcard", `{"Kind":"service-defaults","Name":"*"}`, "service-defaults name must be the name of a service, and not a wildcard"},
		{"an unknown mode", `{"Kind":"service-defaults","Name":"a","Mode":"x"}`, `invalid Mode: "x"`},
		{"an unknown gateway mode", `{"Kind":"proxy-defaults","Name":"global","MeshGateway":{"Mode":"x"}}`, `invalid MeshGateway.Mode: "x"`},
		{"a port that is none", `{"Kind":"service-defaults","Name":"a","Expose":{"Paths":[{"Path":"/a","ListenerPort":70000}]}}`, "Expose.Paths[0].ListenerPort must be from 0 to 65535, not 70000"},
		{"a name in upstream defaults", `{"Kind":"service-defaults","Name":"a","UpstreamConfig":{"Defaults":{"Name":"b"}}}`, "error in upstream defaults"},
		{"no name in an override", `{"Kind":"service-defaults","Name":"a","UpstreamConfig":{"Overrides":[{}]}}`, "error in upstream override: Name is required"},
		{"an extension that is required", `{"Kind":"service-defaults","Name":"a","EnvoyExtensions":[{"Name":"builtin/ext-authz","Required":true}]}`, "cannot be required"},
		{"an extension of somebody else", `{"Kind":"service-defaults","Name":"a","EnvoyExtensions":[{"Name":"mine"}]}`, "must be a builtin extension"},
		{"a destination with a path", `{"Kind":"service-defaults","Name":"a","Destination":{"Addresses":["a/b"],"Port":1}}`, `"a/b" is neither a host name nor an IP address`},
		{"a log file without its type", `{"Kind":"proxy-defaults","Name":"global","AccessLogs":{"Path":"/x"}}`, "AccessLogs.Path goes with"},
		{"an unknown TLS version", `{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"1.2"}}}`, `invalid TLS.Incoming.TLSMinVersion: "1.2"`},
		{"TLS versions the wrong way round", `{"Kind":"mesh","TLS":{"Outgoing":{"TLSMinVersion":"TLSv1_3","TLSMaxVersion":"TLSv1_2"}}}`, "is above"},
		{"an unknown suite", `{"Kind":"mesh","TLS":{"Incoming":{"CipherSuites":["AES128-SHA","X"]}}}`, `invalid TLS.Incoming.CipherSuites[1]: unsupported cipher suite "X"`},
		{"a suite that never counts", `{"Kind":"mesh","TLS":{"Outgoing":{"TLSMinVersion":"TLSv1_3","CipherSuites":["AES128-SHA"]}}}`, "TLS.Outgoing: CipherSuites count for TLS 1.2 and earlier"},
		{"a negative rate", `{"Kind":"service-defaults","Name":"a","RateLimits":{"InstanceLevel":{"RequestsPerSecond":-4}}}`, "RateLimits.InstanceLevel.RequestsPerSecond must be from 0 to"},
		{"the wrong partition", `{"Kind":"exported-services","Name":"east","Services":[]}`, `must be the name of its partition, "default", not "east"`},
		{"no consumers", `{"Kind":"exported-services","Name":"default","Services":[{"Name":"a"}]}`, "must have at least one consumer"},
		{"two consumers in one", `{"Kind":"exported-services","Name":"default","Services":[{"Name":"a","Consumers":[{"Peer":"a","Partition":"b"}]}]}`, "exactly one of"},
		{"all consumers", `{"Kind":"exported-services","Name":"default","Services":[{"Name":"a","Consumers":[{"Partition":"*"}]}]}`, "wildcard"},
		{"too much meta", `{"Kind":"mesh","Meta":` + manyPairs(65) + `}`, "Meta cannot have more than 64 key/value pairs"},
		{"no sources", `{"Kind":"service-intentions","Name":"db"}`, "At least one source is required"},
		{"a part of a wildcard as destination", `{"Kind":"service-intentions","Name":"d*","Sources":[{"Name":"a","Action":"allow"}]}`, "Name: wildcard character '*' cannot be used with partial values"},
		{"no action", sources(`{"Name":"a"}`), "Sources[0].Action must be set to 'allow' or 'deny'"},
		{"action and permissions", sources(`{"Name":"a","Action":"allow","Permissions":[{"Action":"allow","HTTP":{"PathExact":"/"}}]}`), "Sources[0].Action must be omitted if Permissions are specified"},
		{"a part of a wildcard", sources(`{"Name":"a","Action":"allow"},{"Name":"b*","Action":"allow"}`), "Sources[1].Name: wildcard character '*' cannot be used with partial values"},
		{"a source twice", sources(`{"Name":"a","Action":"allow"},{"Name":"A","Action":"deny"}`), `Sources[1] defines "A" more than once`},
		{"another type", sources(`{"Name":"a","Action":"allow","Type":"x"}`), "Sources[0].Type must be set to 'consul'"},
		{"a slash in a name", sources(`{"Name":"n/a","Action":"allow"}`), `"n/a" is not the name of a service`},
		{"one name in all namespaces", sources(`{"Name":"a","Namespace":"*","Action":"allow"}`), "only allowed with the name '*'"},
		{"a peer's partition", sources(`{"Name":"a","Peer":"p","Partition":"x","Action":"allow"}`), "Peer and Partition cannot both be set"},
		{"all partitions", sources(`{"Name":"*","Partition":"*","Action":"allow"}`), "cannot be the wildcard"},
		{"a sameness group", sources(`{"Name":"a","SamenessGroup":"g","Action":"deny"}`), "not supported yet"},
		{"a token that nobody verifies", sources(`{"Name":"a","Permissions":[{"Action":"allow","JWT":{"Providers":[{"Name":"p"}]}}]}`), `"jwt-provider" is not supported yet`},
		{"two paths", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"PathExact":"/","PathPrefix":"/"}}]}`), "only contain one of PathExact"},
		{"a path without a slash", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"PathExact":"x"}}]}`), "doesn't start with '/'"},
		{"no expression", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"PathRegex":"("}}]}`), "not a regular expression"},
		{"an unknown verb", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"Methods":["get"]}}]}`), "invalid method"},
		{"a header that matches nothing", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{"Header":[{"Name":"x"}]}}]}`), "should only contain one of"},
		{"nothing to match", sources(`{"Name":"a","Permissions":[{"Action":"allow","HTTP":{}}]}`), "must have a path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := settled(tenancy.Default, c.text)
			if err == nil || errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
}

func sources(list string) string {
	return `{"Kind":"service-intentions","Name":"db","Sources":[` + list + `]}`
}

func manyPairs(n int) string {
	pairs := map[string]string{}
	for i := range n {
		pairs[fmt.Sprint(i)] = ""
	}
	text, _ := json.Marshal(pairs)
	return string(text)
}

func TestAttack_DeepAndLongEntries(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	for _, text := range []string{
		`{"Kind":"proxy-defaults","Name":"global","Config":` + deep + `}`,
		strings.Repeat("[", 100_000),
		sources(strings.Repeat(`{},`, 100_000) + `{}`),
		sources(strings.Repeat(`{"Name":"a","Action":"allow"},`, MaxSources) + `{}`),
		`{"Kind":"service-defaults","Name":"a","MaxInboundConnections":1` + strings.Repeat("0", 100_000) + `}`,
	} {
		if _, err := settled(tenancy.Default, text); errs.KindOf(err) != errs.Invalid || len(err.Error()) > 8<<10 {
			t.Errorf("%.60s: %.100v", text, err)
		}
	}
}

func TestWhereKindsLive(t *testing.T) {
	for _, k := range Kinds() {
		want := tenancy.Default
		if k == KindServiceDefaults || k == KindServiceIntentions {
			want = team
		}
		if got := k.Home(team); got != want {
			t.Errorf("%s: %v", k, got)
		}
	}
	e := must(t, team, full[KindServiceIntentions])
	for _, s := range e.ServiceIntentions.Sources {
		if s.Peer == "" && s.Scope() != team {
			t.Errorf("%+v", s)
		}
	}
	shown, _ := json.Marshal(e)
	if !strings.Contains(string(shown), `"Namespace":"team"`) || strings.Contains(string(shown), `"Partition":"default","CreateIndex"`) {
		t.Errorf("%s", shown)
	}
}

func TestServicesThatAreExported(t *testing.T) {
	x := must(t, tenancy.Default, full[KindExportedServices]).ExportedServices
	for _, c := range []struct {
		s           tenancy.Scope
		service, to string
		want        bool
	}{
		{tenancy.Default, "web", "east", true},
		{tenancy.Default, "WEB", "east", true},
		{team, "web", "east", false},
		{tenancy.Default, "db", "east", false},
		{team, "db", "west", true},
		{team, "consul", "west", false},
		{team, "db", "p", false},
	} {
		if got := x.Exports(c.s, c.service, c.to); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, kind := range Kinds() {
		f.Add(full[kind])
	}
	f.Add(`{"kind":"service-intentions","name":"*","sources":{"name":"*","namespace":"*","action":"deny"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := settled(tenancy.Default, text)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatal(err)
			}
			return
		}
		shown, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := settled(tenancy.Default, string(shown))
		if err != nil || again.Hash() != e.Hash() {
			t.Fatalf("%s becomes %s: %v", text, shown, err)
		}
		if e.Kind == KindServiceIntentions && !slices.IsSortedFunc(e.ServiceIntentions.Sources, func(a, b Source) int { return b.Precedence - a.Precedence }) {
			t.Fatalf("%s", shown)
		}
	})
}
