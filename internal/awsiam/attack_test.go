package awsiam

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// parts are a bearer token's, for an attacker to change.
type parts struct {
	outer   bearerToken
	url     string
	body    string
	headers map[string][]string
	raw     string // instead of headers, if not empty
}

// forge returns a good token for the role of the tests with change made to it.
func forge(t testing.TB, change func(*parts)) logging.Secret {
	t.Helper()
	p := parts{url: "https://sts.us-west-2.amazonaws.com/", body: "Action=GetCallerIdentity&Version=2011-06-15"}
	if err := json.Unmarshal([]byte(mustBuild(t, builderFor("ecs-task-web"))), &p.outer); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(p.outer.Headers)
	if err == nil {
		err = json.Unmarshal(raw, &p.headers)
	}
	if err != nil {
		t.Fatal(err)
	}
	change(&p)
	if p.raw == "" {
		raw, _ := json.Marshal(p.headers)
		p.raw = string(raw)
	}
	p.outer.URL = base64.StdEncoding.EncodeToString([]byte(p.url))
	p.outer.Body = base64.StdEncoding.EncodeToString([]byte(p.body))
	p.outer.Headers = base64.StdEncoding.EncodeToString([]byte(p.raw))
	out, _ := json.Marshal(p.outer)
	return logging.Secret(out)
}

// entityPart changes the embedded IAM request's headers.
func (p *parts) entityPart(change func(map[string][]string)) {
	key := canonical(entityHeadersHeader)
	var inner map[string][]string
	_ = json.Unmarshal([]byte(p.headers[key][0]), &inner)
	change(inner)
	raw, _ := json.Marshal(inner)
	p.headers[key] = []string{string(raw)}
}

func (p *parts) set(name, value string) { p.headers[canonical(name)] = []string{value} }

func (p *parts) reauthorize(old, new string) {
	p.set("Authorization", strings.Replace(p.headers["Authorization"][0], old, new, 1))
}

// refused checks that a token is refused before AWS is asked anything.
func refused(t *testing.T, config map[string]any, token logging.Secret, kind errs.Kind, text string) {
	t.Helper()
	fake := newFakeAWS()
	_, err := open(t, config, fake).Verify(t.Context(), token)
	wantError(t, err, kind, text)
	if len(fake.requests) > 0 {
		t.Errorf("AWS was asked %d times", len(fake.requests))
	}
}

func TestGoodTokenIsAccepted(t *testing.T) {
	fake := newFakeAWS()
	id, err := open(t, detailed(), fake).Verify(t.Context(), forge(t, func(*parts) {}))
	if err != nil {
		t.Fatal(err)
	}
	for i, req := range fake.requests {
		checkSignature(t, req, fake.bodies[i])
	}
	if id.Principal != "arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web" || id.UniqueID != roleID || id.Account != account {
		t.Errorf("got identity %+v", id)
	}
	want := map[string]string{
		"entity_name": "ecs-task-web", "entity_id": roleID, "account_id": account, "session_name": "abc", "entity_path": "/consul-ecs/",
		"entity_tags.consul.hashicorp.com.service-name": "web", "entity_tags.absent": "",
	}
	if fmt.Sprint(id.Variables) != fmt.Sprint(want) {
		t.Errorf("got variables %v, want %v", id.Variables, want)
	}
}

