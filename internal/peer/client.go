package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// ErrNotSent is in the chain of an error after which the server has not acted on the
// request and will not: no byte of it was sent, or the server said that it left it
// alone (RFC 9113 section 8.7). Only then may a write be sent again. After any other
// error of Do the outcome is unknown.
var ErrNotSent = errs.New(errs.Unavailable, "request not sent")

const (
	dialTimeout    = 3 * time.Second
	clientIdle     = 2 * time.Minute
	connsPerAddr   = 4 // of streamsPerConn requests each
	sendAttempts   = 3
	clientPing     = 2500 * time.Millisecond // of silence
	clientPingWait = 1500 * time.Millisecond
)

// Client sends requests to server ports. It keeps connections open and finds out by
// pings, in less than 5 s, that a server is gone. It is safe for concurrent use.
//
// It has one goroutine for each connection being made, at most one an address, and
// those of net/http: one for each connection and one for each request.
type Client struct {
	// ServersOnly demands the name of a server in the certificate at the
	// other end, as raft does, whatever VerifyServerHostname says: a server takes the word of
	// whoever leads for what is committed. Set it before the first request.
	ServersOnly bool

	tls            *TLS
	dial           time.Duration // for a connection and its handshake
	ping, pingWait time.Duration
	anonymous      chan struct{} // holds one for each request under way without a certificate

	mu     sync.Mutex // guards the pools and what is in them
	pools  map[string]*pool
	closed bool

	tasks sync.WaitGroup
}

// NewClient returns a client that uses t as it is whenever it connects. Requests after
// a change of t go over new connections; old ones end when they are idle.
func NewClient(t *TLS) *Client {
	return &Client{
		tls: t, dial: dialTimeout, ping: clientPing, pingWait: clientPingWait, pools: map[string]*pool{},
		anonymous: make(chan struct{}, anonymousStream/2),
	}
}

// Close breaks every connection and waits for what the client runs. Do fails afterwards.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	for _, p := range c.pools {
		p.close()
	}
	c.mu.Unlock()
	c.tasks.Wait()
}

// Do sends req to the server port at addr ("ip:port"); the host and scheme of its URL
// are not used. As with http.RoundTripper, an answer of any status is no error, its body
// is to be closed, and req is not to be used until then. It does not follow redirects.
func (c *Client) Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error) {
	if m := c.tls.load(); m.enabled() && m.cert == nil && m.meshCert == nil {
		// A server takes few requests at a time from strangers, and says so
		// only once the connection is made.
		select {
		case c.anonymous <- struct{}{}:
			defer func() { <-c.anonymous }()
		case <-ctx.Done():
			closeBody(req)
			return nil, notSent(addr, ctx.Err())
		}
	}
	for attempt := 1; ; attempt++ {
		conn, err := c.conn(ctx, addr)
		if err != nil {
			closeBody(req)
			return nil, notSent(addr, err)
		}
		res, err := conn.send(ctx, addr, req)
		if err == nil || !errors.Is(err, ErrNotSent) {
			return res, err
		}
		c.retire(conn)
		again := rewind(req)
		if again == nil || attempt == sendAttempts {
			return nil, err
		}
		req = again
	}
}

func notSent(addr string, err error) error {
	return fmt.Errorf("%w to %s: %w", ErrNotSent, addr, err)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// rewind returns req ready to be sent again, or nil if its body is lost.
func rewind(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	if req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	again := *req
	again.Body = body
	return &again
}

// clientConn is one connection.
type clientConn struct {
	*http.ClientConn
	made    *material // what it was made with
	retired bool      // takes no more requests; guarded by Client.mu
}

// send sends req over c, of which a stream was reserved.
func (c *clientConn) send(ctx context.Context, addr string, req *http.Request) (*http.Response, error) {
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { sent.Store(true) }, // before the bytes leave
	})
	out := req.WithContext(traced)
	target := *req.URL
	target.Scheme, target.Host = c.scheme(), addr
	out.URL = &target
	res, err := c.RoundTrip(out)
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() == nil && (!sent.Load() || leftAlone(err)):
		// net/http waits for the goroutine that sends, except when ctx has ended.
		return nil, notSent(addr, err)
	}
	return nil, errs.Errorf(errs.Unavailable, "request to %s: %w", addr, err)
}

func (c *clientConn) scheme() string {
	if c.made.enabled() {
		return "https"
	}
	return "http"
}

// goneAway is how net/http says that the server went away before it looked at the
// request. It exports no error to compare with.
const goneAway = "http2: Transport received Server's graceful shutdown GOAWAY"

const refusedStream = 0x7 // RFC 9113 section 7

// leftAlone reports whether err is the server's word that it has not acted on the request.
func leftAlone(err error) bool {
	if err.Error() == goneAway {
		return true
	}
	// net/http's stream error lets itself be read as any struct with its fields.
	var stream streamError
	return errors.As(err, &stream) && stream.Code == refusedStream
}

type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream error %d", e.Code) }

// connect makes a connection to addr. It returns once the server has spoken, which it
// does only after it has accepted our certificate.
func (c *Client) connect(ctx context.Context, addr string) (*clientConn, error) {
	made := c.tls.load()
	raw, err := made.dial(ctx, addr, protoHTTP, c.ServersOnly)
	if err != nil {
		return nil, err
	}
	heard := &heardConn{Conn: raw, heard: make(chan error, 1)}
	conn, err := c.transport(heard).NewClientConn(ctx, "http", addr)
	if err != nil {
		return nil, closed(raw, err)
	}
	select {
	case err = <-heard.heard:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &clientConn{ClientConn: conn, made: made}, nil
}

// transport returns one that speaks HTTP/2 over a connection, whatever is below it.
func (c *Client) transport(over net.Conn) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return over, nil },
		Protocols:          protocols,
		DisableCompression: true, // answers are passed on as they are
		IdleConnTimeout:    clientIdle,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           c.ping,
			PingTimeout:               c.pingWait,
			MaxReceiveBufferPerStream: streamBuffer,
		},
	}
}

// heardConn tells once whether the first read brought something.
type heardConn struct {
	net.Conn
	once  sync.Once
	heard chan error // of capacity 1
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() {
		if n > 0 {
			c.heard <- nil
			return
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection at once")
		}
		c.heard <- err
	})
	return n, err
}
