package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/httpapi"
)

// listener is one open address of the API.
type listener struct {
	net.Listener
	protocol string // "http" or "https"
	server   *http.Server
	cut      context.CancelFunc // ends the context of every request that reads
	end      context.CancelFunc // ends that of every request
}

// serve answers until the listener is shut down, which gives nil.
func (l *listener) serve(context.Context) error {
	if err := l.server.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s on %s: %w", l.protocol, l.Addr(), err)
	}
	return nil
}

// shutdown takes no more requests. Those that it has get their answers: for
// drainGrace as ever, then queries that block are answered, and when ctx ends what is left is cut. What changes
// something has all of that time.
func (l *listener) shutdown(ctx context.Context) {
	grace := time.AfterFunc(drainGrace, l.cut)
	defer l.end()
	defer grace.Stop()
	if err := l.server.Shutdown(ctx); err != nil {
		_ = l.server.Close()
	}
	_ = l.Close() // also where serve has not begun
}

// openListeners opens every address of the API before any is served, so that a
// port that is taken is an error at the start.
func (b *base) openListeners(handler http.Handler) error {
	b.public = handler
	limits := httpapi.Limits{
		MaxConnsPerClient: b.cfg.Limits.HTTPMaxConnsPerClient,
		MaxHeaderBytes:    b.cfg.HTTP.MaxHeaderBytes,
		HeaderTimeout:     b.cfg.Limits.HTTPSHandshakeTimeout,
		MaxQueryTime:      b.cfg.MaxQueryTime,
	}
	if err := b.openProtocol("http", addresses(b.cfg.Addresses.HTTP, b.cfg.ClientAddrs), b.cfg.Ports.HTTP, handler, limits); err != nil {
		return err
	}
	if b.cfg.Ports.HTTPS <= 0 {
		return nil
	}
	if !b.https.loaded() {
		if err := b.https.load(b.cfg.TLS.HTTPS); err != nil {
			return fmt.Errorf("tls.https: %w", err)
		}
	}
	if b.cfg.TLS.HTTPS.CertFile == "" {
		b.log.Warn("HTTPS has no certificate: set tls.https.cert_file and key_file and reload")
	}
	return b.openProtocol("https", addresses(b.cfg.Addresses.HTTPS, b.cfg.ClientAddrs), b.cfg.Ports.HTTPS, handler, limits)
}

func addresses(own, common []string) []string {
	if len(own) > 0 {
		return own
	}
	return common
}

func (b *base) openProtocol(protocol string, addrs []string, port int, handler http.Handler, limits httpapi.Limits) error {
	if port <= 0 {
		return nil
	}
	for _, addr := range addrs {
		l, err := open(addr, port)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", protocol, err)
		}
		b.log.Info("Starting server", slog.String("address", l.Addr().String()),
			slog.String("network", l.Addr().Network()), slog.String("protocol", protocol))
		life, end := context.WithCancel(context.Background())
		reads, cut := context.WithCancel(life)
		server := httpapi.NewServer(shelterWrites(reads, life, handler), limits, b.log)
		server.BaseContext = func(net.Listener) context.Context { return reads }
		l = httpapi.NewListener(l, limits)
		if protocol == "https" {
			l = tls.NewListener(l, b.https.config())
		}
		b.listeners = append(b.listeners, &listener{Listener: l, protocol: protocol, server: server, cut: cut, end: end})
	}
	return nil
}

// shelterWrites lets requests that change something live until life ends, or their caller leaves. Those that only read, of
// which some block, end with reads, the base of every request's context.
func shelterWrites(reads, life context.Context, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			ctx, end := context.WithCancel(context.WithoutCancel(r.Context()))
			defer end()
			defer context.AfterFunc(life, end)()
			defer context.AfterFunc(r.Context(), func() {
				if reads.Err() == nil { // the caller has left
					end()
				}
			})()
			r = r.WithContext(ctx)
		}
		handler.ServeHTTP(w, r)
	})
}

// open listens on an IP address and port, or on unix:///path, where an old
// socket file is removed first.
func open(addr string, port int) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
}