// The caller shaped the forwarded request so that STS repeated its text, which
// a lenient XML decoder took for an answer.
func TestCVE_2020_16250_OnlyRebuiltRequestsAndStrictAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*parts)
		text   string
	}{
		{"another host", func(p *parts) { p.url = "https://evil.com/" }, `invalid STS hostname: "evil.com"`},
		{"a host that only begins right", func(p *parts) { p.url = "https://sts.evil.com/" }, `invalid STS hostname: "sts.evil.com"`},
		{"a bucket's host", func(p *parts) { p.url = "https://sts.x.s3.amazonaws.com/" }, `invalid STS hostname: "sts.x.s3.amazonaws.com"`},
		{"a bucket named like a region", func(p *parts) { p.url = "https://sts.us-east-1.s3.amazonaws.com/" }, `invalid STS hostname: "sts.us-east-1.s3.amazonaws.com"`},
		{"plain http", func(p *parts) { p.url = "http://sts.amazonaws.com/" }, `invalid STS hostname: "sts.amazonaws.com"`},
		{"another port", func(p *parts) { p.url = "https://sts.amazonaws.com:8443/" }, `invalid STS hostname: "sts.amazonaws.com:8443"`},
		{"a user", func(p *parts) { p.url = "https://sts.amazonaws.com@evil.com/" }, `invalid STS hostname: "evil.com"`},
		{"a user before the right host", func(p *parts) { p.url = "https://a:b@sts.amazonaws.com/" }, `invalid STS hostname: "sts.amazonaws.com"`},
		{"a path", func(p *parts) { p.url = "https://sts.amazonaws.com/x" }, `invalid STS hostname: "sts.amazonaws.com"`},
		{"a final dot", func(p *parts) { p.url = "https://sts.amazonaws.com./" }, `invalid STS hostname: "sts.amazonaws.com."`},
		{"another action", func(p *parts) { p.body = "Action=AssumeRole&Version=2011-06-15" }, "iam_request_body error: unexpected value Action=[AssumeRole]"},
		{"another version", func(p *parts) { p.body = "Action=GetCallerIdentity&Version=2010-05-08" }, "iam_request_body error: unexpected value Version=[2010-05-08]"},
		{"a Host header", func(p *parts) { p.reauthorize("host;", "host;origin;"); p.set("Origin", "x") }, "invalid request header: Origin"},
		{"JSON asked for", func(p *parts) { p.set("Content-Type", "application/json") }, "invalid request header: Content-Length or Content-Type does not fit the body"},
		{"a length that lies", func(p *parts) { p.set("Content-Length", "5") }, "invalid request header: Content-Length or Content-Type does not fit the body"},
		{"a line break in a header", func(p *parts) { p.set("User-Agent", "a\r\nHost: evil.com"); p.reauthorize("host;", "host;user-agent;") }, "invalid request header: User-Agent"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, detailed(), forge(t, c.change), errs.Invalid, c.text) })
	}
	const badSTS = "error parsing STS response"
	for _, c := range []struct {
		name   string
		answer reply
		text   string
	}{
		{"JSON with the answer inside", reply{200, "text/xml", `{"a":"` + stsReply + `"}`}, badSTS},
		{"JSON, said to be so", reply{200, "application/json", `{"a":"` + stsReply + `"}`}, "response body is invalid"},
		{"junk before", xmlReply("junk" + stsReply), badSTS},
		{"space before", xmlReply(" " + stsReply), badSTS},
		{"a comment before", xmlReply("<!-- -->" + stsReply), badSTS},
		{"another root around", xmlReply("<?xml version=\"1.0\"?><A>" + stsReply + "</A>"), badSTS},
		{"two roots", xmlReply(stsReply + stsReply), badSTS},
		{"text behind", xmlReply(stsReply + "x"), badSTS},
		{"a document type", xmlReply(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>` + stsReply), badSTS},
		{"two ARNs", xmlReply(strings.Replace(stsReply, "<Arn>", "<Arn>x</Arn><Arn>", 1)), badSTS},
		{"no account", xmlReply(strings.Replace(stsReply, "<Account>123456789012</Account>", "", 1)), badSTS},
		{"an account that is not the ARN's", xmlReply(strings.Replace(stsReply, "<Account>123456789012", "<Account>999999999999", 1)), badSTS},
		{"a cut document", xmlReply(stsReply[:len(stsReply)-5]), badSTS},
	} {
		t.Run("an answer with "+c.name, func(t *testing.T) {
			fake := newFakeAWS()
			fake.sts = []reply{c.answer}
			_, err := open(t, simple(), fake).Verify(t.Context(), forge(t, func(*parts) {}))
			wantError(t, err, errs.Unavailable, c.text)
		})
	}
}

// Parameter names were lower-cased before the check, so that repeats passed.
func TestCVE_2022_2385_RepeatedNamesInAnySpelling(t *testing.T) {
	rest := "&Version=2011-06-15"
	for _, c := range []struct {
		name   string
		change func(*parts)
		text   string
	}{
		{"Action twice", func(p *parts) { p.body = "Action=GetCallerIdentity&Action=GetCallerIdentity" + rest }, "iam_request_body error: unexpected value Action=[GetCallerIdentity GetCallerIdentity]"},
		{"action in small letters", func(p *parts) { p.body = "Action=GetCallerIdentity&action=GetUser" + rest }, `iam_request_body error: unexpected field "action"`},
		{"Action percent-encoded", func(p *parts) { p.body = "Action=GetCallerIdentity&%41ction=GetUser" + rest }, `iam_request_body error: unexpected field "%41ction"`},
		{"only a percent-encoded Action", func(p *parts) { p.body = "%41ction=GetCallerIdentity" + rest }, `iam_request_body error: missing field "Action"`},
		{"Version twice", func(p *parts) { p.body = "Action=GetCallerIdentity" + rest + rest }, "iam_request_body error: unexpected value Version=[2011-06-15 2011-06-15]"},
		{"a semicolon", func(p *parts) { p.body = "Action=GetCallerIdentity;Action=GetUser" + rest }, "iam_request_body error: unexpected value Action=[GetCallerIdentity;Action=GetUser]"},
		{"a credential in the body", func(p *parts) { p.body += "&X-Amz-Credential=x" }, `iam_request_body error: unexpected field "X-Amz-Credential"`},
		{"RoleName twice", func(p *parts) { p.set(entityBodyHeader, "Action=GetRole&RoleName=a&RoleName=b&Version=2010-05-08") },
			`iam_request_headers["X-Consul-IAM-GetEntity-Body"] error: invalid request body "Action=GetRole&RoleName=a&RoleName=b&Version=2010-05-08"`},
		{"rolename in small letters", func(p *parts) { p.set(entityBodyHeader, "Action=GetRole&RoleName=a&rolename=b&Version=2010-05-08") },
			`iam_request_headers[X-Consul-IAM-GetEntity-Body] error: unexpected field "rolename"`},
		{"Authorization twice", func(p *parts) { p.headers["Authorization"] = append(p.headers["Authorization"], "x") }, `invalid value for header "Authorization" (expected 1 item)`},
		{"Authorization in other capitals too", func(p *parts) { p.headers["AUTHORIZATION"] = []string{"x"} }, `invalid token: duplicate key "Authorization"`},
		{"a date twice", func(p *parts) { p.headers["X-Amz-Date"] = append(p.headers["X-Amz-Date"], "20300102T030405Z") }, `invalid value for header "X-Amz-Date" (expected 1 item)`},
		{"a key of the headers twice", func(p *parts) { p.raw = `{"A":["b"],"A":["c"]}` }, `invalid token: duplicate key "A"`},
		{"two credentials in Authorization", func(p *parts) {
			p.reauthorize("Credential=", "Credential=AKIAX/20300102/us-west-2/sts/aws4_request, Credential=")
		}, "invalid Authorization header"},
		{"a signed header twice", func(p *parts) { p.reauthorize("host;", "host;host;") }, "invalid Authorization header"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, detailed(), forge(t, c.change), errs.Invalid, c.text) })
	}
	twice := logging.Secret(`{"iam_request_url":"","IAM_Request_URL":""}`)
	refused(t, simple(), twice, errs.Invalid, `invalid token: duplicate key "IAM_Request_URL"`)
}

// Query parameters in the URL override the body that was checked.
func TestSECVULN_8630_QueryParametersAreRefused(t *testing.T) {
	for _, c := range []struct{ query, found string }{
		{"?a=b", "a=b"}, {"?Action=GetUser&Version=2010-05-08", "Action=GetUser&Version=2010-05-08"}, {"?", "?"}, {"#a", "a"}, {"#", "#"},
	} {
		t.Run("STS URL with "+c.query, func(t *testing.T) {
			refused(t, detailed(), forge(t, func(p *parts) { p.url += c.query }), errs.Invalid,
				fmt.Sprintf("URL query parameters are not allowed for security reasons: found %q", c.found))
		})
		t.Run("IAM URL with "+c.query, func(t *testing.T) {
			refused(t, detailed(), forge(t, func(p *parts) { p.set(entityURLHeader, "https://iam.amazonaws.com/"+c.query) }), errs.Invalid,
				fmt.Sprintf("URL query parameters are not allowed for IAM entity requests: found %q", c.found))
		})
	}
}

// A role of the same name in another account was taken for the bound one.
func TestCVE_2025_59048_AccountAndUniqueIDArePartOfIdentity(t *testing.T) {
	other := strings.NewReplacer(account, "999999999999")
	for _, c := range []struct {
		name     string
		sts, iam string
		text     string
	}{
		{"the same role in another account", other.Replace(stsReply), other.Replace(iamReply),
			"IAM principal arn:aws:iam::999999999999:role/consul-ecs/ecs-task-web is not trusted"},
		{"details of the trusted account for a caller of another", other.Replace(stsReply), iamReply, "unique id mismatch in login token"},
		{"a role that was deleted and made again", strings.Replace(stsReply, roleID, "AROAEXAMPLEID0000009", 1), iamReply, "unique id mismatch in login token"},
		{"an id that begins alike", strings.Replace(stsReply, roleID+":", roleID+"9:", 1), iamReply, "unique id mismatch in login token"},
		{"a user's details for a role", stsReply, strings.Replace(iamReply, ":role/consul-ecs", ":user/consul-ecs", 1), "unique id mismatch in login token"},
		{"another partition", strings.Replace(stsReply, "arn:aws:", "arn:aws-us-gov:", 1), iamReply, "unique id mismatch in login token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newFakeAWS()
			v := open(t, detailed(), fake)
			for range 2 { // nothing that was seen before helps
				if _, err := v.Verify(t.Context(), forge(t, func(*parts) {})); err != nil {
					t.Fatal(err)
				}
			}
			fake.sts, fake.iam = []reply{xmlReply(c.sts)}, []reply{xmlReply(c.iam)}
			_, err := v.Verify(t.Context(), forge(t, func(*parts) {}))
			wantError(t, err, errs.Denied, c.text)
		})
	}
	fake := newFakeAWS()
	fake.sts = []reply{xmlReply(other.Replace(stsReply))}
	_, err := open(t, simple(), fake).Verify(t.Context(), forge(t, func(*parts) {}))
	wantError(t, err, errs.Denied, "IAM principal arn:aws:iam::999999999999:role/ecs-task-web is not trusted")
}

// The caller's region chose the partition that was asked, past the operator's endpoint.
func TestAttack_Infisical7546_OperatorsEndpointIsPinned(t *testing.T) {
	for _, host := range []string{"sts.us-gov-west-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn", "sts.us-iso-east-1.c2s.ic.gov"} {
		fake := newFakeAWS()
		config := with(simple(), "STSEndpoint", "https://sts.us-east-1.amazonaws.com")
		if _, err := open(t, config, fake).Verify(t.Context(), forge(t, func(p *parts) { p.url = "https://" + host + "/" })); err != nil {
			t.Fatal(err)
		}
		if got := fake.requests[0].URL.String(); got != "https://sts.us-east-1.amazonaws.com/" || fake.requests[0].Host != host {
			t.Errorf("a request for %s went to %s with Host %s", host, got, fake.requests[0].Host)
		}
	}
	config := with(simple(), "STSEndpoint", "http://proxy.internal:8080/aws")
	refused(t, config, forge(t, func(p *parts) { p.url = "https://evil.com/" }), errs.Invalid, `invalid STS hostname: "evil.com"`)
	refused(t, config, forge(t, func(p *parts) { p.url = "http://proxy.internal:8080/awsome/" }), errs.Invalid, `invalid STS hostname: "proxy.internal:8080"`)
	refused(t, config, forge(t, func(p *parts) { p.url = "http://proxy.internal:8080/aws/../x" }), errs.Invalid, `invalid STS hostname: "proxy.internal:8080"`)
	fake := newFakeAWS()
	if _, err := open(t, config, fake).Verify(t.Context(), forge(t, func(*parts) {})); err != nil {
		t.Fatal(err)
	}
	if got := fake.requests[0].URL.String(); got != "http://proxy.internal:8080/aws/" {
		t.Errorf("the request went to %s", got)
	}
}

// An endpoint for all methods moves the calls, and widens nothing.
func TestSharedEndpointDoesNotLoosenHosts(t *testing.T) {
	fake := newFakeAWS()
	typ := &Type{Transport: fake, STSEndpoint: "http://127.0.0.1:7", Now: func() time.Time { return signedAt }}
	v, err := typ.Open(simple())
	if err != nil {
		t.Fatal(err)
	}
	for url, text := range map[string]string{
		"http://127.0.0.1:7/":                     `invalid STS hostname: "127.0.0.1:7"`,
		"https://sts.cn-north-1.amazonaws.com.cn": `invalid STS hostname: "sts.cn-north-1.amazonaws.com.cn"`,
	} {
		_, err := v.Verify(t.Context(), forge(t, func(p *parts) { p.url = url }))
		wantError(t, err, errs.Invalid, text)
	}
	if _, err := v.Verify(t.Context(), forge(t, func(*parts) {})); err != nil {
		t.Fatal(err)
	}
	if got := fake.requests[0]; got.URL.Host != "127.0.0.1:7" || got.Host != "sts.us-west-2.amazonaws.com" {
		t.Errorf("the call went to %s with Host %s", got.URL, got.Host)
	}
}

// A token is for one server, one service and one time.
func TestCVE_2020_16251_TokenForAnotherPurposeIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*parts)
		kind   errs.Kind
		text   string
	}{
		{"another server's id", func(p *parts) { p.set(serverIDHeader, "other") }, errs.Denied, `expected "consul.test" but got "other"`},
		{"an id of two servers", func(p *parts) {
			p.headers[canonical(serverIDHeader)] = []string{"consul.test", "other"}
		}, errs.Invalid, `invalid value for header "X-Consul-IAM-ServerID" (expected 1 item)`},
		{"no server id in the IAM request", func(p *parts) {
			p.entityPart(func(h map[string][]string) { delete(h, canonical(serverIDHeader)) })
		}, errs.Invalid, `missing header "X-Consul-IAM-ServerID"`},
		{"no Authorization in the IAM request", func(p *parts) {
			p.entityPart(func(h map[string][]string) { delete(h, "Authorization") })
		}, errs.Invalid, "missing Authorization header"},
		{"signed for another service", func(p *parts) { p.reauthorize("/sts/", "/s3/") }, errs.Invalid, `the signature is for service "s3", expected "sts"`},
		{"an IAM request signed for STS", func(p *parts) {
			p.entityPart(func(h map[string][]string) {
				h["Authorization"][0] = strings.Replace(h["Authorization"][0], "/iam/", "/sts/", 1)
			})
		}, errs.Invalid, `the signature is for service "sts", expected "iam"`},
		{"another algorithm", func(p *parts) { p.reauthorize("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256") }, errs.Invalid, "invalid Authorization header"},
		{"an entity that is not signed", func(p *parts) { p.reauthorize(";x-consul-iam-getentity-body", "") }, errs.Invalid, `header "X-Consul-IAM-GetEntity-Body" wasn't signed`},
		{"a host that is not signed", func(p *parts) { p.reauthorize("host;", "") }, errs.Invalid, `header "Host" wasn't signed`},
		{"a date that is not signed", func(p *parts) { p.reauthorize(";x-amz-date", "") }, errs.Invalid, `header "X-Amz-Date" wasn't signed`},
		{"a session token that is not signed", func(p *parts) { p.set("X-Amz-Security-Token", "t") }, errs.Invalid, `header "X-Amz-Security-Token" wasn't signed`},
		{"an entity request by GET", func(p *parts) { p.set(entityMethodHeader, "GET") }, errs.Invalid, "iam_request_headers[X-Consul-IAM-GetEntity-Method] must be POST"},
		{"a date of another day", func(p *parts) { p.set("X-Amz-Date", "20300103T030405Z") }, errs.Invalid, "invalid request header: X-Amz-Date"},
		{"a role name that is a path", func(p *parts) { p.set(entityBodyHeader, "Action=GetRole&RoleName=..%2Fx&Version=2010-05-08") }, errs.Invalid,
			`iam_request_headers["X-Consul-IAM-GetEntity-Body"] error: invalid request body "Action=GetRole&RoleName=..%2Fx&Version=2010-05-08"`},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, detailed(), forge(t, c.change), c.kind, c.text) })
	}
	for _, shift := range []time.Duration{-16 * time.Minute, 17 * time.Minute} {
		b := builderFor("ecs-task-web")
		b.at = signedAt.Add(shift)
		refused(t, detailed(), mustBuild(t, b), errs.Denied,
			"login token has expired: signed at "+b.at.Format(dateLayout)+", more than 15m0s from now")
	}
}

