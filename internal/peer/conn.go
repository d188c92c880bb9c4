package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/lictor/lictor/internal/limit"
)

// The first bytes of a connection in the clear, of one length. The second is the first
// line of what RFC 9113 section 3.4 begins with.
const (
	raftPreface = "RAFT lictor/1.0\n"
	httpPreface = "PRI * HTTP/2.0\r\n"
)

// conn is an accepted connection, below TLS. It leaves the listener's books when it
// is closed.
type conn struct {
	net.Conn
	listener *Listener
	from     string // the address at the other end

	// Not changed after the hand-over.
	places *limit.Places // where its place is
	id     Identity

	head []byte // read already, to be read first

	once sync.Once
}

// move takes a place in next and gives up the one that c has.
func (c *conn) move(next *limit.Places) bool {
	if !next.Take(c.from, 1) {
		return false
	}
	c.places.Give(c.from, 1)
	c.places = next
	return true
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.places.Give(c.from, 1)
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// sniff reads what a connection in the clear begins with.
func (c *conn) sniff() (string, error) {
	first := make([]byte, len(httpPreface))
	if _, err := io.ReadFull(c.Conn, first); err != nil {
		return "", fmt.Errorf("read the first bytes: %w", err)
	}
	switch string(first) {
	case raftPreface:
		return protoRaft, nil
	case httpPreface:
		c.head = first
		return protoHTTP, nil
	}
	return "", errProtocol
}

// queue is a net.Listener of connections that were accepted already.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newQueue(addr net.Addr) *queue {
	done := make(chan struct{})
	return &queue{addr: addr, conns: make(chan net.Conn), done: done, close: sync.OnceFunc(func() { close(done) })}
}

// put hands c to whoever accepts, and reports whether somebody did before ctx ended.
func (q *queue) put(ctx context.Context, c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.done:
		return false
	case <-ctx.Done():
		return false
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Addr() net.Addr { return q.addr }
func (q *queue) Close() error   { q.close(); return nil }

// address returns the IP address at the other end of c.
func address(c net.Conn) string {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().String()
	}
	return ""
}
