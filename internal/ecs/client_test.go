package ecs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/taskmeta"
)

// secretsOf serves Secrets Manager and SSM with values by ARN.
func secretsOf(t *testing.T, values func(arn string) string) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SecretId, Name string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		switch r.Header.Get("X-Amz-Target") {
		case "secretsmanager.GetSecretValue":
			if v := values(in.SecretId); v != "" {
				_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": v})
				return
			}
		case "AmazonSSM.GetParameter":
			if v := values(in.Name); v != "" {
				_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Value": v}})
				return
			}
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"AccessDeniedException","message":"no"}`))
	}))
	t.Cleanup(ts.Close)
	return ts.URL
}

const (
	caARN     = "arn:aws:secretsmanager:us-west-2:123456789012:secret:ca"
	gossipARN = "arn:aws:ssm:us-west-2:123456789012:parameter/gossip"
)

func (w *world) clientRun(vars map[string]string) *clientRun {
	getenv := func(name string) string { return vars[name] }
	return &clientRun{
		inTask: inTask{
			config: w.config(fmt.Sprintf(`{"bootstrapDir":%q}`, w.dir)), log: w.logger(), getenv: getenv,
			task: &taskmeta.Task{Cluster: "prod", TaskARN: taskARN},
		},
		secrets: &secretReader{getenv: getenv}, ip: "10.0.3.17", interval: time.Millisecond,
	}
}

func TestTheAgentsConfiguration(t *testing.T) {
	w := newWorld(t)
	c := w.clientRun(map[string]string{"CONSUL_DATACENTER": "dc2"})
	c.config.BootstrapDir = "testdata/ca" // has the CA's file
	c.token, c.gossipKey, c.partition, c.retryJoin = "secret-id", "a2V5", "team-a", []string{"provider=aws tag_key=role tag_value=consul-server"}
	golden(t, "agent_full.hcl", []byte(c.agentConfig()))
	golden(t, "agent_least.hcl", []byte(w.clientRun(nil).agentConfig()))
}

func TestSecretsFromTheEnvironmentAndByARN(t *testing.T) {
	w := newWorld(t)
	url := secretsOf(t, func(arn string) string { return map[string]string{caARN: "CERT\n\n", gossipARN: "a2V5"}[arn] })
	c := w.clientRun(map[string]string{
		"AWS_ENDPOINT_URL": url, "CONSUL_CACERT_ARN": caARN, "CONSUL_HTTPS_CACERT_PEM": "HTTPS CERT", "CONSUL_GOSSIP_ENCRYPTION_KEY_ARN": gossipARN,
	})
	changed, err := c.readSecrets(t.Context())
	if err != nil || !changed || c.gossipKey != "a2V5" {
		t.Fatalf("changed %v, %v", changed, err)
	}
	for file, want := range map[string]string{rpcCAFile: "CERT\n", httpsCAFile: "HTTPS CERT\n"} {
		if got, err := os.ReadFile(filepath.Join(w.dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	if changed, err := c.readSecrets(t.Context()); err != nil || changed {
		t.Errorf("the same again: changed %v, %v", changed, err)
	}
	for arn, want := range map[string]string{
		"arn:aws:secretsmanager:us-west-2:123456789012:secret:other": "AccessDenied",
		"arn:aws:s3:us-west-2:123456789012:x":                        "neither a secret of Secrets Manager nor a parameter of SSM",
		"ca":                                                         "is not the ARN of a secret",
	} {
		c := w.clientRun(map[string]string{"AWS_ENDPOINT_URL": url, "CONSUL_CACERT_ARN": arn})
		if _, err := c.readSecrets(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "CONSUL_CACERT_ARN: ") {
			t.Errorf("%s: %v", arn, err)
		}
	}
}

// A CA that changes reaches the agent while it runs.
func TestACAThatChangesIsPassedOn(t *testing.T) {
	w := newWorld(t)
	answers := make(chan string, 1)
	answers <- "FIRST"
	value := "FIRST"
	url := secretsOf(t, func(string) string {
		select {
		case value = <-answers:
		default:
		}
		return value
	})
	c := w.clientRun(map[string]string{"AWS_ENDPOINT_URL": url, "CONSUL_CACERT_ARN": caARN})
	if _, err := c.readSecrets(t.Context()); err != nil || !c.followsSecrets() {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", `trap 'exit 5' HUP; echo up; while :; do sleep 0.01; done`)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child.Stdout = w.log
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	w.await("up")
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { c.follow(ctx, child) })
	answers <- "SECOND"
	_ = child.Wait()
	stop()
	following.Wait()
	if code := child.ProcessState.ExitCode(); code != 5 {
		t.Errorf("the agent ended with %d", code)
	}
	if got, err := os.ReadFile(filepath.Join(w.dir, rpcCAFile)); err != nil || string(got) != "SECOND\n" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func TestTheAgentsHealthCheck(t *testing.T) {
	for leader, code := range map[string]int{`"10.0.0.4:8300"`: 0, `""`: 1} {
		w := newWorld(t)
		w.answer = func(*http.Request, string) (int, any) { return 200, leader }
		if got := Run(t.Context(), w.env("", nil), []string{"client", "-check"}); got != code {
			t.Errorf("leader %s: exit code %d", leader, got)
		}
	}
}
