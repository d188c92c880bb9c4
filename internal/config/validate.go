package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// validate checks what a single setting cannot know, in the order in which operators fix
// things, and returns the first error. It returns warnings for what works but is doubtful,
// and settles bootstrap_expect = 1 (spec: agent.md section 6).
func validate(c *daemon.Config, given values, host Host) (warnings []string, err error) {
	for _, check := range []func(*daemon.Config) error{
		checkNode, checkBootstrap, checkRole, checkAudit, checkTLS, checkHTTP, checkLimits, checkTelemetry, checkAutopilot, checkRaft, checkGossip, checkServices,
		func(c *daemon.Config) error { return advertise(c, host) }, checkAddresses, // last: what they find may be no fault of the files
	} {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	warnings = append(warnings, bootstrapWarnings(c)...)
	if c.BootstrapExpect == 1 {
		c.Bootstrap, c.BootstrapExpect = true, 0
	}
	if !dnsName.MatchString(c.NodeName) {
		warnings = append(warnings, fmt.Sprintf("Node name %q will not be discoverable via DNS due to invalid characters. "+
			"Valid characters include all alpha-numerics and dashes.", c.NodeName))
	}
	if scripts, ok := given["enable_script_checks"]; ok && scripts.value == true && !c.ACL.Enabled && len(c.HTTP.AllowWriteHTTPFrom) == 0 {
		warnings = append(warnings, "enable_script_checks without ACLs lets everyone who reaches the API run commands; "+
			"use enable_local_script_checks instead.")
	}
	for _, s := range c.Audit.Sinks {
		if s.Type == audit.TypeFile && !audit.IsStream(s.Path) && s.RotateBytes == 0 && s.RotateDuration == 0 {
			warnings = append(warnings, fmt.Sprintf("audit sink %q: without rotate_duration or rotate_bytes its file grows for ever.", s.Name))
		}
	}
	return warnings, nil
}

var (
	dnsName        = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	datacenterName = regexp.MustCompile(`^[a-z0-9_-]+$`)
	nodeID         = regexp.MustCompile(`^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`)
	metaKey        = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// minSnapshotInterval is the shortest that package raftnode accepts.
const minSnapshotInterval = 5 * time.Millisecond

func checkNode(c *daemon.Config) error {
	switch {
	case c.DataDir == "" && !c.Dev:
		return errors.New("data_dir cannot be empty")
	case c.Datacenter == "":
		return errors.New("datacenter cannot be empty")
	}
	for _, dc := range []string{c.Datacenter, c.PrimaryDatacenter} {
		if !datacenterName.MatchString(dc) {
			return fmt.Errorf("datacenter can only contain lowercase alphanumeric, - or _ characters. received: %q", dc)
		}
	}
	if c.NodeName == "" {
		return errors.New("node_name cannot be empty")
	}
	if c.NodeID != "" && !nodeID.MatchString(c.NodeID) {
		return fmt.Errorf("node_id is not a UUID: %q", c.NodeID)
	}
	if c.Partition != "" {
		if err := tenancy.ValidatePartition(c.Partition); err != nil {
			return err
		}
	}
	if err := checkMeta(c.NodeMeta); err != nil {
		return fmt.Errorf("node_meta invalid: %w", err)
	}
	_, err := logging.ParseLevel(c.Log.Level)
	return err
}

// checkMeta applies the rules of agent.md section 4.
func checkMeta(meta map[string]string) error {
	if len(meta) > 64 {
		return errors.New("Node metadata cannot contain more than 64 key/value pairs")
	}
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		problem := ""
		switch v := meta[k]; {
		case k == "":
			problem = "Key cannot be blank"
		case !metaKey.MatchString(k):
			problem = "Key contains invalid characters"
		case len(k) > 128:
			problem = "Key is too long (limit: 128 characters)"
		case strings.HasPrefix(k, "consul-"):
			problem = "Key prefix 'consul-' is reserved for internal use"
		case len(v) > 512:
			problem = "Value is too long (limit: 512 characters)"
		}
		if problem != "" {
			return fmt.Errorf("Couldn't load metadata pair ('%s', '%s'): %s", k, meta[k], problem)
		}
	}
	return nil
}

func checkAddresses(c *daemon.Config) error {
	if c.BindAddr == "" {
		return errors.New("bind_addr cannot be empty")
	}
	if err := checkNetworks("serf_lan_allowed_cidrs", c.SerfLANAllowed); err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(c.AdvertiseAddr); err != nil || ip.IsUnspecified() {
		return errors.New("Advertise address cannot be 0.0.0.0, :: or [::]")
	}
	if c.Ports.GRPC > 0 && c.Ports.GRPC == c.Ports.GRPCTLS {
		return fmt.Errorf("ports.grpc and ports.grpc_tls must differ: both are %d", c.Ports.GRPC)
	}
	if c.Encrypt != "" {
		key, err := base64.StdEncoding.DecodeString(c.Encrypt.Reveal())
		if err != nil {
			return fmt.Errorf("encrypt has invalid key: %w", err)
		}
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return errors.New("encrypt has invalid key: key size must be 16, 24 or 32 bytes")
		}
	}
	return nil
}

