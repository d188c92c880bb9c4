package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// tcpProbe passes if it can connect, and shake hands where TLS is asked for.
type tcpProbe struct {
	addr     string
	useTLS   bool
	security security
}

func newTCPProbe(d *Definition, o *Options) *tcpProbe {
	return &tcpProbe{addr: d.TCP, useTLS: d.TCPUseTLS, security: newSecurity(d, o)}
}

func (p *tcpProbe) probe(ctx context.Context) Status {
	var secure *tls.Config
	if p.useTLS {
		secure = p.security.config()
	}
	conn, err := dial(ctx, p.addr, secure)
	if err != nil {
		return failure(err)
	}
	_ = conn.Close()
	return Status{Passing, fmt.Sprintf("TCP connect %s: Success", p.addr)}
}

// maxUDPWait is how long silence is listened to, at most: whoever does not
// listen on a port says so at once.
const maxUDPWait = 10 * time.Second

// udpProbe sends one datagram. Any answer passes and so does none; it fails
// when the host says that nobody listens.
type udpProbe struct{ addr string }

func (p *udpProbe) probe(ctx context.Context) Status {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", p.addr)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = conn.Close() }()
	end := time.Now().Add(maxUDPWait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := conn.SetDeadline(end); err != nil {
		return failure(err)
	}
	if _, err := conn.Write([]byte("\n")); err != nil {
		return failure(err)
	}
	var answer [1]byte
	if _, err := conn.Read(answer[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return failure(err)
	}
	return Status{Passing, fmt.Sprintf("UDP connect %s: Success", p.addr)}
}
