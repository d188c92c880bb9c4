package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/taskmeta"
)

var update = flag.Bool("update", false, "rewrite testdata")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s; run with -update and read the difference:\n%s", file, got)
	}
}

const fullConfig = `{"bootstrapDir":"/consul","service":{"name":"shop","port":9090,"tags":["a"],"meta":{"team":"x","source":"mine"},
"enableTagOverride":true,"weights":{"passing":3,"warning":2},"namespace":"ns1","partition":"p1",
"checks":[{"checkId":"c1","name":"alive","http":"http://localhost:9090/","header":{"A":["b"]},"method":"GET","interval":"5s","timeout":"1s","udp":"127.0.0.1:1","successBeforePassing":2}]},
"proxy":{"publicListenerPort":21000,"config":{"protocol":"http"},"localServiceAddress":"127.0.0.2","meshGateway":{"mode":"local"},
"expose":{"checks":true,"paths":[{"listenerPort":1,"path":"/m","localPathPort":2,"protocol":"http2"}]},
"upstreams":[{"destinationName":"stock","localBindPort":1234,"destinationType":"service","destinationNamespace":"n","destinationPartition":"p","datacenter":"dc2","localBindAddress":"127.0.0.3","config":{"connect_timeout_ms":1},"meshGateway":{"mode":"remote"}}]}}`

func TestRegistrations(t *testing.T) {
	tests := []struct{ name, config string }{
		{"least", `{"bootstrapDir":"/consul"}`},
		{"health_sync", `{"bootstrapDir":"/consul","service":{"port":80},"healthSyncContainers":["app","web"]}`},
		{"full", fullConfig},
		{"gateway", `{"bootstrapDir":"/consul","gateway":{"kind":"mesh-gateway"}}`},
		{"gateway_addresses", `{"bootstrapDir":"/consul","gateway":{"kind":"mesh-gateway","name":"gw","lanAddress":{"address":"10.1.1.1","port":1},"wanAddress":{"address":"1.2.3.4"},"meta":{"a":"b"},"tags":["t"],"proxy":{"config":{"x":1}}}}`},
	}
	task := &taskmeta.Task{Cluster: "prod", TaskARN: taskARN, Family: "Shop", Containers: []taskmeta.Container{
		{Name: "app", Networks: []taskmeta.Network{{IPv4Addresses: []string{"10.0.3.17"}}}},
	}}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			r, err := newRegistration(w.config(tc.config), task)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(map[string]any{"service": r.service, "proxy": r.proxy}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "registration_"+tc.name+".json", append(got, '\n'))
		})
	}
}

func TestACheckWithAWrongDuration(t *testing.T) {
	w := newWorld(t)
	c := w.config(`{"bootstrapDir":"/c","service":{"port":1,"checks":[{"ttl":"soon"}]}}`)
	_, err := newRegistration(c, &taskmeta.Task{TaskARN: taskARN})
	if err == nil || !strings.Contains(err.Error(), "invalid config: service.checks: ttl: ") {
		t.Errorf("got %v", err)
	}
}

func TestMeshInitWithoutLogin(t *testing.T) {
	w := newWorld(t)
	down := 2
	w.answer = func(*http.Request, string) (int, any) {
		if down--; down >= 0 {
			return http.StatusInternalServerError, "No known Consul servers"
		}
		return http.StatusOK, nil
	}
	env := w.env(fmt.Sprintf(`{"bootstrapDir":%q,"service":{"port":80},"healthSyncContainers":["app"]}`, w.dir), nil)
	if code := Run(t.Context(), env, []string{"mesh-init"}); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, w.log)
	}
	if n := len(w.asked()); n != 4 { // two failed
		t.Errorf("%d requests: %q", n, w.asked())
	}
	for _, r := range w.asked() {
		if !strings.HasPrefix(r, "PUT /v1/agent/service/register ") {
			t.Errorf("request %s", r)
		}
	}
	for file, mode := range map[string]os.FileMode{bootstrapFile: 0o444, binaryFile: 0o755} {
		info, err := os.Stat(filepath.Join(w.dir, file))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	for _, line := range []string{
		"registering service", "service registered successfully: name=shop id=shop-0123abcd",
		"registering proxy: kind=connect-proxy", "proxy registered successfully: name=shop-sidecar-proxy id=shop-0123abcd-sidecar-proxy",
		"envoy bootstrap config written: file=", "copied binary: file=",
	} {
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("%q is not in the log:\n%s", line, w.log)
		}
	}
	var b struct {
		Node struct{ ID, Cluster string }
	}
	content, err := os.ReadFile(filepath.Join(w.dir, bootstrapFile))
	if err := errors.Join(err, json.Unmarshal(content, &b)); err != nil || b.Node.ID != "shop-0123abcd-sidecar-proxy" || b.Node.Cluster != "shop" {
		t.Errorf("bootstrap of %+v, %v", b.Node, err)
	}
}

// onWrite is a log that calls itself for each line.
type onWrite func(line string)

func (f onWrite) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

