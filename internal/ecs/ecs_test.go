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
		{"help", []string{"-h"}, 0, "Available commands", ""},
		{"an unknown command is named", []string{"mesh"}, 127, "", `Unknown command "mesh"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			if code := Run(&out, &complaints, tc.args); code != tc.code {
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
