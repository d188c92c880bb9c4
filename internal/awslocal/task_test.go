package awslocal

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func startTask(t *testing.T, s *Server, spec TaskSpec) Task {
	t.Helper()
	task, err := s.StartTask(spec)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func get(t *testing.T, url string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := send(t, r)
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("got Content-Type %q", kind)
	}
	if err := json.Unmarshal([]byte(got.body), into); err != nil {
		t.Fatalf("%s: %v", got.body, err)
	}
	return got.status
}

func keyOf(t *testing.T, task Task) (aws.Credentials, containerCredentials) {
	t.Helper()
	var c containerCredentials
	if status := get(t, task.CredentialsURI, &c); status != 200 {
		t.Fatalf("credentials: got %d", status)
	}
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.Token}, c
}

func TestTaskHasItsRole(t *testing.T) {
	c := newClock()
	s := start(t, Demo(), Options{Now: c.now})
	task := startTask(t, s, TaskSpec{Role: "web"})
	key, issued := keyOf(t, task)
	if want := "arn:aws:iam::123456789012:role/consul-ecs/web"; issued.RoleArn != want {
		t.Errorf("role %s", issued.RoleArn)
	}
	if want := c.now().Add(taskCredentialLife); !issued.Expiration.Equal(want) {
		t.Errorf("expires %s, want %s", issued.Expiration, want)
	}
	got := ask(t, s, key, "sts", identityBody)
	expect(t, got, 200, "<Arn>arn:aws:sts::123456789012:assumed-role/web/"+task.ID+"</Arn>")
	expect(t, got, 200, "<UserId>AROADEMO000000000WEB1:"+task.ID+"</UserId>")

	got = ask(t, s, key, "iam", "Action=GetRole&RoleName=web&Version=2010-05-08")
	expect(t, got, 200, "<Path>/consul-ecs/</Path>")
	expect(t, got, 200, "<Tags><member><Key>consul.hashicorp.com.namespace</Key><Value>team-1</Value></member><member><Key>consul.hashicorp.com.service-name</Key><Value>web</Value></member></Tags>")

	expect(t, ask(t, s, key, "iam", "Action=GetRole&RoleName=api&Version=2010-05-08"), 403, "<Code>AccessDenied</Code>")
	expect(t, ask(t, s, key, "iam", "Action=GetRole&RoleName=nobody&Version=2010-05-08"), 403, "<Code>AccessDenied</Code>")
	expect(t, ask(t, s, key, "iam", "Action=GetUser&Version=2010-05-08"), 400, "<Code>ValidationError</Code>")
	expect(t, ask(t, s, key, "sts", "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/consul-ecs/api&RoleSessionName=me&Version=2011-06-15"), 403, "<Code>AccessDenied</Code>")
}

func TestRoleThatMayNotReadItself(t *testing.T) {
	s := start(t, Demo(), Options{})
	key, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "no-getrole"}))
	expect(t, ask(t, s, key, "sts", identityBody), 200, ":assumed-role/no-getrole/")
	expect(t, ask(t, s, key, "iam", "Action=GetRole&RoleName=no-getrole&Version=2010-05-08"), 403, "is not authorized to perform: iam:GetRole on resource: role no-getrole")
}

func TestTemporaryCredentialsNeedTheirSessionToken(t *testing.T) {
	s := start(t, Demo(), Options{})
	key, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "web"}))
	other, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "web"}))
	for name, token := range map[string]string{"none": "", "another task's": other.SessionToken, "cut short": key.SessionToken[1:]} {
		t.Run(name, func(t *testing.T) {
			bad := key
			bad.SessionToken = token
			expect(t, ask(t, s, bad, "sts", identityBody), 403, "<Code>InvalidClientTokenId</Code>")
		})
	}
}

func TestCredentialsExpire(t *testing.T) {
	c := newClock()
	s := start(t, Demo(), Options{Now: c.now})
	task := startTask(t, s, TaskSpec{Role: "web"})
	key, first := keyOf(t, task)

	c.add(taskCredentialLife - taskCredentialLeft)
	if _, same := keyOf(t, task); same.AccessKeyID != first.AccessKeyID {
		t.Error("credentials with an hour left were replaced")
	}
	c.add(time.Second)
	fresh, second := keyOf(t, task)
	if second.AccessKeyID == first.AccessKeyID {
		t.Error("credentials with less than an hour left were not replaced")
	}
	expect(t, ask(t, s, key, "sts", identityBody), 200, "web")

	c.add(taskCredentialLeft)
	expect(t, ask(t, s, key, "sts", identityBody), 403, "<Code>ExpiredToken</Code>")
	expect(t, ask(t, s, fresh, "sts", identityBody), 200, "web")

	s.mu.Lock()
	s.purge()
	s.mu.Unlock()
	expect(t, ask(t, s, key, "sts", identityBody), 403, "<Code>InvalidClientTokenId</Code>")
	expect(t, ask(t, s, demoKey, "sts", identityBody), 200, "operator")
}

