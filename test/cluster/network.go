package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Ports of every agent.
const (
	serverPort = 8300
	serfPort   = 8301
	httpPort   = 8500
	grpcPort   = 8502
)

const dialTime = 3 * time.Second

// Network carries what agents send each other: TCP to server ports, and gossip. An
// agent advertises an address of the Network's, behind which is the one that it listens on.
//
// What is sent over a cut link is lost if it is a packet of gossip; a
// connection's bytes wait until the link is mended, as those that the kernel sends again would.
type Network struct {
	mu      sync.Mutex
	hosts   []*host
	cut     map[link]bool
	changed chan struct{} // closed and replaced when cut changes
	closed  chan struct{}
	conns   map[net.Conn]bool
	tasks   sync.WaitGroup
}

// host is an agent as the Network knows it.
type host struct {
	name            string
	bind, advertise netip.Addr
	server          bool
	pid             func() int // 0 while it does not run
	gossip          *net.UDPConn
	listeners       []net.Listener
}

// link is one direction between two agents.
type link struct{ from, to string }

func newNetwork() *Network {
	return &Network{
		cut: map[link]bool{}, changed: make(chan struct{}), closed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
}

// Cut cuts the way from one agent to another. The way back is one of its own.
func (n *Network) Cut(from, to *Agent) { n.set(func() { n.cut[link{from.Name, to.Name}] = true }) }

// Isolate cuts every way to and from an agent.
func (n *Network) Isolate(a *Agent) {
	n.set(func() {
		for _, h := range n.hosts {
			n.cut[link{a.Name, h.name}], n.cut[link{h.name, a.Name}] = true, true
		}
	})
}

// Heal mends every link.
func (n *Network) Heal() { n.set(func() { clear(n.cut) }) }

func (n *Network) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
	close(n.changed)
	n.changed = make(chan struct{})
}

// open waits until the link from one agent to another is whole, and reports
// whether it is: false once the Network is closed.
func (n *Network) open(from, to string) bool {
	for {
		n.mu.Lock()
		cut, changed := n.cut[link{from, to}], n.changed
		n.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-n.closed:
			return false
		}
	}
}

// add begins to carry what is sent to h.
func (n *Network) add(h *host) error {
	ports := []int{serfPort}
	if h.server {
		ports = append(ports, serverPort)
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.advertise, serfPort)))
	if err != nil {
		return err
	}
	h.gossip = udp
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	n.tasks.Go(func() { n.carryPackets(h) })
	for _, port := range ports {
		l, err := net.Listen("tcp", netip.AddrPortFrom(h.advertise, uint16(port)).String())
		if err != nil {
			return err
		}
		h.listeners = append(h.listeners, l)
		n.tasks.Go(func() { n.accept(h, l, port) })
	}
	return nil
}

// Close ends all connections.
func (n *Network) Close() {
	n.mu.Lock()
	close(n.closed)
	hosts := n.hosts
	for c := range n.conns {
		_ = c.Close()
	}
	n.mu.Unlock()
	for _, h := range hosts {
		_ = h.gossip.Close()
		for _, l := range h.listeners {
			_ = l.Close()
		}
	}
	n.tasks.Wait()
}

// carryPackets hands on the gossip for an agent. The receiver sees the advertised
// address of the sender.
func (n *Network) carryPackets(to *host) {
	packet := make([]byte, 64<<10)
	for {
		size, source, err := to.gossip.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		from := n.hostAt(source.Addr().Unmap())
		if from == nil || n.isCut(from.name, to.name) {
			continue
		}
		_, _ = from.gossip.WriteToUDPAddrPort(packet[:size], netip.AddrPortFrom(to.bind, serfPort)) // as lossy as any network
	}
}

func (n *Network) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[link{from, to}]
}

func (n *Network) hostAt(bind netip.Addr) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		if h.bind == bind {
			return h
		}
	}
	return nil
}

func (n *Network) accept(to *host, l net.Listener, port int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n.tasks.Go(func() { n.connect(c.(*net.TCPConn), to, port) })
	}
}

// connect carries one connection. While its link is cut it is not answered.
func (n *Network) connect(near *net.TCPConn, to *host, port int) {
	if !n.keep(near) {
		return
	}
	defer n.forget(near)
	from := n.caller(near)
	if !n.open(from, to.name) {
		return
	}
	dialer := net.Dialer{Timeout: dialTime, LocalAddr: &net.TCPAddr{IP: to.advertise.AsSlice()}} // no port of 127.0.0.1 is taken from anybody
	raw, err := dialer.Dial("tcp", net.JoinHostPort(to.bind.String(), strconv.Itoa(port)))
	if err != nil {
		_ = near.SetLinger(0) // refused, not ended
		return
	}
	far := raw.(*net.TCPConn)
	if !n.keep(far) {
		return
	}
	defer n.forget(far)
	var both sync.WaitGroup
	both.Go(func() { n.copy(far, near, from, to.name) })
	both.Go(func() { n.copy(near, far, to.name, from) })
	both.Wait()
}

// copy carries the bytes of one direction, and its end.
func (n *Network) copy(dst, src *net.TCPConn, from, to string) {
	part := make([]byte, 32<<10)
	for {
		size, err := src.Read(part)
		if !n.open(from, to) {
			return
		}
		if _, failed := dst.Write(part[:size]); failed != nil {
			_ = src.Close()
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = dst.CloseWrite()
			return
		case err != nil:
			_ = dst.SetLinger(0)
			_ = dst.Close()
			return
		}
	}
}

// keep notes a connection for Close, which may have come first.
func (n *Network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.closed:
		_ = c.Close()
		return false
	default:
		n.conns[c] = true
		return true
	}
}

func (n *Network) forget(c net.Conn) {
	_ = c.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// caller returns the name of the agent that has dialled c; "" for anybody else.
// Its source address does not tell: agents do not bind the addresses that they dial from.
func (n *Network) caller(c net.Conn) string {
	inode, err := socketInode(addrPort(c.RemoteAddr()), addrPort(c.LocalAddr()))
	if err != nil || inode == "" {
		return ""
	}
	n.mu.Lock()
	hosts := n.hosts
	n.mu.Unlock()
	for _, h := range hosts {
		if pid := h.pid(); pid != 0 && ownsSocket(pid, inode) {
			return h.name
		}
	}
	return ""
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// block is a range of loopback addresses that one test has for itself.
type block struct {
	prefix string // "127.a.b."
	lock   net.Listener
}

// takeBlock takes the first free block of some, beginning with a chance one.
func takeBlock(first int) (*block, error) {
	const blocks = 60 * 250
	for i := range 100 {
		at := (first + i) % blocks
		b := &block{prefix: fmt.Sprintf("127.%d.%d.", 64+at/250, 1+at%250)}
		l, err := net.Listen("tcp", b.addr(254)+":"+strconv.Itoa(serverPort))
		if err == nil {
			b.lock = l
			return b, nil
		}
	}
	return nil, errors.New("no free loopback addresses")
}

func (b *block) addr(host int) string { return b.prefix + strconv.Itoa(host) }
