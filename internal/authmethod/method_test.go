package authmethod

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// fakeType is a Type whose Config has one key.
type fakeType struct{ name string }

func (f fakeType) Name() string { return f.name }

func (f fakeType) Open(config map[string]any) (Verifier, error) {
	var s struct{ Count int }
	if err := DecodeConfig(config, &s); err != nil {
		return nil, err
	}
	return f, nil
}

func (fakeType) Verify(context.Context, logging.Secret) (Identity, error) { return example(), nil }

func (fakeType) Example() Identity { return example() }

var fakeTypes = []Type{fakeType{"kubernetes"}, fakeType{"aws-iam"}, fakeType{"jwt"}}

// example is an identity as aws-iam has them.
func example() Identity {
	return Identity{
		Attributes: map[string]any{
			"entity_name": Placeholder, "entity_path": "/consul-ecs/", "account_id": "123456789012",
			"entity_tags": map[string]string{"team": "eng", "empty": "", "a.b": "/x/y"},
			"groups":      []string{"eng", "ops"},
			"list":        map[string][]string{"groups": {"eng", "ops"}, "none": nil},
		},
		Variables: map[string]string{
			"entity_name": Placeholder, "entity_tags.team": Placeholder, "entity_tags.consul.hashicorp.com.service-name": Placeholder,
		},
	}
}

func wantError(t *testing.T, err error, kind errs.Kind, text string) {
	t.Helper()
	switch {
	case text == "" && err == nil:
	case text == "" || err == nil:
		t.Errorf("got error %v, want %q", err, text)
	case err.Error() != text || errs.KindOf(err) != kind:
		t.Errorf("got error (%s) %q\nwant      (%s) %q", errs.KindOf(err), err, kind, text)
	}
}

func TestMethodJSON(t *testing.T) {
	m := Method{
		MaxTokenTTL: 90 * time.Minute, Name: "ecs-clients", Type: "aws-iam", Description: "client tokens",
		Config:         map[string]any{"BoundIAMPrincipalArns": []any{"arn:aws:iam::123456789012:role/consul-ecs/*"}, "MaxRetries": 3.0},
		NamespaceRules: []NamespaceRule{{Selector: "", BindNamespace: "team"}},
		Scope:          tenancy.Default, CreateIndex: 41, ModifyIndex: 42,
	}
	const want = `{"MaxTokenTTL":"1h30m0s","Name":"ecs-clients","Type":"aws-iam","Description":"client tokens",` +
		`"Config":{"BoundIAMPrincipalArns":["arn:aws:iam::123456789012:role/consul-ecs/*"],"MaxRetries":3},` +
		`"NamespaceRules":[{"Selector":"","BindNamespace":"team"}],"Namespace":"default","Partition":"default","CreateIndex":41,"ModifyIndex":42}`
	got, err := json.Marshal(m)
	if err != nil || string(got) != want {
		t.Fatalf("got  %s (%v)\nwant %s", got, err, want)
	}
	var again Method
	if err := json.Unmarshal(got, &again); err != nil {
		t.Fatal(err)
	}
	if back, _ := json.Marshal(again); string(back) != want {
		t.Errorf("read and written again it is %s", back)
	}
}

