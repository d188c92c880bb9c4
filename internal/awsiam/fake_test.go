package awsiam

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// signedAt is when the tokens of tests are signed, unless they say otherwise.
var signedAt = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// reply is an answer of AWS.
type reply struct {
	Status int
	Type   string
	Body   string
}

func xmlReply(body string) reply { return reply{Status: 200, Type: "text/xml", Body: body} }

func xmlError(status int, code string) reply {
	return reply{status, "text/xml", "<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>no</Message></Error></ErrorResponse>"}
}

const (
	account  = "123456789012"
	roleID   = "AROAEXAMPLEID0000001"
	stsReply = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
		`<Arn>arn:aws:sts::123456789012:assumed-role/ecs-task-web/abc</Arn><UserId>AROAEXAMPLEID0000001:abc</UserId><Account>123456789012</Account>` +
		`</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	iamReply = `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Path>/consul-ecs/</Path>` +
		`<RoleName>ecs-task-web</RoleName><RoleId>AROAEXAMPLEID0000001</RoleId><Arn>arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web</Arn>` +
		`<Tags><member><Key>consul.hashicorp.com.service-name</Key><Value>web</Value></member><member><Key>team</Key><Value>eng</Value></member></Tags>` +
		`</Role></GetRoleResult></GetRoleResponse>`
)

// fakeAWS answers STS and IAM calls and keeps what it got. Answers are used in
// turn, the last one for ever.
type fakeAWS struct {
	mu       sync.Mutex
	sts, iam []reply
	requests []*http.Request
	bodies   []string
}

func newFakeAWS() *fakeAWS {
	return &fakeAWS{sts: []reply{xmlReply(stsReply)}, iam: []reply{xmlReply(iamReply)}}
}

func (f *fakeAWS) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r)
	f.bodies = append(f.bodies, string(body))
	answers := &f.iam
	if strings.Contains(string(body), "GetCallerIdentity") {
		answers = &f.sts
	}
	a := (*answers)[0]
	if len(*answers) > 1 {
		*answers = (*answers)[1:]
	}
	return &http.Response{
		StatusCode: a.Status, Header: http.Header{"Content-Type": {a.Type}}, Request: r,
		Body: io.NopCloser(strings.NewReader(a.Body)),
	}, nil
}

// builderFor returns what makes the token of a role, as in the vector.
func builderFor(name string) bearerBuilder {
	return bearerBuilder{
		creds:    aws.Credentials{AccessKeyID: "AKIAEXAMPLEKEY000001", SecretAccessKey: "exampleSecretKeyForTestVectorsOnly000001"},
		region:   "us-west-2",
		serverID: "consul.test",
		entity:   &principal{partition: "aws", account: account, kind: "role", name: name},
		at:       signedAt,
	}
}

func mustBuild(t testing.TB, b bearerBuilder) logging.Secret {
	t.Helper()
	token, err := b.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// detailed is the Config of a method with entity details.
func detailed() map[string]any {
	return map[string]any{
		"BoundIAMPrincipalARNs":  []any{"arn:aws:iam::123456789012:role/consul-ecs/*"},
		"EnableIAMEntityDetails": true,
		"IAMEntityTags":          []any{"consul.hashicorp.com.service-name", "absent"},
		"ServerIDHeaderValue":    "consul.test",
	}
}

// simple is the Config of a method without entity details.
func simple() map[string]any {
	return map[string]any{"BoundIAMPrincipalARNs": []any{"arn:aws:iam::123456789012:role/ecs-task-web"}}
}

func with(config map[string]any, key string, value any) map[string]any {
	config[key] = value
	return config
}

// open returns config's verifier over transport, at the time of signedAt and without waits.
func open(t testing.TB, config map[string]any, transport http.RoundTripper) *verifier {
	t.Helper()
	typ := &Type{Transport: transport, Now: func() time.Time { return signedAt.Add(time.Minute) }}
	v, err := typ.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*verifier)
}

// wantError checks an error's kind and text; an empty text wants none.
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

var _ authmethod.Type = (*Type)(nil)

// checkSignature computes anew the signature of what we sent to AWS, with the key of the tests.
func checkSignature(t *testing.T, got *http.Request, body string) {
	t.Helper()
	auth, ok := splitAuthorization(got.Header.Get("Authorization"))
	if !ok {
		t.Fatalf("bad Authorization header %q", got.Header.Get("Authorization"))
	}
	at, err := time.Parse(dateLayout, got.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	path := got.URL.Path
	if got.URL.Host != got.Host {
		path = "/"
	}
	again, err := http.NewRequest(got.Method, got.URL.Scheme+"://"+got.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range auth.signedHeaders {
		if name != "host" && name != "content-length" {
			again.Header.Set(name, got.Header.Get(name))
		}
	}
	again.ContentLength = got.ContentLength
	creds := aws.Credentials{AccessKeyID: "AKIAEXAMPLEKEY000001", SecretAccessKey: "exampleSecretKeyForTestVectorsOnly000001", SessionToken: got.Header.Get("X-Amz-Security-Token")}
	if err := signV4(t.Context(), creds, again, body, auth.service, auth.region, at); err != nil {
		t.Fatal(err)
	}
	if got, want := got.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
		t.Errorf("what we sent does not carry its signature:\ngot  %s\nwant %s", got, want)
	}
}
