package awsiam

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// brokenThen loses the first n connections.
type brokenThen struct {
	n    int
	next http.RoundTripper
}

func (b *brokenThen) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.n > 0 {
		b.n--
		return nil, errors.New("connection lost")
	}
	return b.next.RoundTrip(r)
}

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("broken") }

// TestATurnEndsWhateverHappens lets the call of AWS break: the turn ends, and nobody is taken for accepted or refused.
func TestATurnEndsWhateverHappens(t *testing.T) {
	v := open(t, simple(), panics{})
	var left []error
	v.admit = func(context.Context, string) (func(error), error) {
		return func(err error) { left = append(left, err) }, nil
	}
	b := builderFor("ecs-task-web")
	b.serverID, b.entity = "", nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the call did not break")
			}
		}()
		_, _ = v.Verify(t.Context(), mustBuild(t, b))
	}()
	if len(left) != 1 || errs.KindOf(left[0]) != errs.Internal {
		t.Errorf("turns ended with %v", left)
	}
}

func TestRetries(t *testing.T) {
	const tooFast = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>no</Message></Error></ErrorResponse>"
	good, throttled := xmlReply(stsReply), xmlError(400, "Throttling")
	for _, c := range []struct {
		name    string
		retries int
		lost    int
		answers []reply
		kind    errs.Kind
		text    string
		waits   int
	}{
		{"none by default", 0, 0, []reply{throttled, good}, errs.Throttled, "received error code 400: " + tooFast, 0},
		{"throttled, then good", 2, 0, []reply{throttled, throttled, good}, 0, "", 2},
		{"throttled too often", 2, 0, []reply{throttled}, errs.Throttled, "received error code 400: " + tooFast, 2},
		{"status 429 without XML", 1, 0, []reply{{429, "text/plain", "slow"}}, errs.Throttled, "response body is invalid", 1},
		{"a limit, with status 503", 1, 0, []reply{xmlError(503, "RequestLimitExceeded"), good}, 0, "", 1},
		{"a server's fault, then good", 1, 0, []reply{{500, "text/html", "oops"}, good}, 0, "", 1},
		{"a server's fault for good", 1, 0, []reply{{503, "text/html", "oops"}}, errs.Unavailable, "response body is invalid", 1},
		{"not implemented is final", 5, 0, []reply{{501, "text/html", "no"}}, errs.Unavailable, "response body is invalid", 0},
		{"a refusal is final", 5, 0, []reply{xmlError(403, "AccessDenied"), good}, errs.Denied,
			"received error code 403: " + strings.Replace(tooFast, "Throttling", "AccessDenied", 1), 0},
		{"lost connections, then good", 3, 3, []reply{good}, 0, "", 3},
		{"lost connections too often", 1, 5, []reply{good}, errs.Unavailable,
			`error making request: Post "https://sts.us-west-2.amazonaws.com/": connection lost`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newFakeAWS()
			fake.sts = c.answers
			v := open(t, with(simple(), "MaxRetries", c.retries), &brokenThen{c.lost, fake})
			waits := 0
			v.caller.wait = func(context.Context, time.Duration) bool { waits++; return true }
			_, err := v.Verify(t.Context(), mustBuild(t, builderFor("ecs-task-web")))
			wantError(t, err, c.kind, c.text)
			if waits != c.waits {
				t.Errorf("waited %d times, want %d", waits, c.waits)
			}
		})
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for try, longest := range []time.Duration{firstWait, 2 * firstWait, 4 * firstWait, 8 * firstWait, 16 * firstWait, 32 * firstWait, longWait, longWait} {
		for range 50 {
			if d := backoff(try); d < longest/2 || d > longest {
				t.Fatalf("wait %d is %v, want %v to %v", try, d, longest/2, longest)
			}
		}
	}
	if d := backoff(100); d > longWait {
		t.Errorf("wait 100 is %v", d)
	}
}

// transportFunc is an http.RoundTripper.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestCallsRunSideBySide lets STS answer only after IAM was asked.
func TestCallsRunSideBySide(t *testing.T) {
	fake, asked := newFakeAWS(), make(chan struct{})
	_, err := open(t, detailed(), transportFunc(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Host, "iam.") {
			close(asked)
		} else {
			<-asked
		}
		return fake.RoundTrip(r)
	})).Verify(t.Context(), mustBuild(t, builderFor("ecs-task-web")))
	wantError(t, err, 0, "")
}

// TestRefusalBySTSEndsTheIAMCall lets IAM hang until its context ends.
func TestRefusalBySTSEndsTheIAMCall(t *testing.T) {
	fake := newFakeAWS()
	fake.sts = []reply{xmlError(403, "InvalidClientTokenId")}
	_, err := open(t, detailed(), transportFunc(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Host, "iam.") {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return fake.RoundTrip(r)
	})).Verify(t.Context(), mustBuild(t, builderFor("ecs-task-web")))
	if errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "InvalidClientTokenId") {
		t.Errorf("got error %v", err)
	}
}

// TestEchoIsBoundedAndHidesTheSessionToken lets AWS repeat what was signed.
func TestEchoIsBoundedAndHidesTheSessionToken(t *testing.T) {
	b := builderFor("ecs-task-web")
	b.creds.SessionToken = "verySecretSessionToken"
	fake := newFakeAWS()
	fake.sts = []reply{xmlError(403, "x-amz-security-token:verySecretSessionToken\x00"+strings.Repeat("x", 5000))}
	_, err := open(t, simple(), fake).Verify(t.Context(), mustBuild(t, b))
	if err == nil || strings.Contains(err.Error(), "verySecret") || strings.Contains(err.Error(), "\x00") || len(err.Error()) > maxEcho+50 {
		t.Errorf("got error %v", err)
	}
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("got kind %s", errs.KindOf(err))
	}
}

func TestWithoutDetailsIAMIsNotAsked(t *testing.T) {
	fake := newFakeAWS()
	_, err := open(t, simple(), fake).Verify(t.Context(), mustBuild(t, builderFor("ecs-task-web")))
	wantError(t, err, 0, "")
	if len(fake.requests) != 1 || fake.requests[0].URL.Host != "sts.us-west-2.amazonaws.com" {
		t.Errorf("sent %d requests", len(fake.requests))
	}
}

func BenchmarkVerify(b *testing.B) {
	token := mustBuild(b, builderFor("ecs-task-web"))
	fake := newFakeAWS()
	v := open(b, detailed(), transportFunc(func(r *http.Request) (*http.Response, error) {
		return (&fakeAWS{sts: fake.sts, iam: fake.iam}).RoundTrip(r)
	}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
