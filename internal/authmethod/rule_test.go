package authmethod

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestRuleJSON(t *testing.T) {
	r := BindingRule{ID: "7b8ca2a5-6d22-4c3e-b0c5-1f2d0c3b7e11", AuthMethod: "m", BindType: BindService, BindName: "${entity_name}", Scope: tenancy.Default, CreateIndex: 44, ModifyIndex: 45}
	const want = `{"ID":"7b8ca2a5-6d22-4c3e-b0c5-1f2d0c3b7e11","Description":"","AuthMethod":"m","Selector":"","BindType":"service",` +
		`"BindName":"${entity_name}","Namespace":"default","Partition":"default","CreateIndex":44,"ModifyIndex":45}`
	if got, err := json.Marshal(r); err != nil || string(got) != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	var vars BindingRule
	if err := json.Unmarshal([]byte(`{"BindVars":{"Name":"${entity_name}"}}`), &vars); err != nil || vars.BindVars.Name != "${entity_name}" {
		t.Errorf("got %+v (%v)", vars.BindVars, err)
	}
}

func TestValidateRule(t *testing.T) {
	good := BindingRule{AuthMethod: "m", BindType: BindService, BindName: "web"}
	const names = `Invalid Binding Rule: invalid BindName or BindVars: `
	const service = names + `failed to validate bindType "service": `
	for _, c := range []struct {
		name   string
		change func(*BindingRule)
		text   string
	}{
		{"nothing wrong", func(*BindingRule) {}, ""},
		{"a variable", func(r *BindingRule) { r.BindName = "x-${entity_name}" }, ""},
		{"no method", func(r *BindingRule) { r.AuthMethod = "" }, "Invalid Binding Rule: no AuthMethod is set"},
		{"no type", func(r *BindingRule) { r.BindType = "" }, "Invalid Binding Rule: no BindType is set"},
		{"an unknown type", func(r *BindingRule) { r.BindType = "bogus" }, names + `invalid Binding Rule: unknown BindType "bogus"`},
		{"no name", func(r *BindingRule) { r.BindName = "" }, "Invalid Binding Rule: no BindName is set"},
		{"an unknown variable", func(r *BindingRule) { r.BindName = "${nosuch}" }, service + "error interpreting template: 1:3: unknown variable accessed: nosuch"},
		{"a template that is cut", func(r *BindingRule) { r.BindName = "${entity_name" }, service + `error interpreting template: parse error at 1:14: expected "}" but found end of string`},
		{"a function", func(r *BindingRule) { r.BindName = "a-${upper(entity_name)}" }, service + "error interpreting template: 1:5: unknown function called: upper"},
		{"a name with a space", func(r *BindingRule) { r.BindName = "bad name" }, service + `invalid bind name: "bad name"`},
		{"a name in capitals", func(r *BindingRule) { r.BindName = "Web" }, service + `invalid bind name: "Web"`},
		{"a name with a dot", func(r *BindingRule) { r.BindName = "a.b" }, service + `invalid bind name: "a.b"`},
		{"a name that ends with a hyphen", func(r *BindingRule) { r.BindName = "a-" }, service + `invalid bind name: "a-"`},
		{"a role in capitals", func(r *BindingRule) { r.BindType, r.BindName = BindRole, "-Role_1" }, ""},
		{"a role's name that is too long", func(r *BindingRule) { r.BindType, r.BindName = BindRole, strings.Repeat("a", 257) },
			names + `failed to validate bindType "role": invalid bind name: "` + strings.Repeat("a", 257) + `"`},
		{"a policy with a slash", func(r *BindingRule) { r.BindType, r.BindName = BindPolicy, "a/b" }, names + `failed to validate bindType "policy": invalid bind name: "a/b"`},
		{"an unknown attribute", func(r *BindingRule) { r.Selector = `nosuch == "x"` }, `invalid Binding Rule: Selector is invalid: Selector "nosuch" is not valid`},
		{"variables for another type", func(r *BindingRule) { r.BindVars = &BindVars{"x"} }, "invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy."},
		{"a templated policy", func(r *BindingRule) {
			r.BindType, r.BindName, r.BindVars = BindTemplatedPolicy, "builtin/service", &BindVars{"${entity_name}"}
		}, ""},
		{"a templated policy with an unknown variable", func(r *BindingRule) {
			r.BindType, r.BindName, r.BindVars = BindTemplatedPolicy, "builtin/service", &BindVars{"${x}"}
		}, names + `failed to validate bindType "templated-policy": error interpreting template: 1:3: unknown variable accessed: x`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			c.change(&r)
			wantError(t, ValidateRule(r, example()), errs.Invalid, c.text)
		})
	}
}

