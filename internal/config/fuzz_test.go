package config

import (
	"strings"
	"testing"
)

var seeds = []string{
	"", "{}", "a = 1", "acl { enabled = true }", "acl = { tokens = { master = \"m\", agent = \"a\" }}",
	"audit { sink \"a\" { type = \"file\" } sink \"b\" {} }", "node_meta {\n a = <<EOF\nx\nEOF\n}", "a = <<-X\n  b\n  X\n",
	"telemetry { disable_compat_1.9 = true }", "a = [1, 2.5, \"x${y}\", [], {}]", "service {} service {}", "a = 99999999999999999999",
	`{"acl": {"enabled": true, "enabled": false}}`, `{"retry_join": ["a", 2, null], "ports": {"http": 1e3}}`, `{"audit":{"sink":{"s":{"nope":1}}}}`,
	`service { name = "a" connect { sidecar_service { proxy { upstreams { destination_name = "b" local_bind_port = 1 } config { x = [1, { y = null }] } } } } }`,
	`{"services": [{"Name": "a", "TaggedAddresses": {"lan": {"Address": "::1"}}, "Checks": [{"args": ["x"], "interval": "1s", "header": {"A": ["b"]}}]}]}`,
	`watches { type = "key" key = "a" handler_type = "http" http_handler_config { path = "http://x" timeout = "1s" } } check { id = "c" ttl = "1m" }`,
	"a \"b\" \"c\" {}", "\"quoted key\" = 0x1F", "/* open", "a = \"\\u00e9\\x\"", "ui_config { metrics_proxy { add_headers = [{ name = \"a\" }] } }",
}

// FuzzHCL and FuzzJSON look for text that makes reading panic, or that is accepted and
// then cannot be merged with itself and built.
func FuzzHCL(f *testing.F) { fuzz(f, "hcl") }

func FuzzJSON(f *testing.F) { fuzz(f, "json") }

func fuzz(f *testing.F, format string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Add(mustRead(f, "testdata/agent-defaults.hcl"))
	f.Fuzz(func(t *testing.T, text string) {
		v, _, err := parse("x", format, []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "failed to parse x: ") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		v.merge(v)
		if c, err := build(v, Sources{Host: oneAddress}); err == nil {
			// Only what needs no file is checked here.
			for _, check := range []func(*conf) error{checkNode, checkAddresses, checkBootstrap, checkRole, checkAudit, checkHTTP} {
				_ = check(&c)
			}
		}
	})
}
