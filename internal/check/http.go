package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/lictor/lictor/internal/errs"
)

const maxRedirects = 10

// httpProbe asks for a URL: 2xx passes, 429 warns, anything else fails.
type httpProbe struct {
	url             *url.URL
	method, body    string
	header          http.Header
	followRedirects bool
	security        security
	max             int // bytes of the answer's body that are read
}

func newHTTPProbe(d *Definition, o *Options) (*httpProbe, error) {
	u, err := url.Parse(d.HTTP)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid check: %w", err)
	}
	p := &httpProbe{
		url: u, method: d.Method, body: d.Body, header: http.Header{},
		followRedirects: !d.DisableRedirects, security: newSecurity(d, o), max: o.OutputMax,
	}
	if p.method == "" {
		p.method = http.MethodGet
	}
	for key, values := range d.Header {
		p.header[http.CanonicalHeaderKey(key)] = values
	}
	return p, nil
}

func (p *httpProbe) probe(ctx context.Context) Status {
	var hops guard
	transport := newTransport(p.security.config())
	transport.DialContext = (&net.Dialer{ControlContext: hops.control}).DialContext
	client := &http.Client{Transport: transport, CheckRedirect: p.checkRedirect(&hops)}
	req, err := p.request(ctx)
	if err != nil {
		return failure(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = resp.Body.Close() }()
	// A body that breaks off does not change what the status says.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, int64(p.max)))
	output := fmt.Sprintf("HTTP %s %s: %s Output: %s", p.method, p.url.Redacted(), resp.Status, body)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return Status{Passing, output}
	case resp.StatusCode == http.StatusTooManyRequests:
		return Status{Warning, output}
	}
	return Status{Critical, output}
}

func (p *httpProbe) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, p.method, p.url.String(), strings.NewReader(p.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Consul Health Check")
	req.Header.Set("Accept", "text/plain, text/*, */*")
	for key, values := range p.header {
		req.Header[key] = values
	}
	req.Host = req.Header.Get("Host")
	return req, nil
}

// checkRedirect keeps a server that is checked from sending the agent
// elsewhere: the scheme stays, and what the definition says for the first host
// alone, its headers, does not go to another.
func (p *httpProbe) checkRedirect(hops *guard) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		switch {
		case !p.followRedirects:
			return http.ErrUseLastResponse
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		case req.URL.Scheme != p.url.Scheme:
			return fmt.Errorf("redirect from %s to %s refused", p.url.Scheme, req.URL.Scheme)
		}
		if req.URL.Host != p.url.Host {
			for key := range p.header {
				req.Header.Del(key)
			}
			req.Host = ""
		}
		hops.redirected.Store(true)
		return nil
	}
}

// guard refuses addresses where they are dialled, after names have been looked up.
type guard struct {
	redirected atomic.Bool // the next address comes from a server, not from the definition
}

// credentials are the addresses at which clouds hand out credentials to whoever
// asks. No health is to be found there, and a check's output can be read by many.
var credentials = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"), // instance metadata
	netip.MustParseAddr("169.254.170.2"),                                       // task roles
	netip.MustParseAddr("169.254.170.23"), netip.MustParseAddr("fd00:ec2::23"), // pod identities
}

var errLinkLocal = errors.New("link-local address refused")

// control is a net.Dialer's ControlContext.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	addr := to.Addr().Unmap().WithZone("")
	for _, c := range credentials {
		if addr == c {
			return errLinkLocal
		}
	}
	if g.redirected.Load() && addr.IsLinkLocalUnicast() {
		return errLinkLocal
	}
	return nil
}
