package awsiam

import (
	"testing"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestConfigErrors(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/x"
	for _, c := range []struct {
		name   string
		config map[string]any
		text   string
	}{
		{"no principals", map[string]any{}, "BoundIAMPrincipalARNs is required and must have at least 1 entry"},
		{"a wildcard without details", map[string]any{"BoundIAMPrincipalARNs": []any{role + "*"}},
			"Must set EnableIAMEntityDetails=true to use wildcards in BoundIAMPrincipalARNs"},
		{"two wildcards", map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:iam::*:role/*"}, "EnableIAMEntityDetails": true},
			"Only one wildcard is allowed at the end of the bound IAM principal ARN"},
		{"a wildcard in the middle", map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:iam::123456789012:*/x"}, "EnableIAMEntityDetails": true},
			"Only one wildcard is allowed at the end of the bound IAM principal ARN"},
		{"a wildcard instead of the account", map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:iam::1234*"}, "EnableIAMEntityDetails": true},
			`Invalid principal ARN: "arn:aws:iam::1234*"`},
		{"not an ARN", map[string]any{"BoundIAMPrincipalARNs": []any{"bogus"}}, `Invalid principal ARN: "bogus"`},
		{"an ARN of another service", map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:ec2:us-east-1:123456789012:instance/x"}},
			`Invalid principal ARN: "arn:aws:ec2:us-east-1:123456789012:instance/x"`},
		{"the second principal is bad", map[string]any{"BoundIAMPrincipalARNs": []any{role, "bogus"}}, `Invalid principal ARN: "bogus"`},
		{"tags without details", map[string]any{"BoundIAMPrincipalARNs": role, "IAMEntityTags": "team"},
			"Must set EnableIAMEntityDetails=true to use IAMUserTags"},
		{"a server id that is no header value", map[string]any{"BoundIAMPrincipalARNs": role, "ServerIDHeaderValue": "a\nb"},
			`ServerIDHeaderValue is invalid: "a\nb" cannot be the value of a header`},
		{"a bad STS endpoint", map[string]any{"BoundIAMPrincipalARNs": role, "STSEndpoint": "bad"}, `STSEndpoint is invalid: url is invalid: "bad"`},
		{"a bad IAM endpoint", map[string]any{"BoundIAMPrincipalARNs": role, "IAMEndpoint": "bad"}, `IAMEndpoint is invalid: url is invalid: "bad"`},
		{"an endpoint of a file", map[string]any{"BoundIAMPrincipalARNs": role, "STSEndpoint": "file:///etc/passwd"}, `STSEndpoint is invalid: url is invalid: "file:///etc/passwd"`},
		{"an unknown key", map[string]any{"BoundIAMPrincipalARNs": role, "Bogus": 1},
			"error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: Bogus"},
		{"a key twice", map[string]any{"BoundIAMPrincipalARNs": role, "boundiamprincipalarns": role},
			`error decoding config: "BoundIAMPrincipalARNs" and "boundiamprincipalarns" are the same key`},
		{"an empty account is accepted", map[string]any{"BoundIAMPrincipalARNs": "arn:aws:iam:::role/x"}, ""},
		{"keys in other capitals, and texts for numbers", map[string]any{"BoundIAMPrincipalArns": role, "maxretries": "3"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := new(Type).Open(c.config)
			wantError(t, err, errs.Invalid, c.text)
		})
	}
}

func TestSharedEndpointMustBeURL(t *testing.T) {
	_, err := (&Type{STSEndpoint: "nonsense"}).Open(simple())
	wantError(t, err, errs.Invalid, `STS endpoint is invalid: url is invalid: "nonsense"`)
}

func TestTrust(t *testing.T) {
	const web = "arn:aws:iam::123456789012:role/consul-ecs/web"
	for _, c := range []struct {
		name    string
		bound   string
		details bool
		arn     string
		want    bool
	}{
		{"an equal ARN", web, true, web, true},
		{"the path", "arn:aws:iam::123456789012:role/consul-ecs/*", true, web, true},
		{"a deeper path", "arn:aws:iam::123456789012:role/consul-ecs/*", true, "arn:aws:iam::123456789012:role/consul-ecs/a/b", true},
		{"the whole account", "arn:aws:iam::123456789012:*", true, web, true},
		{"a prefix of the name", "arn:aws:iam::123456789012:role/consul-ecs/w*", true, web, true},
		{"another account", "arn:aws:iam::123456789012:*", true, "arn:aws:iam::999999999999:role/consul-ecs/web", false},
		{"an account that begins alike", "arn:aws:iam::123456789012:*", true, "arn:aws:iam::1234567890123:role/web", false},
		{"another path", "arn:aws:iam::123456789012:role/consul-ecs/*", true, "arn:aws:iam::123456789012:role/other/web", false},
		{"another partition", "arn:aws:iam::123456789012:*", true, "arn:aws-cn:iam::123456789012:role/web", false},
		{"other capitals", "arn:aws:iam::123456789012:role/Web", true, "arn:aws:iam::123456789012:role/web", false},
		{"no path with details", "arn:aws:iam::123456789012:role/web", true, web, false},
		{"a user of the same name", "arn:aws:iam::123456789012:role/web", true, "arn:aws:iam::123456789012:user/web", false},
		{"an empty account", "arn:aws:iam:::role/web", false, "arn:aws:iam::123456789012:role/web", false},
		{"a wildcard after an empty account", "arn:aws:iam:::*", true, web, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings{BoundIAMPrincipalARNs: []string{c.bound}, EnableIAMEntityDetails: c.details}
			if err := s.validate(); err != nil {
				t.Fatal(err)
			}
			if got := s.trusts(c.arn); got != c.want {
				t.Errorf("%s trusts %s: got %v, want %v", c.bound, c.arn, got, c.want)
			}
		})
	}
}

