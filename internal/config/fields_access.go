package config

import "github.com/lictor/lictor/internal/daemon"

var accessFields = []field{
	{key: "acl.enabled", kind: boolean, def: "false", into: func(c *conf) any { return &c.ACL.Enabled },
		note: "Check permissions."},
	{key: "acl.default_policy", def: "allow", into: func(c *conf) any { return &c.ACL.DefaultPolicy },
		note: "What no rule decides: allow or deny."},
	{key: "acl.down_policy", def: "extend-cache", into: func(c *conf) any { return &c.ACL.DownPolicy },
		note: "What a client agent does while no server answers: allow, deny, extend-cache or async-cache."},
	{key: "acl.token_ttl", kind: duration, def: "30s", into: func(c *conf) any { return &c.ACL.TokenTTL },
		note: "How long a client agent trusts a token it has looked up."},
	{key: "acl.policy_ttl", kind: duration, def: "30s", into: func(c *conf) any { return &c.ACL.PolicyTTL },
		note: "The same for policies."},
	{key: "acl.role_ttl", kind: duration, def: "30s", into: func(c *conf) any { return &c.ACL.RoleTTL },
		note: "The same for roles."},
	{key: "acl.enable_key_list_policy", kind: boolean, def: "false", into: func(c *conf) any { return &c.ACL.EnableKeyListPolicy },
		note: "Listing keys needs the list permission."},
	{key: "acl.enable_token_persistence", kind: boolean, def: "false", into: func(c *conf) any { return &c.ACL.TokenPersistence },
		note: "Keep tokens that were set through the API in the data directory."},
	{key: "acl.enable_token_replication", kind: boolean, def: "false", into: func(c *conf) any { return &c.ACL.TokenReplication }, effect: idle,
		note: "Replicate tokens from the primary datacenter."},
	{key: "acl.tokens.initial_management", into: func(c *conf) any { return &c.ACL.Tokens.InitialManagement },
		note: "Secret of a token with every permission, made when the first leader takes office."},
	{key: "acl.tokens.default", into: func(c *conf) any { return &c.ACL.Tokens.Default },
		note: "Secret used for requests that carry none."},
	{key: "acl.tokens.agent", into: func(c *conf) any { return &c.ACL.Tokens.Agent },
		note: "Secret the agent uses for its own work, such as auto_encrypt; without one it uses acl.tokens.default."},
	{key: "acl.tokens.agent_recovery", into: func(c *conf) any { return &c.ACL.Tokens.AgentRecovery },
		note: "Secret that may do everything under /v1/agent, also while no server answers."},
	{key: "acl.tokens.replication", into: func(c *conf) any { return &c.ACL.Tokens.Replication }, effect: idle,
		note: "Secret used to replicate from the primary datacenter."},
	{key: "acl.tokens.config_file_service_registration", into: func(c *conf) any { return &c.ACL.Tokens.ConfigFileServiceRegistration }, effect: idle,
		note: "Secret used to register the services of configuration files."},
	{key: "acl.tokens.dns", into: func(c *conf) any { return &c.ACL.Tokens.DNS }, effect: idle,
		note: "Secret used for DNS."},
}

// tlsFields is the tls stanza: the same fields in defaults and for each protocol, which
// come later in the table and so overwrite what the defaults have set.
func tlsFields() []field {
	type listener = daemon.TLSListener
	sections := []struct {
		name string
		of   func(*conf) []*listener
		does effect
	}{
		{"defaults", func(c *conf) []*listener { return []*listener{&c.TLS.InternalRPC, &c.TLS.HTTPS, &c.TLS.GRPC} }, acts},
		{"https", func(c *conf) []*listener { return []*listener{&c.TLS.HTTPS} }, acts},
		{"internal_rpc", func(c *conf) []*listener { return []*listener{&c.TLS.InternalRPC} }, acts},
		{"grpc", func(c *conf) []*listener { return []*listener{&c.TLS.GRPC} }, acts},
	}
	rows := []struct {
		field
		at   func(*listener) any
		only string // the one section besides defaults that has it; empty means all
	}{
		{field{key: "ca_file", note: "PEM file of the authorities that peers' certificates must come from."}, func(l *listener) any { return &l.CAFile }, ""},
		{field{key: "ca_path", note: "Directory of such files."}, func(l *listener) any { return &l.CAPath }, ""},
		{field{key: "cert_file", note: "PEM file of the certificate to show."}, func(l *listener) any { return &l.CertFile }, ""},
		{field{key: "key_file", note: "PEM file of its key."}, func(l *listener) any { return &l.KeyFile }, ""},
		{field{key: "tls_min_version", def: "TLSv1_2", note: "Oldest version: TLSv1_0, TLSv1_1, TLSv1_2 or TLSv1_3."}, func(l *listener) any { return &l.MinVersion }, ""},
		{field{key: "tls_cipher_suites", defNote: "Go's", note: "Cipher suites up to TLS 1.2, separated by commas."}, func(l *listener) any { return &l.CipherSuites }, ""},
		{field{key: "verify_incoming", kind: boolean, def: "false", note: "Demand a certificate from callers."}, func(l *listener) any { return &l.VerifyIncoming }, ""},
		{field{key: "verify_outgoing", kind: boolean, def: "false", note: "Use TLS, and check the certificate, when calling."}, func(l *listener) any { return &l.VerifyOutgoing }, ""},
		{field{key: "verify_server_hostname", kind: boolean, def: "false", note: "Callers demand server.<datacenter>.<domain> in a server's certificate."},
			func(l *listener) any { return &l.VerifyServerHostname }, "internal_rpc"},
		{field{key: "use_auto_cert", kind: boolean, def: "false", note: "Show the certificate of auto_encrypt on gRPC."}, func(l *listener) any { return &l.UseAutoCert }, "grpc"},
	}
	var all []field
	for _, s := range sections {
		for _, r := range rows {
			if r.only != "" && r.only != s.name && s.name != "defaults" || r.only == "grpc" && s.name == "defaults" {
				continue
			}
			f := r.field
			f.key, f.effect = "tls."+s.name+"."+f.key, s.does
			if s.name != "defaults" {
				f.def, f.defNote = "", "tls.defaults"
			}
			f.into = func(c *conf) any {
				var all []any
				for _, l := range s.of(c) {
					all = append(all, r.at(l))
				}
				return all
			}
			all = append(all, f)
		}
	}
	return all
}
