package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
)

// TestKillDuringLogins kills the server with SIGKILL at random moments while
// workers log in and out. After each restart every token that was answered
// works and every one whose logout was answered is gone.
func TestKillDuringLogins(t *testing.T) {
	logins, kills := int64(1000), 10
	if os.Getenv("LICTOR_LONG") != "" {
		logins, kills = 20000, 100
	}
	if testing.Short() {
		logins, kills = 200, 2
	}
	run := newKillRun(t)
	step := logins / int64(kills)
	for round := range kills {
		target := int64(round)*step + 1 + rand.Int64N(step)
		run.workUntil(target)
		if err := run.server.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-run.server.done
		run.stop()
		run.start()
		run.verify()
	}
	run.workUntil(logins)
	run.stop()
	run.verify()
	t.Logf("%d logins and %d logouts acknowledged, %d kills; %d tokens work, %d are gone, %d logouts unanswered",
		run.logins.Load(), run.logouts.Load(), kills, len(run.alive), len(run.gone), len(run.unknown))
}

const killWorkers = 16

// killRun is a server under load and what it has acknowledged.
type killRun struct {
	t      *testing.T
	aws    *localAWS
	files  *serverFiles
	server *server
	bearer string
	client *http.Client

	logins, logouts atomic.Int64
	reached         chan struct{} // closed when logins has reached target
	target          int64
	cancel          context.CancelFunc
	workers         sync.WaitGroup

	mu      sync.Mutex
	alive   map[string]bool // secrets of acknowledged logins
	gone    map[string]bool // secrets of acknowledged logouts
	unknown map[string]bool // logouts without an answer
}

func newKillRun(t *testing.T) *killRun {
	t.Helper()
	run := &killRun{
		t: t, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killWorkers}},
		alive: map[string]bool{}, gone: map[string]bool{}, unknown: map[string]bool{},
	}
	var err error
	if run.aws, err = startAWS(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.aws.Close() })
	if run.files, err = newServerFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	run.start()
	t.Cleanup(func() { run.server.kill() })
	task, err := run.aws.startTask("consul-ecs/web")
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range append(run.aws.environ(), "AWS_CONTAINER_CREDENTIALS_FULL_URI="+task.CredentialsURI) {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	token, err := awsiam.NewBearerToken(context.Background(), awsiam.BearerInput{Region: region, IncludeEntity: true})
	if err != nil {
		t.Fatal(err)
	}
	run.bearer = token.Reveal()
	run.setUp()
	return run
}

// setUp makes the auth method and the binding rule.
func (r *killRun) setUp() {
	client, err := api.NewClient(&api.Config{Address: r.files.http, Token: r.files.management})
	if err != nil {
		r.t.Fatal(err)
	}
	_, _, err = client.ACL().AuthMethodCreate(&api.ACLAuthMethod{
		Name: "m", Type: "aws-iam",
		Config: map[string]any{
			"BoundIAMPrincipalARNs": []string{"arn:aws:iam::123456789012:role/consul-ecs/*"}, "EnableIAMEntityDetails": true,
		},
	}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	_, _, err = client.ACL().BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "m", BindType: "service", BindName: "${entity_name}"}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *killRun) start() {
	r.t.Helper()
	server, err := startServer(r.files, r.aws.environ())
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = server
}

// workUntil lets the workers go on until that many logins were answered; they
// go on working when it returns.
func (r *killRun) workUntil(target int64) {
	r.reached, r.target = make(chan struct{}), target
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if r.logins.Load() >= target {
		close(r.reached)
	}
	for range killWorkers {
		r.workers.Go(func() { r.work(ctx) })
	}
	<-r.reached
}

func (r *killRun) stop() {
	r.cancel()
	r.workers.Wait()
}

// work logs in, and logs every third token out, until the server is gone or
// ctx ends.
func (r *killRun) work(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		secret, err := r.login()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.alive[secret] = true
		r.mu.Unlock()
		if r.logins.Add(1) == r.target {
			close(r.reached)
		}
		if i%3 == 0 && !r.logout(secret) {
			return
		}
	}
}

func (r *killRun) login() (secret string, err error) {
	body, err := json.Marshal(map[string]any{"AuthMethod": "m", "BearerToken": r.bearer})
	if err != nil {
		return "", err
	}
	resp, err := r.client.Post("http://"+r.files.http+"/v1/acl/login", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		r.t.Errorf("login: %s: %s", resp.Status, answer)
		return "", fmt.Errorf("login: %s", resp.Status)
	}
	var token struct{ SecretID string }
	err = json.Unmarshal(answer, &token)
	return token.SecretID, err
}

// logout reports whether it was answered.
func (r *killRun) logout(secret string) bool {
	r.mu.Lock()
	delete(r.alive, secret)
	r.unknown[secret] = true
	r.mu.Unlock()
	status, err := r.ask(http.MethodPost, "/v1/acl/logout", secret)
	if err != nil {
		return false
	}
	if status != http.StatusOK {
		r.t.Errorf("logout: status %d", status)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unknown, secret)
	r.gone[secret] = true
	r.logouts.Add(1)
	return true
}

func (r *killRun) ask(method, path, secret string) (status int, err error) {
	req, err := http.NewRequest(method, "http://"+r.files.http+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Consul-Token", secret)
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// verify asks for every token that was ever answered.
func (r *killRun) verify() {
	r.t.Helper()
	for secret := range r.alive {
		if status, err := r.ask(http.MethodGet, "/v1/acl/token/self", secret); err != nil || status != http.StatusOK {
			r.t.Fatalf("an acknowledged token is lost: status %d, %v", status, err)
		}
	}
	for secret := range r.gone {
		if status, err := r.ask(http.MethodGet, "/v1/acl/token/self", secret); err != nil || status != http.StatusForbidden {
			r.t.Fatalf("a token that was logged out works again: status %d, %v", status, err)
		}
	}
	stored, err := r.files.loginTokens()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, secret := range stored {
		if r.gone[secret] {
			r.t.Fatal("a token that was logged out is stored")
		}
	}
}
