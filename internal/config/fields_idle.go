package config

import (
	"fmt"
	"strings"
)

// idleFields are the settings that are known and checked for their type, and that nothing
// acts on in this release.
func idleFields() []field {
	return concat(
		withoutEffect(idle, "", text, `advertise_addr_wan:advertise-wan advertise_addr_ipv4 advertise_addr_ipv6
			advertise_addr_wan_ipv4 advertise_addr_wan_ipv6 serf_wan:serf-wan-bind
			alt_domain:alt-domain segment:segment license_path server_name version`),
		withoutEffect(idle, "", boolean, `enable_agent_tls_for_checks
			disable_remote_exec disable_update_check disable_anonymous_signature translate_wan_addrs
			use_streaming_backend disable_coordinates disable_http_unprintable_char_filter
			disable_host_node_id:disable-host-node-id read_replica:read-replica`),
		withoutEffect(idle, "", integer, `retry_max_wan:retry-max-wan
			protocol:protocol raft_protocol:raft-protocol`),
		withoutEffect(idle, "", duration, `discovery_max_stale server_rejoin_age_max
			retry_interval_wan:retry-interval-wan reconnect_timeout_wan primary_gateways_interval`),
		withoutEffect(idle, "", list, `recursors:recursor experiments retry_join_wan:retry-join-wan primary_gateways:primary-gateway
			serf_wan_allowed_cidrs:serf-wan-allowed-cidrs`),
		withoutEffect(idle, "", objects, `segments acl.tokens.managed_service_provider
			ui_config.metrics_proxy.add_headers`),
		withoutEffect(inert, "acl.", boolean, "msp_disable_bootstrap"),

		withoutEffect(idle, "dns_config.", boolean, `allow_stale enable_truncate only_passing disable_compression
			enable_additional_node_meta_txt use_cache prefer_namespace`),
		withoutEffect(idle, "dns_config.", duration, "max_stale node_ttl recursor_timeout cache_max_age"),
		withoutEffect(idle, "dns_config.", text, "recursor_strategy"),
		withoutEffect(idle, "dns_config.", integer, "a_record_limit udp_answer_limit soa.refresh soa.retry soa.expire soa.min_ttl"),
		withoutEffect(idle, "dns_config.", table, "service_ttl"),

		withoutEffect(idle, "http_config.", boolean, "use_cache"),
		withoutEffect(idle, "limits.", duration, "rpc_client_timeout"),

		withoutEffect(idle, "performance.", duration, "leave_drain_time"),
		withoutEffect(inert, "unix_sockets.", text, "user group mode"),

		withoutEffect(idle, "ui_config.", text, `dir:ui-dir content_path:ui-content-path metrics_provider
			metrics_provider_options_json metrics_proxy.base_url`),
		withoutEffect(idle, "ui_config.", list, "metrics_provider_files metrics_proxy.path_allowlist"),
		withoutEffect(idle, "ui_config.", table, "dashboard_url_templates"),

		withoutEffect(idle, "telemetry.", text, "statsd_address statsite_address dogstatsd_addr circonus_*"),
		withoutEffect(idle, "telemetry.", list, "dogstatsd_tags"),
		withoutEffect(idle, "telemetry.", boolean, "disable_compat_*"),

		withoutEffect(idle, "connect.", boolean, "enable_mesh_gateway_wan_federation"),
		withoutEffect(idle, "locality.", text, "region zone"),
		withoutEffect(idle, "peering.", boolean, "enabled"),
		withoutEffect(idle, "rpc.", boolean, "enable_streaming"),
		withoutEffect(idle, "cache.", integer, "entry_fetch_max_burst"),
		withoutEffect(idle, "cache.", number, "entry_fetch_rate"),
		withoutEffect(idle, "xds.", number, "update_max_per_second"),
		withoutEffect(idle, "reporting.license.", boolean, "enabled"),
		withoutEffect(idle, "cloud.", text, "client_id client_secret resource_id"),

		withoutEffect(inert, "auto_config.", boolean, "enabled authorization.enabled"),
		withoutEffect(inert, "auto_config.", text, "intro_token intro_token_file"),
		withoutEffect(inert, "auto_config.", list, "server_addresses dns_sans ip_sans"),
		withoutEffect(inert, "auto_config.authorization.", opaque, "static"),

		withoutEffect(idle, "raft_logstore.", text, "backend"),
		withoutEffect(idle, "raft_logstore.", boolean, "disable_log_cache verification.enabled"),
		withoutEffect(idle, "raft_logstore.", duration, "verification.interval"),
		withoutEffect(idle, "raft_logstore.", opaque, "boltdb wal"),

		withoutEffect(idle, "gossip_wan.", integer, "gossip_nodes retransmit_mult suspicion_mult"),
		withoutEffect(idle, "gossip_wan.", duration, "gossip_interval probe_interval probe_timeout"),
	)
}

// withoutEffect makes fields of one kind from words, each a key or key:flag.
func withoutEffect(e effect, prefix string, k kind, words string) []field {
	var all []field
	for _, w := range strings.Fields(words) {
		key, flag, _ := strings.Cut(w, ":")
		all = append(all, field{key: prefix + key, kind: k, flag: flag, effect: e, note: fmt.Sprintf("Accepted (`%s`).", k)})
	}
	return all
}
