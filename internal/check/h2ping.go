package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// What a ping needs of HTTP/2 (RFC 9113 sections 3.4, 4.1, 6.5 and 6.7).
const (
	h2Preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	h2Settings = 0x4
	h2Ping     = 0x6
	h2GoAway   = 0x7
	h2Ack      = 0x1
	h2MaxFrame = 16 << 10 // bytes of payload, which nobody may exceed unasked
	h2MaxSkip  = 64       // frames before the answer
)

var errNoHTTP2 = errors.New("the server does not speak HTTP/2")

// h2PingProbe passes if an HTTP/2 server answers a ping.
type h2PingProbe struct {
	addr     string
	useTLS   bool
	security security
}

func newH2PingProbe(d *Definition, o *Options) *h2PingProbe {
	return &h2PingProbe{addr: d.H2PING, useTLS: d.H2PingUseTLS, security: newSecurity(d, o)}
}

func (p *h2PingProbe) probe(ctx context.Context) Status {
	if err := p.ping(ctx); err != nil {
		return failure(fmt.Errorf("HTTP2 ping failed: %w", err))
	}
	return Status{Passing, "HTTP2 ping was successful"}
}

func (p *h2PingProbe) ping(ctx context.Context) error {
	var secure *tls.Config
	if p.useTLS {
		secure = p.security.config("h2")
	}
	conn, err := dial(ctx, p.addr, secure)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol != "h2" {
		return errNoHTTP2
	}
	return exchangePing(conn)
}

// exchangePing begins a connection, sends a ping and reads until its answer.
func exchangePing(conn net.Conn) error {
	var payload [8]byte
	_, _ = rand.Read(payload[:]) // never fails
	hello := append([]byte(h2Preface), h2Frame(h2Settings, 0, nil)...)
	if _, err := conn.Write(append(hello, h2Frame(h2Ping, 0, payload[:])...)); err != nil {
		return err
	}
	for i := range h2MaxSkip {
		kind, flags, body, err := readH2Frame(conn)
		switch {
		case err != nil:
			return err
		case i == 0 && kind != h2Settings:
			return errNoHTTP2
		case kind == h2Ping && flags&h2Ack != 0 && bytes.Equal(body, payload[:]):
			return nil
		case kind == h2GoAway:
			return errors.New("the server closes the connection")
		case kind == h2Settings && flags&h2Ack == 0:
			if _, err := conn.Write(h2Frame(h2Settings, h2Ack, nil)); err != nil {
				return err
			}
		}
	}
	return errors.New("no answer among many frames")
}

// h2Frame returns a frame of the connection as a whole.
func h2Frame(kind, flags byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, 0, 0, 0, 0}, payload...)
}

func readH2Frame(r io.Reader) (kind, flags byte, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[:4]) >> 8
	if length > h2MaxFrame {
		return 0, 0, nil, errNoHTTP2
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return head[3], head[4], payload, err
}
