package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// synced waits until the catalog has what is registered and nothing else.
func (w *world) synced() {
	w.t.Helper()
	w.catalog.until("in step", func() bool {
		f := w.catalog
		services := w.Services(anyone, tenancy.Scope{Partition: "default", Namespace: "*"})
		checks := w.Checks(anyone, tenancy.Scope{Partition: "default", Namespace: "*"})
		if f.node == nil || len(services) != len(f.services) || len(checks) != len(f.checks) {
			return false
		}
		for _, i := range services {
			there, ok := f.services[key{i.Namespace, i.ID}]
			if !ok || !sameService(&i, &there) {
				return false
			}
		}
		for _, c := range checks {
			if there := f.checks[key{c.Namespace, c.CheckID}]; there.Status != c.Status || there.Output != c.Output {
				return false
			}
		}
		return true
	})
}

func TestTheCatalogFollows(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.add(`{"Name":"web","Connect":{"SidecarService":{}},"Check":{"TTL":"1h"}}`, webSecret)
	w.synced()
	w.report("service:web", "passing", "fine")
	w.synced()
	w.add(`{"Name":"web","Namespace":"team"}`, webSecret)
	w.synced()
	must(t, w.MaintainNode(anyone, true, "", ""))
	w.synced()
	must(t, w.Deregister(anyone, tenancy.Default, "web"))
	w.synced()
	for _, line := range w.catalog.list() {
		want := webSecret.Reveal()
		if strings.Contains(line, "register node by") || strings.Contains(line, nodeMaintenance) {
			want = agentSecret.Reveal()
		}
		if !strings.HasSuffix(line, fmt.Sprintf("by %q", want)) {
			t.Errorf("%s, want %q", line, want)
		}
	}
}

func TestWhatTheCatalogHasAlreadyIsNotWritten(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Tags":["a"],"Port":1,"Connect":{"SidecarService":{"Proxy":{"Config":{"x":1,"y":{"z":[true]}},"Upstreams":[
		{"DestinationName":"db","LocalBindPort":2}]}}},"Check":{"TTL":"1h"}}`, webSecret)
	w.add(`{"Name":"db"}`, "")
	must(t, w.step(t.Context(), true))
	if len(w.catalog.list()) == 0 {
		t.Fatal("nothing was written")
	}
	w.catalog.change(func() { // as servers do for what takes part in the mesh
		k := key{"default", "web-sidecar-proxy"}
		i := w.catalog.services[k]
		i.TaggedAddresses = map[string]catalog.ServiceAddress{catalog.VirtualTag: {Address: "240.0.0.1", Port: 1}}
		w.catalog.services[k] = i
		w.catalog.checks[key{"default", catalog.SerfHealth}] = catalog.Check{CheckID: catalog.SerfHealth, Status: catalog.Passing}
	})
	for range 3 {
		must(t, w.step(t.Context(), true))
		w.add(`{"Name":"db"}`, "")
		must(t, w.step(t.Context(), false))
	}
	if list := w.catalog.list(); len(list) != 0 {
		t.Errorf("written again: %v", list)
	}
	w.open() // a restart
	must(t, w.step(t.Context(), true))
	if list := w.catalog.list(); len(list) != 0 {
		t.Errorf("written after a restart: %v", list)
	}
}

func TestWhatTheCatalogHasOtherwiseIsWritten(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Port":1,"Check":{"TTL":"1h"}}`, webSecret)
	w.add(`{"Name":"tagged","Tags":["mine"],"EnableTagOverride":true}`, webSecret)
	must(t, w.step(t.Context(), true))
	w.catalog.list()
	root := func(id string) key { return key{"default", id} }
	tests := []struct {
		name   string
		change func(f *fakeCatalog)
		want   string
	}{
		{"another port", func(f *fakeCatalog) { i := f.services[root("web")]; i.Port = 2; f.services[root("web")] = i }, "register service web"},
		{"no service", func(f *fakeCatalog) { delete(f.services, root("web")) }, "register service web"},
		{"another status", func(f *fakeCatalog) {
			c := f.checks[root("service:web")]
			c.Status = "passing"
			f.checks[root("service:web")] = c
		}, "register  service:web=critical"},
		{"a service too much", func(f *fakeCatalog) { f.services[root("old")] = catalog.Service{ID: "old"} }, "deregister old"},
		{"a check too much", func(f *fakeCatalog) {
			f.checks[root("old")] = catalog.Check{CheckID: "old", ServiceID: "web"}
		}, "deregister old"},
		{"a node of another address", func(f *fakeCatalog) { f.node.Address = "10.0.0.1" }, "register node"},
		{"tags that others may change", func(f *fakeCatalog) {
			i := f.services[root("tagged")]
			i.Tags = []string{"theirs"}
			f.services[root("tagged")] = i
		}, ""},
	}
	for _, tc := range tests {
		w.catalog.change(func() { tc.change(w.catalog) })
		must(t, w.step(t.Context(), true))
		if got := strings.Join(w.catalog.list(), "; "); tc.want == "" && got != "" || !strings.HasPrefix(got, tc.want) || strings.Contains(got, ";") {
			t.Errorf("%s: wrote %q, want %q", tc.name, got, tc.want)
		}
		must(t, w.step(t.Context(), true))
		if got := w.catalog.list(); len(got) != 0 {
			t.Errorf("%s: wrote again %q", tc.name, got)
		}
	}
	if i, err := w.Service(anyone, tenancy.Default, "tagged"); err != nil || !slices.Equal(i.Tags, []string{"theirs"}) {
		t.Errorf("%v %v", i.Tags, err)
	}
}

