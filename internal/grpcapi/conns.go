package grpcapi

import (
	"net"
	"sync"

	"github.com/lictor/lictor/internal/limit"
)

// Connections are bounded before anybody has said who it is.
const (
	connsPerSource = 200
	connsTotal     = 8192
)

// NewListener returns l with bounds on its connections: perSource of one address, 0 is 200, negative is no
// bound. One above them is closed at once.
func NewListener(l net.Listener, perSource int) net.Listener {
	each := int64(perSource)
	switch {
	case perSource == 0:
		each = connsPerSource
	case perSource < 0:
		each = 0
	}
	return &boundedListener{Listener: l, open: limit.Places{PerSource: each, Total: connsTotal}}
}

type boundedListener struct {
	net.Listener
	open limit.Places
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := limit.SourceOf(conn.RemoteAddr().String())
		if l.open.Take(source, 1) {
			return &boundedConn{Conn: conn, give: sync.OnceFunc(func() { l.open.Give(source, 1) })}, nil
		}
		_ = conn.Close()
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	give func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.give()
	return c.Conn.Close()
}