func TestBind(t *testing.T) {
	id := example()
	id.Variables["entity_tags.consul.hashicorp.com.service-name"] = "Web"
	id.Variables["entity_tags.team"] = ""
	rule := func(bindType, name, selector string) *BindingRule {
		return &BindingRule{BindType: bindType, BindName: name, Selector: selector}
	}
	const serviceTag = "${entity_tags.consul.hashicorp.com.service-name}"
	for _, c := range []struct {
		name  string
		rules []*BindingRule
		want  Bindings
		text  string
	}{
		{"no rules", nil, Bindings{}, ""},
		{"each type", []*BindingRule{
			rule(BindService, serviceTag, ""), rule(BindNode, "n-"+serviceTag, ""), rule(BindRole, serviceTag, ""), rule(BindPolicy, "P", ""),
			{BindType: BindTemplatedPolicy, BindName: "builtin/service", BindVars: &BindVars{serviceTag}},
		}, Bindings{
			Services: []string{"web"}, Nodes: []string{"n-web"}, Roles: []string{"Web"}, Policies: []string{"P"},
			TemplatedPolicies: []TemplatedBinding{{"builtin/service", "Web"}},
		}, ""},
		{"all that match, each once", []*BindingRule{
			rule(BindRole, "a", ""), rule(BindRole, "b", `entity_name == "other"`), rule(BindRole, "c", `entity_name == "example"`), rule(BindRole, "a", ""),
		}, Bindings{Roles: []string{"a", "c"}}, ""},
		{"a missing tag fails the login", []*BindingRule{rule(BindRole, "a", ""), rule(BindService, "${entity_tags.team}", "")}, Bindings{}, `invalid bind name: ""`},
		{"but not in a rule that does not match", []*BindingRule{rule(BindRole, "a", ""), rule(BindService, "${entity_tags.team}", `entity_tags["team"] == "x"`)},
			Bindings{Roles: []string{"a"}}, ""},
		{"a variable that is gone", []*BindingRule{rule(BindRole, "${gone}", "")}, Bindings{}, "error interpreting template: 1:3: unknown variable accessed: gone"},
		{"a selector that is stale", []*BindingRule{rule(BindRole, "a", `gone == "x"`)}, Bindings{}, `Selector is invalid: Selector "gone" is not valid`},
		{"a type of another time", []*BindingRule{rule("future", "a", "")}, Bindings{}, `invalid Binding Rule: unknown BindType "future"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Bind(c.rules, id, nil)
			wantError(t, err, errs.Invalid, c.text)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDecodeConfig(t *testing.T) {
	type settings struct {
		List []string
		N    int
		On   bool
	}
	for _, c := range []struct {
		name   string
		config map[string]any
		want   settings
		text   string
	}{
		{"nothing", nil, settings{}, ""},
		{"keys in any case", map[string]any{"LIST": []any{"a"}, "n": 1.0, "on": true}, settings{[]string{"a"}, 1, true}, ""},
		{"text for a number, one value for a list", map[string]any{"N": "3", "List": "a"}, settings{[]string{"a"}, 3, false}, ""},
		{"an unknown key", map[string]any{"Bogus": 1}, settings{}, "error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: Bogus"},
		{"a key twice", map[string]any{"N": 1, "n": 2}, settings{}, `error decoding config: "N" and "n" are the same key`},
		{"a key twice, spelled with a long s", map[string]any{"List": "a", "Li\u017ft": "b"}, settings{}, `error decoding config: "List" and "Liſt" are the same key`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got settings
			err := DecodeConfig(c.config, &got)
			wantError(t, err, errs.Invalid, c.text)
			if c.text == "" && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
