package httpapi

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/limit"
)

// Limits bound what a client can take before it has said who it is. The zero
// value is the defaults.
type Limits struct {
	MaxConnsPerClient int           // TCP connections of one IP address; 0 is 200, negative is no limit
	MaxConns          int           // of all; 0 is 8192
	MaxHeaderBytes    int           // 0 is 64 KiB
	HeaderTimeout     time.Duration // for the TLS handshake and for a request's header; 0 is 5 seconds
	MaxQueryTime      time.Duration // of a blocking query; 0 is 10 minutes
}

const (
	defaultConnsPerClient = 200
	defaultConns          = 8192
	defaultHeaderBytes    = 64 << 10
	defaultHeaderTimeout  = 5 * time.Second
	defaultQueryTime      = 10 * time.Minute
	idleTimeout           = 2 * time.Minute
	streamsPerConn        = 128
	lingerTime            = 500 * time.Millisecond
	lingerBytes           = 64 << 10
)

// NewServer returns a server for h. It speaks HTTP/1.1, and HTTP/2 where it is
// given a TLS configuration. Serve it on a listener of NewListener.
func NewServer(h http.Handler, limits Limits, log *slog.Logger) *http.Server {
	query := orDefault(limits.MaxQueryTime, defaultQueryTime)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: orDefault(limits.HeaderTimeout, defaultHeaderTimeout),
		IdleTimeout:       idleTimeout,
		WriteTimeout:      query + query/8 + writeTimeout, // jitter included; an answer that is ready has less
		MaxHeaderBytes:    orDefault(limits.MaxHeaderBytes, defaultHeaderBytes),
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsPerConn, MaxReceiveBufferPerStream: maxLoginBody},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState:         markBegun,
		ConnContext:       withConn,

		DisableGeneralOptionsHandler: true, // it would answer past the audit trail
	}
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// NewListener returns l with the limits on connections. A connection above one of them is closed at once. Unix sockets have no limit.
func NewListener(l net.Listener, limits Limits) net.Listener {
	each := int64(orDefault(limits.MaxConnsPerClient, defaultConnsPerClient))
	if limits.MaxConnsPerClient < 0 {
		each = 0
	}
	return &limitedListener{Listener: l, open: limit.Places{PerSource: each, Total: int64(orDefault(limits.MaxConns, defaultConns))}, linger: lingerTime}
}

// limitedListener counts the open connections of each IP address, and of all.
type limitedListener struct {
	net.Listener
	open   limit.Places
	linger time.Duration // of its connections
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return conn, nil
		}
		client := tcp.IP.String()
		if l.open.Take(client, 1) {
			return &limitedConn{Conn: conn, linger: l.linger, give: func() { l.open.Give(client, 1) }}, nil
		}
		_ = conn.Close()
	}
}

// limitedConn gives its place back when it is closed, once. Close lets the
// caller read why its TLS handshake failed: with TLS 1.3 it may send its request before
// it is told, and what nobody has read turns the end of a connection into a reset.
type limitedConn struct {
	net.Conn
	once   sync.Once
	give   func()
	linger time.Duration // for the caller to read the end of its handshake
	begun  atomic.Bool   // there was a request, so the handshake is over
	told   atomic.Bool   // the last thing that was done is a write
	held   *[]byte       // what is to be written in one piece; nil writes at once
}

// markBegun keeps in mind that a connection's first request has begun.
func markBegun(conn net.Conn, state http.ConnState) {
	if state != http.StateActive {
		return
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if limited, ok := conn.(*limitedConn); ok {
		limited.begun.Store(true)
	}
}

func (c *limitedConn) Read(p []byte) (int, error) {
	c.told.Store(false)
	return c.Conn.Read(p)
}

func (c *limitedConn) Write(p []byte) (int, error) {
	if c.held != nil {
		*c.held = append(*c.held, p...)
		return len(p), nil
	}
	c.told.Store(true)
	return c.Conn.Write(p)
}

func (c *limitedConn) Close() error {
	if half, ok := c.Conn.(*net.TCPConn); ok && c.told.Load() && !c.begun.Load() {
		_ = half.CloseWrite()
		_ = half.SetReadDeadline(time.Now().Add(c.linger))
		_, _ = io.CopyN(io.Discard, half, lingerBytes)
	}
	c.once.Do(c.give)
	return c.Conn.Close()
}
