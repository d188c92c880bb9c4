package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
)

// limits bound what somebody can take before and after it has said who it is.
type limits struct {
	handshake               time.Duration // from the connection to its hand-over
	unidentified, perAddr   int           // connections that have not said who they are: of all addresses, of one
	anonymous, anonymousPer int           // connections without a verified certificate
	verifiedPer             int           // connections with one, or in the clear, of one address
}

var defaultLimits = limits{
	handshake:    5 * time.Second,
	unidentified: 1024, perAddr: 128,
	anonymous: 2048, anonymousPer: 100,
	verifiedPer: 1000,
}

// Listener is the server port. It accepts connections from the start; one that nobody
// takes within the handshake time-out is closed.
type Listener struct {
	net    net.Listener
	tls    *TLS
	log    *slog.Logger
	limits limits
	noise  throttle // of complaints that anybody can cause

	unidentified, anonymous, verified *limit.Places

	raft  *queue
	known *queue // HTTP/2 with a verified certificate, or in the clear
	rest  *queue // HTTP/2 without

	mu     sync.Mutex
	conns  map[*conn]*queue // open ones, and whose they are; nil once closed
	closed bool

	done  chan struct{} // closed by Close
	tasks sync.WaitGroup
}

// Limits are those that operators choose. Zero is the default of each.
type Limits struct {
	Handshake    time.Duration // from a connection to the first request on it; 5 s
	ConnsPerAddr int           // open connections of one IP address; 1000, and 100 without a certificate
}

// Listen opens the port. With t switched on it must hold a certificate.
func Listen(addr string, t *TLS, log *slog.Logger) (*Listener, error) {
	return ListenWithin(addr, t, log, Limits{})
}

// ListenWithin is Listen with an operator's limits.
func ListenWithin(addr string, t *TLS, log *slog.Logger, chosen Limits) (*Listener, error) {
	most := defaultLimits
	most.handshake = cmp.Or(chosen.Handshake, most.handshake)
	if n := chosen.ConnsPerAddr; n > 0 {
		most.verifiedPer, most.anonymousPer = n, min(n, most.anonymousPer)
	}
	return listen(addr, t, log, most)
}

func listen(addr string, t *TLS, log *slog.Logger, most limits) (*Listener, error) {
	if m := t.load(); m.enabled() && m.cert == nil {
		return nil, errs.Errorf(errs.Invalid, "listen on the server port: %w", errNoCertificate)
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on the server port: %w", err)
	}
	l := &Listener{
		net: tcp, tls: t, log: logging.Named(log, "peer"), limits: most,
		unidentified: &limit.Places{PerSource: int64(most.perAddr), Total: int64(most.unidentified)},
		anonymous:    &limit.Places{PerSource: int64(most.anonymousPer), Total: int64(most.anonymous)},
		verified:     &limit.Places{PerSource: int64(most.verifiedPer)},
		raft:         newQueue(tcp.Addr()),
		known:        newQueue(tcp.Addr()),
		rest:         newQueue(tcp.Addr()),
		conns:        map[*conn]*queue{},
		done:         make(chan struct{}),
	}
	l.tasks.Go(l.accept)
	return l, nil
}

// Addr returns the address that the port is open on.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Close closes the port and every connection, and waits for what the listener runs.
func (l *Listener) Close() error {
	l.mu.Lock()
	if !l.closed {
		close(l.done)
	}
	l.closed = true
	open := l.conns
	l.conns = nil
	l.mu.Unlock()
	err := l.net.Close()
	for c := range open {
		_ = c.Conn.Close()
	}
	for _, q := range []*queue{l.raft, l.known, l.rest} {
		q.close()
	}
	l.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Listener) accept() {
	wait := time.Duration(0)
	for {
		raw, err := l.net.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: others may free some
			l.noise.warn(l.log, "cannot accept connections", "err", err)
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			if !l.pause(wait) {
				return
			}
			continue
		}
		wait = 0
		c := &conn{Conn: raw, listener: l, from: address(raw)}
		if !l.enter(c) {
			_ = raw.Close()
			l.noise.warn(l.log, "connection refused", "peer", raw.RemoteAddr().String(), "err", errFull)
			continue
		}
		l.tasks.Go(func() {
			if err := l.identify(c); err != nil {
				l.refuse(c, err)
			}
		})
	}
}

// pause waits d and reports whether the listener is still open.
func (l *Listener) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// enter registers a connection that has just been accepted.
func (l *Listener) enter(c *conn) bool {
	if !l.unidentified.Take(c.from, 1) {
		return false
	}
	c.places = l.unidentified
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.unidentified.Give(c.from, 1)
		return false
	}
	l.conns[c] = nil
	return true
}

// refuse closes c. Who connects and says nothing, as health checks do, is no news.
func (l *Listener) refuse(c *conn, err error) {
	_ = c.Close()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		l.log.Debug("connection ended early", "peer", c.RemoteAddr().String(), "err", err)
		return
	}
	l.noise.warn(l.log, "connection refused", "peer", c.RemoteAddr().String(), "err", err)
}

var (
	errNotServer = errors.New("raft is for servers: the certificate is not that of a server of this datacenter")
	errFull      = errors.New("too many connections from this address")
	errNotTaken  = errors.New("this server does not take such connections now")
	errProtocol  = errors.New("speaks neither raft nor HTTP/2")
)

// identify finds out who is at the other end of c and what it wants to speak, and
// hands c on. After an error c is the caller's to close.
func (l *Listener) identify(c *conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.limits.handshake)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	to, ready, err := l.begin(ctx, c)
	if err != nil {
		return err
	}
	next := l.verified
	if to == l.rest {
		next = l.anonymous
	}
	if !c.move(next) {
		return errFull
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if !l.assign(c, to) || !to.put(ctx, ready) {
		return errNotTaken
	}
	return nil
}

// assign notes whose c is, unless it was closed by Close.
func (l *Listener) assign(c *conn, to *queue) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[c] = to
	return true
}

// closeAll closes q and the connections that were for it.
func (l *Listener) closeAll(q *queue) {
	q.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, of := range l.conns {
		if of == q {
			_ = c.Conn.Close()
		}
	}
}

// begin does the handshake of c and returns the queue it is for, and what to put there.
func (l *Listener) begin(ctx context.Context, c *conn) (*queue, net.Conn, error) {
	m := l.tls.load()
	if !m.enabled() {
		c.id = Identity{Kind: Server}
		proto, err := c.sniff()
		if proto == protoRaft {
			return l.raft, c, err
		}
		return l.known, c, err
	}
	secure := tls.Server(c, m.server)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	state := secure.ConnectionState()
	var verified bool
	c.id, verified = m.identify(&state)
	switch {
	case state.NegotiatedProtocol == protoRaft && c.id.Kind == Server:
		return l.raft, secure, nil
	case state.NegotiatedProtocol == protoHTTP && verified:
		return l.known, secure, nil
	case state.NegotiatedProtocol == protoHTTP:
		return l.rest, secure, nil
	}
	return nil, nil, errProtocol
}
