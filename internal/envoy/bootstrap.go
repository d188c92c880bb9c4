// Package envoy writes the configuration that an Envoy proxy starts with: who it is, and
// where it gets everything else over xDS (spec: mesh.md sections 4 and 5). It has no I/O.
package envoy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"text/template"

	"github.com/lictor/lictor/internal/logging"
)

// agentCluster is the name of the cluster that a proxy gets its configuration from.
const agentCluster = "local_agent"

// Bootstrap is everything that a proxy's first configuration is made from.
type Bootstrap struct {
	ID         string // of the proxy's service instance
	Cluster    string // the service that the proxy stands in for, or the gateway's own name
	Namespace  string // empty is default, as for Partition
	Partition  string
	Datacenter string
	NodeName   string // of a proxy that is not registered with the agent it asks; else empty

	Admin          netip.AddrPort // where Envoy's own API listens
	AdminAccessLog string         // file; empty is /dev/null
	Agent          Agent
	Token          logging.Secret

	Ready          netip.AddrPort // where /ready is answered; invalid is nowhere
	Prometheus     Prometheus
	DeprecatedTags bool // also the names that statistics had before they were called consul.destination
	// Config is the proxy's Proxy.Config, of which the keys of mesh.md section 4 that are
	// about the bootstrap count. Values "$NAME" and "${NAME}" in it are looked up by Getenv.
	Config map[string]any
	Getenv func(string) string
}

// Agent is where xDS is served: at an address, or at a socket.
type Agent struct {
	Addr   netip.AddrPort
	Socket string // a path; Addr does not count then
	TLS    bool
	CAPEM  string // of those that may have signed the agent's certificate; empty is any
}

// Prometheus says how the listener for Prometheus, which Config asks for, serves.
type Prometheus struct {
	Path        string // that is scraped; empty is /metrics
	BackendPort int    // of 127.0.0.1 that has the metrics in place of Envoy; 0 is Envoy
	CertFile    string // with a file, the listener uses TLS and asks clients for a certificate of CAPEM
	KeyFile     string
	CAPEM       string
}

type object = map[string]any

// JSON returns the configuration, indented. Its errors name the key of Config that is wrong.
func (b Bootstrap) JSON() ([]byte, error) {
	c, err := readConfig(b.Config, b.Getenv)
	if err != nil {
		return nil, err
	}
	if c.template != "" {
		return b.fill(c)
	}
	return indented(b.document(c))
}

func indented(doc any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(doc)
	return out.Bytes(), err
}

