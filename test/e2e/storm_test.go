package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/logging"
)

const (
	awsTime     = 20 * time.Millisecond // that the local AWS takes for a call, as the real one does
	mostMemory  = 400 << 20             // of a server under attack, resident
	honestExtra = 2 * time.Second       // that a machine which runs the attackers and AWS as well may add to one login
	honestHost  = "127.0.0.99"
)

// besieged is a server that strangers attack while somebody honest uses it.
type besieged struct {
	t      *testing.T
	files  *serverFiles
	server *server
	aws    *localAWS
}

func newBesieged(t *testing.T) *besieged {
	t.Helper()
	a, err := startAWS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	a.fault.Store(&awslocal.Fault{Delay: awsTime})
	files, err := newServerFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := startServer(files, append(a.environ(), "GOMEMLIMIT="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.kill)
	b := &besieged{t: t, files: files, server: srv, aws: a}
	b.addMethod()
	return b
}

// addMethod lets the tasks of the local AWS log in.
func (b *besieged) addMethod() {
	b.t.Helper()
	client, err := api.NewClient(&api.Config{Address: b.files.http, Token: b.files.management})
	if err != nil {
		b.t.Fatal(err)
	}
	_, _, err = client.ACL().AuthMethodCreate(&api.ACLAuthMethod{
		Name: "ecs", Type: "aws-iam", MaxTokenTTL: time.Hour, Config: map[string]any{
			"BoundIAMPrincipalARNs": []string{"arn:aws:iam::" + awslocal.DemoAccount + ":role/consul-ecs/*"}, "EnableIAMEntityDetails": true,
			"IAMEntityTags": []string{"consul.hashicorp.com.service-name"}, "ServerIDHeaderValue": serverID,
		},
	}, nil)
	if err == nil {
		_, _, err = client.ACL().BindingRuleCreate(&api.ACLBindingRule{
			AuthMethod: "ecs", BindType: api.BindingRuleBindTypeService, BindName: "${entity_tags.consul.hashicorp.com.service-name}",
		}, nil)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// credentials are those of a task, as its endpoint hands them out.
type credentials struct{ AccessKeyId, SecretAccessKey, Token string }

// credentials returns those of a new task.
func (b *besieged) credentials() (keys credentials) {
	b.t.Helper()
	task, err := b.aws.startTask("consul-ecs/web")
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.Get(task.CredentialsURI)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		b.t.Fatal(err)
	}
	return keys
}

// bearer makes a bearer token with the credentials of a new task.
func (b *besieged) bearer() string {
	b.t.Helper()
	keys := b.credentials()
	b.t.Setenv("AWS_ENDPOINT_URL_STS", b.aws.URL())
	token, err := awsiam.NewBearerToken(b.t.Context(), awsiam.BearerInput{
		Region: region, ServerIDHeaderValue: serverID, IncludeEntity: true,
		AccessKeyID: keys.AccessKeyId, SecretAccessKey: logging.Secret(keys.SecretAccessKey), SessionToken: logging.Secret(keys.Token),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return token.Reveal()
}

// bearers makes those that an honest client logs in with.
func (b *besieged) bearers() []string {
	b.t.Helper()
	all := make([]string, 10)
	for i := range all {
		all[i] = b.bearer()
	}
	return all
}

// login sends a bearer token and returns the status.
func (b *besieged) login(client *http.Client, bearer string) (*http.Response, error) {
	body, err := json.Marshal(map[string]string{"AuthMethod": "ecs", "BearerToken": bearer})
	if err != nil {
		return nil, err
	}
	resp, err := client.Post("http://"+b.files.http+"/v1/acl/login", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp, err
}

// honest logs in with each token, one after the other, and returns how long each took.
func (b *besieged) honest(client *http.Client, bearers []string) []time.Duration {
	b.t.Helper()
	var took []time.Duration
	for _, bearer := range bearers {
		begun := time.Now()
		resp, err := b.login(client, bearer)
		if err != nil {
			b.t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			b.t.Errorf("an honest login is answered %s", resp.Status)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took
}

// memory returns the resident bytes of the server: now, and the most that they were.
func (b *besieged) memory() (now, most int64) {
	b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.server.cmd.Process.Pid))
	if err != nil {
		b.t.Skip("memory is measured on Linux")
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = n << 10
		case "VmHWM":
			most = n << 10
		}
	}
	return now, most
}

// unharmed fails where somebody honest has waited for long, or the server has taken much memory.
func (b *besieged) unharmed(calm, besieged []time.Duration) {
	b.t.Helper()
	now, most := b.memory()
	median := func(d []time.Duration) time.Duration { return d[len(d)/2].Round(time.Millisecond) }
	last := func(d []time.Duration) time.Duration { return d[len(d)-1].Round(time.Millisecond) }
	b.t.Logf("an honest login takes %v in the median and at most %v when all is calm, %v and %v under attack; memory %d MiB, at most %d MiB",
		median(calm), last(calm), median(besieged), last(besieged), now>>20, most>>20)
	extra := max(honestExtra, limitOfTheMoment())
	if median(besieged) > 2*median(calm)+extra/10 || last(besieged) > 3*last(calm)+extra {
		b.t.Error("an honest client is kept waiting")
	}
	if most > mostMemory {
		b.t.Errorf("the server took %d MiB", most>>20)
	}
}

func TestAttack_LoginStorm(t *testing.T) {
	logins := 1990
	if os.Getenv("LICTOR_LONG") != "" {
		logins = 19_900
	}
	b := newBesieged(t)
	bearers := b.bearers()
	strangers := b.gather(storm{Logins: logins, Connections: 150})
	honest := clientFrom(honestHost)
	calm := b.honest(honest, append(bearers, bearers...))
	besieged, report := b.besiege(strangers, honest, bearers)
	if n := report.Statuses[http.StatusOK]; n > 0 {
		t.Errorf("%d bad logins were let in", n)
	}
	b.unharmed(calm, besieged)
}

func TestAttack_SlowAndHostileClients(t *testing.T) {
	const post = "POST /v1/acl/login HTTP/1.1\r\nHost: x\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 8192, strings.Repeat(" ", 8192))
	b := newBesieged(t)
	bearers := b.bearers()
	order := storm{Holds: []hold{
		{Name: "says nothing", Begins: "", Connections: 180, Want: ""},
		{Name: "a header without an end", Begins: "GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nX-A: ", Connections: 180, Want: ""},
		{Name: "a body that stops", Begins: post + "Content-Length: 1000\r\n\r\n{", Connections: 180, Want: "400"},
		{Name: "chunks that stop", Begins: post + "Transfer-Encoding: chunked\r\n\r\n" + chunk, Connections: 180, Want: "400"},
		{Name: "chunks without end", Begins: post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 40), Connections: 180, Want: "413"},
		{Name: "a chunk that lies about its length", Begins: post + "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n{}", Connections: 180, Want: ""},
		{Name: "a chunk of a length that is none", Begins: post + "Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n", Connections: 180, Want: "400"},
		{Name: "announces a terabyte", Begins: post + "Content-Length: 1000000000000\r\n\r\n{}", Connections: 180, Want: "413"},
		{Name: "deep JSON", Begins: post + "Connection: close\r\nContent-Length: 120000\r\n\r\n" + strings.Repeat("[", 120_000), Connections: 180, Want: "400"},
		{Name: "deep objects", Begins: post + "Connection: close\r\nContent-Length: 120000\r\n\r\n" + strings.Repeat(`{"a":`, 24_000), Connections: 180, Want: "400"},
		{Name: "a flood of connections", Begins: "GET /", Connections: 1000, Want: ""},
	}}
	for i := range order.Holds {
		order.Holds[i].From = fmt.Sprintf("127.0.0.%d", 10+i)
	}
	strangers, honest := b.gather(order), clientFrom(honestHost)
	calm := b.honest(honest, bearers)
	besieged, _ := b.besiege(strangers, honest, bearers)
	b.unharmed(calm, besieged)
	after := b.honest(honest, bearers)
	b.unharmed(calm, after)
}

// TestAttack_OneSourceHasItsShareOfConnections opens more connections than one address may have, which stay
// open: others still get theirs.
func TestAttack_OneSourceHasItsShareOfConnections(t *testing.T) {
	b := newBesieged(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mine []net.Conn
	for range 400 {
		conn, err := openFrom(b.files.http, "127.0.0.2", "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil {
			continue // the server has closed it
		}
		mine = append(mine, conn)
	}
	open := 0
	for _, conn := range mine {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := conn.Read(make([]byte, 4096)); n > 0 && err == nil {
			open++
		}
	}
	if open == 0 || open > 200 {
		t.Errorf("%d connections of one address are served", open)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.files.http+"/v1/status/leader", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := clientFrom(honestHost).Do(req); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("somebody else: %v %v", resp, err)
	}
	for _, conn := range mine {
		_ = conn.Close()
	}
	now, most := b.memory()
	t.Logf("%d of 400 connections served; memory %d MiB, at most %d MiB", open, now>>20, most>>20)
}
