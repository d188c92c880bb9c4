package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// Config entries and intentions by HTTP, each step on what the ones before have left. <index> is the
// index of the last answer, <id> the last intention's ID.
func TestConfigEntriesByHTTP(t *testing.T) {
	const exact = "/v1/connect/intentions/exact?source=web&destination=db"
	w := newWorld(t)
	w.must("PUT", "/v1/namespace/team", "{}", nil)
	index, id := "", ""
	for _, c := range []struct{ name, method, target, body, want string }{
		{"an entry", "PUT", "/v1/config", `{"Kind":"service-defaults","Name":"web","Protocol":"HTTP"}`, "200 true$"},
		{"it is read", "GET", "/v1/config/service-defaults/web", "", `200 {"Kind":"service-defaults","Name":"web","Protocol":"http","TransparentProxy":{},"MeshGateway":{},"Expose":{},"CreateIndex":`},
		{"in other capitals", "GET", "/v1/config/service-defaults/WEB", "", `200 {"Kind":"service-defaults","Name":"web"`},
		{"created again", "PUT", "/v1/config?cas=0", `{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`, "200 false$"},
		{"read again", "GET", "/v1/config/service-defaults/web", "", `200 {`},
		{"changed as it is", "PUT", "/v1/config?cas=<index>", `{"kind":"service-defaults","name":"web","external_sni":"x"}`, "200 true$"},
		{"the list", "GET", "/v1/config/service-defaults", "", `200 [{"Kind":"service-defaults","Name":"web","TransparentProxy":{},"MeshGateway":{},"Expose":{},"ExternalSNI":"x"`},
		{"the list with a slash", "GET", "/v1/config/service-defaults/", "", `200 [{"Kind":"service-defaults"`},
		{"a filter", "GET", `/v1/config/service-defaults?filter=ExternalSNI+%3D%3D+y`, "", `200 []$`},
		{"one that is missing", "GET", "/v1/config/service-defaults/nope", "", `404 Config entry not found for "service-defaults" / "nope"$`},
		{"an unknown kind", "GET", "/v1/config/bogus", "", "400 invalid config entry kind: bogus$"},
		{"a kind that comes later", "GET", "/v1/config/service-router/web", "", `400 config entry kind "service-router" is not supported yet$`},
		{"an unknown kind written", "PUT", "/v1/config", `{"Kind":"bogus"}`, "400 Request decoding failed: invalid config entry kind: bogus$"},
		{"no kind", "PUT", "/v1/config", `{}`, "400 Request decoding failed: Payload does not contain a kind/Kind key at the top level$"},
		{"an unknown key", "PUT", "/v1/config", `{"Kind":"mesh","Bogus":1}`, "400 Request decoding failed: 1 error occurred:\n\t* invalid config key \"Bogus\"\n"},
		{"a bad index", "PUT", "/v1/config?cas=x", `{"Kind":"mesh"}`, "400 Error parsing cas value: "},
		{"no name to delete", "DELETE", "/v1/config/service-defaults", "", "404 Must provide both a kind and name to delete$"},
		{"another index to delete", "DELETE", "/v1/config/service-defaults/web?cas=1", "", "200 false$"},
		{"deleted", "DELETE", "/v1/config/service-defaults/web", "", "200 {}$"},
		{"deleted again", "DELETE", "/v1/config/service-defaults/web", "", "200 {}$"},
		{"mesh without a name", "PUT", "/v1/config", `{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2"}}}`, "200 true$"},
		{"mesh of a namespace", "GET", "/v1/config/mesh/mesh?ns=team", "", `200 {"Kind":"mesh","Name":"mesh","TransparentProxy":{},"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2"}}`},
		{"an entry of all namespaces", "GET", "/v1/config/mesh/mesh?ns=*", "", `400 Invalid namespace "*": wildcard is not allowed$`},
		{"the wrong scope", "PUT", "/v1/config?partition=default", `{"Kind":"exported-services","Name":"east"}`, "400 Mismatched partition/namespace$"},
		{"a huge body", "PUT", "/v1/config", `{"Kind":"mesh","Meta":{"a":"` + strings.Repeat("x", 512<<10) + `"}}`, "413 Request body too large"},

		{"an intention", "PUT", exact, `{"Action":"allow","Description":"why"}`, "200 true$"},
		{"it is read exactly", "GET", exact, "", `200 {"Description":"why","SourceNS":"default","SourceName":"web","DestinationNS":"default","DestinationName":"db","SourceType":"consul","Action":"allow","Precedence":9,"CreateIndex":`},
		{"as an entry", "GET", "/v1/config/service-intentions/db", "", `200 {"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Action":"allow","Precedence":9,"Type":"consul","Description":"why"}],"CreateIndex":`},
		{"with its scopes", "GET", "/v1/connect/intentions/exact?source=default/default/web&destination=default/db", "", `200 {"Description":"why"`},
		{"of another namespace", "GET", exact + "&ns=team", "", "404 Intention not found$"},
		{"with meta", "PUT", exact, `{"Action":"allow","Meta":{"a":"b"}}`, "400 Meta must not be specified$"},
		{"without an action", "PUT", exact, `{}`, "400 Sources[0].Action must be set to 'allow' or 'deny'$"},
		{"of an unknown type", "PUT", exact, `{"SourceType":"x","Action":"allow"}`, `400 unsupported SourceType: "x"$`},
		{"without a destination", "GET", "/v1/connect/intentions/exact?source=web", "", "400 required query parameter 'destination' not set$"},
		{"checked", "GET", "/v1/connect/intentions/check?source=web&destination=db", "", `200 {"Allowed":true}$`},
		{"all denied", "PUT", "/v1/connect/intentions/exact?source=*&destination=*", `{"Action":"deny"}`, "200 true$"},
		{"checked for others", "GET", "/v1/connect/intentions/check?source=x&destination=db", "", `200 {"Allowed":false}$`},
		{"by request", "PUT", exact, `{"Permissions":[{"Action":"allow","HTTP":{"path_prefix":"/"}}]}`, "200 true$"},
		{"decided by request", "GET", "/v1/connect/intentions/check?source=web&destination=db", "", `200 {"Allowed":false}$`},
		{"the list of intentions", "GET", "/v1/connect/intentions", "", `200 [{"SourceNS":"default","SourceName":"web","DestinationNS":"default","DestinationName":"db","SourceType":"consul","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/"}}],"Precedence":9`},
		{"matches", "GET", "/v1/connect/intentions/match?by=destination&name=db&name=nope/x", "", `200 {"db":[{"SourceNS"`},
		{"no matches", "GET", "/v1/connect/intentions/match?by=source&name=team/x", "", `200 {"team/x":null}$`},
		{"matched by nothing", "GET", "/v1/connect/intentions/match?by=x&name=db", "", "400 'by' parameter must be one of 'source' or 'destination'$"},
		{"an intention with an ID", "POST", "/v1/connect/intentions", `{"SourceName":"cron","DestinationName":"db","Action":"allow","Meta":{"a":"b"}}`, `200 {"ID":"`},
		{"read by its ID", "GET", "/v1/connect/intentions/<id>", "", `200 {"ID":"<id>","SourceNS":"default","SourceName":"cron"`},
		{"no ID", "GET", "/v1/connect/intentions/short", "", "400 failed config entry lookup: index error: UUID must be 36 characters$"},
		{"changed by its ID", "PUT", "/v1/connect/intentions/<id>", `{"SourceName":"cron","DestinationName":"db","Action":"deny"}`, `200 {"ID":"<id>"}$`},
		{"deleted by its ID", "DELETE", "/v1/connect/intentions/<id>", "", "200 true$"},
		{"gone", "GET", "/v1/connect/intentions/<id>", "", "404 Intention not found$"},
		{"deleted exactly", "DELETE", exact, "", "200 true$"},
		{"gone with its entry", "GET", "/v1/config/service-intentions/db", "", "404 Config entry not found"},
		{"an intention in all namespaces", "PUT", "/v1/connect/intentions/exact?source=*/*&destination=*/*", `{"Action":"deny"}`, "200 true$"},
		{"one name in all namespaces", "PUT", "/v1/connect/intentions/exact?source=*/web&destination=db", `{"Action":"deny"}`, "400 Sources[0].Namespace: wildcard character '*' is only allowed with the name '*'$"},
		{"listed", "GET", "/v1/connect/intentions?ns=*", "", `200 [{"SourceNS":"default","SourceName":"*","DestinationNS":"default","DestinationName":"*","SourceType":"consul","Action":"deny","Precedence":5`},
		{"as an entry of all namespaces", "GET", "/v1/config/service-intentions/*?ns=*", "", `200 {"Kind":"service-intentions","Name":"*","Sources":[{"Name":"*","Partition":"default","Namespace":"*"`},
	} {
		fill := strings.NewReplacer("<index>", index, "<id>", id).Replace
		rec := w.call(c.method, fill(c.target), c.body, asManagement)
		if n := rec.Header().Get("X-Consul-Index"); n != "" {
			index = n
		}
		if _, after, ok := strings.Cut(rec.Body.String(), `{"ID":"`); ok && c.method == "POST" {
			id, _, _ = strings.Cut(after, `"`)
		}
		if got := fmt.Sprint(rec.Code, " ", rec.Body); !answered(got, fill(c.want)) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, fill(c.want))
		}
	}
}

