package operator

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/cli"
	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/taskmeta"
)

const (
	secretOfTask = "9b1f3c57-secret-of-the-task"
	gossipKey    = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	shortTaskARN = "arn:aws:iam::123456789012:role/consul-ecs/*"
)

// clinic is a task in which all is well: servers and agent in one, and a local AWS.
type clinic struct {
	t       *testing.T
	dir     string
	servers *httptest.Server
	aws     *awslocal.Server
	task    awslocal.Task
	config  map[string]any
	args    []string
	now     func() time.Time

	mu      sync.Mutex
	answers map[string]any // by path; nil is none, ever
}

// refusal is an answer that is an error.
type refusal struct {
	code int
	text string
}

func newClinic(t *testing.T, role string) *clinic {
	c := &clinic{t: t, dir: t.TempDir(), now: time.Now}
	c.servers = httptest.NewServer(c)
	t.Cleanup(c.servers.Close)
	fixture := awslocal.Demo()
	for i := range fixture.Accounts[0].Roles {
		fixture.Accounts[0].Roles[i].Trust.AWS = nil
	}
	if role == "operable" {
		role = "api"
		fixture = awslocal.Demo()
	}
	var err error
	if c.aws, err = awslocal.New(fixture, awslocal.Options{}); err == nil {
		err = c.aws.Start(t.Context(), "")
	}
	if err == nil {
		t.Cleanup(func() { _ = c.aws.Close() })
		c.task, err = c.aws.StartTask(awslocal.TaskSpec{Role: role, Family: "Api", Region: "us-west-2"})
	}
	if err != nil {
		t.Fatal(err)
	}
	c.environment()
	c.config = map[string]any{
		"bootstrapDir": c.dir, "consulHTTPAddr": c.servers.URL, "consulLogin": map[string]any{"enabled": true}, "service": map[string]any{"port": 80},
	}
	c.write("service-token", secretOfTask)
	c.write("client-token", secretOfTask)
	c.write("consul-ca-cert.pem", string(certificate(t, time.Now().Add(365*24*time.Hour), true)))
	c.healthy()
	return c
}

// environment makes that of a task the whole one.
func (c *clinic) environment() {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "CONSUL_") {
			c.t.Setenv(name, "") // restores it at the end
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": c.task.CredentialsURI, "AWS_ENDPOINT_URL": c.aws.URL(), "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"CONSUL_HTTP_ADDR": c.servers.URL, "CONSUL_GOSSIP_ENCRYPTION_KEY": gossipKey, taskmeta.EnvironmentVariable: c.task.MetadataURI,
	} {
		c.t.Setenv(name, value)
	}
}

func (c *clinic) healthy() {
	method := func(name string, tags ...string) any {
		return map[string]any{"Name": name, "Type": "aws-iam", "MaxTokenTTL": "1h0m0s", "Config": map[string]any{
			"BoundIAMPrincipalArns": []string{shortTaskARN}, "EnableIAMEntityDetails": true, "IAMEntityTags": tags,
		}}
	}
	c.answers = map[string]any{
		"/v1/status/leader":                         "10.0.0.1:8300",
		"/v1/acl/token/self":                        map[string]any{"AccessorID": "6f0c", "Description": "mine"},
		"/v1/agent/self":                            map[string]any{"Config": map[string]any{"NodeName": c.task.ID}},
		"/v1/agent/members":                         []any{map[string]any{"Name": c.task.ID, "Status": 1}, map[string]any{"Name": "server", "Status": 1}},
		"/v1/health/node/" + c.task.ID:              []any{map[string]any{"Name": "Serf Health Status", "Status": "passing"}},
		"/v1/operator/autopilot/health":             map[string]any{"Healthy": true, "FailureTolerance": 1, "Servers": []any{map[string]any{"Name": "server", "Healthy": true}}},
		"/v1/acl/auth-method/iam-ecs-client-token":  method("iam-ecs-client-token"),
		"/v1/acl/auth-method/iam-ecs-service-token": method("iam-ecs-service-token", aclsetup.TagServiceName),
		"/v1/acl/binding-rules":                     []any{map[string]any{"BindType": "role", "BindName": "clients"}},
		"/v1/acl/role/name/clients":                 map[string]any{"ID": "1", "Name": "clients"},
		"/v1/acl/login/explain":                     map[string]any{"Allowed": true, "Gains": map[string]any{"ServiceIdentities": []any{map[string]any{"ServiceName": "api"}}}},
		"/v1/acl/tokens":                            []any{c.token("live", c.task.ID, nil), map[string]any{"AccessorID": "other", "Description": "by hand"}},
		"/v1/health/state/any":                      []any{map[string]any{"Node": c.task.ID, "ServiceID": "api-" + c.task.ID + "-sidecar-proxy"}},
		"/v1/namespaces":                            []any{map[string]any{"Name": "default"}, map[string]any{"Name": "team"}},
		"/v1/operator/keyring":                      []any{map[string]any{"Keys": map[string]int{gossipKey: 3}, "PrimaryKeys": map[string]int{gossipKey: 3}}},
	}
}

