package config

import "strings"

// deprecatedFields are keys that still work, with a warning (spec: agent.md section 2,
// acl.md section 16).
var deprecatedFields = []field{
	{key: "acl.tokens.master", now: "acl.tokens.initial_management"},
	{key: "acl.tokens.agent_master", now: "acl.tokens.agent_recovery"},
	{key: "acl_datacenter", now: "primary_datacenter"},
	{key: "acl_default_policy", now: "acl.default_policy"},
	{key: "acl_down_policy", now: "acl.down_policy"},
	{key: "acl_token", now: "acl.tokens.default"},
	{key: "acl_agent_token", now: "acl.tokens.agent"},
	{key: "acl_agent_master_token", now: "acl.tokens.agent_recovery"},
	{key: "acl_master_token", now: "acl.tokens.initial_management"},
	{key: "acl_replication_token", now: "acl.tokens.replication"},
	{key: "acl_ttl", kind: duration, now: "acl.token_ttl"},
	{key: "enable_acl_replication", kind: boolean, now: "acl.enable_token_replication"},
	{key: "acl_enforce_version_8", kind: boolean, now: "-"},
	{key: "ca_file", now: "tls.defaults.ca_file"},
	{key: "ca_path", now: "tls.defaults.ca_path"},
	{key: "cert_file", now: "tls.defaults.cert_file"},
	{key: "key_file", now: "tls.defaults.key_file"},
	{key: "tls_min_version", now: "tls.defaults.tls_min_version", convert: minVersion},
	{key: "tls_cipher_suites", now: "tls.defaults.tls_cipher_suites"},
	{key: "verify_incoming", kind: boolean, now: "tls.defaults.verify_incoming"},
	{key: "verify_incoming_rpc", kind: boolean, now: "tls.internal_rpc.verify_incoming"},
	{key: "verify_incoming_https", kind: boolean, now: "tls.https.verify_incoming"},
	{key: "verify_outgoing", kind: boolean, now: "tls.defaults.verify_outgoing"},
	{key: "verify_server_hostname", kind: boolean, now: "tls.internal_rpc.verify_server_hostname"},
	{key: "start_join", flag: "join", kind: list, now: "retry_join"},
	{key: "start_join_wan", flag: "join-wan", kind: list, now: "retry_join_wan"},
	{key: "ui", kind: boolean, now: "ui_config.enabled"},
	{key: "ui_dir", now: "ui_config.dir"},
	{key: "ui_content_path", now: "ui_config.content_path"},
	{key: "non_voting_server", flag: "non-voting-server", kind: boolean, now: "read_replica"},
	{key: "raft_boltdb", kind: opaque, now: "raft_logstore.boltdb"},
}

// minVersion turns tls10 … tls13 into the spelling of today.
func minVersion(old string) string {
	if minor, ok := strings.CutPrefix(old, "tls1"); ok && len(minor) == 1 {
		return "TLSv1_" + minor
	}
	return old
}
