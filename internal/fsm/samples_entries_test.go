package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/tenancy"
)

const intentionID = "1de40000-0000-4000-8000-000000000001"

// entry is an entry of a text, settled.
func entry(s tenancy.Scope, text string) configentry.Entry {
	e, err := configentry.DecodeJSON([]byte(text))
	if err != nil {
		panic(err)
	}
	e.Scope = s
	if err := e.Settle(); err != nil {
		panic(err)
	}
	return *e
}

func meshService(name string) configentry.Service {
	return configentry.Service{Name: name, Scope: tenancy.Default}
}

func caller(name string, action configentry.Action) configentry.Source {
	return configentry.Source{Name: name, Partition: "default", Namespace: "default", Action: action}
}

// entrySetup is what the samples about config entries need. Some of it is in a partition that
// other samples delete.
func entrySetup() []Command {
	legacy := caller("old", configentry.Allow)
	legacy.LegacyID, legacy.LegacyMeta = intentionID, map[string]string{"made": "long ago"}
	return []Command{
		ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"service-defaults","Name":"gone","Protocol":"http"}`)},
		ConfigEntrySet{Entry: entry(team, `{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`)},
		ConfigEntrySet{Entry: entry(tenancy.Scope{Partition: "east", Namespace: "*"}, `{"Kind":"service-intentions","Name":"*","Sources":[{"Name":"*","Namespace":"*","Action":"deny"}]}`)},
		IntentionSet{Destination: meshService("db"), Source: legacy, Create: true, Now: sampleTime},
		IntentionSet{Destination: meshService("db"), Source: caller("web", configentry.Deny), Now: sampleTime},
	}
}

func entrySamples() []sample {
	changed := caller("old", configentry.Deny)
	changed.LegacyID, changed.LegacyMeta, changed.Description = intentionID, map[string]string{"a": "b"}, "no more"
	return []sample{
		{100, ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","n":1,"deep":{"list":["a",1.5,true]}},
			"MeshGateway":{"Mode":"local"},"AccessLogs":{"Enabled":true},"EnvoyExtensions":[{"Name":"builtin/lua","Arguments":{"Script":"x"}}],"Meta":{"k":"v"}}`), Compare: true}, false},
		{101, ConfigEntryDelete{Kind: configentry.KindServiceDefaults, Scope: tenancy.Default, Name: "Gone"}, false},
		{102, IntentionSet{Destination: meshService("db"), Source: changed, IfID: intentionID, Now: sampleTime.Add(time.Hour)}, false},
		{103, IntentionDelete{Destination: meshService("db"), Source: meshService("WEB")}, false},
	}
}

// entryHistory is a log about config entries alone, with an entry of each kind.
func entryHistory() [][]Command {
	out := [][]Command{{
		PartitionSet{Partition: tenancy.Partition{Name: "east"}},
		NamespaceSet{Namespace: tenancy.Namespace{Name: "team", Partition: "east"}},
	}, entrySetup()}
	for _, s := range entrySamples() {
		out = append(out, []Command{s.command})
	}
	return append(out, []Command{
		ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2"}},"HTTP":{"SanitizeXForwardedClientCert":true},
			"AllowEnablingPermissiveMutualTLS":true}`)},
		ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Consumers":[{"Partition":"east"}]}]}`)},
		ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"service-defaults","Name":"Full","MutualTLSMode":"permissive","Expose":{"Paths":[{"Path":"/a"}]},
			"UpstreamConfig":{"Defaults":{"PassiveHealthCheck":{"Interval":"5s","BaseEjectionTime":"1s","MaxEjectionPercent":5},"Limits":{"MaxConnections":1}},"Overrides":[{"Name":"db"}]},
			"Destination":{"Addresses":["10.0.0.1"],"Port":1},"MaxRequestHeadersKB":5}`)},
		ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"service-intentions","Name":"api","Sources":[{"Name":"web","Permissions":[{"Action":"allow",
			"HTTP":{"PathPrefix":"/","Methods":["GET"],"Header":[{"Name":"a","Present":true}]}}]},{"Name":"x","Peer":"p","Action":"deny"}]}`)},
	})
}
