package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/daemon"
)

// certificate makes a self-signed certificate and its key, and returns their paths.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
	})
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// TestTheClientAgentOfATask reads the file that the start script of a task writes.
func TestTheClientAgentOfATask(t *testing.T) {
	ca, _ := certificate(t)
	text := strings.ReplaceAll(mustRead(t, "testdata/agent-defaults.hcl"), "CA_FILE", ca)
	dir := write(t, map[string]string{"agent-defaults.hcl": text})
	c, warnings := load(t, "-data-dir", "/consul/data", "-config-file", filepath.Join(dir, "agent-defaults.hcl"))
	for _, w := range warnings {
		if strings.Contains(w, "Enterprise") {
			t.Errorf("warning %q", w)
		}
	}
	for name, pair := range map[string][2]any{
		"addresses":      {c.Addresses, daemon.Addresses{DNS: []string{"127.0.0.1"}, HTTP: []string{"127.0.0.1"}, GRPC: []string{"127.0.0.1"}}},
		"advertise_addr": {c.AdvertiseAddr, "10.0.3.17"},
		"reconnect":      {c.AdvertiseReconn, 15 * time.Minute},
		"client_addr":    {c.ClientAddrs, []string{"0.0.0.0"}},
		"leave":          {c.LeaveOnTerminate, true},
		"ports.grpc":     {c.Ports.GRPC, 8502},
		"retry_join":     {c.RetryJoin, []string{"provider=aws tag_key=role tag_value=consul-server"}},
		"auto_encrypt":   {c.AutoEncrypt, daemon.AutoEncrypt{TLS: true, IPSAN: []string{"10.0.3.17"}}},
		"tls":            {c.TLS.InternalRPC, daemon.TLSListener{CAFile: ca, MinVersion: "TLSv1_2", VerifyOutgoing: true}},
		"acl":            {[]any{c.ACL.Enabled, c.ACL.DefaultPolicy, c.ACL.DownPolicy}, []any{true, "deny", "async-cache"}},
		"agent token":    {c.ACL.Tokens.Agent.Reveal(), "1b1c7d8e-0000-4000-8000-000000000001"},
		"partition":      {c.Partition, "part-1"},
		"without effect": {strings.Join(c.Idle, " "), "addresses.dns enable_central_service_config telemetry.disable_compat_1.9"},
		"audit": {c.Audit, daemon.Audit{Enabled: true, Sinks: []daemon.AuditSink{
			{Name: "stdout", Type: "file", Format: "json", Path: "/dev/stdout", DeliveryGuarantee: "best-effort"}}}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", name, pair[0], pair[1])
		}
	}
}

// TestTheServerOfAPublicModule reads the fragments that an ECS module for servers passes
// (spec: ecs.md).
func TestTheServerOfAPublicModule(t *testing.T) {
	cert, key := certificate(t)
	c, warnings := load(t, "-server", "-bootstrap-expect=1", "-data-dir=/d", "-client=0.0.0.0", "-ui",
		"-hcl", `node_name = "server"`, "-hcl", `connect { enabled = true }`, "-hcl", `enable_central_service_config = true`,
		"-hcl", `ca_file = "`+cert+`"`, "-hcl", `cert_file = "`+cert+`"`, "-hcl", `key_file = "`+key+`"`,
		"-hcl", `verify_incoming_rpc = true`, "-hcl", `verify_outgoing = true`, "-hcl", `verify_server_hostname = true`,
		"-hcl", `auto_encrypt = {allow_tls = true}`, "-hcl", `ports { https = 8501, grpc = 8502 }`,
		"-hcl", `acl {enabled = true, default_policy = "deny", down_policy = "extend-cache", enable_token_persistence = true}`,
		"-hcl", `acl = { tokens = { master = "m", agent = "a" }}`,
		"-hcl", `connect { enabled = true }`, "-hcl", `peering { enabled = true }`)
	if !c.Bootstrap || c.BootstrapExpect != 0 || c.Ports.HTTPS != 8501 || !c.AutoEncrypt.AllowTLS || !c.UIEnabled {
		t.Errorf("got %+v", c)
	}
	if c.ACL.Tokens.InitialManagement.Reveal() != "m" || c.ACL.Tokens.Agent.Reveal() != "a" || c.ACL.DefaultPolicy != "deny" {
		t.Errorf("ACL: %+v", c.ACL)
	}
	rpc := daemon.TLSListener{CAFile: cert, CertFile: cert, KeyFile: key, MinVersion: "TLSv1_2", VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true}
	if !reflect.DeepEqual(c.TLS.InternalRPC, rpc) || c.TLS.HTTPS.VerifyIncoming || c.TLS.HTTPS.CertFile != cert {
		t.Errorf("TLS: %+v", c.TLS)
	}
	if !strings.Contains(strings.Join(warnings, "\n"), "BootstrapExpect is set to 1; this is the same as Bootstrap mode.") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestAuditAsJSON(t *testing.T) {
	c, _ := load(t, "-data-dir=/d", "-hcl", `acl { enabled = true }`,
		"-hcl", `{"audit":{"enabled":true,"sink":{"b":{"type":"file","format":"json","path":"/b.json","delivery_guarantee":"best-effort","rotate_bytes":1000,"rotate_max_files":2},`+
			`"a":{"type":"file","format":"json","path":"/dev/stdout","delivery_guarantee":"best-effort"}}}}`,
		"-hcl", `audit { sink "a" { mode = "0640" } sink "b" { rotate_duration = "24h" } }`)
	want := []daemon.AuditSink{
		{Name: "a", Type: "file", Format: "json", Path: "/dev/stdout", DeliveryGuarantee: "best-effort", Mode: "0640"},
		{Name: "b", Type: "file", Format: "json", Path: "/b.json", DeliveryGuarantee: "best-effort", RotateBytes: 1000, RotateMaxFiles: 2, RotateDuration: 24 * time.Hour},
	}
	if !reflect.DeepEqual(c.Audit.Sinks, want) {
		t.Errorf("got %+v", c.Audit.Sinks)
	}
}

// TestTheServersOfThePublishedClientsTests reads every key that the test
// package of the published client writes for the servers it starts.
func TestTheServersOfThePublishedClientsTests(t *testing.T) {
	c, _ := load(t, "-config-file", "testdata/client-test-server.json")
	for name, pair := range map[string][2]any{
		"node_id":            {c.NodeID, "0d5e7b1c-3f6a-4f0e-9a52-6f7a8b9c0d1e"},
		"bootstrap":          {c.Bootstrap, true},
		"initial management": {c.ACL.Tokens.InitialManagement.Reveal(), "root"},
		"agent recovery":     {c.ACL.Tokens.AgentRecovery.Reveal(), "towel"},
		"ports":              {c.Ports, daemon.Ports{DNS: 21001, HTTP: 21002, HTTPS: 21003, SerfLAN: 21004, SerfWAN: 21005, Server: 21006, GRPC: 21007, GRPCTLS: 21008}},
		"skip leave":         {c.SkipLeaveOnInt, true},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
}
