package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
)

// maxHandshakes is how many may be under way at a time, at one listener.
const maxHandshakes = 256

// public is the listener for those who connect to the service.
type public struct {
	Public
	proxy *Proxy
	tls   *tls.Config
	lobby lobby
	log   *slog.Logger
	quiet quiet
}

func (p *Proxy) listenPublic(ctx context.Context, s Public) (*listener, error) {
	in := &public{Public: s, proxy: p, tls: p.identity.server(), lobby: lobby{places: maxHandshakes}, log: p.cfg.Log}
	l, err := p.listen(s.Bind, func(conn net.Conn) { in.serve(ctx, conn) })
	if err != nil {
		return nil, listenError(PublicListener, err)
	}
	p.listening(PublicListener, l)
	return l, nil
}

// serve serves one connection to its end.
func (in *public) serve(ctx context.Context, raw net.Conn) {
	conn := &connection{cut: end{raw: raw}.abort}
	defer in.proxy.connections.add(conn)()
	remote, cert, err := in.handshake(ctx, raw)
	if err != nil {
		_ = raw.Close()
		in.refused(raw, err)
		return
	}
	source, _ := serviceOf(cert) // verified in the handshake
	serial := serialOf(cert)
	in.proxy.connections.name(conn, source, serial) // before the decision, so that a change of it is not missed
	local, err := in.connect(ctx, source, serial)
	if err != nil {
		_ = remote.Close()
		in.log.Info("connection refused", "source", source.URI(), "address", raw.RemoteAddr(), logging.Err, err)
		return
	}
	relay(remote, local)
}

// handshake has whoever connects prove who it is, within bounds of time and bytes.
func (in *public) handshake(ctx context.Context, raw net.Conn) (end, *x509.Certificate, error) {
	defer in.lobby.enter(raw)()
	ctx, cancel := context.WithTimeout(ctx, in.HandshakeTimeout)
	defer cancel()
	carrier := &metered{Conn: raw, left: maxHandshake}
	conn := tls.Server(carrier, within(in.tls, in.proxy.identity.bounds.Load().incoming))
	if err := conn.HandshakeContext(ctx); err != nil {
		return end{}, nil, err
	}
	carrier.free()
	return end{conn, carrier}, conn.ConnectionState().PeerCertificates[0], nil
}

// connect decides about a connection, and connects to the local service.
func (in *public) connect(ctx context.Context, source ca.ServiceID, serial string) (end, error) {
	deciding, cancel := context.WithTimeout(ctx, in.HandshakeTimeout)
	defer cancel()
	d, err := in.proxy.authority.decide(deciding, source, serial)
	if err != nil {
		return end{}, err
	}
	if !d.allowed {
		return end{}, errors.New(d.reason)
	}
	return dial(ctx, in.Local, in.ConnectTimeout)
}

// refused logs a failed handshake, as much as is good where anybody can cause it. A health check that only connects is none.
func (in *public) refused(conn net.Conn, err error) {
	if errors.Is(err, io.EOF) || !in.quiet.may(in.proxy.cfg.Now()) {
		return
	}
	in.log.Warn("handshake failed", "address", conn.RemoteAddr(), logging.Err, err)
}

// quiet lets one line a second through.
type quiet struct{ next atomic.Int64 }

func (q *quiet) may(now time.Time) bool {
	next := q.next.Load()
	return now.UnixNano() >= next && q.next.CompareAndSwap(next, now.Add(time.Second).UnixNano())
}

// serialOf is a certificate's serial number as the API has it: hex with colons.
func serialOf(cert *x509.Certificate) string {
	digits := hex.EncodeToString(cert.SerialNumber.Bytes())
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}
