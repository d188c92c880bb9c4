package envoy

import "net/netip"

// Clusters that the static listeners pass requests on to.
const (
	adminCluster   = "self_admin"
	backendCluster = "prometheus_backend"
)

// static returns the clusters, that of the agent first, and the listeners that a proxy has
// before it is told of any.
func (b Bootstrap) static(c config) (clusters, listeners []any) {
	clusters = []any{b.xds()}
	admin := false
	if c.prometheus.IsValid() {
		backend := adminCluster
		if b.Prometheus.BackendPort != 0 {
			backend = backendCluster
			at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.Prometheus.BackendPort))
			clusters = append(clusters, localCluster(backendCluster, at))
		} else {
			admin = true
		}
		r := route{name: "envoy_prometheus_metrics", path: or(b.Prometheus.Path, "/metrics"), exact: true, to: backend, rewrite: "/stats/prometheus"}
		l := r.listener(c.prometheus)
		if b.Prometheus.CertFile != "" {
			l["filter_chains"].([]any)[0].(object)["transport_socket"] = b.Prometheus.tls()
		}
		listeners = append(listeners, l)
	}
	if c.stats.IsValid() {
		admin = true
		listeners = append(listeners, route{name: "envoy_metrics", path: "/stats", to: adminCluster, rewrite: "/stats"}.listener(c.stats))
	}
	if b.Ready.IsValid() {
		admin = true
		listeners = append(listeners, route{name: "envoy_ready", path: "/ready", exact: true, to: adminCluster, rewrite: "/ready"}.listener(b.Ready))
	}
	if admin {
		clusters = append(clusters, localCluster(adminCluster, b.Admin))
	}
	return append(clusters, c.clusters...), append(listeners, c.listeners...)
}

func localCluster(name string, at netip.AddrPort) object {
	return object{
		"name": name, "ignore_health_on_host_removal": false, "connect_timeout": "5s", "type": "STATIC",
		"loadAssignment": assignment(name, address(at)),
	}
}

// route is a listener that answers one path, and nothing else, from a cluster.
type route struct {
	name, path string
	exact      bool // else everything below path too
	to         string
	rewrite    string
}

func (r route) listener(at netip.AddrPort) object {
	match := object{"prefix": r.path}
	if r.exact {
		match = object{"path": r.path}
	}
	manager := object{
		"@type":       typeURL + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix": r.name, "codec_type": "HTTP1",
		"route_config": object{"name": "self_admin_route", "virtual_hosts": []any{object{
			"name": "self_admin", "domains": []any{"*"},
			"routes": []any{
				object{"match": match, "route": object{"cluster": r.to, "prefix_rewrite": r.rewrite}},
				object{"match": object{"prefix": "/"}, "direct_response": object{"status": 404}},
			},
		}}},
		"http_filters": []any{object{
			"name":         "envoy.filters.http.router",
			"typed_config": object{"@type": typeURL + "envoy.extensions.filters.http.router.v3.Router"},
		}},
	}
	return object{
		"name": r.name + "_listener", "address": address(at),
		"filter_chains": []any{object{"filters": []any{
			object{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
		}}},
	}
}

// tls makes a listener ask for a certificate. Envoy reads the files itself.
func (p Prometheus) tls() object {
	return transportSocket("DownstreamTlsContext", object{
		"require_client_certificate": true,
		"common_tls_context": object{
			"tls_certificates": []any{object{
				"certificate_chain": object{"filename": p.CertFile}, "private_key": object{"filename": p.KeyFile},
			}},
			"validation_context": object{"trusted_ca": object{"inline_string": p.CAPEM}},
		},
	})
}
