package tenancy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestNamespaceJSON(t *testing.T) {
	n := Namespace{
		Name: "team-1", Description: "Team one", Partition: "east",
		ACLs: &NamespaceACLs{PolicyDefaults: []Link{{ID: "p", Name: "node-read"}}},
		Meta: map[string]string{"owner": "ops"}, CreateIndex: 55, ModifyIndex: 55,
	}
	got, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Name":"team-1","Description":"Team one","ACLs":{"PolicyDefaults":[{"ID":"p","Name":"node-read"}],"RoleDefaults":[]},` +
		`"Meta":{"owner":"ops"},"Partition":"east","CreateIndex":55,"ModifyIndex":55}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s := n.Scope(); s != (Scope{Partition: "east", Namespace: "team-1"}) {
		t.Errorf("scope %s", s)
	}
}

func TestNamespaceACLsAreReadUnderBothNames(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want NamespaceACLs
		err  string
	}{
		{"as they are written", `{"PolicyDefaults":[{"ID":"p"}],"RoleDefaults":[{"Name":"r"}]}`,
			NamespaceACLs{PolicyDefaults: []Link{{ID: "p"}}, RoleDefaults: []Link{{Name: "r"}}}, ""},
		{"by their aliases", `{"policy_defaults":[{"ID":"p"}],"role_defaults":[{"Name":"r"}]}`,
			NamespaceACLs{PolicyDefaults: []Link{{ID: "p"}}, RoleDefaults: []Link{{Name: "r"}}}, ""},
		{"nothing", `{}`, NamespaceACLs{}, ""},
		{"another key", `{"Policies":[]}`, NamespaceACLs{}, `unknown field "Policies"`},
		{"no object", `[]`, NamespaceACLs{}, "cannot unmarshal"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var got NamespaceACLs
			err := json.Unmarshal([]byte(tc.in), &got)
			if (err != nil) != (tc.err != "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("got %v, want %q", err, tc.err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
