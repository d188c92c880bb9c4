package cli

import (
	"strings"
	"testing"
)

func TestDispatch(t *testing.T) {
	tests := []struct {
		name     string
		args     []string
		code     int
		out, err string // substrings; "" means that the stream stays empty
	}{
		{"no command is 127", nil, 127, "", "Usage: consul <command>"},
		{"an unknown command is 127", []string{"nosuch"}, 127, "", "Usage: consul <command>"},
		{"-h shows every command", []string{"-h"}, 0, "Destroy the token of a login", ""},
		{"--help too", []string{"--help"}, 0, "Commands:", ""},
		{"help too", []string{"help"}, 0, "Commands:", ""},
		{"help of a command is its usage", []string{"help", "acl", "policy", "create"}, 0, "Usage: consul acl policy create [options]", ""},
		{"-v is version", []string{"-v"}, 0, "Consul v", ""},
		{"--version is version", []string{"--version"}, 0, "Consul v", ""},
		{"a group alone is a failure", []string{"acl"}, 1, "", "Usage: consul acl <command>"},
		{"an unknown command in a group is a failure", []string{"acl", "nosuch"}, 1, "", "Usage: consul acl <command>"},
		{"a group inside a group", []string{"acl", "policy"}, 1, "", "Usage: consul acl policy <command>"},
		{"help of a group", []string{"acl", "-h"}, 0, "binding-rule", ""},
		{"help of a command", []string{"acl", "token", "read", "-h"}, 0, "-accessor-id accessor", ""},
		{"help after other flags", []string{"login", "-method", "m", "--help"}, 0, "-token-sink-file file", ""},
		{"an undefined flag shows the flags", []string{"acl", "token", "read", "-nosuch"}, 1, "", "flag provided but not defined: -nosuch\n\nUsage: consul acl token read"},
		{"a bad value", []string{"login", "-meta", "bad"}, 1, "", `invalid value "bad" for flag -meta: Missing "=" value in argument: bad`},
		{"a bad duration", []string{"acl", "token", "create", "-expires-ttl", "soon"}, 1, "", `invalid value "soon" for flag -expires-ttl: parse error`},
		{"a missing flag shows the usage", []string{"acl", "policy", "create"}, 1, "", "Missing required '-name' flag\n\nUsage: consul acl policy create [options]"},
		{"an unknown format", []string{"acl", "policy", "list", "-format", "bogus"}, 1, "", "Unknown format: bogus\n"},
		{"two dashes are one", []string{"version", "--format=json"}, 0, `"Prerelease": ""`, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := world{}.run(t, tc.args...)
			if got.code != tc.code {
				t.Errorf("exit code %d, want %d", got.code, tc.code)
			}
			contains(t, "stdout", got.out, tc.out)
			contains(t, "stderr", got.err, tc.err)
		})
	}
}

func contains(t *testing.T, stream, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s is\n%s\nwant %q in it", stream, got, want)
	}
}

func TestExtraCommandsComeLast(t *testing.T) {
	root := Root(&Command{Name: "extra", Short: "Something more"})
	if last := root.Sub[len(root.Sub)-1]; last.Name != "extra" {
		t.Errorf("the last command is %s", last.Name)
	}
}

// Each command and flag is documented, and no group has a name twice.
func TestTreeIsComplete(t *testing.T) {
	var walk func(c *Command, path string)
	walk = func(c *Command, path string) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q", path, c.Short)
		}
		if (c.Run == nil) == (len(c.Sub) == 0) {
			t.Errorf("%s is neither a command nor a group", path)
		}
		if c.Run != nil {
			usage := world{root: c}.run(t, "-h")
			if usage.code != 0 || strings.Contains(usage.out, " value\n") {
				t.Errorf("%s: a flag does not say what its value is:\n%s", path, usage.out)
			}
		}
		names := map[string]bool{}
		for _, sub := range c.Sub {
			if names[sub.Name] {
				t.Errorf("%s has %s twice", path, sub.Name)
			}
			names[sub.Name] = true
			walk(sub, path+" "+sub.Name)
		}
	}
	walk(Root(), "consul")
}

func TestUsageLayout(t *testing.T) {
	golden(t, "usage_acl", world{}.run(t, "acl", "-h").out)
	golden(t, "usage_acl_policy_create", world{}.run(t, "acl", "policy", "create", "-h").out)
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := world{}.run(t, "completion", shell)
		if got.code != 0 || got.err != "" {
			t.Fatalf("%s: exit code %d: %s", shell, got.code, got.err)
		}
		contains(t, shell, got.out, "create delete list read update")
		contains(t, shell, got.out, "-aws-auto-bearer-token")
	}
	contains(t, "stderr", world{}.run(t, "completion", "tcsh").err, "Unknown shell: tcsh\n")
	contains(t, "stderr", world{}.run(t, "completion").err, "Must specify exactly one argument: the shell")
}
