package peer

import (
	"context"
	"errors"
	"slices"
)

// pool holds the connections to one address.
type pool struct {
	conns   []*clientConn
	dialing *dialing // nil if no connection is being made
}

// dialing is a connection that is being made; err is set before done is closed.
type dialing struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

var (
	errClosed   = errors.New("the client is closed")
	errUnstable = errors.New("connections do not last")
)

// conn returns a connection to addr that may be used at once, made now if need be. One
// of several connections that are all full is returned too: sending over it waits.
func (c *Client) conn(ctx context.Context, addr string) (*clientConn, error) {
	for range connsPerAddr + sendAttempts {
		found, wait, err := c.pick(addr)
		if found != nil || err != nil {
			return found, err
		}
		select {
		case <-wait.done:
			if wait.err != nil {
				return nil, wait.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, errUnstable
}

// pick returns a connection to addr, or the one being made that is to be waited for.
func (c *Client) pick(addr string) (*clientConn, *dialing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	p := c.pools[addr]
	if p == nil {
		p = &pool{}
		c.pools[addr] = p
	}
	current := p.usable(c.tls.load())
	for _, conn := range current {
		if conn.Reserve() == nil {
			return conn, nil, nil
		}
	}
	if len(current) >= connsPerAddr {
		return slices.MinFunc(current, func(a, b *clientConn) int { return a.InFlight() - b.InFlight() }), nil, nil
	}
	if p.dialing == nil {
		c.sweep(addr)
		ctx, cancel := context.WithTimeout(context.Background(), c.dial)
		p.dialing = &dialing{cancel: cancel, done: make(chan struct{})}
		c.tasks.Go(func() { c.fill(ctx, p, addr) })
	}
	return nil, p.dialing, nil
}

// fill makes the connection that p.dialing promises.
func (c *Client) fill(ctx context.Context, p *pool, addr string) {
	conn, err := c.connect(ctx, addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	d := p.dialing
	p.dialing = nil
	if err == nil {
		p.conns = append(p.conns, conn)
	}
	if c.closed {
		p.close()
	}
	d.cancel()
	d.err = err
	close(d.done)
}

// sweep forgets addresses other than keep that have no connection left.
func (c *Client) sweep(keep string) {
	for addr, p := range c.pools {
		if p.prune(); addr != keep && len(p.conns) == 0 && p.dialing == nil {
			delete(c.pools, addr)
		}
	}
}

// prune forgets connections that have ended.
func (p *pool) prune() {
	p.conns = slices.DeleteFunc(p.conns, func(c *clientConn) bool { return c.Err() != nil })
}

// retire keeps conn, which the server is about to close, from getting more requests.
func (c *Client) retire(conn *clientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.retired = true
}

// usable returns the connections made with now that take requests.
func (p *pool) usable(now *material) []*clientConn {
	p.prune()
	var current []*clientConn
	for _, conn := range p.conns {
		if conn.made == now && !conn.retired {
			current = append(current, conn)
		}
	}
	return current
}

// close breaks every connection, also the one being made.
func (p *pool) close() {
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	if p.dialing != nil {
		p.dialing.cancel()
	}
}