func TestMethodTTLs(t *testing.T) {
	for _, c := range []struct {
		name, json string
		want       time.Duration
		text       string
	}{
		{"text", `{"MaxTokenTTL":"90m"}`, 90 * time.Minute, ""},
		{"nanoseconds", `{"MaxTokenTTL":60000000000}`, time.Minute, ""},
		{"none", `{}`, 0, ""},
		{"empty", `{"MaxTokenTTL":""}`, 0, ""},
		{"null", `{"MaxTokenTTL":null}`, 0, ""},
		{"nonsense", `{"MaxTokenTTL":"bad"}`, 0, `time: invalid duration "bad"`},
		{"beside a format for names, which is ignored", `{"MaxTokenTTL":"1m","TokenNameFormat":"x"}`, time.Minute, ""},
		{"an unknown key", `{"X":1}`, 0, `json: unknown field "X"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Method
			err := json.Unmarshal([]byte(c.json), &m)
			wantError(t, err, errs.Internal, c.text)
			if m.MaxTokenTTL != c.want {
				t.Errorf("got %v, want %v", m.MaxTokenTTL, c.want)
			}
		})
	}
}

func TestValidateMethod(t *testing.T) {
	good := Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}
	long := strings.Repeat("a", 128)
	for _, c := range []struct {
		name   string
		change func(*Method)
		text   string
	}{
		{"nothing wrong", func(*Method) {}, ""},
		{"the longest TTL that people ask for", func(m *Method) { m.MaxTokenTTL = 25 * time.Hour }, ""},
		{"no name", func(m *Method) { m.Name = "" }, "Invalid Auth Method: no Name is set"},
		{"a name with a space", func(m *Method) { m.Name = "a b" }, "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"},
		{"the longest name", func(m *Method) { m.Name = long }, ""},
		{"a name that is too long", func(m *Method) { m.Name = long + "x" }, "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"},
		{"no type", func(m *Method) { m.Type = "" }, "Invalid Auth Method: Type should be one of: [aws-iam jwt kubernetes]"},
		{"a bad locality", func(m *Method) { m.TokenLocality = "x" }, "Invalid Auth Method: TokenLocality should be one of 'local' or 'global'"},
		{"a short TTL", func(m *Method) { m.MaxTokenTTL = 30 * time.Second }, "MaxTokenTTL 30s cannot be less than 1m0s"},
		{"a negative TTL", func(m *Method) { m.MaxTokenTTL = -time.Hour }, "MaxTokenTTL -1h0m0s cannot be less than 1m0s"},
		{"an unknown key", func(m *Method) { m.Config = map[string]any{"Bogus": 1} },
			"Invalid Auth Method: error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: Bogus"},
		{"a namespace rule", func(m *Method) { m.NamespaceRules = []NamespaceRule{{`entity_name != ""`, "${entity_tags.team}"}} }, ""},
		{"a namespace rule with an unknown variable", func(m *Method) { m.NamespaceRules = []NamespaceRule{{"", "${value.foo}"}} },
			"Invalid Auth Method: invalid NamespaceRules[0].BindNamespace: 1:3: unknown variable accessed: value.foo"},
		{"a namespace rule with a bad selector", func(m *Method) { m.NamespaceRules = []NamespaceRule{{"", "a"}, {"nosuch == 1", "a"}} },
			`Invalid Auth Method: invalid NamespaceRules[1].Selector: Selector "nosuch" is not valid`},
		{"a namespace rule without a namespace", func(m *Method) { m.NamespaceRules = []NamespaceRule{{"", ""}} },
			"Invalid Auth Method: invalid NamespaceRules[0].BindNamespace: no BindNamespace is set"},
		{"a namespace rule with an impossible name", func(m *Method) { m.NamespaceRules = []NamespaceRule{{"", "a_b"}} },
			`Invalid Auth Method: invalid NamespaceRules[0].BindNamespace: invalid bind namespace: "a_b"`},
		{"namespace rules outside the default namespace", func(m *Method) {
			m.Namespace, m.NamespaceRules = "team", []NamespaceRule{{"", "a"}}
		}, "Invalid Auth Method: NamespaceRules may only be set in the default namespace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good
			c.change(&m)
			_, err := ValidateMethod(&m, fakeTypes)
			wantError(t, err, errs.Invalid, c.text)
		})
	}
}

func TestOpenFindsTheType(t *testing.T) {
	if _, err := Open(&Method{Type: "jwt", Config: map[string]any{"count": "3"}}, fakeTypes); err != nil {
		t.Error(err)
	}
	_, err := Open(&Method{Type: "oidc"}, fakeTypes)
	wantError(t, err, errs.Invalid, "Invalid Auth Method: Type should be one of: [aws-iam jwt kubernetes]")
}

func TestLocality(t *testing.T) {
	for locality, want := range map[string]bool{"": true, LocalTokens: true, GlobalTokens: false} {
		if got := (&Method{TokenLocality: locality}).Local(); got != want {
			t.Errorf("locality %q is local: %v, want %v", locality, got, want)
		}
	}
}

func TestChooseNamespace(t *testing.T) {
	team := func(tag string) Identity {
		id := example()
		id.Attributes["entity_tags"] = map[string]string{"team": tag}
		id.Variables["entity_tags.team"] = tag
		return id
	}
	rules := []NamespaceRule{{`entity_tags["team"] != ""`, "${entity_tags.team}"}, {`entity_name == "example"`, "named"}}
	for _, c := range []struct {
		name  string
		rules []NamespaceRule
		id    Identity
		want  string
		text  string
	}{
		{"no rules", nil, team("a"), "own", ""},
		{"the first rule that matches", rules, team("team-1"), "team-1", ""},
		{"the next, when the tag is empty", rules, team(""), "named", ""},
		{"own, when none matches", rules[:1], team(""), "own", ""},
		{"capitals are lowered", rules, team("Team-A"), "team-a", ""},
		{"a tag that is no namespace", rules, team("a/b"), "", `invalid bind namespace: "a/b"`},
		{"a tag that is a wildcard", rules, team("*"), "", `invalid bind namespace: "*"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ChooseNamespace(c.rules, c.id, "own", nil)
			wantError(t, err, errs.Invalid, c.text)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
