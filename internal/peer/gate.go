package peer

import (
	"net"
	"net/netip"
	"sync"
)

// gate bounds connections, of each address and of all. Zero means no bound.
type gate struct {
	perAddr, total int

	mu     sync.Mutex
	open   int
	byAddr map[netip.Addr]int // no zeros
}

func newGate(perAddr, total int) *gate {
	return &gate{perAddr: perAddr, total: total, byAddr: map[netip.Addr]int{}}
}

// take reports whether there is a place for addr, and takes it.
func (g *gate) take(addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total > 0 && g.open >= g.total || g.perAddr > 0 && g.byAddr[addr] >= g.perAddr {
		return false
	}
	g.open++
	g.byAddr[addr]++
	return true
}

func (g *gate) give(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.byAddr[addr]--; g.byAddr[addr] == 0 {
		delete(g.byAddr, addr)
	}
}

// held returns the number of places taken.
func (g *gate) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// address returns the IP address at the other end of c.
func address(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