// token is one of a login two days ago.
func (c *clinic) token(accessor, task string, expires *time.Time) map[string]any {
	return map[string]any{
		"AccessorID": accessor, "AuthMethod": "iam-ecs-client-token", "CreateTime": time.Now().Add(-48 * time.Hour), "ExpirationTime": expires,
		"Description": loginPrefix + `{"consul.hashicorp.com/task-id":"` + task + `"}`,
	}
}

func (c *clinic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer, known := c.answers[r.URL.Path]
	c.mu.Unlock()
	switch a := answer.(type) {
	case nil:
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		<-r.Context().Done() // an answer that never comes
	case refusal:
		w.WriteHeader(a.code)
		_, _ = io.WriteString(w, a.text)
	default:
		_ = json.NewEncoder(w).Encode(a)
	}
}

func (c *clinic) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// examine runs all checks and returns what they find.
func (c *clinic) examine() (list []finding, printed string, err error) {
	c.t.Helper()
	if c.config != nil {
		text, err := json.Marshal(c.config)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Setenv(ecsconfig.EnvironmentVariable, string(text))
	}
	d := &doctor{env: &cli.Env{Getenv: os.Getenv}, now: c.now}
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	d.register(fs)
	if err := fs.Parse(append([]string{"-format=json", "-agent-addr", c.servers.URL}, c.args...)); err != nil {
		c.t.Fatal(err)
	}
	var out, progress bytes.Buffer
	d.env.Out, d.env.Err = &out, &progress
	err = d.examine(c.t.Context())
	var result struct{ Findings []finding }
	if wrong := json.Unmarshal(out.Bytes(), &result); wrong != nil {
		c.t.Fatalf("%v: %s", wrong, out.String())
	}
	return result.Findings, out.String() + progress.String(), err
}

func certificate(t *testing.T, notAfter time.Time, authority bool) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Our CA"}, NotBefore: notAfter.Add(-400 * 24 * time.Hour), NotAfter: notAfter,
		IsCA: authority, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAHealthyTaskIsFoundWell(t *testing.T) {
	c := newClinic(t, "api")
	c.args = []string{"-compare-gossip-key"}
	list, printed, err := c.examine()
	for _, f := range list {
		if f.Severity != okay {
			t.Errorf("%+v", f)
		}
	}
	if err != nil || len(list) < 20 {
		t.Errorf("%v; %d findings: %+v", err, len(list), list)
	}
	for _, check := range (&doctor{}).checks() {
		if !slices.ContainsFunc(list, func(f finding) bool { return f.Check == check.name }) {
			t.Errorf("%s found nothing", check.name)
		}
	}
	for _, secret := range []string{secretOfTask, gossipKey} {
		if strings.Contains(printed, secret) {
			t.Errorf("prints the secret %s", secret)
		}
	}
	if !strings.Contains(printed, "[1/12] task\n") || !strings.Contains(printed, "[12/12] autopilot\n") {
		t.Errorf("no progress in %s", printed)
	}
}

// illness is one thing that is wrong, and the finding that says so.
type illness struct {
	name     string
	role     string // api if empty
	cause    func(c *clinic)
	severity severity
	check    string
	what     string
	remedy   string
}