// TestExampleServesRules checks rules as they are checked when they are made.
func TestExampleServesRules(t *testing.T) {
	on, off := open(t, detailed(), nil).Example(), open(t, simple(), nil).Example()
	rule := func(selector, name string) authmethod.BindingRule {
		return authmethod.BindingRule{AuthMethod: "m", BindType: authmethod.BindService, Selector: selector, BindName: name}
	}
	const unknown = `Invalid Binding Rule: invalid BindName or BindVars: failed to validate bindType "service": error interpreting template: 1:3: unknown variable accessed: `
	for _, c := range []struct {
		name    string
		rule    authmethod.BindingRule
		example authmethod.Identity
		text    string
	}{
		{"a declared tag", rule("", "${entity_tags.consul.hashicorp.com.service-name}"), on, ""},
		{"an undeclared tag", rule("", "${entity_tags.foo}"), on, unknown + "entity_tags.foo"},
		{"the path with details", rule(`entity_path == "/x/"`, "${entity_path}"), on, ""},
		{"the path without details", rule("", "${entity_path}"), off, unknown + "entity_path"},
		{"a selector over tags without details", rule(`entity_tags["x"] != "" and entity_path == "/"`, "web"), off, ""},
		{"the name, id and account", rule("", "${entity_name}-${entity_id}-${account_id}"), off, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, authmethod.ValidateRule(c.rule, c.example), errs.Invalid, c.text)
		})
	}
}

func TestValidateMethodOpensConfig(t *testing.T) {
	m := authmethod.Method{Name: "ecs", Type: "aws-iam", Scope: tenancy.Default}
	_, err := authmethod.ValidateMethod(&m, []authmethod.Type{new(Type)})
	wantError(t, err, errs.Invalid, "Invalid Auth Method: BoundIAMPrincipalARNs is required and must have at least 1 entry")
	m.Config = detailed()
	m.NamespaceRules = []authmethod.NamespaceRule{{Selector: `entity_tags["absent"] != ""`, BindNamespace: "${entity_tags.absent}"}}
	_, err = authmethod.ValidateMethod(&m, []authmethod.Type{new(Type)})
	wantError(t, err, errs.Invalid, "")
}