// Everything before authentication is bounded.
func TestCVE_2025_6203_HugeAndDeepTokensAreRefused(t *testing.T) {
	long := strings.Repeat("a", maxBearer+1)
	refused(t, simple(), logging.Secret(long), errs.Invalid, "invalid token: longer than 65536 bytes")
	deep := logging.Secret(`{"a":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`)
	refused(t, simple(), deep, errs.Invalid, "invalid token: nested more than 4 deep")
	host := strings.Repeat("a", 3000)
	refused(t, simple(), forge(t, func(p *parts) { p.url = "https://" + host + "/" }), errs.Invalid,
		fmt.Sprintf("invalid token: url is invalid: %q", "https://"+host[:200-len("https://")]+"…"))
}

// What the caller added besides the signed headers does not reach AWS.
func TestUnsignedHeadersAreDropped(t *testing.T) {
	fake := newFakeAWS()
	token := forge(t, func(p *parts) {
		p.set("Cookie", "a=b")
		p.set("Transfer-Encoding", "chunked")
		p.set("Host", "evil.com")
	})
	if _, err := open(t, simple(), fake).Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	req := fake.requests[0]
	for _, name := range []string{"Cookie", "Transfer-Encoding", "Host"} {
		if req.Header.Get(name) != "" {
			t.Errorf("header %s was sent on", name)
		}
	}
	if req.Host != "sts.us-west-2.amazonaws.com" || len(fake.requests) != 1 {
		t.Errorf("sent %d requests, the first to Host %s", len(fake.requests), req.Host)
	}
}

