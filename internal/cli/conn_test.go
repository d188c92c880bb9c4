package cli

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func TestTokenPrecedence(t *testing.T) {
	file, envFile := write(t, "file", "from-file\n"), write(t, "env", " from-env-file\n")
	empty := write(t, "empty", "\n")
	tests := []struct {
		name  string
		flags []string
		env   map[string]string
		want  string
	}{
		{"none", nil, nil, ""},
		{"the environment", nil, map[string]string{"CONSUL_HTTP_TOKEN": "from-env"}, "from-env"},
		{"a file in the environment comes first", nil,
			map[string]string{"CONSUL_HTTP_TOKEN": "from-env", "CONSUL_HTTP_TOKEN_FILE": envFile}, "from-env-file"},
		{"-token comes before both", []string{"-token", "from-flag"},
			map[string]string{"CONSUL_HTTP_TOKEN": "from-env", "CONSUL_HTTP_TOKEN_FILE": envFile}, "from-flag"},
		{"-token-file comes before all, trimmed", []string{"-token", "from-flag", "-token-file", file},
			map[string]string{"CONSUL_HTTP_TOKEN": "from-env", "CONSUL_HTTP_TOKEN_FILE": envFile}, "from-file"},
		{"an empty file says nothing", []string{"-token", "from-flag", "-token-file", empty}, nil, "from-flag"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, answers{"GET /v1/acl/token/self": tokenB})
			w := api.at()
			for name, value := range tc.env {
				w.env[name] = value
			}
			got := w.run(t, append([]string{"acl", "token", "read", "-self"}, tc.flags...)...)
			if got.code != 0 {
				t.Fatal(got.err)
			}
			if token := api.last(t).token; token != tc.want {
				t.Errorf("sent token %q, want %q", token, tc.want)
			}
		})
	}
}

func TestFlagsAndEnvironmentOfARequest(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		env   map[string]string
		line  string
	}{
		{"datacenter and stale", []string{"-datacenter", "dc2", "-stale"}, nil, "GET /v1/acl/policies?dc=dc2&stale="},
		{"tenancy", []string{"-namespace", "team", "-partition", "ecs"}, nil, "GET /v1/acl/policies?ns=team&partition=ecs"},
		{"tenancy of the environment", nil, map[string]string{"CONSUL_NAMESPACE": "team", "CONSUL_PARTITION": "ecs"},
			"GET /v1/acl/policies?ns=team&partition=ecs"},
		{"a flag comes before the environment", []string{"-partition", "flag"}, map[string]string{"CONSUL_PARTITION": "env"},
			"GET /v1/acl/policies?partition=flag"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, answers{tc.line: "[]"})
			w := api.at()
			for name, value := range tc.env {
				w.env[name] = value
			}
			if got := w.run(t, append([]string{"acl", "policy", "list"}, tc.flags...)...); got.code != 0 {
				t.Error(got.err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	api := newAPI(t, answers{"GET /v1/acl/policies": "[]", "GET /prefix/v1/acl/policies": "[]"})
	host := api.Listener.Addr().String()
	secure := httptest.NewUnstartedServer(api.handler(answers{"GET /v1/acl/policies": "[]"}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	secureHost := secure.Listener.Addr().String()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: api.handler(answers{"GET /v1/acl/policies": "[]"})}
	go func() { _ = local.Serve(listener) }()
	defer local.Close()

	tests := []struct {
		name  string
		flags []string
		env   map[string]string
		err   string // substring; "" is success
	}{
		{"host and port", []string{"-http-addr", host}, nil, ""},
		{"http", []string{"--http-addr=http://" + host}, nil, ""},
		{"a slash at the end", []string{"-http-addr", "http://" + host + "/"}, nil, ""},
		{"a prefix", []string{"-http-addr", "http://" + host + "/prefix"}, nil, ""},
		{"a prefix with a slash at the end", []string{"-http-addr", "http://" + host + "/prefix/"}, nil, ""},
		{"a socket", []string{"-http-addr", "unix://" + socket}, nil, ""},
		{"https with the CA", []string{"-http-addr", "https://" + secureHost, "-ca-file", ca}, nil, ""},
		{"https from the environment", nil, map[string]string{"CONSUL_HTTP_ADDR": secureHost, "CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": ca}, ""},
		{"https unverified", []string{"-http-addr", "https://" + secureHost}, map[string]string{"CONSUL_HTTP_SSL_VERIFY": "false"}, ""},
		{"https with a mistyped wish", []string{"-http-addr", "https://" + secureHost}, map[string]string{"CONSUL_HTTP_SSL_VERIFY": "flase"},
			`CONSUL_HTTP_SSL_VERIFY is neither true nor false: "flase"`},
		{"https without the CA", []string{"-http-addr", "https://" + secureHost}, nil, "certificate signed by unknown authority"},
		{"https with another name", []string{"-http-addr", "https://" + secureHost, "-ca-file", ca, "-tls-server-name", "x"}, nil, "not x"},
		{"https to a plain port", []string{"-http-addr", "https://" + host}, nil, "http: server gave HTTP response to HTTPS client"},
		{"another scheme", []string{"-http-addr", "ftp://" + host}, nil, "Error connecting to Consul agent: Unknown protocol scheme: ftp"},
		{"no CA file", []string{"-http-addr", host, "-ca-file", "/nope"}, nil, "Error loading CA File: open /nope: no such file or directory"},
		{"a certificate without key", []string{"-http-addr", host, "-client-cert", ca}, nil, "both client cert and client key must be provided"},
		{"no token file", []string{"-http-addr", host, "-token-file", "/x"}, nil,
			"Error connecting to Consul agent: Error loading token file /x : open /x: no such file or directory"},
		{"nobody there", []string{"-http-addr", "127.0.0.1:1"}, nil,
			`Failed to retrieve the policy list: Get "http://127.0.0.1:1/v1/acl/policies": dial tcp 127.0.0.1:1: connect: connection refused`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := world{env: tc.env}.run(t, append([]string{"acl", "policy", "list"}, tc.flags...)...)
			if (got.code == 0) != (tc.err == "") {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
			contains(t, "stderr", got.err, tc.err)
		})
	}
}

func TestBasicAuth(t *testing.T) {
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		_, _ = w.Write([]byte("[]"))
	}))
	defer server.Close()
	w := world{env: map[string]string{"CONSUL_HTTP_ADDR": server.URL, "CONSUL_HTTP_AUTH": "me:a:b"}}
	if got := w.run(t, "acl", "policy", "list"); got.code != 0 || user != "me" || password != "a:b" {
		t.Errorf("sent %q and %q: %+v", user, password, got)
	}
}
