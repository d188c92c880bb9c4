package config

import "github.com/lictor/lictor/internal/daemon"

// conf makes the tables readable.
type conf = daemon.Config

// fields is every setting an agent knows (spec: agent.md sections 1 to 5).
var fields = concat(agentFields, networkFields, accessFields, tlsFields(), httpFields, limitFields, telemetryFields, logFields, auditFields,
	raftFields, autopilotFields, serviceFields, entryFields, idleFields(), deprecatedFields)

// byKey finds the fields that a deprecated key or a flag stands for.
var byKey = func() map[string]*field {
	m := make(map[string]*field, len(fields))
	for i := range fields {
		m[fields[i].key] = &fields[i]
	}
	return m
}()

var rootSchema = newSchema(fields)

func concat(tables ...[]field) []field {
	var all []field
	for _, t := range tables {
		all = append(all, t...)
	}
	return all
}

var agentFields = []field{
	{key: "data_dir", flag: "data-dir", into: func(c *conf) any { return &c.DataDir },
		note: "`Directory` for everything the agent keeps. Needed unless -dev is given."},
	{key: "server", flag: "server", kind: boolean, def: "false", into: func(c *conf) any { return &c.Server },
		note: "Run as a server instead of a client agent."},
	{key: "bootstrap", flag: "bootstrap", kind: boolean, def: "false", into: func(c *conf) any { return &c.Bootstrap },
		note: "This server may elect itself leader of a new cluster."},
	{key: "bootstrap_expect", flag: "bootstrap-expect", kind: integer, def: "0", into: func(c *conf) any { return &c.BootstrapExpect },
		note: "`Number` of servers to wait for before the first election; 1 is the same as bootstrap."},
	{key: "datacenter", flag: "datacenter", def: "dc1", into: func(c *conf) any { return &c.Datacenter },
		note: "`Datacenter` of the agent: lower-case letters, digits, - and _."},
	{key: "primary_datacenter", defNote: "datacenter", into: func(c *conf) any { return &c.PrimaryDatacenter },
		note: "Datacenter that decides about ACLs."},
	{key: "node_name", flag: "node", defNote: "host name", into: func(c *conf) any { return &c.NodeName },
		note: "`Name` of this node, unique in the datacenter."},
	{key: "node_id", flag: "node-id", defNote: "made on the first start", into: func(c *conf) any { return &c.NodeID },
		note: "`UUID` of this node, kept in the data directory."},
	{key: "node_meta", flag: "node-meta", kind: table, into: func(c *conf) any { return &c.NodeMeta },
		note: "Pairs that describe the node, as `key:value` on the command line; at most 64. Shown under Meta by /v1/agent/self."},
	{key: "partition", into: func(c *conf) any { return &c.Partition },
		note: "Admin partition of a client agent. Servers are in the default partition."},
	{key: "leave_on_terminate", kind: boolean, defNote: "true on a client agent, false on a server",
		into: func(c *conf) any { return &c.LeaveOnTerminate }, note: "SIGTERM makes the agent leave the cluster and exit with 0."},
	{key: "skip_leave_on_interrupt", kind: boolean, defNote: "false on a client agent, true on a server",
		into: func(c *conf) any { return &c.SkipLeaveOnInt }, note: "SIGINT stops the agent without leaving."},
	{key: "enable_debug", kind: boolean, def: "false", into: func(c *conf) any { return &c.EnableDebug },
		note: "Serve profiling data on the HTTP API.", effect: idle},
	{key: "pid_file", flag: "pid-file", into: func(c *conf) any { return &c.PidFile },
		note: "`File` that holds the process id while the agent runs."},
	{key: "default_query_time", flag: "default-query-time", kind: duration, def: "300s", into: func(c *conf) any { return &c.DefaultQueryTime },
		note: "`Time` that a blocking query without a wait parameter blocks."},
	{key: "max_query_time", flag: "max-query-time", kind: duration, def: "600s", into: func(c *conf) any { return &c.MaxQueryTime },
		note: "Longest `time` that a blocking query may block."},
	{key: "ui_config.enabled", flag: "ui", kind: boolean, def: "false", into: func(c *conf) any { return &c.UIEnabled },
		note: "Answer under /ui/."},
	{key: "auto_reload_config", flag: "auto-reload-config", kind: boolean, def: "false", into: func(c *conf) any { return &c.AutoReloadConfig },
		note: "Reload when a configuration file changes.", effect: idle},
	{key: "enable_central_service_config", kind: boolean, def: "true", into: func(c *conf) any { return &c.CentralSvcConfig },
		note: "Merge config entries into the services registered with this agent.", effect: idle},
	{key: "connect.enabled", kind: boolean, def: "true", into: func(c *conf) any { return &c.ConnectEnabled },
		note: "Servers keep a CA for the service mesh. auto_encrypt.allow_tls needs it and turns it on."},
	{key: "connect.ca_provider", def: "consul", into: func(c *conf) any { return &c.MeshCA.Provider },
		note: "The provider of that CA; `consul` is the built-in one. This and what follows counts for a cluster that begins; later `consul connect ca set-config` does."},
	{key: "connect.ca_config", kind: opaque, into: func(c *conf) any { return &c.MeshCA },
		note: "The provider's configuration: leaf_cert_ttl, private_key_type and others, see [mesh.md](mesh.md). cluster_id is the UUID in the trust domain."},
}