func (i illness) examine(t *testing.T) {
	role := i.role
	if role == "" {
		role = "api"
	}
	c := newClinic(t, role)
	if i.cause != nil {
		i.cause(c)
	}
	list, printed, err := c.examine()
	if !slices.ContainsFunc(list, func(f finding) bool {
		return f.Severity == i.severity && f.Check == i.check && strings.Contains(f.What, i.what) && strings.Contains(f.Remedy, i.remedy)
	}) {
		t.Errorf("%s %s %q is not in %s", i.severity, i.check, i.what, printed)
	}
	for _, f := range list {
		if (f.Severity == warning || f.Severity == failure) && f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
	var code cli.ExitCode
	if i.severity == failure && (!errors.As(err, &code) || code != 1) {
		t.Errorf("ends with %v", err)
	}
}

// answering makes the servers answer with another thing at a path.
func answering(path string, with any) func(*clinic) {
	return func(c *clinic) { c.answers[strings.Replace(path, "<task>", c.task.ID, 1)] = with }
}

func TestIllnessesOfTheClusterAreFound(t *testing.T) {
	const permission = "Permission denied: token with AccessorID '6f0c' lacks permission"
	no := refusal{403, permission}
	members := func(own, other int) func(*clinic) {
		return func(c *clinic) {
			c.answers["/v1/agent/members"] = []any{map[string]any{"Name": c.task.ID, "Status": own}, map[string]any{"Name": "gone", "Status": other}}
		}
	}
	for _, i := range []illness{
		{"no leader", "", answering("/v1/status/leader", ""), failure, "servers", "there is no leader", "log of the servers"},
		{"an agent without a leader", "", answering("/v1/status/leader", ""), failure, "agent", "knows no leader", "retry_join"},
		{"servers in trouble", "", answering("/v1/status/leader", refusal{500, "No cluster leader"}), failure, "servers", "status 500: No cluster leader", ""},
		{"nobody listens", "", func(c *clinic) { c.config["consulHTTPAddr"] = "http://127.0.0.1:1" }, failure, "servers", "nobody listens there", "port"},
		{"HTTPS where there is none", "", func(c *clinic) { c.config["consulHTTPAddr"] = "https" + strings.TrimPrefix(c.servers.URL, "http") }, failure, "servers", "it speaks no TLS", "http://"},
		{"an address that is none", "", func(c *clinic) { c.config["consulHTTPAddr"] = "ftp://x" }, failure, "task", "is not the URL of an API", ""},
		{"an answer that does not come", "", func(c *clinic) {
			c.answers["/v1/status/leader"] = nil
			c.args = []string{"-timeout=300ms"}
		}, failure, "servers", "no answer in time", "-timeout"},
		{"a token that is gone", "", answering("/v1/acl/token/self", refusal{403, "ACL not found"}), failure, "servers", "the token: status 403: ACL not found", "log in again"},
		{"a token that has expired", "", answering("/v1/acl/token/self", map[string]any{"AccessorID": "6f0c", "ExpirationTime": "2001-01-01T00:00:00Z"}), failure, "servers", "token 6f0c has expired", ""},
		{"a member that has failed", "", members(1, 4), warning, "agent", "1 member failed, of 2: gone", "force-leave"},
		{"an agent that is no member", "", members(4, 1), failure, "agent", "is not an alive member", "8301"},
		{"a node in the dark", "", answering("/v1/health/node/<task>", []any{map[string]any{"Name": "Serf Health Status", "Status": "critical"}}), failure, "agent", `check "Serf Health Status" of node`, "/v1/health/node/"},
		{"members that may not be seen", "", answering("/v1/agent/members", no), skipped, "agent", "members: the token may not see them", ""},
		{"servers that are not healthy", "", answering("/v1/operator/autopilot/health", map[string]any{"Healthy": false, "Servers": []any{map[string]any{"Name": "s2"}}}), failure, "autopilot", "not all servers are healthy: s2", ""},
		{"servers of which none may fail", "", answering("/v1/operator/autopilot/health", map[string]any{"Healthy": true, "FailureTolerance": 0, "Servers": []any{map[string]any{"Name": "s", "Healthy": true}}}), warning, "autopilot", "1 server, healthy, of which none may fail", "three or five"},
		{"an autopilot that may not be seen", "", answering("/v1/operator/autopilot/health", no), skipped, "autopilot", "operator:read", ""},
	} {
		t.Run(i.name, i.examine)
	}
}

func TestIllnessesOfLoginsAreFound(t *testing.T) {
	const client, service = "/v1/acl/auth-method/iam-ecs-client-token", "/v1/acl/auth-method/iam-ecs-service-token"
	method := func(kind string, config map[string]any) any {
		return map[string]any{"Name": "iam-ecs-service-token", "Type": kind, "Config": config}
	}
	no := refusal{403, "Permission denied: lacks permission 'acl:read'"}
	past := time.Now().Add(-time.Hour)
	for _, i := range []illness{
		{"no auth method", "", answering(client, refusal{404, ""}), failure, "auth methods", "there is no auth method iam-ecs-client-token", "lictor setup"},
		{"auth methods that may not be seen", "", answering(client, no), skipped, "auth methods", "acl:read", ""},
		{"an auth method of another type", "", answering(service, method("jwt", nil)), failure, "auth methods", "is of type jwt", ""},
		{"an auth method for other roles", "", answering(service, method("aws-iam", map[string]any{"BoundIAMPrincipalARNs": []string{"arn:aws:iam::123456789012:role/x/*"}, "EnableIAMEntityDetails": true})), failure, "auth methods", "not arn:aws:iam::123456789012:role/consul-ecs/api", "lictor setup"},
		{"an auth method that reads no tag", "", answering(service, method("aws-iam", map[string]any{"BoundIAMPrincipalARNs": []string{shortTaskARN}, "EnableIAMEntityDetails": true})), failure, "auth methods", "does not read the tag", ""},
		{"no binding rules", "", answering("/v1/acl/binding-rules", []any{}), failure, "auth methods", "has no binding rule", ""},
		{"a binding rule for a role that is not there", "", answering("/v1/acl/role/name/clients", refusal{403, "ACL not found"}), failure, "auth methods", `gives the role "clients", which there is not`, ""},
		{"servers without ACLs", "", answering(client, refusal{401, "ACL support disabled"}), failure, "auth methods", "the servers have no ACLs", ""},
		{"a login that is refused", "", answering("/v1/acl/login/explain", map[string]any{"Reason": "no rule matches", "Change": "add a rule"}), failure, "login", "would be refused: no rule matches", "add a rule"},
		{"a login that may not be tried", "", answering("/v1/acl/login/explain", no), skipped, "login", "acl:write", ""},
		{"tokens of tasks that are gone", "", func(c *clinic) {
			c.answers["/v1/acl/tokens"] = []any{c.token("left", strings.Repeat("a", 32), nil), c.token("live", c.task.ID, nil)}
		}, warning, "tokens", "1 token without an end whose task is gone", "-accessor-id left"},
		{"tokens that have expired", "", func(c *clinic) {
			c.answers["/v1/acl/tokens"] = []any{c.token("old", c.task.ID, &past)}
		}, warning, "tokens", "1 token expired and still there", "leader"},
		{"nodes that may not be seen", "", answering("/v1/health/state/any", no), skipped, "tokens", "may not see all nodes", ""},
		{"namespaces that may not be seen", "", answering("/v1/namespaces", no), skipped, "tokens", "may not see all nodes", ""},
		{"tokens that may not be seen", "", answering("/v1/acl/tokens", no), skipped, "tokens", "acl:read", ""},
	} {
		t.Run(i.name, i.examine)
	}
}

func TestIllnessesOfTheTaskAreFound(t *testing.T) {
	soon := time.Now().Add(7 * 24 * time.Hour)
	file := func(content func(t *testing.T) []byte) func(*clinic) {
		return func(c *clinic) { c.write("consul-ca-cert.pem", string(content(c.t))) }
	}
	ahead := func(d time.Duration) func(*clinic) {
		return func(c *clinic) { c.now = func() time.Time { return time.Now().Add(d) } }
	}
	ring := func(keys, primary map[string]int) func(*clinic) {
		return func(c *clinic) {
			c.args = []string{"-compare-gossip-key"}
			c.answers["/v1/operator/keyring"] = []any{map[string]any{"Keys": keys, "PrimaryKeys": primary}}
		}
	}
	for _, i := range []illness{
		{"a configuration that is wrong", "", func(c *clinic) { c.config["sidecar"] = true }, failure, "task", "Additional property sidecar is not allowed", "ecs-config.schema.json"},
		{"no metadata", "", func(c *clinic) { c.t.Setenv(taskmeta.EnvironmentVariable, "") }, warning, "task", "env var not set", "container of the task"},
		{"metadata that does not answer", "", func(c *clinic) { c.t.Setenv(taskmeta.EnvironmentVariable, "http://127.0.0.1:1") }, failure, "task", "the task's metadata: ", "platform version"},
		{"no credentials", "", func(c *clinic) { c.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "") }, failure, "credentials", "there are no AWS credentials", "taskRoleArn"},
		{"credentials of a user", "", func(c *clinic) {
			c.t.Setenv("AWS_ACCESS_KEY_ID", awslocal.DemoAccessKey)
			c.t.Setenv("AWS_SECRET_ACCESS_KEY", awslocal.DemoSecret)
		}, failure, "credentials", "not the credentials of a task role", "access keys"},
		{"credentials that AWS does not know", "", func(c *clinic) {
			c.t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
			c.t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
		}, failure, "credentials", "InvalidClientTokenId", "new credentials"},
		{"a role that may not read itself", "no-getrole", nil, failure, "role", "may not iam:GetRole itself", `"Action":"iam:GetRole","Resource":"arn:aws:iam::123456789012:role/consul-ecs/no-getrole"`},
		{"a role without a tag", "untagged", nil, failure, "role", "has no tag consul.hashicorp.com.service-name", "Value=api"},
		{"a role at another path", "outsider", nil, warning, "role", "role outsider is at /other/", "--path /consul-ecs/"},
		{"a role for another service", "web", nil, failure, "role", `is "web", and the task registers in service "api"`, "Value=api"},
		{"a role that others can have", "operable", nil, warning, "role", "can be assumed by AWS:arn:aws:iam::123456789012:user/operator, too", "session"},
		{"a clock that is wrong", "", ahead(10 * time.Minute), failure, "clock", "10m0s ahead of that of the servers", "chrony"},
		{"a clock that is behind AWS's", "", ahead(-10 * time.Minute), failure, "clock", "10m0s behind that of AWS", "chrony"},
		{"a clock that is inexact", "", ahead(2 * time.Minute), warning, "clock", "2m0s ahead of that of AWS", "chrony"},
		{"a CA that ends soon", "", file(func(t *testing.T) []byte { return certificate(t, soon, true) }), warning, "certificates", "Our CA expires at", "renew"},
		{"a CA that has ended", "", file(func(t *testing.T) []byte { return certificate(t, time.Now().Add(-time.Hour), true) }), failure, "certificates", "Our CA has expired at", "renew"},
		{"a CA that has not begun", "", file(func(t *testing.T) []byte { return certificate(t, time.Now().Add(450*24*time.Hour), true) }), failure, "certificates", "Our CA is not valid before", "clock"},
		{"a CA that is none", "", file(func(t *testing.T) []byte { return certificate(t, soon, false) }), failure, "certificates", "is not the certificate of a CA", ""},
		{"a CA that is no certificate", "", file(func(*testing.T) []byte { return []byte("hello") }), failure, "certificates", "holds no certificate", "secret"},
		{"a certificate that is broken", "", file(func(*testing.T) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
		}), failure, "certificates", "malformed certificate", ""},
		{"a gossip key that is none", "", func(c *clinic) { c.t.Setenv("CONSUL_GOSSIP_ENCRYPTION_KEY", "c2hvcnQ=") }, failure, "gossip key", "not 16, 24 or 32 bytes", "keygen"},
		{"a gossip key of others", "", ring(map[string]int{"other": 1}, nil), failure, "gossip key", "the cluster does not know the gossip key", "primary key"},
		{"a gossip key of yesterday", "", ring(map[string]int{gossipKey: 1}, map[string]int{"other": 1}), warning, "gossip key", "uses another", "primary key"},
		{"a keyring that may not be seen", "", func(c *clinic) {
			c.args = []string{"-compare-gossip-key"}
			c.answers["/v1/operator/keyring"] = refusal{403, "Permission denied"}
		}, skipped, "gossip key", "keyring:read", ""},
	} {
		t.Run(i.name, i.examine)
	}
}

