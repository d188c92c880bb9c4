package ecs

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func (w *world) syncer(configuration string) *syncer {
	w.t.Helper()
	in := inTask{config: w.config(configuration), metadata: w.metadata(), log: w.logger(), getenv: func(string) string { return "" }}
	s := &syncer{inTask: in, interval: time.Millisecond, sent: map[string]string{}}
	var err error
	if s.task, err = s.metadata.Task(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := s.connect(); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// told is the request that tells the agent of a container's health.
func told(container, status, seen string) string {
	return fmt.Sprintf("PUT /v1/agent/check/update/shop-0123abcd-%s-consul-ecs  "+
		`{"Status":"%s","Output":"ECS health status is \"%s\" for task \"shop-0123abcd-%[1]s-consul-ecs\""}`, container, status, seen)
}

func TestHealthFollowsTheContainers(t *testing.T) {
	w := newWorld(t)
	w.set("app", "UNKNOWN")
	s := w.syncer(`{"bootstrapDir":"/c","healthSyncContainers":["app","late"]}`)
	done := make(chan struct{})
	ctx, stop := untilTerminated(t.Context(), &Env{})
	go func() {
		s.follow(ctx)
		close(done)
	}()
	expect := func(what, want string) {
		t.Helper()
		if got := w.next(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	expect("an unknown health is critical", told("app", "critical", "UNKNOWN"))
	expect("a container that is not there is critical, and said so once", told("late", "critical", "UNHEALTHY"))
	w.set("app", "HEALTHY")
	expect("healthy", told("app", "passing", "HEALTHY"))
	w.set("late", "HEALTHY")
	expect("it has started", told("late", "passing", "HEALTHY"))
	w.set("app", "UNHEALTHY")
	expect("unhealthy", told("app", "critical", "UNHEALTHY"))
	stop()
	<-done
}

func TestAnUpdateThatFailsIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.set("app", "HEALTHY")
	var failures atomic.Int32
	w.answer = func(*http.Request, string) (int, any) {
		if failures.Add(1) <= 2 {
			return http.StatusInternalServerError, "down"
		}
		return http.StatusOK, nil
	}
	s := w.syncer(`{"bootstrapDir":"/c","healthSyncContainers":["app"]}`)
	done := make(chan struct{})
	ctx, stop := untilTerminated(t.Context(), &Env{})
	go func() {
		s.follow(ctx)
		close(done)
	}()
	for range 3 {
		if got := w.next(); got != told("app", "passing", "HEALTHY") {
			t.Errorf("got %s", got)
		}
	}
	w.set("app", "UNKNOWN") // the third was accepted: only a change is told now
	if got := w.next(); got != told("app", "critical", "UNKNOWN") {
		t.Errorf("got %s", got)
	}
	stop()
	<-done
}

// What is on its way at the end arrives before the checks become critical, or it could make them healthy again.
func TestAnUpdateIsNotBrokenOffByTheEnd(t *testing.T) {
	w := newWorld(t)
	w.set("app", "HEALTHY")
	s := w.syncer(`{"bootstrapDir":"/c","healthSyncContainers":["app"]}`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w.answer = func(*http.Request, string) (int, any) {
		stop()
		return http.StatusOK, nil
	}
	s.follow(ctx)
	if s.sent["app"] != "HEALTHY" {
		t.Errorf("the agent was told %q; log:\n%s", s.sent, w.log)
	}
}

func TestTheEnd(t *testing.T) {
	tests := []struct {
		name    string
		logouts []int // what the servers answer, in turn
		code    int
		want    []string
	}{
		{"both tokens are logged out", []int{200, 200}, 0, []string{"svc", "cli"}},
		{"a logout is repeated", []int{500, 200, 200}, 0, []string{"svc", "svc", "cli"}},
		{"a token that is gone is logged out", []int{403, 200}, 0, []string{"svc", "cli"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("app", "HEALTHY")
			w.write(serviceTokenFile, "svc\n")
			w.write(clientTokenFile, "cli")
			answers := tc.logouts
			w.answer = func(r *http.Request, _ string) (int, any) {
				switch r.URL.Path {
				case "/v1/acl/logout":
					code := answers[0]
					answers = answers[1:]
					return code, map[int]any{200: nil, 500: "No cluster leader", 403: "ACL not found"}[code]
				case "/v1/acl/token/self":
					return http.StatusOK, map[string]any{"SecretID": "x"}
				}
				return http.StatusOK, nil
			}
			signals := make(chan os.Signal, 1)
			env := w.env(fmt.Sprintf(`{"bootstrapDir":%q,"healthSyncContainers":["app"],"consulLogin":{"enabled":true}}`, w.dir), signals)
			code := make(chan int)
			go func() { code <- Run(t.Context(), env, []string{"health-sync"}) }()
			for !strings.Contains(w.next(), `"Status":"passing"`) {
			}
			signals <- syscall.SIGTERM
			if got := <-code; got != tc.code {
				t.Errorf("exit code %d:\n%s", got, w.log)
			}
			var after []string
			critical := false
			for _, r := range w.asked() {
				if strings.Contains(r, `"Status":"critical"`) {
					critical = true
				}
				if strings.HasPrefix(r, "PUT /v1/acl/logout ") || strings.HasPrefix(r, "POST /v1/acl/logout ") {
					if !critical {
						t.Error("logged out before the checks were critical")
					}
					after = append(after, strings.Fields(r)[2])
				}
			}
			if strings.Join(after, " ") != strings.Join(tc.want, " ") {
				t.Errorf("logouts of %q, want %q", after, tc.want)
			}
		})
	}
}

func TestMetadataMayComeLate(t *testing.T) {
	w := newWorld(t)
	w.set("app", "HEALTHY")
	w.silent = 2
	signals := make(chan os.Signal, 1)
	env := w.env(fmt.Sprintf(`{"bootstrapDir":%q,"healthSyncContainers":["app"]}`, w.dir), signals)
	code := make(chan int)
	go func() { code <- Run(t.Context(), env, []string{"health-sync"}) }()
	for _, want := range []string{"no metadata", "no metadata", told("app", "passing", "HEALTHY")} {
		if got := w.next(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	signals <- syscall.SIGTERM
	if got := <-code; got != 0 {
		t.Errorf("exit code %d:\n%s", got, w.log)
	}
}

func TestATaskThatEndsBeforeItsMetadataComesLogsOut(t *testing.T) {
	w := newWorld(t)
	w.silent = -1
	w.write(serviceTokenFile, "svc")
	w.write(clientTokenFile, "cli")
	signals := make(chan os.Signal, 1)
	env := w.env(fmt.Sprintf(`{"bootstrapDir":%q,"healthSyncContainers":["app"],"consulLogin":{"enabled":true}}`, w.dir), signals)
	code := make(chan int)
	go func() { code <- Run(t.Context(), env, []string{"health-sync"}) }()
	w.next()
	signals <- syscall.SIGTERM
	if got := <-code; got != 0 {
		t.Errorf("exit code %d:\n%s", got, w.log)
	}
	for _, token := range []string{"svc", "cli"} {
		if !slices.ContainsFunc(w.asked(), func(r string) bool {
			return strings.HasPrefix(r, "POST /v1/acl/logout "+token) || strings.HasPrefix(r, "PUT /v1/acl/logout "+token)
		}) {
			t.Errorf("no logout of %s in %q", token, w.asked())
		}
	}
}

func TestALogoutWithoutItsFileFails(t *testing.T) {
	w := newWorld(t)
	w.write(serviceTokenFile, "svc")
	s := w.syncer(fmt.Sprintf(`{"bootstrapDir":%q,"consulLogin":{"enabled":true}}`, w.dir))
	err := s.farewell(t.Context())
	if err == nil || !strings.Contains(err.Error(), "creating client for logout: ") || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("got %v", err)
	}
}

func TestTokensAreRenewed(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339Nano) }
	token := func(created, expires time.Duration) any {
		return map[string]any{"SecretID": "svc", "CreateTime": in(created), "ExpirationTime": in(expires)}
	}
	tests := []struct {
		name     string
		self     any
		renew    int
		requests int
		err      string
		least    time.Duration
	}{
		{"one that never ends", map[string]any{"SecretID": "svc", "CreateTime": in(0)}, 200, 1, "", time.Minute},
		{"a new one", token(-time.Minute, time.Hour), 200, 1, "", 15 * time.Minute},
		{"one that has lived a while", token(-40*time.Minute, 20*time.Minute), 200, 2, "", 15 * time.Minute},
		{"one at the end of its lifetime", token(-40*time.Minute, 20*time.Minute), 403, 2, "login: ", 0},
		{"servers that cannot renew", token(-40*time.Minute, 20*time.Minute), 405, 2, "login: ", 0},
		{"servers that are down", token(-40*time.Minute, 20*time.Minute), 500, 2, "500", 0},
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(serviceTokenFile, "svc")
			w.answer = func(r *http.Request, _ string) (int, any) {
				if r.URL.Path == "/v1/acl/token/self" {
					return 200, tc.self
				}
				if tc.renew != 200 {
					return tc.renew, "no"
				}
				return 200, token(-40*time.Minute, time.Hour)
			}
			s := w.syncer(fmt.Sprintf(`{"bootstrapDir":%q,"consulLogin":{"enabled":true}}`, w.dir))
			wait, err := s.renewal().look(t.Context(), serviceTokenFile)
			if tc.err == "" && (err != nil || wait < tc.least) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("look again in %v, %v", wait, err)
			}
			if len(w.asked()) != tc.requests {
				t.Errorf("%d requests: %q", len(w.asked()), w.asked())
			}
		})
	}
}

