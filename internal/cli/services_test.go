package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRegisteringServices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.hcl")
	if err := os.WriteFile(file, []byte(`
service {
  name = "web"
  port = 80
  token = "file-token"
  meta { empty = "" }
  check { http = "http://127.0.0.1/up" interval = "10s" }
  connect { sidecar_service {} }
}
service {
  id = "edge-1"
  name = "edge"
  kind = "connect-proxy"
  namespace = "team"
  proxy { destination_service_name = "web" config { local_request_timeout_ms = 0 } }
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	register := answers{"PUT /v1/agent/service/register": "", "PUT /v1/agent/service/register?ns=team": ""}
	tests := []struct {
		name    string
		args    []string
		stdin   string
		out     string
		asked   int
		token   string
		request string // the last one
	}{
		{"from options", []string{"-name", "web", "-id", "web-1", "-port", "80", "-address", "10.0.0.1", "-tag", "a", "-tag", "b", "-meta", "k=v", "-tagged-address", "lan=10.0.0.2:81", "-kind", "x", "-token", "t"}, "",
			"Registered service: web\n", 1, "t",
			`{"Address":"10.0.0.1","ID":"web-1","Kind":"x","Meta":{"k":"v"},"Name":"web","Port":80,"TaggedAddresses":{"lan":{"Address":"10.0.0.2","Port":81}},"Tags":["a","b"]}`},
		{"from a file", []string{"-token", "t", file}, "", "Registered service: web\nRegistered service: edge\n", 2, "t",
			`{"ID":"edge-1","Kind":"connect-proxy","Name":"edge","Namespace":"team","Proxy":{"Config":{"local_request_timeout_ms":0},"DestinationServiceName":"web","Expose":{},"MeshGateway":{},"Mode":""}}`},
		{"from standard input", []string{"-"}, `{"service": {"name": "web", "socket_path": "/run/web", "connect": {"sidecar_service": {}}, "check": {"os_service": "web", "interval": "1s"}}}`, "Registered service: web\n", 1, "",
			`{"Check":{"Interval":"1s","OSService":"web"},"Connect":{"SidecarService":{}},"Name":"web","SocketPath":"/run/web"}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, register)
			w := api.at()
			w.stdin = tc.stdin
			got := w.run(t, append([]string{"services", "register"}, tc.args...)...)
			if got.code != 0 || got.err != "" || got.out != tc.out {
				t.Fatalf("%+v", got)
			}
			last := api.last(t)
			if len(api.asked) != tc.asked || last.body != tc.request || last.token != tc.token {
				t.Errorf("%d requests, the last with token %q\ngot  %s\nwant %s", len(api.asked), last.token, last.body, tc.request)
			}
			if tc.asked == 2 && (api.asked[0].token != "file-token" || strings.Contains(api.asked[0].body, "file-token") || !strings.Contains(api.asked[0].body, `"Meta":{"empty":""}`)) {
				t.Errorf("the first: %+v", api.asked[0])
			}
		})
	}
	t.Run("and deregistering them", func(t *testing.T) {
		api := newAPI(t, answers{"PUT /v1/agent/service/deregister/web": "", "PUT /v1/agent/service/deregister/edge-1?ns=team": "", "PUT /v1/agent/service/deregister/x": ""})
		if got := api.run(t, "services", "deregister", file); got.code != 0 || got.err != "" || got.out != "Deregistered service: web\nDeregistered service: edge-1\n" {
			t.Errorf("%+v", got)
		}
		if got := api.run(t, "services", "deregister", "-id", "x"); got.code != 0 || got.out != "Deregistered service: x\n" {
			t.Errorf("%+v", got)
		}
	})
}

func TestServiceFilesThatAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, text, err string }{
		{"unknown key", `service { name = "a" bogus = 1 }`, "failed to parse -: 1 error occurred:\n\t* invalid config key service.bogus\n\n"},
		{"other settings", `data_dir = "/x"`, "failed to parse -: 1 error occurred:\n\t* invalid config key data_dir\n\n"},
		{"no name", `service { port = 1 }`, "failed to parse -: a service has no name"},
		{"nothing", ``, "No service is defined in -"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newAPI(t, nil).at()
			w.stdin = tc.text
			if got := w.run(t, "services", "register", "-"); got.code != 1 || got.err != tc.err+"\n" {
				t.Errorf("%+v", got)
			}
		})
	}
}
