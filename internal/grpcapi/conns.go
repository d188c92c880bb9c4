package grpcapi

import (
	"maps"
	"net"
	"slices"
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

// connSet is the open connections of a server.
type connSet struct {
	mu   sync.Mutex
	open map[net.Conn]bool // guarded by mu
}

func (c *connSet) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[conn] = true
}

func (c *connSet) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// closeAll closes what is open, whatever it is used for.
func (c *connSet) closeAll() {
	c.mu.Lock()
	all := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}

// trackedListener keeps its connections in a set for as long as they are open.
type trackedListener struct {
	net.Listener
	open *connSet
}

func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, open: l.open}
	l.open.add(tracked)
	return tracked, nil
}

type trackedConn struct {
	net.Conn
	open *connSet
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.open.remove(c)
	return c.Conn.Close()
}
