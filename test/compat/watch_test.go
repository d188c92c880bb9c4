package compat

import (
	"encoding/json"

	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"
)

// TestWatchesOfThePublishedClient runs its watch package, unchanged: each plan tells of what there is, and
// then of what has changed.
func TestWatchesOfThePublishedClient(t *testing.T) {
	w := newWorld(t, management)
	c := w.client(management, "", "")
	service := func(status string, tags ...string) *api.CatalogRegistration {
		return &api.CatalogRegistration{
			Node: "ext", Address: "10.0.0.1", Service: &api.AgentService{ID: "web-1", Service: "web", Tags: tags, Port: 80},
			Check: &api.AgentCheck{Node: "ext", CheckID: "alive", Name: "alive", ServiceID: "web-1", Status: status},
		}
	}
	register := func(r *api.CatalogRegistration) func(*testing.T) {
		return func(t *testing.T) {
			if _, err := c.Catalog().Register(r, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(key, value string) func(*testing.T) {
		return func(t *testing.T) {
			if _, err := c.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	register(service("passing", "v1"))(t)
	for _, tc := range []struct {
		name   string
		params map[string]any
		change func(*testing.T)
		tells  string // in the JSON of what the change makes it tell
	}{
		{"a key", map[string]any{"type": "key", "key": "a"}, put("a", "later"), `"Key":"a"`},
		{"a prefix", map[string]any{"type": "keyprefix", "prefix": "dir/"}, put("dir/b", "x"), `"Key":"dir/b"`},
		{"services", map[string]any{"type": "services"}, register(service("passing", "v1", "blue")), `"web":["blue","v1"]`},
		{"nodes", map[string]any{"type": "nodes"}, register(&api.CatalogRegistration{Node: "new", Address: "10.0.0.2"}), `"Node":"new"`},
		{"a service", map[string]any{"type": "service", "service": "web"}, register(service("warning", "v1")), `"Status":"warning"`},
		{"a service with a tag that passes", map[string]any{"type": "service", "service": "web", "tag": "green", "passingonly": true},
			register(service("passing", "green")), `"green"`},
		{"checks of a service", map[string]any{"type": "checks", "service": "web"}, register(service("critical", "v1")), `"Status":"critical"`},
		{"checks in a state", map[string]any{"type": "checks", "state": "warning"}, register(service("warning", "v1")), `"CheckID":"alive"`},
		{"a service with a filter", map[string]any{"type": "service", "service": "web", "filter": `"red" in Service.Tags`}, register(service("passing", "red")), `"red"`},
		{"a service of the agent", map[string]any{"type": "agent_service", "service_id": "own"}, func(t *testing.T) {
			if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "own", Port: 81}); err != nil {
				t.Fatal(err)
			}
		}, `"Port":81`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.params["type"] == "agent_service" { // one that is not there is an error and not watched
				if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "own", Port: 80}); err != nil {
					t.Fatal(err)
				}
			}
			tc.params["token"] = management
			plan, err := watch.Parse(tc.params)
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan string, 64)
			plan.Handler = func(_ uint64, what any) {
				text, err := json.Marshal(what)
				if err != nil {
					t.Error(err)
				}
				told <- string(text)
			}
			ended := make(chan error, 1)
			go func() { ended <- plan.RunWithClientAndHclog(c, hclog.New(&hclog.LoggerOptions{Output: t.Output()})) }()
			defer func() {
				plan.Stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			late := time.After(20 * time.Second)
			changed := false
			for {
				// What is not there yet, a key or a prefix, is told of only once it is.
				if quiet := tc.params["type"] == "key" || tc.params["type"] == "keyprefix"; !changed && quiet {
					tc.change(t)
					changed = true
				}
				select {
				case text := <-told:
					if changed && strings.Contains(text, tc.tells) {
						return
					}
					if !changed {
						if strings.Contains(text, tc.tells) {
							t.Fatalf("told before the change: %s", text)
						}
						tc.change(t)
						changed = true
					}
				case <-late:
					t.Fatal("nothing was told")
				}
			}
		})
	}
}