func checkBootstrap(c *daemon.Config) error {
	switch {
	case c.BootstrapExpect < 0:
		return fmt.Errorf("bootstrap_expect cannot be negative: %d", c.BootstrapExpect)
	case c.Bootstrap && !c.Server, c.BootstrapExpect == 1 && !c.Server:
		return errors.New("'bootstrap = true' requires 'server = true'")
	case c.BootstrapExpect > 0 && !c.Server:
		return errors.New("'bootstrap_expect > 0' requires 'server = true'")
	case c.BootstrapExpect > 0 && c.Bootstrap && !c.Dev:
		return errors.New("'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive")
	}
	return nil
}

// checkRole refuses what only the other kind of agent can do.
func checkRole(c *daemon.Config) error {
	switch {
	case c.AutoEncrypt.AllowTLS && !c.Server:
		return errors.New("auto_encrypt.allow_tls can only be used on a server.")
	case c.AutoEncrypt.TLS && c.Server:
		return errors.New("auto_encrypt.tls can only be used on a client.")
	case c.AdvertiseReconn != 0 && c.Server:
		return errors.New("advertise_reconnect_timeout can only be used on a client")
	case c.Server && c.Partition != "" && c.Partition != tenancy.DefaultName:
		return errors.New("partition can only be used on a client: servers are in the default partition")
	}
	return nil
}

// checkAudit applies the rules of audit.md section 1.
func checkAudit(c *daemon.Config) error {
	if !c.Audit.Enabled {
		return nil
	}
	if !c.ACL.Enabled {
		return errors.New("audit logging requires ACLs to be enabled")
	}
	if len(c.Audit.Sinks) == 0 {
		return errors.New("audit.enabled needs at least one audit.sink")
	}
	names := map[string]string{} // of sinks, by the file that they write
	for _, s := range c.Audit.Sinks {
		if err := checkSink(s); err != nil {
			return fmt.Errorf("audit sink %q: %w", s.Name, err)
		}
		if s.Type == audit.TypeSyslog || audit.IsStream(s.Path) {
			continue
		}
		path := filepath.Clean(audit.LogPath(s.Path))
		if other, taken := names[path]; taken {
			return fmt.Errorf("audit sink %q: sink %q writes to %s already", s.Name, other, path)
		}
		names[path] = s.Name
	}
	return nil
}

func checkSink(s daemon.AuditSink) error {
	for _, f := range []struct {
		key, got string
		want     []string
	}{
		{"type", s.Type, []string{audit.TypeFile, audit.TypeSyslog}}, {"format", s.Format, []string{"json"}},
		{"delivery_guarantee", s.DeliveryGuarantee, []string{"best-effort", daemon.Enforced}},
	} {
		if !slices.Contains(f.want, f.got) {
			return fmt.Errorf("%s must be \"%s\", not %q", f.key, strings.Join(f.want, `" or "`), f.got)
		}
	}
	if strings.Trim(s.Mode, "01234567") != "" || len(s.Mode) > 4 {
		return fmt.Errorf("mode must be octal, such as 0640, not %q", s.Mode)
	}
	return s.Sink().Check()
}

