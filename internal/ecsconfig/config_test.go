package ecsconfig

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/errs"
)

var update = flag.Bool("update", false, "rewrite testdata")

func from(text string) (*Config, error) {
	return FromEnv(func(name string) string {
		if name == EnvironmentVariable {
			return text
		}
		return ""
	})
}

// The texts are those of ecs.md section 5.
func TestWrongConfigurationsAreRefused(t *testing.T) {
	const pattern = `(^$)|(^[a-z0-9]([a-z0-9-_]*[a-z0-9])?$)`
	tests := []struct{ name, text, want string }{
		{"nothing", ``, `"CONSUL_ECS_CONFIG_JSON" isn't populated`},
		{"cut short", `{"bootstrapDir":`, `unexpected EOF`},
		{"null", `null`, `(root): Invalid type. Expected: object, given: null`},
		{"empty object", `{}`, `(root): bootstrapDir is required`},
		{"empty directory", `{"bootstrapDir":""}`, `bootstrapDir: String length must be greater than or equal to 1`},
		{"unknown key", `{"bootstrapDir":"/c","foo":1}`, `(root): Additional property foo is not allowed`},
		{"a service without port", `{"bootstrapDir":"/c","service":{}}`, `service: port is required`},
		{"a wrong type", `{"bootstrapDir":"/c","service":{"port":"1"}}`, `service.port: Invalid type. Expected: integer, given: string`},
		{"a number with an exponent", `{"bootstrapDir":"/c","service":{"port":1e3}}`, `service.port: must be written as a whole number, given: number 1e3`},
		{"a wrong type beside null", `{"bootstrapDir":"/c","consulLogin":{"enabled":"x"}}`, `consulLogin.enabled: Invalid type. Expected: [boolean,null], given: string`},
		{"a name in capitals", `{"bootstrapDir":"/c","service":{"port":1,"name":"Shop"}}`, `service.name: Does not match pattern '` + pattern + `'`},
		{"a level in small letters", `{"bootstrapDir":"/c","logLevel":"info"}`, `logLevel: logLevel must be one of the following: "TRACE", "DEBUG", "INFO", "WARN", "ERROR", null`},
		{"another gateway", `{"bootstrapDir":"/c","gateway":{"kind":"x"}}`, `gateway.kind: gateway.kind must be one of the following: "mesh-gateway"`},
		{"a tag twice", `{"bootstrapDir":"/c","service":{"port":1,"tags":["a","a"]}}`, `service.tags: array items[0,1] must be unique`},
		{"unknown key of a check", `{"bootstrapDir":"/c","service":{"port":1,"checks":[{"foo":1}]}}`, `service.checks.0: Additional property foo is not allowed`},
		{"an upstream without name", `{"bootstrapDir":"/c","proxy":{"upstreams":[{"localBindPort":1}]}}`, `proxy.upstreams.0: destinationName is required`},
		{"half a weight", `{"bootstrapDir":"/c","service":{"port":1,"weights":{"passing":1}}}`, `service.weights: warning is required`},
		{"a key twice", `{"bootstrapDir":"/c","service":{"port":1,"port":2}}`, `service.port: given twice`},
		{"two values", `{"bootstrapDir":"/c"} {}`, `data after the configuration`},
		{"checks and containers", `{"bootstrapDir":"/c","healthSyncContainers":["a"],"service":{"port":1,"checks":[{"ttl":"1s"}]}}`,
			`only one of service.checks or healthSyncContainers should be set`},
		{"nested without end", `{"bootstrapDir":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, `nested more than 32 levels deep`},
		{"far too long", `{"bootstrapDir":"` + strings.Repeat("x", maxBytes) + `"}`, `longer than 262144 bytes`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c, err := from(tc.text)
			if err == nil || !strings.HasPrefix(err.Error(), "invalid config: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v; want …%s", c, err, tc.want)
			}
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("kind %v", errs.KindOf(err))
			}
		})
	}
}

func TestAllErrorsAreListed(t *testing.T) {
	_, err := from(`{"service":{"port":"x"}}`)
	const want = "invalid config: 2 errors occurred:\n\t* (root): bootstrapDir is required\n" +
		"\t* service.port: Invalid type. Expected: integer, given: string\n\n"
	if err == nil || err.Error() != want {
		t.Errorf("got %q\nwant %q", err, want)
	}
}

func TestDefaults(t *testing.T) {
	yes := true
	tests := []struct {
		name, text string
		want       func(*Config)
	}{
		{"the least", `{"bootstrapDir":"/consul"}`, func(*Config) {}},
		{"nulls are as absent", `{"bootstrapDir":"/consul","proxy":null,"service":null,"consulLogin":null,"gateway":null,"logLevel":null}`, func(*Config) {}},
		{"what is given stays", `{"bootstrapDir":"/consul","logLevel":"WARN","consulLogin":{"enabled":true,"method":"m","includeEntity":true},"proxy":{"publicListenerPort":1}}`,
			func(c *Config) {
				c.LogLevel, c.Proxy.PublicListenerPort = "WARN", 1
				c.ConsulLogin = Login{Enabled: true, Method: "m", IncludeEntity: &yes}
			}},
		{"servers by their newer names", `{"bootstrapDir":"/consul","consulServers":{"hosts":"s1","defaults":{"caCertFile":"/ca"}}}`,
			func(c *Config) {
				c.ConsulServers = &Servers{Hosts: "s1", Defaults: ServerTLS{CACertFile: "/ca"}}
				c.ConsulHTTPAddr, c.ConsulCACertFile = "https://s1:8501", "/ca"
			}},
		{"servers without TLS", `{"bootstrapDir":"/consul","consulServers":{"hosts":"s1","http":{"https":false,"port":8500}}}`,
			func(c *Config) {
				no := false
				c.ConsulServers = &Servers{Hosts: "s1", HTTP: ServerTLS{HTTPS: &no, Port: 8500}}
				c.ConsulHTTPAddr = "http://s1:8500"
			}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			want := &Config{BootstrapDir: "/consul", LogLevel: "INFO", ConsulLogin: Login{Method: aclsetup.DefaultServiceMethod}, Proxy: Proxy{PublicListenerPort: DefaultPublicPort}}
			tc.want(want)
			got, err := from(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			gotJSON, _ := json.Marshal(got)
			wantJSON, _ := json.Marshal(want)
			if string(gotJSON) != string(wantJSON) {
				t.Errorf("got  %s\nwant %s", gotJSON, wantJSON)
			}
		})
	}
}

// node is a part of the schema.
type node struct {
	Ref         string          `json:"$ref"`
	Type        json.RawMessage `json:"type"`
	Properties  map[string]node
	Items       *node
	Additional  json.RawMessage `json:"additionalProperties"`
	Required    []string
	Definitions map[string]node
}

// fields calls visit for every field of the schema with a document in which only that field
// is wrong.
func (n node) fields(root node, path string, wrap func(any) any, visit func(path string, document any)) {
	if n.Ref != "" {
		n = root.Definitions[strings.TrimPrefix(n.Ref, "#/definitions/")]
	}
	visit(path, wrap(n.wrong()))
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		inside := func(v any) any {
			object := n.least(root)
			object[name] = v
			return wrap(object)
		}
		n.Properties[name].fields(root, strings.TrimPrefix(path+"."+name, "."), inside, visit)
	}
	if n.Items != nil {
		n.Items.fields(root, path+".0", func(v any) any { return wrap([]any{v}) }, visit)
	}
}

// wrong is a value of a type that n does not have.
func (n node) wrong() any {
	if strings.Contains(string(n.Type), "string") {
		return 1
	}
	return "wrong"
}

// least is an object with what n requires.
func (n node) least(root node) map[string]any {
	object := map[string]any{}
	for _, name := range n.Required {
		p := n.Properties[name]
		switch {
		case name == "kind":
			object[name] = "mesh-gateway"
		case name == "mode":
			object[name] = "local"
		case strings.Contains(string(p.Type), "integer"):
			object[name] = 1
		default:
			object[name] = "x"
		}
	}
	return object
}

// TestEachFieldIsChecked gives each field of the schema a value of a wrong type. The
// messages are in testdata/wrong.txt.
func TestEachFieldIsChecked(t *testing.T) {
	var root node
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	var lines []string
	root.fields(root, "", func(v any) any { return v }, func(path string, document any) {
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		_, err = from(string(text))
		if err == nil {
			t.Errorf("%s: %s is accepted", path, text)
			return
		}
		message := strings.TrimPrefix(err.Error(), "invalid config: 1 error occurred:\n\t* ")
		if path == "" {
			path = "(root)"
		}
		if !strings.HasPrefix(message, path+": ") {
			t.Errorf("%s: the message does not name the field: %q", text, err)
		}
		lines = append(lines, strings.TrimSpace(message))
	})
	golden := filepath.Join("testdata", "wrong.txt")
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("messages differ from %s; run this test with -update and read the difference", golden)
	}
	if len(lines) < 100 {
		t.Errorf("only %d fields seen", len(lines))
	}
}

// The schema that users download is the one that counts.
func TestPublishedSchema(t *testing.T) {
	published := filepath.Join("..", "..", "docs", "ecs-config.schema.json")
	if *update {
		if err := os.WriteFile(published, Schema, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(Schema) {
		t.Errorf("%s is not schema.json; run this test with -update", published)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"bootstrapDir":"/consul","consulHTTPAddr":"https://c:8501","consulLogin":{"enabled":true},"service":{"port":9090,"meta":{"a":"b"}},"proxy":{"upstreams":[{"destinationName":"s","localBindPort":1}]}}`,
		`null`, `{`, `[]`, `{"bootstrapDir":"/c","gateway":{"kind":"mesh-gateway","lanAddress":{"port":1}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if err == nil && c.BootstrapDir == "" {
			t.Errorf("%q has no bootstrapDir", text)
		}
		_ = fmt.Sprint(err)
	})
}
