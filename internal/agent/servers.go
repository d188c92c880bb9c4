// Package agent is what only a client agent does: it obtains its certificate,
// resolves the tokens of requests to its own endpoints by asking servers, and
// keeps the roots of the mesh CA (spec: agent.md section 13.2, acl.md section 15).
package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

// Client sends a request to the server port at an address, "ip:port". A
// peer.Client is one.
type Client interface {
	Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error)
}

const (
	askTime   = 2 * time.Second        // for one server to answer
	slowTime  = 100 * time.Millisecond // after which another is asked as well
	maxAnswer = 4 << 20                // bytes
	maxError  = 4 << 10
)

// Servers reaches the servers of the cluster.
type Servers struct {
	Client Client
	Addrs  func() []string // of server ports, those to be asked first in front
}

var errNoServers = errs.New(errs.Unavailable, "No known Consul servers")

// refusal is a server's answer other than 200.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("Unexpected response code: %d (%s)", e.status, e.text)
}

// definite reports whether another server would say the same.
func (e *refusal) definite() bool {
	return e.status >= 400 && e.status < 500 && e.status != http.StatusTooManyRequests
}

// ask sends a request to servers until one answers it, and decodes the answer
// into out. The next one is asked when the one before has failed, and beside it when that is
// slow: whoever waits for a server that is cut off learns of a revocation too late. So the
// request has to be one that changes nothing. The error of a request that every server
// failed is errs.Unavailable; a definite refusal is returned as it is.
func (s Servers) ask(ctx context.Context, method, path string, body, out any) error {
	return s.askAs(ctx, "", method, path, body, out)
}

// askAs is ask with a caller's token.
func (s Servers) askAs(ctx context.Context, token logging.Secret, method, path string, body, out any) error {
	header := http.Header{}
	if token != "" {
		header.Set("X-Consul-Token", token.Reveal())
	}
	addrs := s.Addrs()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		data json.RawMessage
		err  error
	}
	outcomes := make(chan outcome, len(addrs))
	next := func(addr string) {
		try, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		var o outcome
		_, o.err = call(try, s.Client, addr, method, path, header, body, &o.data)
		outcomes <- o
	}
	slow := time.NewTicker(slowTime)
	defer slow.Stop()
	err := errNoServers
	for asking := 0; ; {
		if len(addrs) > 0 {
			go next(addrs[0])
			addrs = addrs[1:]
			asking++
		}
		if asking == 0 {
			return errs.Errorf(errs.Unavailable, "%s: %w", path, err)
		}
		select {
		case o := <-outcomes:
			asking--
			var no *refusal
			switch err = o.err; {
			case err == nil:
				return json.Unmarshal(o.data, out)
			case errors.As(err, &no) && no.definite():
				return err
			}
		case <-slow.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call sends one request with a JSON body to one server, decodes its answer
// into out and returns the answer's header.
func call(ctx context.Context, c Client, addr, method, path string, header http.Header, body, out any) (http.Header, error) {
	res, err := send(ctx, c, addr, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer drain(res.Body)
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return res.Header, json.Unmarshal(data, out)
}

// send sends one request. The answer's status is 200; its body is to be closed.
func send(ctx context.Context, c Client, addr, method, path string, header http.Header, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, content)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := c.Do(ctx, addr, req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer drain(res.Body)
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxError))
		return nil, &refusal{status: res.StatusCode, text: strings.TrimSpace(string(text))}
	}
	return res, nil
}

// drain closes a body after a little of its rest, so that the connection can be
// used again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxError)
	_ = body.Close()
}

// backOff is a wait that grows from first to last, with as much jitter again.
type backOff struct {
	first, last time.Duration
	next        time.Duration
}

// wait waits, or until ctx is done, and reports whether ctx is not.
func (b *backOff) wait(ctx context.Context) bool {
	d := max(b.next, b.first)
	b.next = min(2*d, b.last)
	return sleep.For(ctx, d+rand.N(d))
}

func (b *backOff) reset() { b.next = 0 }
