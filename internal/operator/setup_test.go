package operator

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/cli"
)

var update = flag.Bool("update", false, "rewrite testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; run with -update and read the difference:\n%s", file, got)
	}
}

func TestWrongSetupFilesAreRefused(t *testing.T) {
	const accounts = `accounts = ["123456789012"]` + "\n"
	tests := []struct{ name, text, want string }{
		{"nothing", ``, "accounts: at least one AWS account is required"},
		{"no account", `accounts = ["12"]`, `accounts: "12" is not an AWS account: 12 digits`},
		{"an unknown setting", accounts + `colour = "red"`, `unknown field "colour"`},
		{"a setting of the wrong type", accounts + `namespaces = "perhaps"`, "namespaces"},
		{"half a path", accounts + `role_path = "consul-ecs"`, `role_path: "consul-ecs" does not begin and end with a slash`},
		{"another policy", accounts + `client_policy = "all"`, `client_policy: "all" is neither "own-node" nor "documents"`},
		{"a partition with a space", accounts + `partition = "a b"`, "partition: "},
		{"a life of a second", accounts + `token_ttl = "1s"`, `token_ttl: "1s" is not a duration from 1m to 24h`},
		{"secrets of nothing", accounts + `secrets { prefix = "x" }`, "secrets: names no file"},
		{"another store", accounts + `secrets { store = "vault" ca_file = "x" }`, `secrets.store: "vault" is neither`},
		{"a prefix with a space", accounts + `secrets { prefix = "a b" ca_file = "x" }`, `secrets.prefix: "a b" cannot begin`},
		{"secrets twice", accounts + `secrets { ca_file = "x" } secrets { ca_file = "y" }`, "secrets: given twice"},
		{"no HCL", `{`, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f, err := parseSetup([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v; want …%s…", f, err, tc.want)
			}
		})
	}
}

func TestTerraform(t *testing.T) {
	tests := []struct{ name, text string }{
		{"least", `{"accounts": ["123456789012"]}`},
		{"full", `
accounts      = ["123456789012", "210987654321"]
role_path     = "/consul-ecs/"
partition     = "team-a"
namespaces    = true
client_policy = "documents"
token_ttl     = "1h"
single_use    = true
names { client_method = "clients" }
secrets {
  prefix = "my-consul"
  ca_file = "consul-agent-ca.pem"
  https_ca_file = "consul-agent-ca.pem"
  gossip_key_file = "gossip.key"
}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f, err := parseSetup([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "setup_"+tc.name+".tf", f.terraform())
		})
	}
}

func FuzzSetupFile(f *testing.F) {
	f.Add([]byte(`accounts = ["123456789012"]` + "\nsecrets { ca_file = \"x\" }"))
	f.Add([]byte(`{"accounts": ["123456789012"], "token_ttl": "1h"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseSetup(text); err == nil && len(s.Accounts) == 0 {
			t.Errorf("%q trusts nobody", text)
		}
	})
}

func TestTerraformIsNoChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "setup.hcl")
	if err := os.WriteFile(file, []byte(`accounts = ["123456789012"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-destroy", "-plan", "-yes"} {
		var out, complaints bytes.Buffer
		env := &cli.Env{Out: &out, Err: &complaints, Getenv: func(string) string { return "" }}
		code := cli.Run(t.Context(), env, Setup(), []string{"-terraform", "-", flag, file})
		if code != 1 || out.Len() > 0 || !strings.Contains(complaints.String(), "-terraform changes nothing") {
			t.Errorf("%s: %d %q %q", flag, code, out.String(), complaints.String())
		}
	}
}