func TestStoppedTaskHasNothing(t *testing.T) {
	s := start(t, Demo(), Options{})
	task, other := startTask(t, s, TaskSpec{Role: "web"}), startTask(t, s, TaskSpec{Role: "web"})
	key, _ := keyOf(t, task)
	otherKey, _ := keyOf(t, other)
	if !s.StopTask(task.ID) || s.StopTask(task.ID) {
		t.Error("a task does not stop exactly once")
	}
	expect(t, ask(t, s, key, "sts", identityBody), 403, "<Code>InvalidClientTokenId</Code>")
	for _, uri := range []string{task.CredentialsURI, task.MetadataURI, task.MetadataURI + "/task"} {
		var refused struct{ Code string }
		if status := get(t, uri, &refused); status != 404 || refused.Code == "" {
			t.Errorf("%s: got %d %+v", uri, status, refused)
		}
	}
	expect(t, ask(t, s, otherKey, "sts", identityBody), 200, other.ID)
}

func TestTaskMetadata(t *testing.T) {
	s := start(t, Demo(), Options{})
	task := startTask(t, s, TaskSpec{
		Role: "arn:aws:iam::123456789012:role/consul-ecs/api", Cluster: "prod", Family: "api-family",
		Region: "us-west-2", IPv4: "10.0.3.17", Containers: []string{"app", "sidecar-proxy"},
	})
	if want := "arn:aws:ecs:us-west-2:123456789012:task/prod/" + task.ID; task.ARN != want {
		t.Errorf("task %s", task.ARN)
	}
	var m taskMetadata
	if status := get(t, task.MetadataURI+"/task", &m); status != 200 {
		t.Fatalf("got %d", status)
	}
	if m.Cluster != "arn:aws:ecs:us-west-2:123456789012:cluster/prod" || m.TaskARN != task.ARN ||
		m.Family != "api-family" || m.AvailabilityZone != "us-west-2a" || len(m.Containers) != 2 || m.Containers[1].Name != "sidecar-proxy" {
		t.Errorf("got %+v", m)
	}
	var c containerMetadata
	if status := get(t, task.MetadataURI, &c); status != 200 {
		t.Fatalf("got %d", status)
	}
	if c.Name != "app" || c.DockerID == "" || c.Networks[0].IPv4Addresses[0] != "10.0.3.17" || c.Networks[0].PrivateDNSName != "ip-10-0-3-17.us-west-2.compute.internal" {
		t.Errorf("got %+v", c)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", task.CredentialsURI, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, r); got.status != 405 {
		t.Errorf("POST: got %d", got.status)
	}
}

func TestStartTaskRefuses(t *testing.T) {
	f := Demo()
	f.Accounts[0].Roles = append(f.Accounts[0].Roles, Role{Name: "untrusting", ID: "AROADEMO00UNTRUSTING1"})
	f.Accounts = append(f.Accounts, Account{ID: "210987654321", Roles: []Role{{Name: "web", ID: "AROAOTHER00000000WEB1"}}})
	s := start(t, f, Options{})
	tests := []struct {
		name string
		spec TaskSpec
		want string
	}{
		{"a role that is not there", TaskSpec{Role: "nobody"}, `0 roles are called "nobody"`},
		{"a user", TaskSpec{Role: "operator"}, "0 roles"},
		{"a name that two accounts have", TaskSpec{Role: "web"}, "2 roles"},
		{"a role that does not trust ECS", TaskSpec{Role: "untrusting"}, "does not trust ecs-tasks.amazonaws.com"},
		{"a bad cluster", TaskSpec{Role: "api", Cluster: "a/b"}, `"a/b" is not a name`},
		{"a bad region", TaskSpec{Role: "api", Region: "Oregon"}, `"Oregon" is not a region`},
		{"a bad address", TaskSpec{Role: "api", IPv4: "::1"}, `"::1" is not an IPv4 address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := s.StartTask(tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	idle, err := New(Demo(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idle.StartTask(TaskSpec{Role: "web"}); err == nil {
		t.Error("a task started before the server")
	}
}

func TestTasksComeAndGoTogether(t *testing.T) {
	s := start(t, Demo(), Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				task, err := s.StartTask(TaskSpec{Role: "web"})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.taskCredentials(strings.TrimPrefix(task.CredentialsURI, s.URL()+credentialsPath), new(Call)); err != nil {
					t.Error(err.message)
				}
				s.StopTask(task.ID)
			}
		})
	}
	wg.Wait()
	if n := len(s.credentials); n != 1 {
		t.Errorf("%d credentials are left, want the operator's", n)
	}
}
