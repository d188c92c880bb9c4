package proxy

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/sleep"
)

// listener is a listener that accepts until it is closed.
type listener struct {
	net.Listener
	ended chan struct{} // closed once nobody is accepted any more
}

// listen opens an address and hands each connection to serve, in a goroutine of its own.
func (p *Proxy) listen(at Address, serve func(net.Conn)) (*listener, error) {
	if err := removeSocket(at); err != nil {
		return nil, err
	}
	open, err := net.Listen(at.family(), at.Addr)
	if err != nil {
		return nil, err
	}
	if at.Network == "unix" && at.Mode != 0 {
		if err := os.Chmod(at.Addr, at.Mode); err != nil {
			return nil, errors.Join(err, open.Close())
		}
	}
	l := &listener{open, make(chan struct{})}
	p.tasks.Go(func() {
		defer close(l.ended)
		l.accept(func(conn net.Conn) { p.tasks.Go(func() { serve(conn) }) })
	})
	return l, nil
}

// removeSocket removes what an earlier proxy has left at a path.
func removeSocket(at Address) error {
	if at.Network != "unix" {
		return nil
	}
	info, err := os.Lstat(at.Addr)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and is no socket", at.Addr)
	}
	return os.Remove(at.Addr)
}

// accept hands on connections until the listener is closed. Where none can be accepted, because there are
// no more files, it tries again.
func (l *listener) accept(serve func(net.Conn)) {
	const most = time.Second
	for wait := time.Millisecond; ; {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			sleep.For(context.Background(), wait)
			wait = min(2*wait, most)
			continue
		}
		wait = time.Millisecond
		serve(conn)
	}
}

// close ends the listener, and returns once it has accepted its last connection.
func (l *listener) close() {
	_ = l.Close()
	<-l.ended
}

// connections are those that are served. The zero value is ready.
type connections struct {
	mu     sync.Mutex // guards what follows
	open   map[*connection]struct{}
	wake   []chan struct{} // of those who wait until there is none
	closed bool            // there are to be no more
}

// connection is one that is served.
type connection struct {
	source ca.ServiceID // who connected to the service, once that is proven; empty for connections to an upstream
	serial string       // of its certificate
	cut    func()       // may be called at any time
}

// add notes a connection until done is called. After closeAll it cuts it.
func (c *connections) add(conn *connection) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.cut()
	}
	if c.open == nil {
		c.open = map[*connection]struct{}{}
	}
	c.open[conn] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
		if len(c.open) == 0 {
			for _, wake := range c.wake {
				close(wake)
			}
			c.wake = nil
		}
	}
}

// name notes who has connected.
func (c *connections) name(conn *connection, source ca.ServiceID, serial string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.source, conn.serial = source, serial
}

// gone returns a channel that is closed once there is no connection.
func (c *connections) gone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	wake := make(chan struct{})
	if len(c.open) == 0 {
		close(wake)
		return wake
	}
	c.wake = append(c.wake, wake)
	return wake
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// sources returns who is connected to the service, with the serial number of a certificate of each.
func (c *connections) sources() map[ca.ServiceID]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[ca.ServiceID]string{}
	for conn := range c.open {
		if conn.source != (ca.ServiceID{}) {
			found[conn.source] = conn.serial
		}
	}
	return found
}

// closeFrom closes the connections of a source, and returns how many there were.
func (c *connections) closeFrom(source ca.ServiceID) int {
	return c.closeIf(func(conn *connection) bool { return conn.source == source })
}

// closeAll closes all connections, and those to come.
func (c *connections) closeAll() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.closeIf(func(*connection) bool { return true })
}

func (c *connections) closeIf(is func(*connection) bool) int {
	c.mu.Lock()
	var found []*connection
	for conn := range c.open {
		if is(conn) {
			found = append(found, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range found {
		conn.cut()
	}
	return len(found)
}

// lobby holds those who have not yet proven who they are. When there are too many, the one who has been there
// for longest is put out: who is honest needs milliseconds.
type lobby struct {
	places int

	mu      sync.Mutex // guards waiting
	waiting list.List  // of net.Conn, the oldest first
}

// enter lets a connection in until leave is called.
func (l *lobby) enter(conn net.Conn) (leave func()) {
	l.mu.Lock()
	at := l.waiting.PushBack(conn)
	var oldest *list.Element
	if l.waiting.Len() > l.places {
		oldest = l.waiting.Front()
		l.waiting.Remove(oldest)
	}
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Value.(net.Conn).Close()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waiting.Remove(at) // nothing, if it was put out
	}
}
