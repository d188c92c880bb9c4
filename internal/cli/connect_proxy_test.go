package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestProxyThatCannotStart(t *testing.T) {
	play := answers{
		"GET /v1/agent/services":         `{}`,
		"GET /v1/agent/service/nope":     "404 unknown service ID: nope",
		"GET /v1/agent/service/web-1":    `{"ID": "web-1", "Service": "web"}`,
		"GET /v1/agent/service/bad-port": `{"Kind": "connect-proxy", "ID": "bad-port", "Service": "p", "Proxy": {"DestinationServiceName": "web", "Config": {"bind_port": "x"}}}`,
	}
	tests := []struct {
		name string
		args []string
		env  map[string]string
		says string
	}{
		{name: "nothing is said", says: "-service or -proxy-id must be specified so that proxy can configure itself."},
		{name: "no sidecar", args: []string{"-sidecar-for", "nope"}, says: "No sidecar proxy registered for nope"},
		{name: "no sidecar, by the environment", env: map[string]string{"CONNECT_SIDECAR_FOR": "nope"}, says: "No sidecar proxy registered for nope"},
		{name: "no such proxy", args: []string{"-proxy-id", "nope"}, says: "failed fetch proxy config from local agent: Unexpected response code: 404 (unknown service ID: nope)"},
		{name: "no such proxy, by the environment", env: map[string]string{"CONNECT_PROXY_ID": "nope"}, says: "failed fetch proxy config from local agent: Unexpected response code: 404 (unknown service ID: nope)"},
		{name: "no proxy", args: []string{"-proxy-id", "web-1"}, says: "service is not a Connect proxy"},
		{name: "a wrong port", args: []string{"-proxy-id", "bad-port"}, says: "the value of bind_port cannot be used: x"},
		{name: "nothing to do", args: []string{"-service", "web"}, says: "there is nothing to do without -listen and -upstream"},
		{name: "nobody to listen for", args: []string{"-service", "web", "-listen", ":1"}, says: "-listen and -service-addr must be set together"},
		{name: "nothing to register", args: []string{"-service", "web", "-upstream", "db:1", "-register"}, says: "-register needs -listen"},
		{name: "an upstream without a port", args: []string{"-service", "web", "-upstream", "db"}, says: `-upstream has to be name:[ip:]port, not "db"`},
		{name: "an upstream without a name", args: []string{"-service", "web", "-upstream", ":80"}, says: `-upstream has to be name:[ip:]port, not ":80"`},
		{name: "an upstream with a wrong port", args: []string{"-service", "web", "-upstream", "db:127.0.0.1:x"}, says: `-upstream has to be name:[ip:]port, not "db:127.0.0.1:x"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server := newAPI(t, play)
			args := append([]string{"connect", "proxy", "-http-addr", server.URL}, tc.args...)
			got := world{env: tc.env}.run(t, args...)
			if got.code != 1 || got.err != "==> Error preparing configuration: "+tc.says+"\n" {
				t.Errorf("code %d, says %q", got.code, got.err)
			}
			if !strings.HasPrefix(got.out, "==> Consul Connect proxy starting...\n") {
				t.Errorf("prints %q", got.out)
			}
		})
	}
}

func TestProxySaysWhatItIs(t *testing.T) {
	server := newAPI(t, answers{
		"GET /v1/agent/services":                  `{"p": {"Kind": "connect-proxy", "ID": "web-sidecar-proxy", "Proxy": {"DestinationServiceName": "web", "DestinationServiceID": "web"}}}`,
		"GET /v1/agent/service/web-sidecar-proxy": `404 gone meanwhile`,
	})
	got := world{}.run(t, "connect", "proxy", "-http-addr", server.URL, "-sidecar-for", "web")
	want := "==> Consul Connect proxy starting...\n    Configuration mode: Agent API\n        Sidecar for ID: web\n              Proxy ID: web-sidecar-proxy\n"
	if got.out != want {
		t.Errorf("prints %q", got.out)
	}
	if !slices.Equal(server.lines(), []string{"GET /v1/agent/services", "GET /v1/agent/service/web-sidecar-proxy"}) {
		t.Errorf("asks %q", server.lines())
	}
	got = world{}.run(t, "connect", "proxy", "-service", "web", "-listen", ":20000", "-service-addr", "127.0.0.1:80", "-upstream", "db:9191", "-upstream", "mq:[::1]:9192", "-upstream", "x:y")
	want = "==> Consul Connect proxy starting...\n    Configuration mode: Flags\n               Service: web\n       Public listener: :20000 => 127.0.0.1:80\n" +
		"              Upstream: db => 127.0.0.1:9191\n              Upstream: mq => [::1]:9192\n"
	if got.out != want {
		t.Errorf("prints %q", got.out)
	}
}