// A client token that cannot be renewed is replaced by one of the auth method that it is from.
func TestAnotherLoginIsWithTheTokensMethod(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	w := newWorld(t)
	w.write(serviceTokenFile, "svc")
	w.write(clientTokenFile, "old")
	w.answer = func(r *http.Request, body string) (int, any) {
		switch r.URL.Path {
		case "/v1/acl/token/self":
			now := time.Now()
			return 200, map[string]any{"AuthMethod": "clients", "CreateTime": now.Add(-time.Hour), "ExpirationTime": now.Add(time.Second)}
		case "/v1/acl/login":
			if !strings.Contains(body, `"AuthMethod":"clients"`) {
				t.Errorf("login with %s", body)
			}
			return 200, map[string]any{"SecretID": "new"}
		case "/v1/acl/token/renew":
			return 403, "no"
		}
		return 200, nil
	}
	s := w.syncer(fmt.Sprintf(`{"bootstrapDir":%q,"consulLogin":{"enabled":true,"includeEntity":false}}`, w.dir))
	if _, err := s.renewal().look(t.Context(), clientTokenFile); err != nil {
		t.Fatal(err)
	}
	if token, err := readToken(w.dir, clientTokenFile); err != nil || token.Reveal() != "new" {
		t.Errorf("the file has another token: %v", err)
	}
}