func TestAServerKeepsTheServiceConsul(t *testing.T) {
	for _, server := range []bool{true, false} {
		w := newWorld(t, func(c *Config) { c.Server = server })
		w.catalog.change(func() { w.catalog.services[key{"default", "consul"}] = catalog.Service{ID: "consul"} })
		must(t, w.step(t.Context(), true))
		if _, kept := w.catalog.services[key{"default", "consul"}]; kept != server {
			t.Errorf("server %v: kept %v", server, kept)
		}
	}
}

func TestAServiceOutlivesItsToken(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, webSecret)
	must(t, w.step(t.Context(), true))
	w.catalog.list()
	w.catalog.change(func() { w.catalog.refuse[webSecret.Reveal()] = "ACL not found" })
	w.report("service:web", "passing", "")
	must(t, w.step(t.Context(), false))
	want := []string{`register  service:web=passing by "web-token"`, `register  service:web=passing by "agent-token"`}
	if got := w.catalog.list(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	w.catalog.change(func() { w.catalog.refuse[agentSecret.Reveal()] = "Permission denied: …" })
	w.report("service:web", "warning", "")
	must(t, w.step(t.Context(), true))
	if got := w.catalog.services; len(got) != 1 {
		t.Errorf("the catalog has %v", got)
	}
	if !strings.Contains(w.log.String(), "blocked by ACLs") || w.status("service:web") != catalog.Warning {
		t.Errorf("%s", w.log)
	}
	w.catalog.list()
	must(t, w.step(t.Context(), false))
	if got := w.catalog.list(); len(got) != 0 {
		t.Errorf("what is refused is tried again before the next comparison: %q", got)
	}
	w.catalog.change(func() { delete(w.catalog.refuse, agentSecret.Reveal()) })
	must(t, w.step(t.Context(), true))
	if got := w.catalog.checks[key{"default", "service:web"}].Status; got != catalog.Warning {
		t.Error(got)
	}
}

func TestADeniedTokenIsNotReplacedByTheAgents(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web"}`, webSecret)
	w.catalog.change(func() { w.catalog.refuse[webSecret.Reveal()] = "Permission denied: lacks permission" })
	must(t, w.step(t.Context(), true))
	for _, line := range w.catalog.list() {
		if strings.Contains(line, "service web") && strings.Contains(line, agentSecret.Reveal()) {
			t.Error(line)
		}
	}
}

func TestWhatTheAgentMayNotReadIsReadWithItsOwnToken(t *testing.T) {
	w := newWorld(t)
	w.catalog.change(func() { w.catalog.blind[agentSecret.Reveal()] = true })
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, webSecret)
	must(t, w.step(t.Context(), true))
	w.catalog.list()
	must(t, w.step(t.Context(), true))
	if got := w.catalog.list(); len(got) != 0 {
		t.Errorf("written again: %q", got)
	}
}

