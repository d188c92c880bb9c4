package awsiam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/telemetry"
)

// TypeName is what an auth method's Type says.
const TypeName = "aws-iam"

// Type opens auth methods of type aws-iam. Its zero value works and asks AWS itself.
type Type struct {
	// STSEndpoint and IAMEndpoint are URLs where the requests of all methods are
	// sent instead of where the caller's token says; a method's own Config
	// goes first. They do not widen what a token may say.
	STSEndpoint, IAMEndpoint string
	Transport                http.RoundTripper // nil: one of its own, which keeps connections open
	Timeout                  time.Duration     // for all calls of one login; 0 is 10 s
	Now                      func() time.Time  // nil: time.Now
	Metrics                  *telemetry.Metrics

	// Admit waits for a turn to ask AWS about a token that is well-formed, and returns what ends
	// the turn, and is told what became of the token. identity is what the token claims, unproven: its role, or its
	// access key. nil: everybody at once.
	Admit func(ctx context.Context, identity string) (leave func(error), err error)

	once   sync.Once
	client *http.Client
}

// settings is a method's Config (authmethods.md section 3).
type settings struct {
	BoundIAMPrincipalARNs  []string
	EnableIAMEntityDetails bool
	IAMEntityTags          []string
	ServerIDHeaderValue    string
	MaxRetries             int
	IAMEndpoint            string
	STSEndpoint            string
	AllowedSTSHeaderValues []string
}

// Name returns "aws-iam".
func (t *Type) Name() string { return TypeName }

// Open checks config and returns the method's verifier. It returns errs.Invalid
// with the texts of authmethods.md section 3.1.
func (t *Type) Open(config map[string]any) (authmethod.Verifier, error) {
	var s settings
	if err := authmethod.DecodeConfig(config, &s); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, errs.Errorf(errs.Invalid, "%w", err)
	}
	v := &verifier{
		settings: s, now: t.Now, timeout: t.Timeout, admit: t.Admit,
		caller: caller{client: t.httpClient(), retries: s.MaxRetries, wait: sleep.For, metrics: t.Metrics},
	}
	if v.admit == nil {
		v.admit = func(context.Context, string) (func(error), error) { return func(error) {}, nil }
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.timeout == 0 {
		v.timeout = 10 * time.Second
	}
	var err error
	if v.sts, err = newService("sts", s.STSEndpoint, t.STSEndpoint); err != nil {
		return nil, err
	}
	if v.iam, err = newService("iam", s.IAMEndpoint, t.IAMEndpoint); err != nil {
		return nil, err
	}
	return v, nil
}

// httpClient returns the one client of all methods. It follows no redirects, and a bare
// transport of its own uses no proxy.
func (t *Type) httpClient() *http.Client {
	t.once.Do(func() {
		transport := t.Transport
		if transport == nil {
			transport = &http.Transport{
				DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
				TLSHandshakeTimeout:    3 * time.Second,
				IdleConnTimeout:        90 * time.Second,
				MaxIdleConnsPerHost:    64,
				MaxResponseHeaderBytes: 16 << 10,
				DisableCompression:     true,
				ForceAttemptHTTP2:      true,
			}
		}
		t.client = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	return t.client
}

func (s *settings) validate() error {
	if len(s.BoundIAMPrincipalARNs) == 0 {
		return errors.New("BoundIAMPrincipalARNs is required and must have at least 1 entry")
	}
	for _, arn := range s.BoundIAMPrincipalARNs {
		if err := s.validatePrincipal(arn); err != nil {
			return err
		}
	}
	if len(s.IAMEntityTags) > 0 && !s.EnableIAMEntityDetails {
		return errors.New("Must set EnableIAMEntityDetails=true to use IAMUserTags")
	}
	if !isHeaderValue(s.ServerIDHeaderValue) {
		return fmt.Errorf("ServerIDHeaderValue is invalid: %q cannot be the value of a header", s.ServerIDHeaderValue)
	}
	if _, err := parseURL(s.STSEndpoint); s.STSEndpoint != "" && err != nil {
		return fmt.Errorf("STSEndpoint is invalid: %w", err)
	}
	if _, err := parseURL(s.IAMEndpoint); s.IAMEndpoint != "" && err != nil {
		return fmt.Errorf("IAMEndpoint is invalid: %w", err)
	}
	return nil
}

func (s *settings) validatePrincipal(arn string) error {
	if star := strings.IndexByte(arn, '*'); star >= 0 {
		if !s.EnableIAMEntityDetails {
			return errors.New("Must set EnableIAMEntityDetails=true to use wildcards in BoundIAMPrincipalARNs")
		}
		if star != len(arn)-1 {
			return errors.New("Only one wildcard is allowed at the end of the bound IAM principal ARN")
		}
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "iam" && parts[2] != "sts" {
		return fmt.Errorf("Invalid principal ARN: %q", arn)
	}
	return nil
}

// trusts reports whether arn is bound: equal to an entry or, with entity
// details, beginning with what stands before an entry's star. A star follows
// the account id, since validate wants six parts: it cannot span accounts.
func (s *settings) trusts(arn string) bool {
	for _, bound := range s.BoundIAMPrincipalARNs {
		if arn == bound {
			return true
		}
		prefix, wildcard := strings.CutSuffix(bound, "*")
		if wildcard && s.EnableIAMEntityDetails && strings.HasPrefix(arn, prefix) {
			return true
		}
	}
	return false
}

// service says which URLs a signed request may name, and where it is sent.
type service struct {
	name     string   // "sts" or "iam"
	override *url.URL // nil: sent to the URL that was signed
	pinned   bool     // the method's Config names override, which widens what may be signed
}

func newService(name, own, shared string) (service, error) {
	s := service{name: name, pinned: own != ""}
	endpoint := own
	if endpoint == "" {
		endpoint = shared
	}
	if endpoint == "" {
		return s, nil
	}
	u, err := parseURL(endpoint)
	if err != nil {
		return s, errs.Errorf(errs.Invalid, "%s endpoint is invalid: %w", strings.ToUpper(name), err)
	}
	s.override = u
	return s, nil
}

// parseURL reads an absolute http or https URL without user, query and fragment.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return nil, fmt.Errorf("url is invalid: %q", clip(text))
	}
	return u, nil
}
