package cli

import (
	"fmt"
	"strings"
	"testing"
)

const (
	nodeList = `[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Node":"n2","Address":"10.0.0.2","Datacenter":"dc1","TaggedAddresses":{"wan":"192.0.2.2","lan":"10.0.0.2"},"Meta":{"team":"a","env":"x"}},` +
		`{"ID":"","Node":"external","Address":"example.com","Datacenter":"dc1","TaggedAddresses":null,"Meta":null}]`

	instanceList = `[{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Node":"n2","Address":"10.0.0.2","Datacenter":"dc1","ServiceID":"web-1","ServiceName":"web"},` +
		`{"ID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Node":"n2","Address":"10.0.0.2","Datacenter":"dc1","ServiceID":"web-2","ServiceName":"web"}]`

	serviceTags = `{"web":["v2","v1"],"consul":[],"db":["primary"]}`

	nodeServices = `{"Node":{"Node":"n2"},"Services":{"web-1":{"ID":"web-1","Service":"web","Tags":["v2","a"]},"web-2":{"ID":"web-2","Service":"web","Tags":["a"]}}}`

	maintenanceChecks = `{"_service_maintenance:web":{"Node":"n1","CheckID":"_service_maintenance:web","ServiceID":"web","Notes":"new disk"},` +
		`"_node_maintenance":{"Node":"n1","CheckID":"_node_maintenance","Notes":"why"},"other":{"Node":"n1","CheckID":"other"}}`
)