func TestCertificatesOfServersAreLookedAt(t *testing.T) {
	c := newClinic(t, "api")
	secure := httptest.NewTLSServer(c)
	t.Cleanup(secure.Close)
	c.config["consulHTTPAddr"] = secure.URL
	list, printed, _ := c.examine()
	if !slices.ContainsFunc(list, func(f finding) bool { return strings.Contains(f.What, "a CA that is not trusted here") }) {
		t.Errorf("an unknown CA is trusted: %s", printed)
	}
	c.write("https.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	c.config["consulCACertFile"] = filepath.Join(c.dir, "https.pem")
	list, printed, err := c.examine()
	shown := strings.TrimPrefix(secure.URL, "https://")
	if err != nil || !slices.ContainsFunc(list, func(f finding) bool { return f.Severity == okay && strings.HasPrefix(f.What, shown+": ") }) {
		t.Errorf("%v: %s", err, printed)
	}
	c.args = []string{"-expires-within=900000h"}
	if _, _, err = c.examine(); !errors.Is(err, cli.ExitCode(warningCode)) {
		t.Errorf("warnings end with %v", err)
	}
	c.args = []string{"-tls-server-name=elsewhere.test"}
	if list, printed, _ = c.examine(); !slices.ContainsFunc(list, func(f finding) bool { return strings.Contains(f.Remedy, "-tls-server-name") }) {
		t.Errorf("a wrong name is right: %s", printed)
	}
}

// TestFromAWorkstation has no task around it, the credentials of a user, and a role that is named.
func TestFromAWorkstation(t *testing.T) {
	c := newClinic(t, "api")
	for _, name := range []string{taskmeta.EnvironmentVariable, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "CONSUL_GOSSIP_ENCRYPTION_KEY"} {
		os.Unsetenv(name)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", awslocal.DemoAccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awslocal.DemoSecret)
	t.Setenv("AWS_REGION", "us-west-2")
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(c.dir, "consul-ca-cert.pem"))
	c.config = nil
	c.args = []string{"-role=api", "-token=" + secretOfTask, "-http-addr=" + c.servers.URL}
	list, printed, err := c.examine()
	if err != nil || strings.Contains(printed, secretOfTask) {
		t.Errorf("%v: %s", err, printed)
	}
	for _, want := range []string{"this is no ECS task", "role api is for the service", "a login with iam-ecs-client-token would succeed"} {
		if !slices.ContainsFunc(list, func(f finding) bool { return strings.Contains(f.What, want) }) {
			t.Errorf("%q is not in %s", want, printed)
		}
	}
}

func TestTokensAreReadPageByPage(t *testing.T) {
	pages := map[string]string{"": "two", "two": ""}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		next, known := pages[after]
		if strings.HasPrefix(r.URL.Path, "/v1/health/state/") {
			fmt.Fprint(w, "[]")
			return
		}
		if r.URL.Path == "/v1/namespaces" { // of a release without them
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if !known || r.URL.Query().Get("limit") != tokenPage || r.Header.Get("X-Consul-Token") != secretOfTask {
			t.Errorf("asks for %s", r.URL)
		}
		w.Header().Set("X-Lictor-Next-Page", next)
		fmt.Fprintf(w, `[{"AccessorID":"%s","AuthMethod":"m","CreateTime":"2001-01-01T00:00:00Z"}]`, after)
	}))
	defer ts.Close()
	d := &doctor{env: &cli.Env{Getenv: func(string) string { return "" }}, now: time.Now}
	d.conn = conn{addr: ts.URL, token: secretOfTask}
	var err error
	if d.servers, err = d.connectServers(); err != nil {
		t.Fatal(err)
	}
	d.servers.up = true
	f := &findings{}
	d.checkTokens(t.Context(), f)
	if len(f.list) != 1 || f.list[0].What != "2 tokens, of which logins made 2" {
		t.Errorf("found %+v", f.list)
	}
}

func TestDoctorShowsFindings(t *testing.T) {
	var out bytes.Buffer
	f := &findings{check: "clock"}
	f.ok("fine")
	f.fail("set\nit", "it is %d", 5)
	showFindings(&out, f.list)
	if want := "ok       clock: fine\nerror    clock: it is 5\n         → set it\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestDoctorRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"now"}, "Should have no non-flag arguments."},
		{[]string{"-format=xml"}, "Unknown format: xml"},
	} {
		var out, complaint bytes.Buffer
		env := &cli.Env{Out: &out, Err: &complaint, Getenv: os.Getenv}
		root := &cli.Command{Name: "lictor", Sub: []*cli.Command{Doctor()}}
		code := cli.Run(context.Background(), env, root, append([]string{"doctor"}, c.args...))
		if code != 1 || !strings.Contains(complaint.String(), c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, code, complaint.String())
		}
	}
}
