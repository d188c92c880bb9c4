package awsiam

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// FuzzBearerToken looks for tokens that panic, and for requests to hosts that are not AWS's.
func FuzzBearerToken(f *testing.F) {
	full := builderFor("ecs-task-web")
	plain := builderFor("ecs-task-web")
	plain.serverID, plain.entity = "", nil
	for _, b := range []bearerBuilder{full, plain} {
		f.Add(mustBuild(f, b).Reveal())
	}
	f.Add(forge(f, func(p *parts) { p.url += "?a=b" }).Reveal())
	f.Add(forge(f, func(p *parts) { p.entityPart(func(h map[string][]string) { delete(h, "Authorization") }) }).Reveal())
	f.Add(`{"iam_request_url":"","iam_request_headers":"e30="}`)
	f.Add(`[[[[[[`)
	v := open(f, detailed(), newFakeAWS())
	f.Fuzz(func(t *testing.T, token string) {
		l, err := v.parse(logging.Secret(token))
		if err != nil {
			if k := errs.KindOf(err); k != errs.Invalid && k != errs.Denied {
				t.Errorf("got kind %s: %v", k, err)
			}
			return
		}
		for _, r := range []*signedRequest{l.sts, l.iam} {
			req := r.build(service{})
			if req.URL.Scheme != "https" || !strings.HasSuffix(req.URL.Hostname(), ".amazonaws.com") || req.URL.RawQuery != "" {
				t.Errorf("would send to %s", req.URL)
			}
		}
	})
}

// FuzzHeadersAndBody reaches what is behind the base64.
func FuzzHeadersAndBody(f *testing.F) {
	f.Add("https://sts.amazonaws.com/", `{"Authorization":["a"],"authorization":["b"]}`, "Action=GetCallerIdentity&Version=2011-06-15")
	f.Add("https://sts.us-east-1.amazonaws.com:443", `{"X-Amz-Date":[]}`, "Action=%41")
	f.Add("//", `{"A":null}`, "&&=")
	v := open(f, detailed(), newFakeAWS())
	f.Fuzz(func(t *testing.T, url, headers, body string) {
		token := forge(t, func(p *parts) { p.url, p.raw, p.body = url, headers, body })
		l, err := v.parse(token)
		if err == nil && (l.sts.body != "Action=GetCallerIdentity&Version=2011-06-15" && l.sts.body != "Version=2011-06-15&Action=GetCallerIdentity") {
			t.Errorf("would send %q", l.sts.body)
		}
	})
}

func FuzzARN(f *testing.F) {
	for _, arn := range []string{
		"arn:aws:sts::123456789012:assumed-role/web/abc", "arn:aws:iam::123456789012:role/consul-ecs/web",
		"arn:aws:iam::123456789012:user/jo", "arn:aws:iam::123456789012:root", "arn:::::", "::::://", "",
	} {
		f.Add(arn)
	}
	f.Fuzz(func(t *testing.T, arn string) {
		p, err := parseARN(arn)
		if err != nil {
			return
		}
		p.session = "" // is no part of it
		again, err := parseARN(p.canonical())
		if err != nil || again != p {
			t.Errorf("%q is %+v, whose canonical ARN is %+v (%v)", arn, p, again, err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, config := range []map[string]any{simple(), detailed()} {
		text, err := json.Marshal(config)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"BoundIAMPrincipalARNs":[["a"]],"MaxRetries":"1e9","IAMEntityTags":{"a":1}}`)
	f.Add(`{"STSEndpoint":"http://[::1]:1/%zz","BoundIAMPrincipalARNs":"arn:aws:iam::*"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var config map[string]any
		if json.Unmarshal([]byte(text), &config) != nil {
			return
		}
		v, err := new(Type).Open(config)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("got kind %s: %v", errs.KindOf(err), err)
			}
			return
		}
		for _, arn := range v.(*verifier).settings.BoundIAMPrincipalARNs {
			if prefix, wild := strings.CutSuffix(arn, "*"); wild && strings.Count(prefix, ":") < 5 {
				t.Errorf("%q spans accounts", arn)
			}
		}
		_ = v.Example()
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(stsReply)
	f.Add(iamReply)
	f.Add("<?xml version=\"1.0\"?><GetCallerIdentityResponse/>")
	f.Fuzz(func(t *testing.T, body string) {
		if who, err := parseIdentity([]byte(body)); err == nil && !utf8.ValidString(who.arn) {
			t.Errorf("got ARN %q", who.arn)
		}
		if e, err := parseEntity([]byte(body), actionGetRole); err == nil && !strings.Contains(body, "GetRoleResponse") {
			t.Errorf("got %+v", e)
		}
	})
}
