package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lictor/lictor/internal/audit"
)

const anonymous = "00000000-0000-0000-0000-000000000002"

// auditEvent is what these tests look at of an event.
type auditEvent struct {
	EventType string `json:"event_type"`
	Payload   struct {
		ID, Type, Version, Stage string
		Auth                     struct {
			AccessorID string    `json:"accessor_id"`
			CreateTime time.Time `json:"create_time"`
		}
		Request struct {
			ID, Action, Operation, Endpoint string

			RemoteAddr  string `json:"remote_addr"`
			UserAgent   string `json:"user_agent"`
			ForwardedBy string `json:"forwarded_by"`
			Body        struct {
				Proxy string `json:"proxy_id"`
			}
		}
		Response struct{ Status string }
		Login    audit.Login
	}
}

// auditEvents returns the events among lines of other things.
func auditEvents(text string) (events []auditEvent, err error) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, `{"created_at":`) {
			continue
		}
		var e auditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		events = append(events, e)
	}
	return events, nil
}

// cmdAudited waits until the running server has printed both events of a request:
// audited ACCESSOR METHOD ENDPOINT STATUS [PRINCIPAL [ACCESSOR]]. The last two are those of a login.
func cmdAudited(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	args = append(args, "", "", "", "", "", "")[:6]
	server := storyOf(ts).server
	ts.Check(every(10*time.Millisecond, func(context.Context) error {
		events, err := auditEvents(server.log())
		if err != nil {
			return err
		}
		begun := map[string]bool{}
		for _, e := range events {
			p := e.Payload
			if p.Stage == "OperationStart" && p.Auth.AccessorID == args[0] {
				begun[p.Request.ID] = true
			}
			got := []string{p.Auth.AccessorID, p.Request.Operation, p.Request.Endpoint, p.Response.Status, p.Login.Principal, p.Login.AccessorID}
			if p.Stage == "OperationComplete" && begun[p.Request.ID] && strings.Join(got, " ") == strings.Join(args, " ") {
				return nil
			}
		}
		return fmt.Errorf("not in the trail: %s", strings.Join(args, " "))
	}))
}

// TestTheTrailIsComplete sends odd requests, pipelined ones and many at once, over HTTP/1.0, HTTP/1.1 and
// HTTP/2, where some are reset in the middle, and compares what was sent with what the documents' stanza prints.
func TestTheTrailIsComplete(t *testing.T) {
	files, err := newServerFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stanza := writeConfig(t, files, auditStanza)
	server, err := startServer(files, nil, stanza)
	if err != nil {
		t.Fatal(err)
	}
	defer server.kill()
	requests := 200
	if testing.Short() {
		requests = 50
	}
	if os.Getenv("LICTOR_LONG") != "" {
		requests = 2000
	}
	secure := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
	}}
	defer secure.CloseIdleConnections()
	plain := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer plain.CloseIdleConnections()
	load := &auditLoad{checker: newChecker(), token: files.management}
	if err := errors.Join(load.sendOdd(files.http), load.sendOddOver(secure, files.https), load.pipeline(files.http, files.management)); err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for w := range 16 {
		client, url := plain, "http://"+files.http
		if w%2 == 0 {
			client, url = secure, "https://"+files.https
		}
		working.Go(func() {
			for i := range requests {
				if err := load.request(client, url, i); err != nil {
					t.Errorf("request: %v", err)
					return
				}
			}
		})
	}
	for range 4 {
		working.Go(func() {
			for i := range requests {
				if err := load.reset(secure, "https://"+files.https, i); err != nil {
					t.Errorf("a request that is reset: %v", err)
					return
				}
			}
		})
	}
	working.Wait()
	if err := errors.Join(load.leaveOpen(server, plain, "http://"+files.http), load.leaveOpen(server, secure, "https://"+files.https)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.signal("INT"); err != nil {
		t.Fatal(err)
	}
	events, err := auditEvents(server.log())
	if err != nil {
		t.Fatal(err)
	}
	if err := load.check(events, false); err != nil {
		t.Error(err)
	}
	if strings.Contains(server.log(), files.management) {
		t.Error("the management token was printed")
	}
	if load.http2.Load() == 0 || load.resets.Load() == 0 {
		t.Error("nothing was sent over HTTP/2, or reset there")
	}
	t.Logf("%d requests, %d of them over HTTP/2, %d of which were reset; %d events", len(load.sent), load.http2.Load()+load.resets.Load(), load.resets.Load(), len(events))
}

