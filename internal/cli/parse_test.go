package cli

import (
	"strings"
	"testing"
)

func TestFilesThatCannotBeMeant(t *testing.T) {
	tests := []struct {
		name, command, text, err string
	}{
		{"no HCL", "namespace write -", "name = \"a", "Failed to decode namespace: "},
		{"half a JSON document", "namespace write -", `{"Name":"a"`, "Failed to decode namespace: unexpected end of JSON input"},
		{"an unknown key", "namespace write -", `name = "a" bogus = 1`, `unknown field "bogus"`},
		{"an unknown key in a block", "namespace write -", `acls { bogus = [] }`, `unknown field "bogus"`},
		{"metadata that is no text", "namespace write -", `meta { a = 1 }`, "Failed to decode namespace: "},
		{"a namespace without a name", "namespace write -", `description = "d"`, "Must specify a Name for Namespace updating"},
		{"an unknown key of a partition", "partition write -", `{"Name":"a","Bogus":1}`, `unknown field "Bogus"`},
		{"no template", "acl templated-policy preview -file -", ``, "no TemplatedPolicy in the file"},
		{"two templates", "acl templated-policy preview -file -", `TemplatedPolicy "a" {} TemplatedPolicy "b" {}`, "Can only preview a single templated policy at a time."},
		{"a template with an unknown variable", "acl templated-policy preview -file -", `TemplatedPolicy "a" { Nose = "x" }`, `Unknown templated policy variable "Nose"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := world{stdin: tc.text}.run(t, strings.Fields(tc.command)...)
			if got.code != 1 {
				t.Errorf("exit code %d", got.code)
			}
			contains(t, "stderr", got.err, tc.err)
		})
	}
}

// No text makes a parser panic, and what one accepts has a meaning.
func FuzzFiles(f *testing.F) {
	f.Add(`TemplatedPolicy "builtin/service" { Name = "web" }`)
	f.Add(`{"TemplatedPolicy":{"builtin/service":[{"Name":"web"}]}}`)
	f.Add(`name = "t" meta { a = "b" } acls { policy_defaults { name = "x" } role_defaults = [] }`)
	f.Add(namespaceA)
	f.Add(`Name = "ecs" Description = "d" DisableGossip = true`)
	f.Fuzz(func(t *testing.T, text string) {
		if templates, err := parseTemplates(text); err == nil && len(templates) == 0 {
			t.Error("no template and no error")
		}
		if n, err := parseNamespace(text); (n == nil) != (err != nil) {
			t.Errorf("namespace %v, error %v", n, err)
		}
		if p, err := parsePartition(text); (p == nil) != (err != nil) {
			t.Errorf("partition %v, error %v", p, err)
		}
	})
}

func FuzzIdentities(f *testing.F) {
	for _, seed := range []string{"web", "web:dc1,dc2", "n1:dc1", ":", "a:b:c", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if ids, err := serviceIdentities([]string{arg}); err == nil {
			text := ids[0].ServiceName
			if ids[0].Datacenters != nil {
				text += ":" + strings.Join(ids[0].Datacenters, ",")
			}
			if text != arg {
				t.Errorf("service identity %q became %q", arg, text)
			}
		}
		if ids, err := nodeIdentities([]string{arg}); err == nil && ids[0].NodeName+":"+ids[0].Datacenter != arg {
			t.Errorf("node identity %q became %+v", arg, ids[0])
		}
	})
}