func (b Bootstrap) document(c config) object {
	clusters, listeners := b.static(c)
	static := object{"clusters": clusters}
	if len(listeners) > 0 {
		static["listeners"] = listeners
	}
	doc := object{
		"admin": object{
			"access_log": []any{object{
				"name":         "envoy.access_loggers.file",
				"typed_config": object{"@type": typeURL + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": or(b.AdminAccessLog, "/dev/null")},
			}},
			"address": address(b.Admin),
		},
		"node": object{"id": b.ID, "cluster": b.Cluster, "metadata": b.metadata()},
		"layered_runtime": object{"layers": []any{
			object{"name": "base", "static_layer": object{"re2.max_program_size.error_level": 1 << 20}},
		}},
		"static_resources":  static,
		"stats_config":      b.statsConfig(c),
		"dynamic_resources": b.dynamic(),
	}
	if len(c.sinks) > 0 {
		doc["stats_sinks"] = c.sinks
	}
	if c.flushInterval != "" {
		doc["stats_flush_interval"] = c.flushInterval
	}
	if c.tracing != nil {
		doc["tracing"] = c.tracing
	}
	return doc
}

func (b Bootstrap) metadata() object {
	m := object{"namespace": or(b.Namespace, "default"), "partition": or(b.Partition, "default")}
	if b.NodeName != "" {
		m["node_name"] = b.NodeName
	}
	return m
}

// dynamic says that listeners and clusters come from the agent. They have all the time
// they need: a proxy without its first configuration must not serve.
func (b Bootstrap) dynamic() object {
	ads := func() object {
		return object{"ads": object{}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
	}
	return object{
		"lds_config": ads(),
		"cds_config": ads(),
		"ads_config": object{
			"api_type": "DELTA_GRPC", "transport_api_version": "V3",
			"grpc_services": object{
				"initial_metadata": []any{object{"key": "x-consul-token", "value": b.Token.Reveal()}},
				"envoy_grpc":       object{"cluster_name": agentCluster},
			},
		},
	}
}

// xds is the cluster of whoever serves xDS.
func (b Bootstrap) xds() object {
	endpoint := address(b.Agent.Addr)
	if b.Agent.Socket != "" {
		endpoint = object{"pipe": object{"path": b.Agent.Socket}}
	}
	c := object{
		"name": agentCluster, "ignore_health_on_host_removal": false, "connect_timeout": "1s", "type": "STATIC",
		"http2_protocol_options": object{},
		"loadAssignment":         assignment(agentCluster, endpoint),
	}
	if b.Agent.TLS {
		common := object{}
		if b.Agent.CAPEM != "" {
			common["validation_context"] = object{"trusted_ca": object{"inline_string": b.Agent.CAPEM}}
		}
		c["transport_socket"] = transportSocket("UpstreamTlsContext", object{"common_tls_context": common})
	}
	return c
}

func transportSocket(kind string, context object) object {
	context["@type"] = typeURL + "envoy.extensions.transport_sockets.tls.v3." + kind
	return object{"name": "tls", "typed_config": context}
}

func assignment(cluster string, endpoint object) object {
	return object{"clusterName": cluster, "endpoints": []any{
		object{"lbEndpoints": []any{object{"endpoint": object{"address": endpoint}}}},
	}}
}

func address(a netip.AddrPort) object {
	return object{"socket_address": object{"address": a.Addr().String(), "port_value": a.Port()}}
}

const typeURL = "type.googleapis.com/"

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// fill executes envoy_bootstrap_json_tpl, which takes the place of the whole document.
// Its variables have the names that such templates use.
func (b Bootstrap) fill(c config) ([]byte, error) {
	t, err := template.New("envoy_bootstrap_json_tpl").Option("missingkey=error").Parse(c.template)
	if err != nil {
		return nil, fmt.Errorf("envoy_bootstrap_json_tpl: %w", err)
	}
	clusters, listeners := b.static(c)
	values := map[string]any{
		"ProxyCluster": b.Cluster, "ProxyID": b.ID, "ProxySourceService": b.Cluster, "NodeName": b.NodeName,
		"Namespace": or(b.Namespace, "default"), "Partition": or(b.Partition, "default"), "Datacenter": b.Datacenter,
		"AdminAccessLogPath": or(b.AdminAccessLog, "/dev/null"),
		"AdminBindAddress":   b.Admin.Addr().String(), "AdminBindPort": fmt.Sprint(b.Admin.Port()),
		"AgentAddress": b.Agent.Addr.Addr().String(), "AgentPort": fmt.Sprint(b.Agent.Addr.Port()),
		"AgentSocket": b.Agent.Socket, "AgentTLS": b.Agent.TLS, "AgentCAPEM": b.Agent.CAPEM,
		"LocalAgentClusterName": agentCluster, "Token": b.Token.Reveal(), "StatsFlushInterval": c.flushInterval,
	}
	for name, list := range map[string][]any{"StaticClustersJSON": clusters[1:], "StaticListenersJSON": listeners, "StatsSinksJSON": c.sinks} {
		text, err := json.Marshal(list)
		if err != nil {
			return nil, err
		}
		values[name] = string(text[1 : len(text)-1])
	}
	for name, one := range map[string]any{"StatsConfigJSON": b.statsConfig(c), "TracingConfigJSON": c.tracing} {
		text, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		values[name] = string(text)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("envoy_bootstrap_json_tpl: %w", err)
	}
	if !json.Valid(out.Bytes()) {
		return nil, fmt.Errorf("envoy_bootstrap_json_tpl: it does not make valid JSON")
	}
	return out.Bytes(), nil
}
