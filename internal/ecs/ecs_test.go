package ecs

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name     string
		args     []string
		code     int
		out, err string
	}{
		{"no command shows the usage as a complaint", nil, 127, "", "Usage: consul-ecs"},
		{"version", []string{"version"}, 0, "consul-ecs v", ""},
		{"version as a flag", []string{"--version"}, 0, "consul-ecs v", ""},
		{"help", []string{"-h"}, 0, "Available commands", ""},
		{"an unknown command is named", []string{"mesh"}, 127, "", `Unknown command "mesh"`},
		{"a command that takes no arguments", []string{"mesh-init", "foo"}, 1, "", "unexpected argument: foo"},
		{"no configuration", []string{"health-sync"}, 1, "", `invalid config: "CONSUL_ECS_CONFIG_JSON" isn't populated`},
		{"help of a command without flags", []string{"mesh-init", "-h"}, 0, "Usage: consul-ecs mesh-init", ""},
		{"help of one with an argument", []string{"net-dial", "--help"}, 0, "Usage: consul-ecs net-dial", ""},
		{"help of a command with flags", []string{"acl-controller", "-help"}, 0, "-iam-role-path", ""},
		{"help of an entrypoint", []string{"app-entrypoint", "-h"}, 0, "-shutdown-delay", ""},
		{"a flag that is not there", []string{"envoy-entrypoint", "-nope", "true"}, 1, "", "flag provided but not defined: -nope"},
		{"no child", []string{"app-entrypoint", "-shutdown-delay", "1s"}, 1, "", "command is required"},
		{"no address", []string{"net-dial"}, 1, "", "host:port"},
		{"nobody listens", []string{"net-dial", "127.0.0.1:1"}, 2, "", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			env := &Env{Out: &out, Err: &complaints, Getenv: func(string) string { return "" }}
			if code := Run(t.Context(), env, tc.args); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(out.String(), tc.out) || (tc.out == "") != (out.Len() == 0) {
				t.Errorf("stdout %q", out.String())
			}
			if !strings.Contains(complaints.String(), tc.err) || (tc.err == "") != (complaints.Len() == 0) {
				t.Errorf("stderr %q", complaints.String())
			}
		})
	}
}