// Every field of the client's types arrives, and comes back.
func TestConfigEntriesByTheClient(t *testing.T) {
	w := newWorld(t)
	percent := uint32(50)
	limit := 5
	entries := []api.ConfigEntry{
		&api.MeshConfigEntry{AllowEnablingPermissiveMutualTLS: true, ValidateClusters: true, Peering: &api.PeeringMeshConfig{PeerThroughMeshGateways: true},
			HTTP: &api.MeshHTTPConfig{Incoming: &api.MeshDirectionalHTTPConfig{RequestNormalization: &api.RequestNormalizationMeshConfig{MergeSlashes: true}}}},
		&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http", MutualTLSMode: api.MutualTLSModePermissive,
			Expose: api.ExposeConfig{Paths: []api.ExposePath{{Path: "/a", ListenerPort: 1, LocalPathPort: 2, Protocol: "http"}}},
			UpstreamConfig: &api.UpstreamConfiguration{Defaults: &api.UpstreamConfig{Limits: &api.UpstreamLimits{MaxConnections: &limit},
				PassiveHealthCheck: &api.PassiveHealthCheck{Interval: 5e9, MaxEjectionPercent: &percent}}},
			RateLimits:      &api.RateLimits{InstanceLevel: api.InstanceLevelRateLimits{RequestsPerSecond: 1, Routes: []api.InstanceLevelRouteRateLimits{{PathExact: "/"}}}},
			EnvoyExtensions: []api.EnvoyExtension{{Name: api.BuiltinLuaExtension, Arguments: map[string]any{"Script": "x"}}}, MaxRequestHeadersKB: &percent},
		&api.ProxyConfigEntry{Kind: api.ProxyDefaults, Name: api.ProxyConfigGlobal, Config: map[string]any{"a": 1.0}, AccessLogs: &api.AccessLogsConfig{Enabled: true},
			FailoverPolicy: &api.ServiceResolverFailoverPolicy{Mode: "sequential"}, PrioritizeByLocality: &api.ServiceResolverPrioritizeByLocality{Mode: "failover"}},
		&api.ServiceIntentionsConfigEntry{Kind: api.ServiceIntentions, Name: "db", Sources: []*api.SourceIntention{{Name: "web", Permissions: []*api.IntentionPermission{{
			Action: api.IntentionActionAllow, HTTP: &api.IntentionHTTPPermission{Header: []api.IntentionHTTPHeaderPermission{{Name: "a", Contains: "b", IgnoreCase: true}}}}}}}},
		&api.ExportedServicesConfigEntry{Name: "default", Services: []api.ExportedService{{Name: "web", Consumers: []api.ServiceConsumer{{Partition: "east"}}}}},
	}
	client := w.client(management)
	for _, e := range entries {
		if done, _, err := client.ConfigEntries().Set(e, nil); err != nil || !done {
			t.Fatalf("%s: %v, %v", e.GetKind(), done, err)
		}
		got, _, err := client.ConfigEntries().Get(e.GetKind(), e.GetName(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if done, _, err := client.ConfigEntries().CAS(got, got.GetModifyIndex(), nil); err != nil || !done {
			t.Errorf("%s is written as it is read: %v, %v", e.GetKind(), done, err)
		}
		again, _, err := client.ConfigEntries().Get(e.GetKind(), e.GetName(), nil)
		if err != nil || again.GetModifyIndex() != got.GetModifyIndex() {
			t.Errorf("%s changes when it is written as it is read: %+v, then %+v, %v", e.GetKind(), got, again, err)
		}
		list, _, err := client.ConfigEntries().List(e.GetKind(), nil)
		if err != nil || len(list) != 1 || list[0].GetName() != e.GetName() {
			t.Errorf("%s: %v, %v", e.GetKind(), list, err)
		}
	}
}