// A header that an operator allows is sent on if it is signed.
func TestAllowedHeader(t *testing.T) {
	token := forge(t, func(p *parts) { p.set("X-Amz-Foo", "1"); p.reauthorize(";x-amz-date;", ";x-amz-date;x-amz-foo;") })
	refused(t, simple(), token, errs.Invalid, "invalid request header: X-Amz-Foo")
	fake := newFakeAWS()
	if _, err := open(t, with(simple(), "AllowedSTSHeaderValues", "x-amz-foo"), fake).Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if fake.requests[0].Header.Get("X-Amz-Foo") != "1" {
		t.Error("the allowed header was not sent on")
	}
}

// A tag's text is text: it is not read again as a template.
func TestAttack_TagTextIsNotInterpreted(t *testing.T) {
	rule := authmethod.BindingRule{AuthMethod: "m", BindType: authmethod.BindService, BindName: "${entity_tags.consul.hashicorp.com.service-name}"}
	for tag, text := range map[string]string{
		"Web": "", "${account_id}": `invalid bind name: "${account_id}"`, "a&quot;b": `invalid bind name: "a\"b"`, "a&#10;b": `invalid bind name: "a\nb"`,
		strings.Repeat("a", 257): fmt.Sprintf("invalid bind name: %q", strings.Repeat("a", 257)), "../api": `invalid bind name: "../api"`,
		"\u212Aafka": "invalid bind name: \"\u212Aafka\"", "": `invalid bind name: ""`,
	} {
		fake := newFakeAWS()
		fake.iam = []reply{xmlReply(strings.Replace(iamReply, "<Value>web</Value>", "<Value>"+tag+"</Value>", 1))}
		id, err := open(t, detailed(), fake).Verify(t.Context(), forge(t, func(*parts) {}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = authmethod.Bind([]*authmethod.BindingRule{&rule}, id, nil)
		wantError(t, err, errs.Invalid, text)
	}
}

// A replay is recognisable however it is wrapped, here without a header that is not signed.
func TestAttack_ProofNamesTheSignature(t *testing.T) {
	v := open(t, simple(), newFakeAWS())
	first, err1 := v.Verify(t.Context(), forge(t, func(*parts) {}))
	again, err2 := v.Verify(t.Context(), forge(t, func(p *parts) { p.set("User-Agent", "x") }))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if first.Proof == "" || first.Proof != again.Proof || !first.ProofEnds.Equal(signedAt.Add(15*time.Minute)) {
		t.Errorf("got proofs %q until %v and %q", first.Proof, first.ProofEnds, again.Proof)
	}
}

// slowServer answers like AWS over a real connection, or as handler says.
func slowServer(t *testing.T, handler http.HandlerFunc) map[string]any {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return with(with(detailed(), "STSEndpoint", s.URL), "IAMEndpoint", s.URL)
}

func answerXML(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/xml")
	if strings.Contains(string(body), "GetCallerIdentity") {
		_, _ = io.WriteString(w, stsReply)
		return
	}
	_, _ = io.WriteString(w, iamReply)
}

func TestAttack_BadServersOverTheWire(t *testing.T) {
	secret := make(chan bool, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { secret <- true; answerXML(w, r) }))
	t.Cleanup(elsewhere.Close)
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		text    string
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "received error code 307: "},
		{"a huge answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, stsReply+strings.Repeat(" ", maxAnswer))
		}, "response body is invalid: longer than 65536 bytes"},
		{"an answer that stops", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, stsReply)
		}, "error making request: unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(t, slowServer(t, c.handler), nil).Verify(t.Context(), forge(t, func(*parts) {}))
			wantError(t, err, errs.Unavailable, c.text)
		})
	}
	if len(secret) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestSlowServerMeetsTheTimeout(t *testing.T) {
	stop := make(chan struct{})
	config := slowServer(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) })
	v := open(t, config, nil)
	v.timeout = 20 * time.Millisecond
	_, err := v.Verify(context.Background(), forge(t, func(*parts) {}))
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got error %v", err)
	}
}