func writeConfig(t *testing.T, f *serverFiles, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, "audit.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// auditLoad sends requests of several kinds.
type auditLoad struct {
	*checker
	token string
	http2 atomic.Int64

	resets atomic.Int64 // streams that were ended in the middle
	made   sync.Map     // names of policies that a request was sent for, and the user agent of that
}

// request sends one request: reads, writes, refused ones.
func (l *auditLoad) request(client *http.Client, url string, i int) error {
	kind := []struct{ method, path, body, token string }{
		{"GET", "/v1/acl/tokens", "", l.token},
		{"PUT", "/v1/acl/policy", `{"Name":"%s"}`, l.token},
		{"GET", "/v1/acl/policies", "", ""},
		{"POST", "/v1/acl/login", `{"AuthMethod":"none","BearerToken":"x"}`, ""},
		{"GET", "/v1/acl/token/self", "", "5ec2e700-0000-4000-8000-000000000001"},
		{"DELETE", "/v1/nothing", "", l.token},
	}[i%6]
	name := l.send(kind.path)
	if strings.Contains(kind.body, "%s") {
		policy := strings.ReplaceAll(name, "/", "-")
		kind.body = fmt.Sprintf(kind.body, policy)
		l.made.Store(policy, name)
	}
	req, err := http.NewRequest(kind.method, url+kind.path, strings.NewReader(kind.body))
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", name)
	req.GetBody = nil // nothing is sent twice
	if kind.token != "" {
		req.Header.Set("X-Consul-Token", kind.token)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	l.answered(name, res.StatusCode)
	if res.ProtoMajor == 2 {
		l.http2.Add(1)
	}
	return nil
}

// TestEnforcedAuditSurvivesKills kills a server with SIGKILL under load. Whatever was answered
// has both its events on disk, whatever was done has its first, and the chain is whole.
func TestEnforcedAuditSurvivesKills(t *testing.T) {
	kills := 6
	if os.Getenv("LICTOR_LONG") != "" {
		kills = 100
	}
	if testing.Short() {
		kills = 2
	}
	files, err := newServerFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(files.dir, "audit.json")
	stanza := writeConfig(t, files, fmt.Sprintf(`
audit {
  enabled = true
  sink "file" {
    type   = "file"
    format = "json"
    path   = %q
    delivery_guarantee = "enforced"
    rotate_bytes = 100000
  }
}`, trail))
	load := &auditLoad{checker: newChecker(), token: files.management}
	for range kills {
		server, err := startServer(files, nil, stanza)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableKeepAlives: true}}
		var working sync.WaitGroup
		for range 8 {
			working.Go(func() {
				for i := 0; load.request(client, "http://"+files.http, i) == nil; i++ {
				}
			})
		}
		enough := load.count() + 100 + rand.IntN(200)
		if err := every(time.Millisecond, func(context.Context) error {
			if n := load.count(); n < enough {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		server.kill()
		working.Wait()
	}
	server, err := startServer(files, nil, stanza)
	if err != nil {
		t.Fatal(err)
	}
	defer server.kill()
	body, err := files.get("/v1/acl/policies")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.signal("INT"); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify([]string{trail}, nil, false)
	if err != nil || len(r.Faults) > 0 || r.First != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	var text strings.Builder
	for _, name := range r.Files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	events, err := auditEvents(text.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := load.check(events, true); err != nil {
		t.Error(err)
	}
	begun := map[string]bool{}
	for _, e := range events {
		begun[e.Payload.Request.UserAgent] = true
	}
	var policies []struct{ Name string }
	if err := json.Unmarshal(body, &policies); err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, p := range policies {
		if name, ours := load.made.Load(p.Name); ours {
			if done++; !begun[name.(string)] {
				t.Errorf("policy %s was made without an event", p.Name)
			}
		}
	}
	t.Logf("%d requests, %d policies made, %d kills; %d events in %d files", len(load.sent), done, kills, len(events), len(r.Files))
}

// TestAClientAgentsTrail runs the documents' stanza on a client agent: what it passes on to a server is in
// its trail once, with whose token it was and whom a login proved to be.
func TestAClientAgentsTrail(t *testing.T) {
	c := auditedCluster(t)
	task, server := c.agents[0], c.servers[0]
	operator := []string{"CONSUL_HTTP_TOKEN=" + c.management}
	server.must(t, operator, "acl", "auth-method", "create", "-type", "aws-iam", "-name", "m",
		"-config", `{"BoundIAMPrincipalArns": ["arn:aws:iam::123456789012:role/consul-ecs/*"], "EnableIAMEntityDetails": true}`)
	server.must(t, operator, "acl", "binding-rule", "create", "-method", "m", "-bind-type", "service", "-bind-name", "${entity_name}")
	token := filepath.Join(task.dir, "token")
	env := append(c.roleOf(task, "consul-ecs/web"), c.env...)
	task.must(t, env, "login", "-type", "aws-iam", "-method", "m", "-aws-region", region, "-aws-auto-bearer-token", "-aws-include-entity", "-token-sink-file", token)
	self := task.must(t, nil, "acl", "token", "read", "-self", "-token-file", token)
	accessor := strings.Fields(strings.SplitAfter(self, "AccessorID:")[1])[0]
	task.must(t, nil, "logout", "-token-file", token)
	count := map[string]int{}
	for _, e := range task.trail(t) {
		p := e.Payload
		if strings.HasPrefix(p.Request.Endpoint, "/v1/acl/") {
			count[strings.Join([]string{p.Stage, p.Request.Endpoint, p.Auth.AccessorID, p.Response.Status, p.Login.Principal, p.Login.AccessorID}, " ")]++
		}
		if p.Auth.AccessorID == accessor && p.Auth.CreateTime.IsZero() || p.Request.ForwardedBy != "" {
			t.Errorf("got %+v", p)
		}
	}
	for _, want := range []string{
		"OperationStart /v1/acl/login " + anonymous + "   ",
		"OperationComplete /v1/acl/login " + anonymous + " 200 arn:aws:iam::123456789012:role/consul-ecs/web " + accessor,
		"OperationStart /v1/acl/token/self " + accessor + "   ",
		"OperationComplete /v1/acl/token/self " + accessor + " 200  ",
		"OperationStart /v1/acl/logout " + accessor + "   ",
		"OperationComplete /v1/acl/logout " + accessor + " 200  ",
	} {
		if count[want] != 1 {
			t.Errorf("%q is there %d times: %v", want, count[want], count)
		}
	}
}
