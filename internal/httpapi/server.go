package httpapi

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits bound what a client can take before it has said who it is. The zero
// value is the defaults.
type Limits struct {
	MaxConnsPerClient int           // TCP connections of one IP address; 0 is 200, negative is no limit
	MaxHeaderBytes    int           // 0 is 64 KiB
	HeaderTimeout     time.Duration // for the TLS handshake and for a request's header; 0 is 5 seconds
	MaxQueryTime      time.Duration // of a blocking query; 0 is 10 minutes
}

const (
	defaultConnsPerClient = 200
	defaultHeaderBytes    = 64 << 10
	defaultHeaderTimeout  = 5 * time.Second
	defaultQueryTime      = 10 * time.Minute
	idleTimeout           = 2 * time.Minute
	streamsPerConn        = 128
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
	}
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// NewListener returns l with the limit on connections per client. A connection
// above it is closed at once. Unix sockets have no limit.
func NewListener(l net.Listener, limits Limits) net.Listener {
	most := limits.MaxConnsPerClient
	if most < 0 {
		return l
	}
	return &limitedListener{Listener: l, most: orDefault(most, defaultConnsPerClient), open: map[string]int{}}
}

// limitedListener counts the open connections of each IP address.
type limitedListener struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[string]int // guarded by mu; no zeros
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
		if l.take(client) {
			return &limitedConn{Conn: conn, give: func() { l.give(client) }}, nil
		}
		_ = conn.Close()
	}
}

func (l *limitedListener) take(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client] >= l.most {
		return false
	}
	l.open[client]++
	return true
}

func (l *limitedListener) give(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client]--; l.open[client] == 0 {
		delete(l.open, client)
	}
}

// limitedConn gives its place back when it is closed, once.
type limitedConn struct {
	net.Conn
	once sync.Once
	give func()
}

func (c *limitedConn) Close() error {
	c.once.Do(c.give)
	return c.Conn.Close()
}
