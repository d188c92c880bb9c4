package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
)

// endpoint is the API of the servers or of an agent.
type endpoint struct {
	client *api.Client
	http   *http.Client
	url    *url.URL
	tls    api.TLSConfig
	token  logging.Secret
	clocks *clocks
	up     bool // it has answered
}

// connectServers takes what flags say, then what the task is told, then the environment.
func (d *doctor) connectServers() (*endpoint, error) {
	config := api.DefaultConfig()
	if c := d.config; c != nil && c.ConsulHTTPAddr != "" {
		config.Address = c.ConsulHTTPAddr
		if c.ConsulCACertFile != "" {
			config.TLSConfig.CAFile = c.ConsulCACertFile
		}
	}
	return d.connect(config, d.conn.addr, "service-token")
}

// connectAgent returns nil where there is no agent to look at.
func (d *doctor) connectAgent() (*endpoint, error) {
	if d.agentAddr == "" && d.task == nil {
		return nil, nil
	}
	return d.connect(api.DefaultConfig(), d.agentAddr, "client-token")
}

// connect lets the flags count before config, but for the address, which is addr. In a task that has no
// token given it takes the one in tokenFile.
func (d *doctor) connect(config *api.Config, addr, tokenFile string) (*endpoint, error) {
	flags := d.conn
	flags.addr = addr
	flags.over(config)
	if own := d.bootstrapFile(tokenFile); own != "" && config.Token == "" && config.TokenFile == "" {
		config.TokenFile = own
	}
	if config.TokenFile != "" {
		text, err := os.ReadFile(config.TokenFile)
		if err != nil {
			return nil, err
		}
		config.Token, config.TokenFile = strings.TrimSpace(string(text)), ""
	}
	e := &endpoint{tls: config.TLSConfig, token: logging.Secret(config.Token), clocks: &clocks{now: d.now}}
	var err error
	if e.url, err = apiURL(config); err != nil {
		return nil, err
	}
	if e.http, err = api.NewHttpClient(config.Transport, config.TLSConfig); err != nil {
		return nil, err
	}
	e.http = &http.Client{Transport: e.clocks.watch(e.http.Transport, func(*http.Request) bool { return true })}
	config.HttpClient = e.http
	e.client, err = api.NewClient(config)
	return e, err
}

func apiURL(config *api.Config) (*url.URL, error) {
	addr := config.Address
	if !strings.Contains(addr, "://") {
		addr = config.Scheme + "://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of an API", addr)
	}
	if config.Scheme == "https" {
		u.Scheme = "https"
	}
	return u, nil
}

func reading(ctx context.Context) *api.QueryOptions { return (&api.QueryOptions{}).WithContext(ctx) }

const maxAnswer = 64 << 20

// call calls what the published client has no function for. An answer other than 200 is an
// api.StatusError.
func (e *endpoint) call(ctx context.Context, method, path string, query url.Values, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	u := e.url.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if e.token != "" {
		req.Header.Set("X-Consul-Token", e.token.Reveal())
	}
	res, err := e.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, api.StatusError{Code: res.StatusCode, Body: string(text)}
	}
	return res.Header, json.Unmarshal(text, out)
}

// clocks compares the Date of answers with the clock here.
type clocks struct {
	now func() time.Time

	mu     sync.Mutex // guards the rest
	known  bool
	offset time.Duration // by which the clock here is ahead
}

// watch notes the Date of answers to the requests that counts says.
func (c *clocks) watch(next http.RoundTripper, counts func(*http.Request) bool) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		before := c.now()
		res, err := next.RoundTrip(req)
		if err != nil || !counts(req) {
			return res, err
		}
		took := c.now().Sub(before)
		if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.known, c.offset = true, before.Add(took/2).Sub(date.Add(time.Second/2)) // Date has whole seconds
		}
		return res, nil
	})
}

func (c *clocks) ahead() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset, c.known
}

// watchedAWS is the SDK's HTTP client with clocks.
type watchedAWS struct {
	client aws.HTTPClient
	clocks *clocks
}

// Do counts what is signed: other answers are of this machine.
func (w *watchedAWS) Do(req *http.Request) (*http.Response, error) {
	signed := func(req *http.Request) bool { return strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-HMAC-") }
	return w.clocks.watch(roundTripper(w.client.Do), signed).RoundTrip(req)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// denied reports whether the token may not do what was asked.
func denied(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusForbidden
}

func aclsOff(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusUnauthorized && strings.Contains(status.Body, "ACL support disabled")
}

// explain says what an error means and what helps.
func explain(err error) (what, remedy string) {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		dns      *net.DNSError
		timeout  net.Error
		status   api.StatusError
	)
	what = err.Error()
	switch {
	case errors.As(err, &unknown):
		return "its certificate is of a CA that is not trusted here", "give the CA certificate with -ca-file, CONSUL_CACERT or consulCACertFile"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet", "renew the certificate, and look at the clock"
	case errors.As(err, &hostname):
		return what, "use a name that the certificate has, or give one with -tls-server-name"
	case errors.As(err, &record), strings.Contains(what, "server gave HTTP response to HTTPS client"):
		return "it speaks no TLS", "use http:// and its port, 8500, or the port for HTTPS, 8501"
	case errors.As(err, &dns):
		return "the name " + dns.Name + " is not known", "look at the address and at the resolver of the network"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there", "start it, or look at the address and the port"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time", "look at security groups and routes, or wait longer with -timeout"
	case errors.As(err, &status):
		return explainStatus(status)
	}
	return explainAWS(err, what)
}

func explainStatus(err api.StatusError) (what, remedy string) {
	what = fmt.Sprintf("status %d: %.300s", err.Code, err.Body)
	switch {
	case err.Code == http.StatusForbidden && strings.Contains(err.Body, "ACL not found"):
		return what, "the token is gone: log in again, or give another one"
	case err.Code == http.StatusForbidden:
		return what, "give a token that may, with -token-file"
	case err.Code == http.StatusBadRequest && strings.Contains(err.Body, "HTTP request to an HTTPS server"):
		return what, "use https://"
	case err.Code >= http.StatusInternalServerError:
		return what, "look at the log of the servers"
	}
	return what, "look at the log of who answered"
}

func explainAWS(err error, what string) (string, string) {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return what, "look at the network and the settings"
	}
	what = refused.ErrorCode() + ": " + refused.ErrorMessage()
	switch refused.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException":
		return what, "get new credentials"
	case "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed":
		return what, "look at the clock and at the secret access key"
	case "AccessDenied", "AccessDeniedException":
		return what, "allow it in the policy of the role"
	case "Throttling", "ThrottlingException", "RequestLimitExceeded":
		return what, "do it again later; ask AWS for a higher limit if tasks suffer"
	}
	return what, "look up what AWS says about it"
}
