package configentry

import (
	"encoding/json"
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestCentralDefaults(t *testing.T) {
	proxy := must(t, tenancy.Default, full[KindProxyDefaults]).ProxyDefaults
	service := must(t, tenancy.Default, full[KindServiceDefaults]).ServiceDefaults
	none := Resolve(tenancy.Default, nil, nil)
	if text := asJSON(t, none); text != `{"Config":null,"Mode":"","TransparentProxy":{},"MutualTLSMode":"","MeshGateway":{},"Expose":{},"AccessLogs":null,"EnvoyExtensions":null}` {
		t.Error(text)
	}
	all := Resolve(tenancy.Default, proxy, nil)
	if all.Mode != "direct" || all.MeshGateway.Mode != "remote" || all.Config["protocol"] != "http" || all.AccessLogs == nil {
		t.Errorf("%+v", all)
	}
	own := Resolve(tenancy.Default, proxy, service)
	if own.Mode != "transparent" || own.MeshGateway.Mode != "local" || own.TransparentProxy.OutboundListenerPort != 15001 || !own.Expose.Checks || len(own.EnvoyExtensions) != 1 {
		t.Errorf("%+v", own)
	}
	if text := asJSON(t, own.Config); text != `{"balance_inbound_connections":"exact_balance","local_connect_timeout_ms":8,"local_request_timeout_ms":9,`+
		`"max_inbound_connections":7,"max_request_headers_kb":64,"nested":{"list":[1,"a"]},"protocol":"http"}` {
		t.Error(text)
	}
	if proxy.Config["max_inbound_connections"] != nil {
		t.Error("the entry has changed")
	}
}

func TestCentralDefaultsOfUpstreams(t *testing.T) {
	proxy := must(t, tenancy.Default, full[KindProxyDefaults]).ProxyDefaults
	service := must(t, tenancy.Default, full[KindServiceDefaults]).ServiceDefaults
	db := &ServiceDefaults{Protocol: "grpc"}
	at := func(partition, namespace, name string) Service {
		return Service{Name: name, Scope: tenancy.Scope{Partition: partition, Namespace: namespace}}
	}
	const passive = `"passive_health_check":{"base_ejection_time":"30s","consecutive_5xx":3,"consecutive_gateway_failure":2,"enforcing_consecutive_5xx":99,` +
		`"enforcing_consecutive_gateway_failure":1,"interval":"10s","max_ejection_percent":50,"max_failures":5}`
	for _, c := range []struct {
		name    string
		central Central
		to      Service
		own     *ServiceDefaults
		want    string
	}{
		{"nothing", Resolve(tenancy.Default, nil, nil), at("default", "default", "db"), nil, `{"Config":null,"MeshGateway":{}}`},
		{"the protocol of all proxies", Resolve(tenancy.Default, proxy, nil), at("default", "default", "db"), nil, `{"Config":{"protocol":"http"},"MeshGateway":{}}`},
		{"the upstream's own protocol", Resolve(tenancy.Default, proxy, nil), at("default", "default", "db"), db, `{"Config":{"protocol":"grpc"},"MeshGateway":{}}`},
		{"all upstreams", Resolve(tenancy.Default, nil, service), at("default", "default", "db"), db, `{"Config":{` + passive + `,"protocol":"grpc"},"MeshGateway":{"Mode":"none"}}`},
		{"one upstream", Resolve(tenancy.Default, nil, service), at("east", "n", "DB"), db, `{"Config":{"balance_outbound_connections":"exact_balance","connect_timeout_ms":100,` +
			`"envoy_cluster_json":"{}","envoy_listener_json":"{}","limits":{"max_concurrent_requests":3,"max_connections":1,"max_pending_requests":2},` +
			`"passive_health_check":{"interval":"5s","max_failures":2},"protocol":"tcp"},"MeshGateway":{"Mode":"none"}}`},
	} {
		if got := asJSON(t, c.central.Upstream(c.to, c.own)); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
