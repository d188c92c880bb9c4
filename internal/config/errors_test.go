package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusedFiles(t *testing.T) {
	many := func(n int, open, close string) string { return strings.Repeat(open, n) + strings.Repeat(close, n) }
	for _, tc := range []struct{ name, file, text, want string }{
		{"unknown key", "x.hcl", `bogus_key = 1`, "failed to parse DIR/x.hcl: 1 error occurred:\n\t* invalid config key bogus_key\n\n"},
		{"unknown keys by their full names", "x.json", `{"acl": {"tokens": {"bogus": "x"}}, "audit": {"sink": {"s": {"nope": 1}}}}`,
			"failed to parse DIR/x.json: 2 errors occurred:\n\t* invalid config key acl.tokens.bogus\n\t* invalid config key audit.sink[s].nope\n\n"},
		{"a dotted key is not a path", "x.hcl", `acl.enabled = true`, "failed to parse DIR/x.hcl: 1 error occurred:\n\t* invalid config key acl.enabled\n\n"},
		{"repeated key in HCL", "x.hcl", "acl {\n enabled = true\n enabled = false\n}", "failed to parse DIR/x.hcl: 1 error occurred:\n\t* duplicate config key acl.enabled\n\n"},
		{"repeated key in JSON", "x.json", `{"acl": {"enabled": true, "enabled": false}}`, "failed to parse DIR/x.json: 1 error occurred:\n\t* duplicate config key acl.enabled\n\n"},
		{"repeated block", "x.hcl", "acl {}\nacl {}", "failed to parse DIR/x.hcl: 1 error occurred:\n\t* duplicate config key acl\n\n"},
		{"repeated block inside one", "x.hcl", "ports { http = 1 }\ndns_config { soa {} soa {} }", "failed to parse DIR/x.hcl: 1 error occurred:\n\t* duplicate config key dns_config.soa\n\n"},
		{"repeated map", "x.hcl", "node_meta { a = \"1\" }\nnode_meta { b = \"2\" }", "failed to parse DIR/x.hcl: 1 error occurred:\n\t* duplicate config key node_meta\n\n"},
		{"repeated label", "x.hcl", `audit { sink "a" {} sink "a" {} }`, "failed to parse DIR/x.hcl: 1 error occurred:\n\t* duplicate config key audit.sink[a]\n\n"},
		{"repeated key inside a list", "x.json", `{"services": [{"name": "a", "name": "b"}]}`, "failed to parse DIR/x.json: 1 error occurred:\n\t* duplicate config key services[0].name\n\n"},
		{"number for a string in JSON", "x.json", `{"data_dir": 1}`, "failed to parse DIR/x.json: 1 error(s) decoding:\n\n* 'data_dir' expected type 'string', got unconvertible type 'float64', value: '1'"},
		{"number for a string in HCL", "x.hcl", `data_dir = 1`, "failed to parse DIR/x.hcl: 1 error(s) decoding:\n\n* 'data_dir' expected type 'string', got unconvertible type 'int', value: '1'"},
		{"string for a bool", "x.hcl", `acl { enabled = "true" }`, "failed to parse DIR/x.hcl: 1 error(s) decoding:\n\n* 'acl.enabled' expected type 'bool', got unconvertible type 'string', value: 'true'"},
		{"string for a list", "x.hcl", `retry_join = "x"`, "failed to parse DIR/x.hcl: 1 error(s) decoding:\n\n* 'retry_join': source data must be an array or slice, got string"},
		{"number in a list", "x.json", `{"retry_join": ["a", 2]}`, "failed to parse DIR/x.json: 1 error(s) decoding:\n\n* 'retry_join[1]' expected type 'string', got unconvertible type 'float64', value: '2'"},
		{"fraction for a port", "x.json", `{"ports": {"http": 1.5}}`, "failed to parse DIR/x.json: 1 error(s) decoding:\n\n* 'ports.http' expected type 'int', got unconvertible type 'float64', value: '1.5'"},
		{"list for a block", "x.json", `{"acl": []}`, "failed to parse DIR/x.json: 1 error(s) decoding:\n\n* 'acl' expected a map, got '[]interface {}'"},
		{"several wrong types, sorted", "x.json", `{"server": "no", "node_meta": {"a": 1}}`, "failed to parse DIR/x.json: 2 error(s) decoding:\n\n" +
			"* 'node_meta[a]' expected type 'string', got unconvertible type 'float64', value: '1'\n* 'server' expected type 'bool', got unconvertible type 'string', value: 'no'"},
		{"a secret of the wrong type is not shown", "x.json", `{"acl": {"tokens": {"agent": 12345}}, "encrypt": 678, "acl_master_token": 999}`, "failed to parse DIR/x.json: 3 error(s) decoding:\n\n" +
			"* 'acl.tokens.agent' expected type 'string', got unconvertible type 'float64', value: '<hidden>'\n" +
			"* 'acl_master_token' expected type 'string', got unconvertible type 'float64', value: '<hidden>'\n" +
			"* 'encrypt' expected type 'string', got unconvertible type 'float64', value: '<hidden>'"},
		{"a value is missing", "x.hcl", "server = # true", "failed to parse DIR/x.hcl: at 1:17: a value is missing at the end of the file"},
		{"broken HCL", "x.hcl", "acl { enabled = true", "failed to parse DIR/x.hcl: "},
		{"broken JSON", "x.json", "{\n\"a\": }", "failed to parse DIR/x.json: line 2: "},
		{"unfinished JSON", "x.json", `{"acl": {`, "failed to parse DIR/x.json: line 1: unexpected EOF"},
		{"text after JSON", "x.json", `{} {}`, "failed to parse DIR/x.json: line 1: there is more text after the object"},
		{"JSON that is no object", "x.json", `[]`, "failed to parse DIR/x.json: the file is not a JSON object"},
		{"deep HCL", "x.hcl", "a = " + many(maxDepth+1, "[", "]"), "failed to parse DIR/x.hcl: at 1:69: nested more than 64 levels deep"},
		{"deep JSON", "x.json", `{"a":` + many(maxDepth+1, "[", "]") + `}`, "failed to parse DIR/x.json: line 1: nested more than 64 levels deep"},
		{"large", "x.hcl", strings.Repeat("#", maxFileBytes+1), "failed to parse DIR/x.hcl: the file is larger than 1048576 bytes"},
		{"other extension", "noext", ``, "file DIR/noext has unknown extension; must be .hcl or .json, or config format must be set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := write(t, map[string]string{tc.file: tc.text})
			_, _, err := Load(sources(t, "-data-dir=/d", "-config-file", filepath.Join(dir, tc.file)))
			got := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR")
			if got != tc.want && (!strings.HasPrefix(tc.name, "broken") || !strings.HasPrefix(got, tc.want)) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestRefusedSettings(t *testing.T) {
	dir := write(t, map[string]string{"not.pem": "x"})
	cert, key := certificate(t)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"no data dir", nil, "data_dir cannot be empty"},
		{"a mode of limits that is none", []string{"-data-dir=/d", "-hcl", `limits { request_limits { mode = "on" } }`}, `limits.request_limits.mode must be "disabled", "permissive" or "enforcing", not "on"`},
		{"nobody may log in", []string{"-data-dir=/d", "-hcl", `limits { logins { max_verifying = 0 } }`}, "limits.logins.max_verifying, max_waiting and max_wait have to be greater than 0"},
		{"a filter without a sign", []string{"-data-dir=/d", "-hcl", `telemetry { prefix_filter = ["consul.raft"] }`}, `telemetry.prefix_filter: a rule begins with + or -: "consul.raft"`},
		{"bootstrap without server", []string{"-data-dir=/d", "-bootstrap"}, "'bootstrap = true' requires 'server = true'"},
		{"expect 1 without server", []string{"-data-dir=/d", "-bootstrap-expect=1"}, "'bootstrap = true' requires 'server = true'"},
		{"both bootstrap forms", []string{"-data-dir=/d", "-server", "-bootstrap", "-bootstrap-expect=3"}, "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"},
		{"datacenter", []string{"-data-dir=/d", "-datacenter", "bad dc"}, `datacenter can only contain lowercase alphanumeric, - or _ characters. received: "bad dc"`},
		{"gossip key", []string{"-data-dir=/d", "-encrypt", "!"}, "encrypt has invalid key: illegal base64 data at input byte 0"},
		{"short gossip key", []string{"-data-dir=/d", "-encrypt", "c2hvcnQ="}, "encrypt has invalid key: key size must be 16, 24 or 32 bytes"},
		{"port", []string{"-data-dir=/d", "-http-port=70000"}, "1 error occurred:\n\t* ports.http: invalid port: 70000\n\n"},
		{"several problems", []string{"-data-dir=/d", "-dns-port=-2", "-hcl", `acl { token_ttl = "bogus" }`},
			"2 errors occurred:\n\t* acl.token_ttl: invalid duration: \"bogus\": time: invalid duration \"bogus\"\n\t* ports.dns: invalid port: -2\n\n"},
		{"allow_tls on a client", []string{"-data-dir=/d", "-hcl", "auto_encrypt { allow_tls = true }"}, "auto_encrypt.allow_tls can only be used on a server."},
		{"verify without CA", []string{"-data-dir=/d", "-hcl", "tls { defaults { verify_outgoing = true } }"}, "VerifyOutgoing set but no CA certificates were provided"},
		{"verify hostname without CA", []string{"-data-dir=/d", "-hcl", "verify_server_hostname = true"}, "VerifyOutgoing set but no CA certificates were provided"},
		{"missing CA file", []string{"-data-dir=/d", "-hcl", `tls { https { ca_file = "/nope" } }`}, "Error loading from /nope: open /nope: no such file or directory"},
		{"CA file without certificate", []string{"-data-dir=/d", "-hcl", `ca_file = "` + dir + `/not.pem"`}, "Error loading from " + dir + "/not.pem: no certificate found"},
		{"missing CA directory", []string{"-data-dir=/d", "-hcl", `ca_path = "/nope"`}, "Error loading from /nope: open /nope: no such file or directory"},
		{"certificate without key", []string{"-data-dir=/d", "-hcl", `tls { https { cert_file = "` + cert + `" } }`}, "tls.https: cert_file and key_file must both be given, or neither"},
		{"key that is none", []string{"-data-dir=/d", "-hcl", `tls { https { cert_file = "` + cert + `" key_file = "` + cert + `" } }`}, "Failed to load cert/key pair: tls: found a certificate rather than a key in the PEM for the private key"},
		{"verify incoming without certificate", []string{"-data-dir=/d", "-hcl", `tls { https { ca_file = "` + cert + `" verify_incoming = true } }`}, "VerifyIncoming set but no Cert/Key pair was provided"},
		{"TLS version", []string{"-data-dir=/d", "-hcl", `tls { grpc { tls_min_version = "tls12" } }`}, `tls.grpc.tls_min_version: invalid value "tls12"; must be TLSv1_0, TLSv1_1, TLSv1_2 or TLSv1_3`},
		{"unknown cipher suite", []string{"-data-dir=/d", "-hcl", `tls { https { cert_file = "` + cert + `" key_file = "` + key + `" tls_cipher_suites = "TLS_X" } }`}, `tls.https.tls_cipher_suites: unsupported cipher "TLS_X"`},
		{"reconnect timeout on a server", []string{"-data-dir=/d", "-server", "-hcl", `advertise_reconnect_timeout = "1h"`}, "advertise_reconnect_timeout can only be used on a client"},
		{"partition on a server", []string{"-data-dir=/d", "-server", "-hcl", `partition = "p1"`}, "partition can only be used on a client: servers are in the default partition"},
		{"log level", []string{"-data-dir=/d", "-log-level=zz"}, "Invalid log level: zz. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"},
		{"reserved node meta", []string{"-data-dir=/d", "-node-meta=consul-x:1"}, "node_meta invalid: Couldn't load metadata pair ('consul-x', '1'): Key prefix 'consul-' is reserved for internal use"},
		{"node meta key", []string{"-data-dir=/d", "-node-meta=a b:1"}, "node_meta invalid: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters"},
		{"advertise every address", []string{"-data-dir=/d", "-advertise=0.0.0.0"}, "Advertise address cannot be 0.0.0.0, :: or [::]"},
		{"bind every IPv6 address", []string{"-data-dir=/d", "-bind=::"}, "Advertise address cannot be 0.0.0.0, :: or [::]"},
		{"empty bind", []string{"-data-dir=/d", "-bind="}, "bind_addr cannot be empty"},
		{"same gRPC ports", []string{"-data-dir=/d", "-grpc-port=8502", "-grpc-tls-port=8502"}, "ports.grpc and ports.grpc_tls must differ: both are 8502"},
		{"audit without ACLs", []string{"-data-dir=/d", "-hcl", `audit { enabled = true }`}, "audit logging requires ACLs to be enabled"},
		{"audit without sink", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true }`}, "audit.enabled needs at least one audit.sink"},
		{"audit sink of another type", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "tcp" } }`}, `audit sink "x": type must be "file" or "syslog", not "tcp"`},
		{"audit sink of another format", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "text" } }`}, `audit sink "x": format must be "json", not "text"`},
		{"audit sink of another guarantee", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "json"  delivery_guarantee = "exactly-once" } }`}, `audit sink "x": delivery_guarantee must be "best-effort" or "enforced", not "exactly-once"`},
		{"audit sink that cannot be enforced", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "json"  delivery_guarantee = "enforced" path = "/dev/stdout" } }`}, `audit sink "x": delivery_guarantee "enforced" needs a file: nothing else confirms that an event is kept`},
		{"audit sink with a wrong pattern", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "json"  delivery_guarantee = "enforced" path = "/x" exclude = ["*a"] } }`}, `audit sink "x": "*a" has a star that is not at its end`},
		{"audit sinks of one file", []string{"-data-dir=/d", "-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "json"  delivery_guarantee = "enforced" path = "/x" } sink "y" { type = "file" format = "json"  delivery_guarantee = "best-effort" path = "/x.log" } }`}, `audit sink "y": sink "x" writes to /x.log already`},
		{"write networks", []string{"-data-dir=/d", "-allow-write-http-from=10.0.0.1"}, "http_config.allow_write_http_from: invalid CIDR: 10.0.0.1"},
		{"gossip networks", []string{"-data-dir=/d", "-serf-lan-allowed-cidrs=10.0.0.1"}, "serf_lan_allowed_cidrs: invalid CIDR: 10.0.0.1"},
		{"gossip backwards", []string{"-data-dir=/d", "-hcl", `gossip_lan { gossip_nodes = -1 }`}, "gossip_lan.gossip_nodes cannot be negative"},
		{"a probe that outlasts the next", []string{"-data-dir=/d", "-hcl", `gossip_lan { probe_timeout = "2s" }`}, "gossip_lan.probe_timeout (2s) cannot be greater than probe_interval (1s)"},
		{"impatient raft", []string{"-data-dir=/d", "-hcl", `performance { raft_multiplier = 11 }`}, "performance.raft_multiplier must be between 0 and 10, not 11"},
		{"restless raft", []string{"-data-dir=/d", "-hcl", `raft_snapshot_interval = "1ms"`}, "raft_snapshot_interval must be at least 5ms, not 1ms"},
		{"negative number", []string{"-data-dir=/d", "-hcl", `raft_trailing_logs = -1`}, "1 error occurred:\n\t* raft_trailing_logs: must not be negative: -1\n\n"},
		{"address that is none", []string{"-data-dir=/d", "-client=localhost"}, "1 error occurred:\n\t* client_addr: invalid ip address: localhost\n\n"},
		{"socket for DNS", []string{"-data-dir=/d", "-hcl", `addresses { dns = "unix:///x" }`}, "1 error occurred:\n\t* addresses.dns: invalid ip address: unix:///x\n\n"},
		{"template that is not known", []string{"-data-dir=/d", "-bind", `{{ GetPublicIP }}`}, "1 error occurred:\n\t* bind_addr: cannot expand address template \"{{ GetPublicIP }}\": only GetPrivateIP and GetInterfaceIP \"name\" are supported\n\n"},
		{"missing file", []string{"-config-file=/nope"}, "config: Open failed on /nope. open /nope: no such file or directory"},
		{"missing directory", []string{"-config-dir=/nope"}, "config: Open failed on /nope. open /nope: no such file or directory"},
		{"format", []string{"-config-format=yaml"}, `-config-format must be hcl or json, not "yaml"`},
		{"fragment", []string{"-hcl", "server = true", "-hcl", "bogus = 1"}, "failed to parse flags-1.hcl: 1 error occurred:\n\t* invalid config key bogus\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, err := Load(sources(t, tc.args...)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %q\nwant %q", fmt.Sprint(err), tc.want)
			}
		})
	}
}

