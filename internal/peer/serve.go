package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// SignPath is the one request that needs no certificate under VerifyIncoming: the one
// by which a client agent gets its certificate.
const SignPath = "/internal/auto-encrypt/sign"

const (
	maxHeader       = 64 << 10
	streamsPerConn  = 1000     // requests of one connection at a time; many of them block
	anonymousStream = 16       // the same, without a certificate
	maxSignBody     = 64 << 10 // far above any certificate request
	signTimeout     = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	anonymousIdle   = 10 * time.Second
	anonymousAnswer = 15 * time.Minute       // above the longest blocking query
	drainGrace      = 500 * time.Millisecond // for requests that do not block
	drainTimeout    = 5 * time.Second
	streamBuffer    = 1 << 20
	pingAfter       = 15 * time.Second // of silence
	pingTimeout     = 10 * time.Second
)

// Serve answers HTTP/2 requests with h until ctx ends or the listener is closed. When
// ctx ends, connections are told to go away. What they began goes on for drainGrace,
// then finds its context cancelled, and is cut off after drainTimeout. From tells h who
// asks. Answers to a verified peer have no time limit; whether it is alive is found out
// by pings.
func (l *Listener) Serve(ctx context.Context, h http.Handler) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	known, rest := l.httpServer(base, h), l.httpServer(base, l.demand(h))
	rest.IdleTimeout = anonymousIdle
	rest.WriteTimeout = anonymousAnswer
	rest.HTTP2.MaxConcurrentStreams = anonymousStream

	failed := make(chan error, 2)
	var serving sync.WaitGroup
	serving.Go(func() { failed <- known.Serve(l.known) })
	serving.Go(func() { failed <- rest.Serve(l.rest) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	grace := time.AfterFunc(drainGrace, cancel)
	defer grace.Stop()
	shutdown(base, known, rest)
	serving.Wait()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown lets the servers finish what they began, both at the same time.
func shutdown(ctx context.Context, servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				_ = s.Close()
			}
		})
	}
	all.Wait()
}

func (l *Listener) httpServer(ctx context.Context, h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: l.limits.handshake,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:      streamsPerConn,
			MaxReceiveBufferPerStream: streamBuffer,
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
		},
		ErrorLog:    slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return WithIdentity(ctx, accepted(c).id)
		},
		DisableGeneralOptionsHandler: true, // it would answer past the audit trail
	}
}

// accepted returns the connection below TLS.
func accepted(c net.Conn) *conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*conn)
}

// demand is around h for connections without a verified certificate. Under
// VerifyIncoming they may ask for one, within tight bounds, and nothing else.
func (l *Listener) demand(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.tls.load().cfg.VerifyIncoming {
			h.ServeHTTP(w, r)
			return
		}
		if r.URL.Path != SignPath {
			http.Error(w, "Permission denied: a verified client certificate is required", http.StatusForbidden)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), signTimeout)
		defer cancel()
		deadline, _ := ctx.Deadline()
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxSignBody)
		h.ServeHTTP(w, r)
	})
}
