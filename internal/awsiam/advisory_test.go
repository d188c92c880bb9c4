package awsiam

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
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

// A wildcard, or what was cached for one account, let in the role of that name in another.
func TestCVE_2025_11621_AWildcardStaysInItsAccount(t *testing.T) {
	const other = "999999999999"
	elsewhere := strings.NewReplacer(account, other, roleID, "AROAEXAMPLEID0000002")
	for _, bound := range []string{"*", "role/*", "role/consul-ecs/*", "role/consul-ecs/ecs-task-*", "role/consul-ecs/ecs-task-web"} {
		for _, order := range [][]string{{account, other}, {other, account}, {account, account, other, other, account}} {
			fake := newFakeAWS()
			typ := &Type{Transport: fake, Now: func() time.Time { return signedAt.Add(time.Minute) }} // shared, as on a server
			methods := map[string]authmethod.Verifier{}
			for _, of := range []string{account, other} {
				v, err := typ.Open(with(detailed(), "BoundIAMPrincipalARNs", []any{"arn:aws:iam::" + of + ":" + bound}))
				if err != nil {
					t.Fatal(err)
				}
				methods[of] = v
			}
			for _, from := range order {
				fake.sts, fake.iam = []reply{xmlReply(stsReply)}, []reply{xmlReply(iamReply)}
				if from == other {
					fake.sts, fake.iam = []reply{xmlReply(elsewhere.Replace(stsReply))}, []reply{xmlReply(elsewhere.Replace(iamReply))}
				}
				for of, v := range methods {
					id, err := v.Verify(t.Context(), forge(t, func(*parts) {}))
					if of != from {
						wantError(t, err, errs.Denied, "IAM principal arn:aws:iam::"+from+":role/consul-ecs/ecs-task-web is not trusted")
						continue
					}
					if err != nil || id.Account != from || (id.UniqueID == roleID) != (from == account) {
						t.Errorf("%s in %v, from %s: %+v, %v", bound, order, from, id, err)
					}
				}
			}
		}
	}
}

// What authenticates to this server was passed on to an auth provider. Here nothing
// that a caller puts beside the signed request reaches AWS.
func TestCVE_2026_4525_NoTokenOfOursReachesAWS(t *testing.T) {
	const secret = "cafebabe-0000-4000-8000-00000000cafe"
	for _, name := range []string{"X-Consul-Token", "X-Consul-Namespace", "Cookie", "Proxy-Authorization", "X-Vault-Token", "X-Forwarded-Authorization", "X-Lictor-Caller"} {
		fake := newFakeAWS()
		beside := forge(t, func(p *parts) { p.set(name, secret) })
		if _, err := open(t, detailed(), fake).Verify(t.Context(), beside); err != nil {
			t.Fatal(err)
		}
		for i, req := range fake.requests {
			for sent, values := range req.Header {
				if strings.Contains(strings.Join(values, " "), secret) {
					t.Errorf("%s is sent on as %s", name, sent)
				}
			}
			if strings.Contains(req.URL.String()+fake.bodies[i], secret) {
				t.Errorf("%s is sent on in the URL or the body", name)
			}
		}
		signed := forge(t, func(p *parts) {
			p.set(name, secret)
			_, rest, _ := strings.Cut(p.headers["Authorization"][0], "SignedHeaders=")
			names, _, _ := strings.Cut(rest, ",")
			more := append(strings.Split(names, ";"), strings.ToLower(name))
			slices.Sort(more)
			p.reauthorize(names, strings.Join(more, ";"))
		})
		refused(t, detailed(), signed, errs.Invalid, "invalid request header: "+canonical(name))
	}
}