var raftFields = []field{
	{key: "raft_snapshot_threshold", kind: integer, def: "16384", into: func(c *conf) any { return &c.SnapshotThreshold },
		note: "Commands in the log after which a server takes a snapshot, once they are as large as the last one."},
	{key: "raft_snapshot_interval", kind: duration, def: "30s", into: func(c *conf) any { return &c.SnapshotInterval },
		note: "How often a server considers taking a snapshot."},
	{key: "raft_trailing_logs", kind: integer, def: "10000", into: func(c *conf) any { return &c.TrailingLogs },
		note: "Log entries kept after a snapshot, for followers that are behind."},
	{key: "session_ttl_min", kind: duration, def: "10s", into: func(c *conf) any { return &c.SessionTTLMin },
		note: "The shortest TTL that a session may have."},
	{key: "performance.rpc_hold_timeout", kind: duration, def: "7s", into: func(c *conf) any { return &c.RPCHold },
		note: "How long a request waits for a leader or a server while there is none."},
	{key: "performance.grpc_keepalive_interval", kind: duration, def: "30s", into: func(c *conf) any { return &c.GRPCKeepaliveInterval },
		note: "How long a proxy may be silent on gRPC before it is pinged."},
	{key: "performance.grpc_keepalive_timeout", kind: duration, def: "20s", into: func(c *conf) any { return &c.GRPCKeepaliveTimeout },
		note: "Time for its answer, after which the connection ends."},
	{key: "performance.raft_multiplier", kind: integer, def: "1", into: func(c *conf) any { return &c.RaftMultiplier },
		note: "How many times 700 ms a server hears nothing from the leader before it wants to be elected: 1 to 10, the same on every server."},
}

var logFields = []field{
	{key: "log_level", flag: "log-level", def: "INFO", into: func(c *conf) any { return &c.Log.Level },
		note: "Least important `level` of messages shown: TRACE, DEBUG, INFO, WARN or ERROR, in any case."},
	{key: "log_json", flag: "log-json", kind: boolean, def: "false", into: func(c *conf) any { return &c.Log.JSON },
		note: "Log a JSON object a line."},
	{key: "log_file", flag: "log-file", into: func(c *conf) any { return &c.Log.File },
		note: "Also log to this `file`. A trailing slash means consul.log in that directory."},
	{key: "log_rotate_bytes", flag: "log-rotate-bytes", kind: integer, def: "0", into: func(c *conf) any { return &c.Log.RotateBytes },
		note: "`Bytes` after which a new log file starts; 0 means never."},
	{key: "log_rotate_duration", flag: "log-rotate-duration", kind: duration, def: "24h", into: func(c *conf) any { return &c.Log.RotateDuration },
		note: "`Age` at which a new log file starts; 0s means never."},
	{key: "log_rotate_max_files", flag: "log-rotate-max-files", kind: integer, def: "0", into: func(c *conf) any { return &c.Log.RotateMaxFiles },
		note: "`Number` of old log files to keep; 0 keeps all, -1 none."},
	{key: "enable_syslog", flag: "syslog", kind: boolean, def: "false", into: func(c *conf) any { return &c.Log.Syslog },
		note: "Also log to the local syslog."},
	{key: "syslog_facility", def: "LOCAL0", into: func(c *conf) any { return &c.Log.SyslogFacility },
		note: "Facility of syslog messages."},
}

type sink = daemon.AuditSink

var auditFields = []field{
	{key: "audit.enabled", kind: boolean, def: "false", into: func(c *conf) any { return &c.Audit.Enabled },
		note: "Write audit events. Needs acl.enabled."},
	{key: "audit.sink[*].type", inSink: func(s *sink) any { return &s.Type }, note: "Kind of the sink: file or syslog."},
	{key: "audit.sink[*].format", inSink: func(s *sink) any { return &s.Format }, note: "Format of the events: json."},
	{key: "audit.sink[*].path", inSink: func(s *sink) any { return &s.Path },
		note: "File, or /dev/stdout, /dev/stderr, /dev/null; of syslog, unix:///socket or udp://host:port."},
	{key: "audit.sink[*].delivery_guarantee", inSink: func(s *sink) any { return &s.DeliveryGuarantee },
		note: "best-effort, or enforced: no operation without its event on disk."},
	{key: "audit.sink[*].include", kind: list, inSink: func(s *sink) any { return &s.Include },
		note: "Patterns of the operations that the sink is for, such as GET /v1/kv/* or acl.token.*; empty is all."},
	{key: "audit.sink[*].exclude", kind: list, inSink: func(s *sink) any { return &s.Exclude },
		note: "Patterns of operations that the sink is not for."},
	{key: "audit.sink[*].mode", inSink: func(s *sink) any { return &s.Mode }, note: "Permission of the file, in octal."},
	{key: "audit.sink[*].name", inSink: func(s *sink) any { return &s.Name }, effect: idle, note: "The label says it; this key is older."},
	{key: "audit.sink[*].rotate_duration", kind: duration, inSink: func(s *sink) any { return &s.RotateDuration }, note: "Age at which a new file starts."},
	{key: "audit.sink[*].rotate_bytes", kind: integer, inSink: func(s *sink) any { return &s.RotateBytes }, note: "Size at which a new file starts."},
	{key: "audit.sink[*].rotate_max_files", kind: integer, inSink: func(s *sink) any { return &s.RotateMaxFiles }, note: "Old files to keep; 0 keeps all."},
}