func TestCatalogOutput(t *testing.T) {
	tests := []struct {
		golden, command string
		play            answers
	}{
		{"catalog_datacenters", "catalog datacenters", answers{"GET /v1/catalog/datacenters": `["dc2","dc1"]`}},
		{"catalog_nodes", "catalog nodes", answers{"GET /v1/catalog/nodes": nodeList}},
		{"catalog_nodes_detailed", "catalog nodes -detailed -near _agent -node-meta team=a -partition ecs",
			answers{"GET /v1/catalog/nodes?near=_agent&node-meta=team%3Aa&partition=ecs": nodeList}},
		{"catalog_nodes_service", "catalog nodes -service web -filter ServicePort==80", answers{"GET /v1/catalog/service/web?filter=ServicePort%3D%3D80": instanceList}},
		{"catalog_services", "catalog services -namespace team", answers{"GET /v1/catalog/services?ns=team": serviceTags}},
		{"catalog_services_tags", "catalog services -tags -stale", answers{"GET /v1/catalog/services?stale=": serviceTags}},
		{"catalog_services_node", "catalog services -tags -node n2", answers{"GET /v1/catalog/node/n2": nodeServices}},
		{"maint", "maint", answers{"GET /v1/agent/checks": maintenanceChecks}},
	}
	for _, tc := range tests {
		t.Run(tc.golden, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("exit code %d: %s", got.code, got.err)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

// What finds nothing succeeds, and says so where scripts do not read.
func TestCatalogWithoutMatch(t *testing.T) {
	tests := []struct{ command, line, answer, err string }{
		{"catalog nodes", "GET /v1/catalog/nodes", "[]", "No nodes match the given query - try expanding your search.\n"},
		{"catalog nodes -service x", "GET /v1/catalog/service/x", "[]", "No nodes match the given query - try expanding your search.\n"},
		{"catalog services", "GET /v1/catalog/services", "{}", "No services match the given query - try expanding your search.\n"},
		{"catalog services -node x", "GET /v1/catalog/node/x", "null", "No services match the given query - try expanding your search.\n"},
		{"maint", "GET /v1/agent/checks", "{}", ""},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			got := newAPI(t, answers{tc.line: tc.answer}).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.out != "" || got.err != tc.err {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestMaintenance(t *testing.T) {
	tests := []struct{ command, line, out string }{
		{"maint -enable -reason why", "PUT /v1/agent/maintenance?enable=true&reason=why", "Node maintenance is now enabled\n"},
		{"maint -disable", "PUT /v1/agent/maintenance?enable=false", "Node maintenance is now disabled\n"},
		{"maint -enable -service web", "PUT /v1/agent/service/maintenance/web?enable=true&reason=", `Service maintenance is now enabled for "web"` + "\n"},
		{"maint -disable -service web", "PUT /v1/agent/service/maintenance/web?enable=false", `Service maintenance is now disabled for "web"` + "\n"},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			got := newAPI(t, answers{tc.line: ""}).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" || got.out != tc.out {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestMonitorShowsLinesAsTheyCome(t *testing.T) {
	api := newAPI(t, answers{
		"GET /v1/agent/monitor?loglevel=INFO":               "one\n\ntwo\n",
		"GET /v1/agent/monitor?logjson=true&loglevel=DEBUG": `{"@level":"debug"}` + "\n",
		"GET /v1/agent/monitor?loglevel=bogus":              "400 Unknown log level: bogus",
	})
	if got := api.run(t, "monitor"); got.code != 0 || got.out != "one\n\ntwo\n" {
		t.Errorf("%+v", got)
	}
	if got := api.run(t, "monitor", "-log-json", "-log-level", "DEBUG"); got.code != 0 || got.out != `{"@level":"debug"}`+"\n" {
		t.Errorf("%+v", got)
	}
	if got := api.run(t, "monitor", "-log-level", "bogus"); got.code != 1 ||
		got.err != "Error starting monitor: Unexpected response code: 400 (Unknown log level: bogus)\n" {
		t.Errorf("%+v", got)
	}
}

func TestComplaintsAboutServices(t *testing.T) {
	tests := []struct {
		name, command string
		play          answers
		err           string
	}{
		{"datacenters with an argument", "catalog datacenters x", nil, "Too many arguments (expected 0, got 1)"},
		{"nodes denied", "catalog nodes", answers{"GET /v1/catalog/nodes": "403 no"}, "Error listing nodes: Unexpected response code: 403 (no)"},
		{"services of a bad filter", "catalog services", answers{"GET /v1/catalog/services": "400 no"}, "Error listing services: Unexpected response code: 400 (no)"},
		{"maint both ways", "maint -enable -disable", nil, "Only one of -enable or -disable may be provided"},
		{"maint with a reason alone", "maint -reason x", nil, "Reason may only be provided with -enable"},
		{"maint of a service alone", "maint -service x", nil, "Service requires either -enable or -disable"},
		{"maint of an unknown service", "maint -enable -service x", answers{"PUT /v1/agent/service/maintenance/x?enable=true&reason=": "404 Unknown service ID"},
			"Error enabling service maintenance: Unexpected response code: 404 (Unknown service ID)"},
		{"register nothing", "services register", nil, "Service registration requires at least one argument or flags."},
		{"register a file and options", "services register -id x file.hcl", nil, "Service registration requires arguments or -id, not both."},
		{"register a missing file", "services register nosuch.hcl", nil, "Failed to load data: Failed to read file: open nosuch.hcl: no such file or directory"},
		{"register a bad address", "services register -name a -tagged-address lan=here", nil, "Tagged address malformed: address here: missing port in address"},
		{"register refused", "services register -name a", answers{"PUT /v1/agent/service/register": "400 Invalid service address"},
			`Error registering service "a": Unexpected response code: 400 (Invalid service address)`},
		{"deregister nothing", "services deregister", nil, "Service deregistration requires at least one argument or -id."},
		{"deregister an unknown one", "services deregister -id x", answers{
			"PUT /v1/agent/service/deregister/x": `404 Unknown service ID "x". Ensure that the service ID is passed, not the service name.`},
			`Error deregistering service "": Unexpected response code: 404 (Unknown service ID "x". Ensure that the service ID is passed, not the service name.)`},
		{"watch nothing", "watch", nil, "Watch type must be specified"},
		{"watch an unknown type", "watch -type bogus", nil, "Unsupported watch type: bogus"},
		{"watch no key", "watch -type key", nil, "Must specify a single key to watch"},
		{"watch denied", "watch -type nodes", answers{"GET /v1/catalog/nodes": "403 no"}, "Error querying Consul agent: Unexpected response code: 403 (no)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 1 || got.out != "" || got.err != tc.err+"\n" {
				t.Errorf("exit code %d, stdout %q\ngot  %q\nwant %q", got.code, got.out, got.err, tc.err)
			}
		})
	}
}

func TestWatchPrintsWhatIsThere(t *testing.T) {
	api := newAPI(t, answers{"GET /v1/catalog/services?dc=dc1": `{"web":["a"]}`, "GET /v1/kv/x": "404 "})
	if got := api.run(t, "watch", "-type", "services", "-datacenter", "dc1"); got.code != 0 || got.out != "{\n    \"web\": [\n        \"a\"\n    ]\n}\n" {
		t.Errorf("%+v", got)
	}
	if got := api.run(t, "watch", "-type", "key", "-key", "x"); got.code != 0 || got.out != "null\n" {
		t.Errorf("%+v", got)
	}
}

func TestHandlersOfWatch(t *testing.T) {
	env := &Env{Getenv: func(string) string { return "" }}
	for _, tc := range []struct {
		args  []string
		shell bool
		want  string
	}{
		{[]string{"echo", "a b"}, true, `[echo a b] "/bin/sh" ""`},
		{[]string{"echo", "a b"}, false, `[echo a b] "" ""`},
		{[]string{"https://x/y"}, true, `[] "" "https://x/y"`},
	} {
		h := handlerOf(env, tc.args, tc.shell)
		if got := fmt.Sprintf("%v %q %q", h.Args, h.Shell, h.URL); got != tc.want || tc.shell && len(h.Args) > 1 {
			t.Errorf("%q: %s", tc.args, got)
		}
	}
}
