package awslocal

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func start(t *testing.T, f Fixture, o Options) *Server {
	t.Helper()
	s, err := New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reply is what came back for a request.
type reply struct {
	status int
	header http.Header
	body   string
}

func send(t *testing.T, r *http.Request) reply {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func expect(t *testing.T, got reply, status int, contains string) {
	t.Helper()
	if got.status != status || !strings.Contains(got.body, contains) {
		t.Errorf("got %d %s, want %d with %s", got.status, got.body, status, contains)
	}
	if kind := got.header.Get("Content-Type"); kind != "text/xml" {
		t.Errorf("got Content-Type %q", kind)
	}
	if got.header.Get("X-Amzn-Requestid") == "" {
		t.Error("no x-amzn-RequestId")
	}
}

var demoKey = aws.Credentials{AccessKeyID: DemoAccessKey, SecretAccessKey: DemoSecret}

const identityBody = "Action=GetCallerIdentity&Version=2011-06-15"

// unsigned is a request for the service's form in body.
func unsigned(t *testing.T, s *Server, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// sign signs r, whose body is body, with the AWS SDK's signer.
func sign(t *testing.T, r *http.Request, body string, key aws.Credentials, service string, at time.Time) *http.Request {
	t.Helper()
	err := v4.NewSigner().SignHTTP(context.Background(), key, r, hexSHA256([]byte(body)), service, "us-west-2", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(t *testing.T, s *Server, key aws.Credentials, service, body string) reply {
	t.Helper()
	return send(t, sign(t, unsigned(t, s, body), body, key, service, s.now()))
}

func TestRefusesBadSignatures(t *testing.T) {
	s := start(t, Demo(), Options{})
	now := time.Now()
	signed := func(key aws.Credentials, service string, at time.Time) *http.Request {
		return sign(t, unsigned(t, s, identityBody), identityBody, key, service, at)
	}
	good := func() *http.Request { return signed(demoKey, "sts", now) }
	with := func(change func(*http.Request)) *http.Request {
		r := good()
		change(r)
		return r
	}
	auth := func(old, changed string) *http.Request {
		return with(func(r *http.Request) {
			v := strings.Replace(r.Header.Get("Authorization"), old, changed, 1)
			r.Header.Set("Authorization", v)
		})
	}
	before := func(change func(*http.Request)) *http.Request {
		r := unsigned(t, s, identityBody)
		change(r)
		return sign(t, r, identityBody, demoKey, "sts", now)
	}
	body := func(r *http.Request, text string) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
	expect(t, send(t, good()), 200, "<Arn>arn:aws:iam::123456789012:user/operator</Arn>")

	tests := []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"no signature", unsigned(t, s, identityBody), 403, "MissingAuthenticationToken"},
		{"two Authorization headers", with(func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }), 400, "IncompleteSignature"},
		{"an Authorization header that is not SigV4", with(func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), 400, "IncompleteSignature"},
		{"another secret", signed(aws.Credentials{AccessKeyID: DemoAccessKey, SecretAccessKey: "x" + DemoSecret}, "sts", now), 403, "SignatureDoesNotMatch"},
		{"an unknown access key", signed(aws.Credentials{AccessKeyID: "AKIADEMOOPERATOR0002", SecretAccessKey: DemoSecret}, "sts", now), 403, "InvalidClientTokenId"},
		{"a session token on a long-term key", signed(aws.Credentials{AccessKeyID: DemoAccessKey, SecretAccessKey: DemoSecret, SessionToken: "x"}, "sts", now), 403, "InvalidClientTokenId"},
		{"a changed body", with(func(r *http.Request) { body(r, strings.Replace(identityBody, "Get", "Set", 1)) }), 403, "SignatureDoesNotMatch"},
		{"a changed path", with(func(r *http.Request) { r.URL.Path = "/x" }), 403, "SignatureDoesNotMatch"},
		{"a changed host", with(func(r *http.Request) { r.Host = "localhost" }), 403, "SignatureDoesNotMatch"},
		{"a changed region", auth("us-west-2", "us-east-1"), 403, "SignatureDoesNotMatch"},
		{"a changed signed header", with(func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded; x=y") }), 403, "SignatureDoesNotMatch"},
		{"an x-amz- header that is not signed", with(func(r *http.Request) { r.Header.Set("X-Amz-Extra", "x") }), 403, "SignatureDoesNotMatch"},
		{"a signed header that is missing", auth("host;", "host;missing;"), 403, "SignatureDoesNotMatch"},
		{"the host not signed", auth("host;", ""), 403, "SignatureDoesNotMatch"},
		{"a false body hash", before(func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hexSHA256([]byte("x"))) }), 403, "SignatureDoesNotMatch"},
		{"an unsigned payload", before(func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }), 403, "SignatureDoesNotMatch"},
		{"16 minutes old", signed(demoKey, "sts", now.Add(-16*time.Minute)), 403, "SignatureDoesNotMatch"},
		{"16 minutes in the future", signed(demoKey, "sts", now.Add(16*time.Minute)), 403, "SignatureDoesNotMatch"},
		{"no date", with(func(r *http.Request) { r.Header.Del("X-Amz-Date") }), 400, "IncompleteSignature"},
		{"two dates", with(func(r *http.Request) { r.Header.Add("X-Amz-Date", r.Header.Get("X-Amz-Date")) }), 400, "IncompleteSignature"},
		{"a malformed date", with(func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") }), 400, "IncompleteSignature"},
		{"a date that is not the scope's", with(func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") }), 403, "SignatureDoesNotMatch"},
		{"another service", signed(demoKey, "s3", now), 403, "SignatureDoesNotMatch"},
		{"another service than the host's", sign(t, func() *http.Request {
			r := unsigned(t, s, identityBody)
			r.Host = "iam.amazonaws.com"
			return r
		}(), identityBody, demoKey, "sts", now), 403, "SignatureDoesNotMatch"},
		{"the other service's action", sign(t, unsigned(t, s, identityBody), identityBody, demoKey, "iam", now), 400, "InvalidAction"},
		{"a presigned query", with(func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + validMAC
		}), 400, "IncompleteSignature"},
		{"a query that repeats the body", with(func(r *http.Request) { r.URL.RawQuery = "Action=AssumeRole" }), 400, "ValidationError"},
		{"a malformed query", with(func(r *http.Request) { r.URL.RawQuery = "a=%zz" }), 400, "MalformedQueryString"},
		{"a body over 64 KiB", with(func(r *http.Request) { body(r, strings.Repeat("a", maxBody+1)) }), 413, "RequestEntityTooLarge"},
		{"another method", with(func(r *http.Request) { r.Method = "PUT" }), 405, "MethodNotAllowed"},
		{"a body that is not a form", with(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400, "MalformedInput"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, send(t, tt.request), tt.status, "<Code>"+tt.code+"</Code>")
		})
	}
}

func TestAcceptsTheSkewThatAWSAccepts(t *testing.T) {
	s := start(t, Demo(), Options{})
	for _, skew := range []time.Duration{-14 * time.Minute, 14 * time.Minute} {
		r := sign(t, unsigned(t, s, identityBody), identityBody, demoKey, "sts", time.Now().Add(skew))
		expect(t, send(t, r), 200, "<Account>123456789012</Account>")
	}
}

func TestRefusesBadParameters(t *testing.T) {
	s := start(t, Demo(), Options{})
	tests := []struct {
		name, service, body string
		status              int
		code                string
	}{
		{"no action", "sts", "Version=2011-06-15", 400, "MissingAction"},
		{"no version", "sts", "Action=GetCallerIdentity", 400, "InvalidAction"},
		{"another version", "iam", "Action=GetUser&Version=2011-06-15", 400, "InvalidAction"},
		{"an unknown action", "iam", "Action=DeleteRole&Version=2010-05-08", 400, "InvalidAction"},
		{"an unknown parameter", "sts", identityBody + "&X=1", 400, "ValidationError"},
		{"a parameter twice", "sts", identityBody + "&Action=GetCallerIdentity", 400, "ValidationError"},
		{"a role without a name", "iam", "Action=GetRole&Version=2010-05-08", 400, "ValidationError"},
		{"a role that is not there", "iam", "Action=GetRole&RoleName=nobody&Version=2010-05-08", 404, "NoSuchEntity"},
		{"a role's ARN for its name", "iam", "Action=GetRole&RoleName=role/web&Version=2010-05-08", 400, "ValidationError"},
		{"a user that is not there", "iam", "Action=GetUser&UserName=nobody&Version=2010-05-08", 404, "NoSuchEntity"},
		{"no role to assume", "sts", "Action=AssumeRole&RoleSessionName=me&Version=2011-06-15", 400, "ValidationError"},
		{"a bad session name", "sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=a%20b&Version=2011-06-15", 400, "ValidationError"},
		{"a short session", "sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=me&DurationSeconds=899&Version=2011-06-15", 400, "ValidationError"},
		{"a session longer than the role's", "sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=me&DurationSeconds=3601&Version=2011-06-15", 400, "ValidationError"},
		{"a session that is no number", "sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=me&DurationSeconds=1h&Version=2011-06-15", 400, "ValidationError"},
		{"a role to assume that is not there", "sts", "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/x&RoleSessionName=me&Version=2011-06-15", 403, "AccessDenied"},
		{"a user to assume", "sts", "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:user/operator&RoleSessionName=me&Version=2011-06-15", 403, "AccessDenied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, ask(t, s, demoKey, tt.service, tt.body), tt.status, "<Code>"+tt.code+"</Code>")
		})
	}
}

func TestAcceptsAQuery(t *testing.T) {
	s := start(t, Demo(), Options{})
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/?"+identityBody, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, send(t, sign(t, r, "", demoKey, "sts", time.Now())), 200, ":user/operator</Arn>")
}

func TestErrorsHaveTheServiceNamespace(t *testing.T) {
	s := start(t, Demo(), Options{})
	got := ask(t, s, demoKey, "iam", "Action=GetRole&RoleName=nobody&Version=2010-05-08")
	if want := `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The role with name nobody cannot be found.</Message></Error><RequestId>`; !strings.HasPrefix(got.body, want) {
		t.Errorf("got %s", got.body)
	}
}

func TestStart(t *testing.T) {
	s, err := New(Demo(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:80", "localhost:0", "127.0.0.1"} {
		if err := s.Start(t.Context(), addr); err == nil {
			t.Errorf("%s: started", addr)
		}
	}
	if s.URL() != "" {
		t.Errorf("URL %q before Start", s.URL())
	}
	if err := s.Close(); err != nil {
		t.Errorf("close before Start: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Start(ctx, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx, "127.0.0.1:0"); err == nil {
		t.Error("started twice")
	}
	cancel()
	<-s.served
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
