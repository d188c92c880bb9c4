package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Raft returns the raft side of the port, whose address is told to others as advertise
// (nil for the one that is open). Both ends of a connection with TLS have shown the
// certificate of a server. Close ends the raft connections and leaves the port open.
func (l *Listener) Raft(advertise net.Addr) raft.StreamLayer {
	if advertise == nil {
		advertise = l.Addr()
	}
	return &streams{listener: l, advertise: advertise}
}

type streams struct {
	listener  *Listener
	advertise net.Addr
}

func (s *streams) Accept() (net.Conn, error) { return s.listener.raft.Accept() }
func (s *streams) Addr() net.Addr            { return s.advertise }

func (s *streams) Close() error {
	s.listener.closeAll(s.listener.raft)
	return nil
}

// Dial connects to the server port at address. timeout is for all of it.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := s.listener.tls.load().dial(ctx, string(address), protoRaft, true)
	if err != nil {
		return nil, err
	}
	if _, secure := c.(*tls.Conn); secure {
		return c, nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return nil, closed(c, err)
	}
	if _, err := c.Write([]byte(raftPreface)); err != nil {
		return nil, closed(c, err)
	}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		return nil, closed(c, err)
	}
	return c, nil
}

// closed closes c and returns err.
func closed(c net.Conn, err error) error {
	_ = c.Close()
	return err
}

// dial connects to a server port to speak proto, with TLS if it is switched on. named
// asks for a server's name even where the configuration does not.
func (m *material) dial(ctx context.Context, addr, proto string, named bool) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !m.enabled() {
		return c, nil
	}
	secure := tls.Client(c, m.clientConfig(proto, named))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, closed(c, fmt.Errorf("TLS handshake with %s: %w", addr, err))
	}
	if got := secure.ConnectionState().NegotiatedProtocol; got != proto {
		return nil, closed(c, fmt.Errorf("%s does not speak %s", addr, proto))
	}
	return secure, nil
}
