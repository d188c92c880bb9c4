package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// bufferSize is that of the largest TLS record.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// stream is a connection that can be closed in one direction.
type stream interface {
	net.Conn
	CloseWrite() error
}

// end is one end of what is relayed: what is read and written, and what it is carried by,
// which is the same where there is no TLS.
type end struct {
	stream
	raw net.Conn
}

// abort ends the connection so that the other side does not take it for complete.
func (e end) abort() {
	if tcp, ok := underneath(e.raw).(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = e.raw.Close()
}

// relay passes on what comes from a to b and the other way round until both have said that nothing more
// comes, or one of them fails, which ends both. It closes both.
func relay(a, b end) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pump(b, a)
	}()
	pump(a, b)
	<-done
	_ = a.raw.Close()
	_ = b.raw.Close()
}

// pump passes on what comes from one end, and that nothing more comes.
func pump(to, from end) {
	err := copyStream(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		to.abort()
		from.abort()
	}
}

// copyStream is io.Copy with a pooled buffer: io.Copy makes one each time where one side is a TCP
// connection and the other is TLS.
func copyStream(to io.Writer, from io.Reader) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dial connects to an address within a time.
func dial(ctx context.Context, to Address, within time.Duration) (end, error) {
	d := net.Dialer{Timeout: within}
	conn, err := d.DialContext(ctx, to.Network, to.Addr)
	if err != nil {
		return end{}, err
	}
	return plain(conn), nil
}

// plain returns the end of a connection of TCP or of a socket of Unix.
func plain(conn net.Conn) end { return end{conn.(stream), conn} }

// maxHandshake bounds what somebody may send before the end of a handshake, in bytes. A chain of a leaf and all the
// cross-certificates there can be has some ten thousand.
const maxHandshake = 64 << 10

var errHandshakeTooLong = errors.New("too much was sent before the end of the handshake")

// metered is a connection that bounds what is read from it until free is called. Reads and free
// are one after the other.
type metered struct {
	net.Conn
	left int // -1 once it is free
}

// Read implements net.Conn.
func (m *metered) Read(b []byte) (int, error) {
	if m.left < 0 {
		return m.Conn.Read(b)
	}
	if m.left == 0 {
		return 0, errHandshakeTooLong
	}
	n, err := m.Conn.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}

func (m *metered) free() { m.left = -1 }

func underneath(c net.Conn) net.Conn {
	if m, ok := c.(*metered); ok {
		return m.Conn
	}
	return c
}