func TestDoubtfulSettings(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"bootstrap", []string{"-server", "-bootstrap"}, "bootstrap = true: do not enable unless necessary"},
		{"two servers", []string{"-server", "-bootstrap-expect=2"}, "bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance. Use 3 or 5 servers."},
		{"four servers", []string{"-server", "-bootstrap-expect=4"}, "bootstrap_expect = 4: one server fewer tolerates as many failures."},
		{"node name", []string{"-node", "a b"}, `Node name "a b" will not be discoverable via DNS due to invalid characters. Valid characters include all alpha-numerics and dashes.`},
		{"script checks", []string{"-enable-script-checks"}, "enable_script_checks without ACLs lets everyone who reaches the API run commands; use enable_local_script_checks instead."},
		{"audit file that grows", []string{"-hcl", `acl { enabled = true } audit { enabled = true sink "x" { type = "file" format = "json" delivery_guarantee = "best-effort" path = "/x" } }`},
			`audit sink "x": without rotate_duration or rotate_bytes its file grows for ever.`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, warnings := load(t, append([]string{"-data-dir=/d"}, tc.args...)...)
			if !strings.Contains(strings.Join(warnings, "\n"), tc.want) {
				t.Errorf("got %q, want %q", warnings, tc.want)
			}
		})
	}
}