func TestTheOrderOfTokens(t *testing.T) {
	set := func(token string) func() logging.Secret {
		return func() logging.Secret { return logging.Secret(token) }
	}
	tests := []struct {
		name                     string
		own, file, byDef, agents string
		from                     source
		want                     []string
	}{
		{"its own", "o", "f", "d", "a", fromAPI, []string{"o", "a"}},
		{"of a file, its own", "o", "f", "d", "a", fromFile, []string{"o", "a"}},
		{"of a file", "", "f", "d", "a", fromFile, []string{"f", "a"}},
		{"the default one", "", "f", "d", "a", fromAPI, []string{"d", "a"}},
		{"the agent's", "", "", "", "a", fromAPI, []string{"a"}},
		{"the default one in place of the agent's", "o", "", "d", "", fromAPI, []string{"o", "d"}},
		{"none", "", "", "", "", fromAPI, []string{""}},
	}
	for _, tc := range tests {
		s := &State{cfg: Config{FileToken: set(tc.file), DefaultToken: set(tc.byDef), AgentToken: set(tc.agents)}}
		var got []string
		for _, token := range s.tokensOf(logging.Secret(tc.own), tc.from) {
			got = append(got, token.Reveal())
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q", tc.name, got)
		}
	}
}

func TestNoTokenOfTheEnvironmentIsUsed(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "of-somebody")
	t.Setenv("CONSUL_HTTP_TOKEN_FILE", "/nowhere")
	t.Setenv("CONSUL_NAMESPACE", "elsewhere")
	t.Setenv("CONSUL_PARTITION", "elsewhere")
	w := newWorld(t, func(c *Config) { c.AgentToken = nil })
	w.add(`{"Name":"web"}`, "")
	must(t, w.step(t.Context(), true))
	for _, line := range w.catalog.list() {
		if !strings.HasSuffix(line, `by ""`) {
			t.Error(line)
		}
	}
}

func TestServersComeBack(t *testing.T) {
	w := newWorld(t)
	w.catalog.change(func() { w.catalog.down = true })
	w.add(`{"Name":"web"}`, webSecret)
	if err := w.step(t.Context(), true); err == nil {
		t.Fatal("no error")
	}
	w.run()
	w.catalog.change(func() { w.catalog.down = false })
	w.synced()
}

func TestOneThatFailsDoesNotHoldUpTheOthers(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		w.add(fmt.Sprintf(`{"Name":"web%d"}`, n), logging.Secret(fmt.Sprint("token", n)))
	}
	w.catalog.change(func() { w.catalog.refuse["token2"] = "Permission denied" })
	must(t, w.step(t.Context(), true))
	if got := len(w.catalog.services); got != 4 {
		t.Errorf("%d services", got)
	}
}

func TestNewsOfAnOutputWait(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.CheckUpdates = time.Hour })
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, webSecret)
	w.report("service:web", "passing", "one")
	must(t, w.step(t.Context(), true))
	w.catalog.list()
	w.report("service:web", "passing", "two")
	must(t, w.step(t.Context(), true))
	if got := w.catalog.list(); len(got) != 0 {
		t.Errorf("written: %q", got)
	}
	w.report("service:web", "warning", "three")
	must(t, w.step(t.Context(), false))
	if got := w.catalog.checks[key{"default", "service:web"}]; got.Output != "three" {
		t.Errorf("%+v", got)
	}
	w.report("service:web", "warning", "four")
	w.mu.Lock()
	c := w.checks[key{"default", "service:web"}]
	w.mu.Unlock()
	w.noteLate(c)
	must(t, w.step(t.Context(), false))
	if got := w.catalog.checks[key{"default", "service:web"}]; got.Output != "four" {
		t.Errorf("%+v", got)
	}
}

func TestThePeriodGrowsWithTheCluster(t *testing.T) {
	for members, want := range map[int]time.Duration{0: 1, 1: 1, 128: 1, 129: 2, 256: 2, 257: 3, 512: 3, 513: 4, 1024: 4, 1025: 5} {
		s := &State{cfg: Config{Members: func() int { return members }}}
		if got := s.period(); got != want*time.Minute {
			t.Errorf("%d members: %v", members, got)
		}
	}
}

