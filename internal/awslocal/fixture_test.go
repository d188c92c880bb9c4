package awslocal

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

const validRole = `{"name":"web","path":"/consul-ecs/","id":"AROADEMO000000000WEB1","trust":{}}`

func withRoles(roles string) string {
	return `{"accounts":[{"id":"123456789012","roles":[` + roles + `]}]}`
}

func withUser(user string) string {
	return `{"accounts":[{"id":"123456789012","users":[` + user + `]}]}`
}

func TestDemoIsTheDocumentedFixture(t *testing.T) {
	data, err := os.ReadFile("testdata/demo.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if want := Demo(); !reflect.DeepEqual(got, want) {
		t.Errorf("testdata/demo.json is not Demo():\n%+v\n%+v", got, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, fixture, want string }{
		{"nothing", ``, "EOF"},
		{"no account", `{}`, "accounts: at least one"},
		{"an unknown field", `{"accounts":[],"regions":[]}`, `unknown field "regions"`},
		{"a repeated key", withRoles(`{"name":"a","name":"b"}`), "accounts[0].roles[0].name: repeated key"},
		{"a key repeated in another case", withRoles(`{"name":"a","Name":"b"}`), "accounts[0].roles[0].Name: repeated key"},
		{"deep nesting", strings.Repeat("[", 100), "nested deeper"},
		{"text after the object", withRoles(validRole) + "{}", "something follows"},
		{"a short account id", `{"accounts":[{"id":"12345"}]}`, "accounts[0].id"},
		{"an account twice", `{"accounts":[{"id":"123456789012"},{"id":"123456789012"}]}`, "accounts[1].id"},
		{"a role twice", withRoles(validRole + "," + validRole), "accounts[0].roles[1].name"},
		{"a role twice in another case and path", withRoles(validRole + `,{"name":"WEB","id":"AROADEMO000000000WEB2","trust":{}}`), "accounts[0].roles[1].name"},
		{"a role id twice", withRoles(validRole + `,{"name":"api","id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[1].id"},
		{"a user id on a role", withRoles(`{"name":"web","id":"AIDADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].id"},
		{"a role without a name", withRoles(`{"id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].name"},
		{"a name with a slash", withRoles(`{"name":"a/b","id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].name"},
		{"a path without its last slash", withRoles(`{"name":"web","path":"/consul-ecs","id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].path"},
		{"a path with a wildcard", withRoles(`{"name":"web","path":"/*/","id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].path"},
		{"a long path", withRoles(`{"name":"web","path":"/` + strings.Repeat("a", 512) + `/","id":"AROADEMO000000000WEB1","trust":{}}`), "accounts[0].roles[0].path: longer"},
		{"a reserved tag", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","tags":{"aws:x":"y"},"trust":{}}`), `accounts[0].roles[0].tags: "aws:x"`},
		{"a bad tag value", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","tags":{"x":"<y>"},"trust":{}}`), "accounts[0].roles[0].tags.x"},
		{"a permission without resource", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","permissions":[{"Action":["*"]}],"trust":{}}`), "accounts[0].roles[0].permissions[0]"},
		{"a bad action", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","permissions":[{"Action":["GetRole"],"Resource":["*"]}],"trust":{}}`), "permissions[0].Action[0]"},
		{"a bad resource", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","permissions":[{"Action":["*"],"Resource":["role/web"]}],"trust":{}}`), "permissions[0].Resource[0]"},
		{"a wildcard in a trust", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","trust":{"AWS":["*"]}}`), "accounts[0].roles[0].trust.AWS[0]"},
		{"a service that is none", withRoles(`{"name":"web","id":"AROADEMO000000000WEB1","trust":{"Service":["ecs"]}}`), "accounts[0].roles[0].trust.Service[0]"},
		{"a temporary access key", withUser(`{"name":"u","id":"AIDADEMO0000OPERATOR1","accessKeys":[{"id":"ASIADEMOOPERATOR0001","secret":"0123456789abcdef"}]}`), "accounts[0].users[0].accessKeys[0].id"},
		{"a short secret", withUser(`{"name":"u","id":"AIDADEMO0000OPERATOR1","accessKeys":[{"id":"AKIADEMOOPERATOR0001","secret":"short"}]}`), "accounts[0].users[0].accessKeys[0].secret"},
		{"an access key twice", withUser(`{"name":"u","id":"AIDADEMO0000OPERATOR1","accessKeys":[{"id":"AKIADEMOOPERATOR0001","secret":"0123456789abcdef"},{"id":"AKIADEMOOPERATOR0001","secret":"0123456789abcdef"}]}`), "accounts[0].users[0].accessKeys[1].id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(strings.NewReader(tt.fixture))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesAHugeFixture(t *testing.T) {
	_, err := Load(strings.NewReader(`{"accounts":[` + strings.Repeat(" ", maxFixture) + `]}`))
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestNewRefusesAnInvalidFixture(t *testing.T) {
	f := Demo()
	f.Accounts[0].ID = "1"
	if _, err := New(f, Options{}); err == nil || !strings.Contains(err.Error(), "accounts[0].id") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	demo, err := json.Marshal(Demo())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(demo))
	f.Add(withRoles(validRole))
	f.Add(`{"accounts":[{"id":"123456789012","roles":[{"name":"a","name":"b"}]}]}`)
	f.Add(`[[[[{"a":[null,1e9,"\ud800"]}]]]]`)
	f.Fuzz(func(t *testing.T, text string) {
		fixture, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := New(fixture, Options{}); err != nil {
			t.Fatalf("a loaded fixture is not valid: %v", err)
		}
		out, err := json.Marshal(fixture)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(bytes.NewReader(out)); err != nil {
			t.Fatalf("a loaded fixture cannot be written and loaded again: %v", err)
		}
	})
}
