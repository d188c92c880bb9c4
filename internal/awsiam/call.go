package awsiam

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/telemetry"
)

const (
	maxAnswer = 64 << 10 // bytes of an answer that are read
	maxEcho   = 512      // bytes of an answer that go into an error
	firstWait = 500 * time.Millisecond
	longWait  = 30 * time.Second
)

// throttlingCodes are the error codes by which AWS asks to slow down, with
// whatever status.
var throttlingCodes = []string{
	"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
	"RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete",
}

// caller sends checked requests to AWS.
type caller struct {
	client  *http.Client
	retries int
	wait    func(context.Context, time.Duration) bool // false if the context is done before
	metrics *telemetry.Metrics
}

// call sends r and returns the XML of an answer with status 200. It tries again
// after a lost connection, a request to slow down, and a server's fault. It returns errs.Denied
// when AWS refuses the request, errs.Throttled or errs.Unavailable otherwise. It makes no further try
// once waits has ended.
func (c caller) call(ctx, waits context.Context, r *signedRequest, to service) ([]byte, error) {
	for try := 0; ; try++ {
		begun := time.Now()
		body, again, err := c.once(ctx, r, to)
		c.metrics.Since("aws.call", begun, telemetry.Label{Name: "service", Value: to.name}, telemetry.Label{Name: "outcome", Value: outcome(ctx, err)})
		if err == nil || !again || try >= c.retries {
			return body, err
		}
		if waits.Err() != nil || !c.wait(waits, backoff(try)) {
			return nil, err
		}
	}
}

// outcome returns the word for err in metrics. A call that nobody waits for any more has none.
func outcome(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return "ok"
	case ctx.Err() != nil:
		return "cancelled"
	}
	return errs.KindOf(err).String()
}

// backoff returns the wait after a failed try: twice as long each time, from
// half a second to half a minute, and somewhere in its upper half.
func backoff(try int) time.Duration {
	d := min(firstWait<<min(try, 10), longWait)
	return d/2 + rand.N(d/2+1)
}

// once sends r once; again says whether another try may help.
func (c caller) once(ctx context.Context, r *signedRequest, to service) (body []byte, again bool, err error) {
	req := r.build(to).WithContext(ctx)
	req.Body = io.NopCloser(strings.NewReader(r.body))
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, ctx.Err() == nil, errs.Errorf(errs.Unavailable, "error making request: %w", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, ctx.Err() == nil, errs.Errorf(errs.Unavailable, "error making request: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, false, errs.Errorf(errs.Unavailable, "response body is invalid: longer than %d bytes", maxAnswer)
	}
	return judge(resp, body, r.header["X-Amz-Security-Token"])
}

// judge turns an answer into what call returns. The kind of an error follows
// the status; its text follows the original, which looks at the content type first.
func judge(resp *http.Response, body []byte, secrets []string) ([]byte, bool, error) {
	isXML := resp.Header.Get("Content-Type") == "text/xml"
	kind, again := errs.Unavailable, false
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || isXML && status != http.StatusOK && slices.Contains(throttlingCodes, errorCode(body)):
		kind, again = errs.Throttled, true
	case status >= 500:
		again = status != http.StatusNotImplemented
	case status >= 400 && isXML:
		kind = errs.Denied
	case status == http.StatusOK && isXML:
		return body, false, nil
	}
	if !isXML {
		return nil, again, errs.New(kind, "response body is invalid")
	}
	return nil, again, errs.Errorf(kind, "received error code %d: %s", resp.StatusCode, echo(body, secrets))
}

// errorCode returns the code in AWS's description of an error, if it is one.
func errorCode(body []byte) string {
	var answer struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
	}
	if xml.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Code
}

// echo returns the beginning of an answer for an error, printable and without
// the caller's secrets, which AWS repeats when a signature does not match.
func echo(body []byte, secrets []string) string {
	text := string(body)
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "<hidden>")
		}
	}
	if len(text) > maxEcho {
		text = text[:maxEcho] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r != 0x7f {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
}

// errParsing says that an answer of AWS is not what it should be.
func errParsing(format string, args ...any) error {
	return errs.Errorf(errs.Unavailable, "error parsing %s", fmt.Sprintf(format, args...))
}
