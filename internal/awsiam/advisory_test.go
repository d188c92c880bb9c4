package awsiam

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

// A bound claim was accepted without a look at it: here each field that binds
// a method to somebody refuses somebody else.
func TestCVE_2025_3879_EveryBoundFieldIsChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		key   string
		value any
		kind  errs.Kind
		text  string
	}{
		{"another role", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789012:role/consul-ecs/other"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"the role without its path", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789012:role/ecs-task-web"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"another path", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789012:role/consul/*"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"another account", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789013:*"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"another partition", "BoundIAMPrincipalARNs", []any{"arn:aws-cn:iam::123456789012:*"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"a user", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789012:user/*"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"other capitals", "BoundIAMPrincipalARNs", []any{"arn:aws:iam::123456789012:role/Consul-ECS/*"}, errs.Denied,
			"IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted"},
		{"another server", "ServerIDHeaderValue", "consul.prod", errs.Denied, `expected "consul.prod" but got "consul.test"`},
		{"the server in other capitals", "ServerIDHeaderValue", "Consul.Test", errs.Denied, `expected "Consul.Test" but got "consul.test"`},
		{"the bound ones", "IAMEntityTags", nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(t, with(detailed(), c.key, c.value), newFakeAWS()).Verify(t.Context(), forge(t, func(*parts) {}))
			wantError(t, err, c.kind, c.text)
		})
	}
}

// A dot in a bound identity was one of a regular expression.
func TestCVE_2026_39350_PrincipalsAreNoPatterns(t *testing.T) {
	for _, bound := range []string{
		"arn:aws:iam::123456789012:role/consul.ecs/*", "arn:aws:iam::123456789012:role/consul-ecs/ecs.task.web", "arn:aws:iam::............:role/*",
		"arn:aws:iam::123456789012:role/(consul-ecs|x)/*", "arn:aws:iam::123456789012:role/consul-ecs/[a-z]*", "arn:aws:iam::123456789012:role/consul-ecs/?cs-task-web",
		"arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web$",
	} {
		_, err := open(t, with(detailed(), "BoundIAMPrincipalARNs", []any{bound}), newFakeAWS()).Verify(t.Context(), forge(t, func(*parts) {}))
		wantError(t, err, errs.Denied, "IAM principal arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web is not trusted")
	}
}

// An option of an auth provider read files of the server, and one asked hosts inside
// its network. A method's options are web addresses of its operator alone.
func TestCVE_2026_2808_ConfigReachesNoFile(t *testing.T) {
	for _, url := range []string{"file:///etc/passwd", "/etc/passwd", "@/etc/passwd", "unix:///run/x.sock", "gopher://x/", "sts.amazonaws.com", "http://", "https://a@b/", "https://b/?x", "https://b/#x"} {
		for _, key := range []string{"STSEndpoint", "IAMEndpoint"} {
			_, err := (&Type{}).Open(with(detailed(), key, url))
			if err == nil || errs.KindOf(err) != errs.Invalid || !strings.HasPrefix(err.Error(), key+" is invalid: ") {
				t.Errorf("%s %q: %v", key, url, err)
			}
		}
	}
}

// The caller says where a request was signed for, and that is never where it
// goes unless it is AWS.
func TestCVE_2026_41413_NoHostInsideTheNetworkIsAsked(t *testing.T) {
	for _, host := range []string{"169.254.169.254", "169.254.170.2", "127.0.0.1", "[::1]", "localhost", "sts.internal", "metadata.amazonaws.com.internal", "0x7f000001", "2130706433"} {
		refused(t, simple(), forge(t, func(p *parts) { p.url = "https://" + host + "/" }), errs.Invalid, `invalid STS hostname: "`+host+`"`)
		refused(t, detailed(), forge(t, func(p *parts) { p.set(entityURLHeader, "https://"+host+"/") }), errs.Invalid, `invalid IAM hostname: "`+host+`"`)
	}
}