func TestACriticalServiceIsReaped(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWorld(t, func(c *Config) { c.Now = func() time.Time { return now } })
	w.add(`{"Name":"web","Checks":[{"CheckID":"web","TTL":"10h","DeregisterCriticalServiceAfter":"10s"}]}`, "")
	w.add(`{"Name":"db","Checks":[{"CheckID":"db","TTL":"10h","DeregisterCriticalServiceAfter":"90m"}]}`, "")
	w.add(`{"Name":"api","Checks":[{"CheckID":"api","TTL":"10h","DeregisterCriticalServiceAfter":"10s"}]}`, "")
	w.add(`{"Name":"none","Checks":[{"CheckID":"none","TTL":"10h"}]}`, "")
	steps := []struct {
		name   string
		passed time.Duration
		do     func()
		want   string
	}{
		{"a minute is the least", 50 * time.Second, func() {}, "api db none web"},
		{"one recovered meanwhile", time.Minute, func() { w.report("api", "passing", ""); w.report("api", "critical", "") }, "api db none"},
		{"it was critical all along", time.Minute + time.Second, func() {}, "db none"},
		{"after an hour and a half", 90 * time.Minute, func() {}, "none"},
	}
	for _, s := range steps {
		now = now.Add(s.passed)
		s.do()
		must(t, w.reap())
		var ids []string
		for _, i := range w.Services(anyone, tenancy.Default) {
			ids = append(ids, i.ID)
		}
		if got := strings.Join(ids, " "); got != s.want {
			t.Errorf("%s: %s, want %s", s.name, got, s.want)
		}
	}
}

func TestARestartKeepsWhatWasRegistered(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Port":80,"Tags":["v1"],"Connect":{"SidecarService":{}},"Check":{"TTL":"1h"}}`, webSecret)
	w.add(`{"Name":"web","Port":81,"Namespace":"team"}`, "")
	must(t, w.RegisterCheck(anyone, check.Definition{Name: "disk", HTTP: "http://127.0.0.1:1", Interval: time.Hour}, tenancy.Default, agentSecret))
	must(t, w.MaintainService(anyone, tenancy.Default, "web", true, "repair", webSecret))
	must(t, w.Load([]ServiceDefinition{{Name: "of-a-file"}}, nil))
	w.add(`{"Name":"gone","Check":{"TTL":"1h"}}`, "")
	must(t, w.Deregister(anyone, tenancy.Default, "gone"))
	w.report("service:web", "passing", "fine")
	all := tenancy.Scope{Partition: "default", Namespace: "*"}
	services, checks := w.Services(anyone, all), w.Checks(anyone, all)
	w.open()
	if got := w.Services(anyone, all); len(got) != len(services)-1 {
		t.Errorf("%v", got)
	}
	must(t, w.Load([]ServiceDefinition{{Name: "of-a-file"}}, nil))
	for n, i := range w.Services(anyone, all) {
		if !sameService(&i, &services[n]) {
			t.Errorf("got %+v, want %+v", i, services[n])
		}
	}
	for n, c := range w.Checks(anyone, all) {
		if fmt.Sprint(c) != fmt.Sprint(checks[n]) {
			t.Errorf("got  %+v\nwant %+v", c, checks[n])
		}
	}
	must(t, w.Deregister(anyone, tenancy.Default, "web"))
	if got := w.Services(anyone, tenancy.Default); len(got) != 1 {
		t.Errorf("the sidecar was forgotten: %v", got)
	}
	must(t, w.step(t.Context(), true))
	for _, dir := range []string{servicesDir, checksDir} {
		_ = filepath.WalkDir(filepath.Join(w.cfg.DataDir, dir), func(path string, e os.DirEntry, err error) error {
			if err != nil {
				t.Error(err)
			} else if info, err := e.Info(); !e.IsDir() && (err != nil || info.Mode() != 0o600) {
				t.Errorf("%s: %v %v", path, info.Mode(), err)
			}
			return nil
		})
	}
}

func TestATokenThatIsKeptIsUsed(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web"}`, webSecret)
	w.open()
	must(t, w.step(t.Context(), true))
	if got := w.catalog.list(); !slices.Contains(got, `register service web by "web-token"`) {
		t.Errorf("%q", got)
	}
}

func TestFilesThatCannotBeReadAreLeftOut(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, "")
	dir := filepath.Join(w.cfg.DataDir, servicesDir)
	must(t, os.WriteFile(filepath.Join(dir, "torn"), []byte(`{"Version":1,"Serv`), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "newer"), []byte(`{"Version":2}`), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ".tmp-1"), []byte(`{`), 0o600))
	must(t, os.Remove(w.path(servicesDir, key{"default", "web"}))) // the agent died half-way through its removal
	w.open()
	if services, checks, _, _ := w.Counts(); services != 0 || checks != 0 {
		t.Errorf("%d services, %d checks", services, checks)
	}
	for _, name := range []string{"torn", "newer"} {
		if !strings.Contains(w.log.String(), name) {
			t.Errorf("nothing is said about %s: %s", name, w.log)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp-1")); err == nil {
		t.Error("an unfinished file stays")
	}
}

