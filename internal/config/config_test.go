package config

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/local"
)

// oneAddress is a machine with a single private address.
var oneAddress = Host{
	Name: func() (string, error) { return "host1", nil },
	Addrs: func() ([]Addr, error) {
		return []Addr{{"eth0", netip.MustParseAddr("10.0.3.17")}, {"eth0", netip.MustParseAddr("fd00::17")}, {"lo", netip.MustParseAddr("127.0.0.1")}}, nil
	},
}

// write puts files into a new directory and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sources parses args as the command line of an agent.
func sources(t testing.TB, args ...string) Sources {
	t.Helper()
	s := Sources{Host: oneAddress}
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	s.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s
}

// load loads a configuration that must be good.
func load(t testing.TB, args ...string) (daemon.Config, []string) {
	t.Helper()
	c, warnings, err := Load(sources(t, args...))
	if err != nil {
		t.Fatal(err)
	}
	return c, warnings
}

func TestDefaultsOfAClientAgent(t *testing.T) {
	c, warnings := load(t, "-data-dir", "/d")
	if len(warnings) > 0 || len(c.Idle) > 0 {
		t.Errorf("warnings %q, idle %q", warnings, c.Idle)
	}
	want := daemon.Config{
		NodeName: "host1", Datacenter: "dc1", PrimaryDatacenter: "dc1", Domain: "consul", DataDir: "/d",
		BindAddr: "0.0.0.0", AdvertiseAddr: "10.0.3.17", ClientAddrs: []string{"127.0.0.1"},
		Ports:         daemon.Ports{DNS: 8600, HTTP: 8500, HTTPS: -1, GRPC: -1, GRPCTLS: -1, SerfLAN: 8301, SerfWAN: 8302, Server: 8300},
		RetryInterval: 30 * time.Second, ReconnectTimeout: 72 * time.Hour, LeaveOnTerminate: true, CentralSvcConfig: true, ConnectEnabled: true, MeshCA: ca.Settings{Config: ca.DefaultConfig()},
		DefaultQueryTime: 300 * time.Second, MaxQueryTime: 600 * time.Second, EncryptVerifyIn: true, EncryptVerifyOut: true,
		SnapshotThreshold: 16384, SnapshotInterval: 30 * time.Second, TrailingLogs: 10000, RPCHold: 7 * time.Second,
		SessionTTLMin: 10 * time.Second, RaftMultiplier: 1, GRPCKeepaliveInterval: 30 * time.Second, GRPCKeepaliveTimeout: 20 * time.Second, Autopilot: autopilot.Default(),
	}
	want.CheckUpdates, want.CheckOutputMax, want.SidecarPorts = 5*time.Minute, 4096, local.Ports{Min: 21000, Max: 21255}
	want.ExposePorts = local.Ports{Min: 21500, Max: 21755}
	want.ACL.DefaultPolicy, want.ACL.DownPolicy = "allow", "extend-cache"
	want.ACL.TokenTTL, want.ACL.PolicyTTL, want.ACL.RoleTTL = 30*time.Second, 30*time.Second, 30*time.Second
	for _, l := range []*daemon.TLSListener{&want.TLS.InternalRPC, &want.TLS.HTTPS, &want.TLS.GRPC} {
		l.MinVersion = "TLSv1_2"
	}
	want.Limits = daemon.Limits{HTTPMaxConnsPerClient: 200, HTTPSHandshakeTimeout: 5 * time.Second, KVMaxValueSize: 512 << 10, TxnMaxReqLen: 512 << 10, RPCHandshakeTimeout: 5 * time.Second,
		RPCMaxBurst: 1000, RequestMode: "disabled", ReadRate: -1, WriteRate: -1, SourceReadRate: -1, SourceWriteRate: -1,
		LoginsVerifying: 64, LoginsWaiting: 2048, LoginsWait: 10 * time.Second, LoginSourceRate: -1, LoginMethodRate: -1}
	want.Telemetry = daemon.Telemetry{Prefix: "consul", FilterDefault: true}
	want.Log.Level, want.Log.RotateDuration, want.Log.SyslogFacility = "INFO", 24*time.Hour, "LOCAL0"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDefaultsOfAServerAndOfDevMode(t *testing.T) {
	c, _ := load(t, "-data-dir", "/d", "-server", "-bootstrap-expect=3")
	if c.LeaveOnTerminate || !c.SkipLeaveOnInt || c.Ports.GRPCTLS != 8503 || c.Bootstrap || c.BootstrapExpect != 3 {
		t.Errorf("server: %+v", c)
	}
	c, warnings := load(t, "-dev", "-data-dir", "/ignored", "-node", "n1")
	if len(warnings) > 0 || len(c.Idle) > 0 {
		t.Errorf("dev: warnings %q, idle %q", warnings, c.Idle)
	}
	if !c.Dev || !c.Server || !c.Bootstrap || c.DataDir != "" || c.BindAddr != "127.0.0.1" || c.AdvertiseAddr != "127.0.0.1" ||
		c.Log.Level != "DEBUG" || !c.EnableDebug || c.Ports.GRPC != 8502 || c.Ports.GRPCTLS != 8503 || c.Ports.HTTPS != -1 || c.NodeName != "n1" {
		t.Errorf("dev: %+v", c)
	}
	if c, _ = load(t, "-dev", "-hcl", "ports { grpc = 9 }", "-log-level", "warn"); c.Ports.GRPC != 9 || c.Log.Level != "warn" {
		t.Error("settings do not win over those of dev mode")
	}
}

func TestMergeOrder(t *testing.T) {
	dir := write(t, map[string]string{
		"1.hcl": `node_name = "A" recursors = ["f1"] retry_join = ["10.0.0.1"]
			node_meta { a = "1" b = "1" } acl { enabled = true tokens { agent = "x" } } service { name = "s1" }`,
		"d/a.json":  `{"node_name": "B", "recursors": ["f2"], "retry_join": ["10.0.0.2"], "node_meta": {"b": "2"}}`,
		"d/b.hcl":   `acl { tokens { default = "y" } } service { name = "s2" } service { name = "s3" }`,
		"d/b2.json": " \n",
		"d/c.txt":   `this is skipped`,
		"d/e/x.hcl": `this_directory_is_not_read = true`,
		"d/f.hcl":   `log_level = "warn"`,
		"2.hcl":     `node_meta { c = "3" } log_level = "error"`,
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, tc := range []struct {
		name string
		args []string
		got  func(c daemon.Config) any
		want any
	}{
		{"the last file's scalar wins", []string{"-config-file", at("1.hcl"), "-config-dir", at("d")},
			func(c daemon.Config) any { return c.NodeName }, "B"},
		{"files and directories keep the command line's order", []string{"-config-dir", at("d"), "-config-file", at("1.hcl")},
			func(c daemon.Config) any { return c.NodeName }, "A"},
		{"in a directory the last name wins", []string{"-config-dir", at("d")},
			func(c daemon.Config) any { return c.Log.Level }, "warn"},
		{"a flag wins over a file wherever it stands", []string{"-node", "F", "-config-file", at("1.hcl")},
			func(c daemon.Config) any { return c.NodeName }, "F"},
		{"a fragment wins over a flag", []string{"-hcl", `node_name = "H"`, "-node", "F", "-config-file", at("1.hcl")},
			func(c daemon.Config) any { return c.NodeName }, "H"},
		{"of fragments the last wins, and JSON is one", []string{"-hcl", `node_name = "H"`, "-hcl", `{"node_name": "J"}`},
			func(c daemon.Config) any { return c.NodeName }, "J"},
		{"lists are appended, flags first", []string{"-config-file", at("1.hcl"), "-config-dir", at("d"), "-retry-join", "10.0.0.9", "-join", "10.0.0.8"},
			func(c daemon.Config) any { return c.RetryJoin }, []string{"10.0.0.9", "10.0.0.8", "10.0.0.1", "10.0.0.2"}},
		{"maps are merged, later keys win", []string{"-config-file", at("1.hcl"), "-config-dir", at("d"), "-config-file", at("2.hcl"), "-node-meta", "d:4:5"},
			func(c daemon.Config) any { return c.NodeMeta }, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4:5"}},
		{"blocks are merged field by field", []string{"-config-file", at("1.hcl"), "-config-dir", at("d")},
			func(c daemon.Config) any {
				return []string{c.ACL.Tokens.Agent.Reveal(), c.ACL.Tokens.Default.Reveal()}
			}, []string{"x", "y"}},
		{"an attribute may be a block in another file", []string{"-hcl", `acl = { enabled = true }`, "-hcl", `acl { default_policy = "deny" }`},
			func(c daemon.Config) any { return []any{c.ACL.Enabled, c.ACL.DefaultPolicy} }, []any{true, "deny"}},
		{"no file at all", nil, func(c daemon.Config) any { return c.NodeName }, "host1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := load(t, append([]string{"-data-dir", "/d"}, tc.args...)...)
			if got := tc.got(c); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestServicesAccumulate(t *testing.T) {
	all, _, err := sources(t, "-hcl", `service { name = "s1" }`, "-hcl", `service { name = "s2" } service { name = "s3" }`).merged()
	if err != nil {
		t.Fatal(err)
	}
	if list := all["service"].value.([]any); len(list) != 3 {
		t.Errorf("got %d services, want 3", len(list))
	}
}

func TestLoadingAgainIsTheSame(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": `retry_join = ["10.0.0.1"] node_meta { a = "1" }`})
	s := sources(t, "-data-dir", "/d", "-config-dir", dir, "-retry-join", "10.0.0.9", "-node-meta", "b:2")
	first, _, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := Load(s)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("the second load gave %+v (%v), the first %+v", second, err, first)
	}
}

func TestFormats(t *testing.T) {
	dir := write(t, map[string]string{"noext": `node_name = "hcl"`, "json.hcl": `{"node_name": "json"}`, "heredoc.hcl": "node_meta {\n a = <<EOF\none line\nEOF\n b = <<-EOF\n    two\n    EOF\n}\n",
		"comments.hcl": "# one\n// two\n/* three */ recursors = [\"a\", \"b\",] // four\n", "crlf.hcl": "node_name = \"crlf\"\r\nnode_meta {\r\n}\r\n"})
	at := func(name string) string { return filepath.Join(dir, name) }
	if c, _ := load(t, "-data-dir=/d", "-config-format=hcl", "-config-file", at("noext")); c.NodeName != "hcl" {
		t.Errorf("forced HCL: node_name %q", c.NodeName)
	}
	if c, _ := load(t, "-data-dir=/d", "-config-format", "json", "-config-file", at("json.hcl")); c.NodeName != "json" {
		t.Errorf("forced JSON: node_name %q", c.NodeName)
	}
	if c, _ := load(t, "-data-dir=/d", "-config-file", at("heredoc.hcl")); c.NodeMeta["a"] != "one line\n" || c.NodeMeta["b"] != "two\n" {
		t.Errorf("here-documents: %q", c.NodeMeta)
	}
	if _, err := parseHCL([]byte(mustRead(t, at("comments.hcl")))); err != nil {
		t.Errorf("comments and trailing commas: %v", err)
	}
	if c, _ := load(t, "-data-dir=/d", "-config-file", at("crlf.hcl")); c.NodeName != "crlf" {
		t.Errorf("line ends of another system: node_name %q", c.NodeName)
	}
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDeprecatedKeys(t *testing.T) {
	for _, tc := range []struct {
		name, text, warning string
		got                 func(c daemon.Config) any
		want                any
	}{
		{"a token's old name", `acl { tokens { master = "m" } }`, "The 'acl.tokens.master' field is deprecated. Use the 'acl.tokens.initial_management' field instead.",
			func(c daemon.Config) any { return c.ACL.Tokens.InitialManagement.Reveal() }, "m"},
		{"the new name wins in one file", `acl { tokens { initial_management = "new" master = "old" } }`, "The 'acl.tokens.master' field is deprecated. Use the 'acl.tokens.initial_management' field instead.",
			func(c daemon.Config) any { return c.ACL.Tokens.InitialManagement.Reveal() }, "new"},
		{"top-level TLS", `tls_min_version = "tls13"`, "The 'tls_min_version' field is deprecated. Use the 'tls.defaults.tls_min_version' field instead.",
			func(c daemon.Config) any { return []string{c.TLS.HTTPS.MinVersion, c.TLS.InternalRPC.MinVersion} }, []string{"TLSv1_3", "TLSv1_3"}},
		{"a key without a successor", `acl_enforce_version_8 = false`, `config key "acl_enforce_version_8" is deprecated and should be removed`,
			func(c daemon.Config) any { return c.ACL.Enabled }, false},
		{"a TTL", `acl_ttl = "1m"`, "The 'acl_ttl' field is deprecated. Use the 'acl.token_ttl' field instead.",
			func(c daemon.Config) any { return c.ACL.TokenTTL }, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, warnings := load(t, "-data-dir=/d", "-hcl", tc.text)
			if !slices.Equal(warnings, []string{tc.warning}) {
				t.Errorf("warnings %q, want %q", warnings, tc.warning)
			}
			if got := tc.got(c); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSettingsWithoutEffectAreNamed(t *testing.T) {
	c, warnings := load(t, "-data-dir=/d", "-recursor", "10.0.0.2", "-hcl", `telemetry { disable_compat_1.9 = true disable_compat_1.10 = false circonus_api_token = "x" }
		unix_sockets { mode = "0600" } acl { enabled = true } audit { enabled = false }`)
	if want := []string{"recursors", "telemetry.circonus_api_token", "telemetry.disable_compat_1.10", "telemetry.disable_compat_1.9"}; !slices.Equal(c.Idle, want) {
		t.Errorf("idle %q, want %q", c.Idle, want)
	}
	if want := []string{"The 'unix_sockets.mode' setting has no effect in this release."}; !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
}

func TestEveryFieldIsKnownOnce(t *testing.T) {
	seen, flags := map[string]bool{}, map[string]bool{}
	for i := range fields {
		f := &fields[i]
		if seen[f.key] || f.flag != "" && flags[f.flag] {
			t.Errorf("%s (flag %q) is in the table twice", f.key, f.flag)
		}
		seen[f.key], flags[f.flag] = true, true
		if f.now == "" && f.note == "" {
			t.Errorf("%s has no note", f.key)
		}
		if f.now != "" && f.now != "-" && byKey[f.now] == nil {
			t.Errorf("%s is replaced by %s, which does not exist", f.key, f.now)
		}
		if f.now != "" && f.now != "-" && byKey[f.now].kind != f.kind {
			t.Errorf("%s and its successor %s differ in type", f.key, f.now)
		}
		if f.def != "" {
			if _, err := f.parse(f.def); err != nil {
				t.Errorf("default of %s: %v", f.key, err)
			}
		}
		if f.effect == acts && f.into == nil && f.inSink == nil && f.now == "" {
			t.Errorf("%s claims an effect and goes nowhere", f.key)
		}
		if strings.ToLower(f.key) != f.key {
			t.Errorf("%s is not lower case", f.key)
		}
	}
}