func TestMeshInitWaitsForTheCACertificate(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env := w.env(fmt.Sprintf(`{"bootstrapDir":%q,"consulHTTPAddr":"https://127.0.0.1:1","consulCACertFile":%q,"consulLogin":{"enabled":true}}`,
		w.dir, filepath.Join(w.dir, "not-there-yet.pem")), nil)
	again := false
	env.Err = onWrite(func(line string) {
		if strings.Contains(line, "not-there-yet.pem") && strings.Contains(line, "retry_in") {
			again = true
			cancel()
		}
	})
	if code := Run(ctx, env, []string{"mesh-init"}); code != 1 || !again {
		t.Errorf("exit code %d, tried again %v", code, again)
	}
}

func TestFlagsOfLogin(t *testing.T) {
	w := newWorld(t)
	task := &taskmeta.Task{Cluster: "prod", TaskARN: taskARN}
	login := func(flags ...string) (loginRequest, error) {
		text, _ := json.Marshal(flags)
		config := w.config(fmt.Sprintf(`{"bootstrapDir":"/consul","consulLogin":{"enabled":true,"extraLoginFlags":%s}}`, text))
		return (&inTask{config: config, task: task, getenv: func(string) string { return "" }}).request(serviceTokenFile)
	}
	plain, err := login()
	if err != nil {
		t.Fatal(err)
	}
	if plain.method != "iam-ecs-service-token" || !plain.aws.IncludeEntity || plain.aws.Region != "us-west-2" ||
		plain.meta[aclsetup.MetaTask] != "0123abcd" || plain.meta[aclsetup.MetaCluster] != "arn:aws:ecs:us-west-2:123456789012:cluster/prod" {
		t.Errorf("without flags: %+v", plain)
	}
	r, err := login("-partition", "p1", "-namespace=n1", "-meta", "a=b", "--aws-region", "eu-west-1", "-aws-include-entity=false", "-aws-server-id-header-value", "s")
	if err != nil {
		t.Fatal(err)
	}
	if r.partition != "p1" || r.namespace != "n1" || r.meta["a"] != "b" || r.aws.Region != "eu-west-1" || r.aws.IncludeEntity || r.aws.ServerIDHeaderValue != "s" {
		t.Errorf("with flags: %+v", r)
	}
	r, err = login("-aws-access-key-id", "AKID", "-aws-secret-access-key", "hidden", "-aws-session-token=st", "-http-addr", "https://other:8501", "-ca-file", "/ca", "-tls-server-name", "server.dc1.consul")
	if err != nil {
		t.Fatal(err)
	}
	if r.aws.AccessKeyID != "AKID" || r.aws.SecretAccessKey.Reveal() != "hidden" || r.aws.SessionToken.Reveal() != "st" ||
		r.servers != (servers{"https://other:8501", "/ca", "server.dc1.consul"}) {
		t.Errorf("with flags of a connection: %+v", r.servers)
	}
	for _, wrong := range [][]string{{"-nope"}, {"more"}, {"-meta", "x"}} {
		if _, err := login(wrong...); err == nil || !strings.Contains(err.Error(), "consulLogin.extraLoginFlags") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// Where extraLoginFlags log in, the token is renewed and the task logs out.
func TestTheServersOfLoginFlags(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, config, addr, caFile, serverName string }{
		{"as configured", `"extraLoginFlags":["-partition","p"]`, "https://a:8501", "/a.pem", ""},
		{"as flags say", `"extraLoginFlags":["-http-addr","https://b:8501","-ca-file=/b.pem","-tls-server-name","b"]`, "https://b:8501", "/b.pem", "b"},
	} {
		env := w.env(`{"bootstrapDir":"/consul","consulHTTPAddr":"https://a:8501","consulCACertFile":"/a.pem","consulLogin":{"enabled":true,`+c.config+`}}`, nil)
		in, err := configured(env)
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		if s := in.config.ConsulServers; s != nil {
			name = s.HTTP.TLSServerName
		}
		if in.config.ConsulHTTPAddr != c.addr || in.config.ConsulCACertFile != c.caFile || name != c.serverName {
			t.Errorf("%s: %s %s %s", c.name, in.config.ConsulHTTPAddr, in.config.ConsulCACertFile, name)
		}
	}
	env := w.env(`{"bootstrapDir":"/consul","consulLogin":{"enabled":true,"extraLoginFlags":["-nope"]}}`, nil)
	if _, err := configured(env); err == nil || !strings.Contains(err.Error(), "consulLogin.extraLoginFlags: flag provided but not defined: -nope") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	status := func(code int, body string) error { return api.StatusError{Code: code, Body: body} }
	tests := []struct {
		name string
		err  error
		want class
	}{
		{"nobody listens", errors.New("connection refused"), temporary},
		{"no leader", status(500, "No cluster leader"), temporary},
		{"AWS throttles the server", status(403, "Throttling: Rate exceeded"), throttled},
		{"the server throttles", status(429, "rate limit"), throttled},
		{"the method is not there yet", status(403, `ACL not found: auth method "x" not found`), refused},
	}
	for _, tc := range tests {
		if got := classOf(tc.err); got != tc.want {
			t.Errorf("%s: class %d, want %d", tc.name, got, tc.want)
		}
	}
	for n := range 100 {
		if w := backoffs[temporary].wait(n); w > backoffs[temporary].most+1e6 || w <= 0 {
			t.Errorf("wait %v after %d failures", w, n)
		}
	}
}