func checkHTTP(c *daemon.Config) error {
	if err := checkNetworks("http_config.allow_write_http_from", c.HTTP.AllowWriteHTTPFrom); err != nil {
		return err
	}
	switch {
	case c.HTTP.MaxHeaderBytes < 0:
		return fmt.Errorf("http_config.max_header_bytes cannot be negative: %d", c.HTTP.MaxHeaderBytes)
	case c.SessionTTLMin < 0:
		return errors.New("session_ttl_min cannot be negative")
	case c.DefaultQueryTime <= 0, c.MaxQueryTime <= 0:
		return errors.New("default_query_time and max_query_time must be greater than 0s")
	}
	return nil
}

func checkLimits(c *daemon.Config) error {
	l := c.Limits
	switch {
	case tooLarge(l.KVMaxValueSize), tooLarge(l.TxnMaxReqLen):
		return fmt.Errorf("limits.kv_max_value_size and limits.txn_max_req_len have to be between 1 and %d", maxValueSize)
	case l.RPCMaxConnsPerClient < 0, l.RPCHandshakeTimeout < 0:
		return errors.New("limits.rpc_max_conns_per_client and limits.rpc_handshake_timeout cannot be negative")
	case l.RPCMaxBurst < 0:
		return errors.New("limits.rpc_max_burst cannot be negative")
	case !slices.Contains([]string{"disabled", "permissive", "enforcing"}, l.RequestMode):
		return fmt.Errorf("limits.request_limits.mode must be \"disabled\", \"permissive\" or \"enforcing\", not %q", l.RequestMode)
	case l.LoginsVerifying < 1, l.LoginsWaiting < 1, l.LoginsWait <= 0:
		return errors.New("limits.logins.max_verifying, max_waiting and max_wait have to be greater than 0")
	}
	return nil
}

func checkTelemetry(c *daemon.Config) error {
	for _, rule := range c.Telemetry.PrefixFilter {
		if len(rule) < 2 || rule[0] != '+' && rule[0] != '-' {
			return fmt.Errorf("telemetry.prefix_filter: a rule begins with + or -: %q", rule)
		}
	}
	if c.Telemetry.PrometheusRetention < 0 {
		return errors.New("telemetry.prometheus_retention_time cannot be negative")
	}
	return nil
}

func checkNetworks(key string, cidrs []string) error {
	for _, cidr := range cidrs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			return fmt.Errorf("%s: invalid CIDR: %s", key, cidr)
		}
	}
	return nil
}

// checkRaft applies the rules of performance and raft_snapshot_*.
func checkRaft(c *daemon.Config) error {
	switch {
	case c.RaftMultiplier < 0 || c.RaftMultiplier > 10: // 0 is the default, for old files
		return fmt.Errorf("performance.raft_multiplier must be between 0 and 10, not %d", c.RaftMultiplier)
	case c.SnapshotInterval < minSnapshotInterval:
		return fmt.Errorf("raft_snapshot_interval must be at least %s, not %s", minSnapshotInterval, c.SnapshotInterval)
	}
	return nil
}

func checkGossip(c *daemon.Config) error {
	if err := c.GossipLAN.Validate(); err != nil {
		return fmt.Errorf("gossip_lan.%w", err)
	}
	return nil
}

func bootstrapWarnings(c *daemon.Config) []string {
	switch expect := c.BootstrapExpect; {
	case c.Dev:
		return nil
	case expect == 1:
		return []string{"BootstrapExpect is set to 1; this is the same as Bootstrap mode."}
	case expect == 2:
		return []string{"bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance. Use 3 or 5 servers."}
	case expect > 0 && expect%2 == 0:
		return []string{fmt.Sprintf("bootstrap_expect = %d: one server fewer tolerates as many failures.", expect)}
	case c.Bootstrap:
		return []string{"bootstrap = true: do not enable unless necessary"}
	}
	return nil
}

func checkAutopilot(c *daemon.Config) error { return c.Autopilot.Validate() }

// maxValueSize is what fits into an entry of the log.
const maxValueSize = 7 << 20

func tooLarge(n int64) bool { return n < 1 || n > maxValueSize }