func TestAReportThatHasExpiredIsNotRestored(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, "")
	w.report("service:web", "passing", "fine")
	must(t, save(w.path(statusDir, key{"default", "service:web"}), false,
		statusFile{"service:web", "passing", "fine", time.Now().Add(-time.Second)}))
	w.open()
	if got := w.status("service:web"); got != catalog.Critical {
		t.Error(got)
	}
}

func TestAnAliasFollowsItsService(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, "")
	w.add(`{"Name":"p","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"},"Check":{"CheckID":"alias","AliasService":"web"}}`, "")
	w.run()
	for _, status := range []string{catalog.Passing, catalog.Warning, catalog.Critical, catalog.Passing} {
		w.report("service:web", status, "")
		w.catalog.until("the alias is "+status, func() bool { return w.catalog.checks[key{"default", "alias"}].Status == status })
	}
}

func TestRunEnds(t *testing.T) {
	w := newWorld(t)
	w.add(`{"Name":"web","Checks":[{"TTL":"1h"},{"TCP":"127.0.0.1:1","Interval":"1h"},{"AliasService":"web"}]}`, "")
	stop := w.run()
	w.synced()
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, w.Run(ctx))
}

func TestAnAliasFollowsAServiceElsewhere(t *testing.T) {
	w := newWorld(t)
	w.catalog.change(func() { w.catalog.elsewhere = []string{catalog.Passing} })
	w.run()
	w.add(`{"Name":"web","Check":{"CheckID":"alias","AliasNode":"n2","AliasService":"db"}}`, webSecret)
	for _, status := range []string{catalog.Passing, catalog.Critical} {
		w.catalog.until("the alias is "+status, func() bool { return w.catalog.checks[key{"default", "alias"}].Status == status })
		w.catalog.change(func() {
			w.catalog.elsewhere = append(w.catalog.elsewhere, catalog.Critical)
			w.catalog.wrote("elsewhere")
		})
	}
}

func TestAnAgentLivesInItsPartition(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Partition = "east" })
	east := tenancy.Scope{Partition: "east", Namespace: "default"}
	d := ServiceDefinition{Name: "web", Check: &check.Definition{TTL: time.Hour}, Scope: east}
	must(t, w.Register(anyone, Registration{Service: d, Token: webSecret}))
	must(t, w.Load([]ServiceDefinition{{Name: "of-a-file"}}, nil))
	must(t, w.step(t.Context(), true))
	w.catalog.list()
	must(t, w.step(t.Context(), true))
	if got := w.catalog.list(); len(got) != 0 {
		t.Errorf("written again: %q", got)
	}
	for k, i := range w.catalog.services {
		if i.Scope != east {
			t.Errorf("%v is in %v", k, i.Scope)
		}
	}
	w.open()
	if services, checks, _, _ := w.Counts(); services != 1 || checks != 1 {
		t.Errorf("%d services, %d checks after a restart", services, checks)
	}
}

func TestWhoeverRegistersFindsItInTheCatalog(t *testing.T) {
	w := newWorld(t)
	w.grace = patience
	w.run()
	w.synced() // it runs
	for n := range 3 {
		w.add(fmt.Sprintf(`{"Name":"web-%d","Check":{"TTL":"1h"}}`, n), webSecret)
		w.catalog.change(func() {
			if _, there := w.catalog.services[key{"default", fmt.Sprintf("web-%d", n)}]; !there {
				t.Errorf("web-%d is registered and not in the catalog", n)
			}
		})
	}
	must(t, w.RegisterCheck(anyone, check.Definition{Name: "disk", TTL: time.Hour}, tenancy.Default, ""))
	w.catalog.change(func() {
		if _, there := w.catalog.checks[key{"default", "disk"}]; !there {
			t.Error("the check is registered and not in the catalog")
		}
	})
	w.catalog.change(func() { w.catalog.down = true })
	w.add(`{"Name":"late"}`, webSecret)
	w.catalog.change(func() { w.catalog.down = false })
	w.synced()
}
