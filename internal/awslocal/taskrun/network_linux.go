package taskrun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// endpointAddr is where ECS has the credential and metadata endpoints.
const endpointAddr = "169.254.170.2"

// The networks are 10.64.0.0/16 to 10.127.0.0/16, of which each takes a free one.
const firstNetwork, lastNetwork = 64, 127

const ownAddrs = 5 // of this machine in a network

// Network is a network of isolated tasks that this machine is part of. Each task is a host with one
// address, and all hosts and this machine are connected by a router. All of it has no name outside this
// process and is gone with it.
type Network struct {
	prefix string   // "10.64."
	router *os.File // its network namespace
	self   *os.File // that of this machine

	mu   sync.Mutex
	last int // number of the newest host
}

// host is a task's network.
type host struct {
	ns   *os.File
	addr string
	name string
}

// NewNetwork makes a network, or returns ErrIsolation with the reason why this machine cannot have one.
func NewNetwork() (*Network, error) {
	n, err := newNetwork()
	if err == nil {
		err = n.try()
	}
	if err != nil {
		if n != nil {
			_ = n.Close()
		}
		return nil, fmt.Errorf("%w: %w", ErrIsolation, err)
	}
	return n, nil
}

func newNetwork() (*Network, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("that needs root")
	}
	self, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	router, err := newNamespace()
	if err != nil {
		_ = self.Close()
		return nil, err
	}
	n := &Network{self: self, router: router}
	return n, n.connect()
}

// newNamespace makes a network namespace.
func newNamespace() (*os.File, error) {
	var ns *os.File
	made := make(chan error)
	onThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	})
	return ns, <-made
}

// in runs f on a thread in a network namespace.
func in(ns *os.File, f func() error) error {
	done := make(chan error)
	onThread(func() {
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	})
	return <-done
}

// ip runs commands of the program ip in a network namespace.
func ip(ns *os.File, commands ...string) error {
	return in(ns, func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, out)
		}
		return nil
	})
}

// path names a namespace to the program ip.
func path(ns *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd()) }

// connect connects this machine and the router. There is no switch: each host knows the router alone, so
// that hundreds of them do not fill the kernel's one table of neighbours.
func (n *Network) connect() error {
	err := in(n.router, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) })
	if err != nil {
		return err
	}
	err = errors.New("all of 10.64.0.0/10 is taken")
	for i := firstNetwork; i <= lastNetwork; i++ {
		n.prefix = fmt.Sprintf("10.%d.", i)
		if taken, failed := n.taken(); failed != nil || taken {
			continue
		}
		link := fmt.Sprintf("tasks%d", i)
		err = ip(n.router,
			"link set lo up",
			"link add router type veth peer name "+link+" netns "+path(n.self),
			"addr add "+n.routerAddr()+" peer "+n.Addr()+" dev router",
			"link set router up",
			"route add "+n.prefix+"0.0/24 via "+n.Addr()+" dev router")
		if err == nil {
			commands := []string{"addr add " + n.Addr() + " peer " + n.routerAddr() + " dev " + link}
			for _, addr := range n.Addrs()[1:] {
				commands = append(commands, "addr add "+addr+"/32 dev "+link)
			}
			err = ip(n.self, append(commands,
				"link set "+link+" up",
				"route add "+n.prefix+"0.0/16 via "+n.routerAddr()+" dev "+link+" src "+n.Addr())...)
		}
		if err == nil {
			return nil
		}
		_ = ip(n.router, "link del router") // another process may have taken the same network just now
	}
	return err
}

// taken says whether an address of this machine is in the network.
func (n *Network) taken() (bool, error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && strings.HasPrefix(prefix.Addr().String(), n.prefix) {
			return true, nil
		}
	}
	return false, err
}

// Addr is this machine's address in the network: tasks find there what listens on it.
func (n *Network) Addr() string { return n.prefix + "0.1" }

// Addrs are all of this machine's addresses in the network, Addr the first of them: each can be a server of
// its own, with the usual ports.
func (n *Network) Addrs() []string {
	addrs := make([]string, ownAddrs)
	for i := range addrs {
		addrs[i] = fmt.Sprintf("%s0.%d", n.prefix, i+1)
	}
	return addrs
}

func (n *Network) routerAddr() string { return n.prefix + "255.254" }

// try finds out whether a container's place can be had.
func (n *Network) try() error {
	h, err := n.join()
	if err != nil {
		return err
	}
	defer h.close()
	h.name = "try"
	scratch, err := os.MkdirTemp("", "try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	p, err := newPlace(func() error { return h.enter(scratch, nil) })
	if err == nil {
		p.close()
	}
	return err
}

// join adds a host.
func (n *Network) join() (*host, error) {
	n.mu.Lock()
	n.last++
	number := n.last
	n.mu.Unlock()
	const row = 250
	if number >= row*row {
		return nil, errors.New("the network has no address left")
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &host{ns: ns, addr: fmt.Sprintf("%s%d.%d", n.prefix, 1+number/row, 1+number%row)}
	link := fmt.Sprintf("host%d", number)
	err = ip(n.router,
		"link add "+link+" type veth peer name eth0 netns "+path(ns),
		"addr add "+n.routerAddr()+" peer "+h.addr+" dev "+link,
		"link set "+link+" up")
	if err == nil {
		err = ip(ns,
			"link set lo up",
			"addr add "+endpointAddr+"/32 dev lo",
			"addr add "+h.addr+" peer "+n.routerAddr()+" dev eth0",
			"link set eth0 up",
			"route add "+n.prefix+"0.0/16 via "+n.routerAddr()+" dev eth0 src "+h.addr)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// Close removes this machine's link to the network. Tasks have to have ended.
func (n *Network) Close() error {
	err := ip(n.router, "link del router")
	return errors.Join(err, n.router.Close(), n.self.Close())
}

// listen listens on a TCP address of the host.
func (h *host) listen(addr string) (net.Listener, error) {
	var l net.Listener
	err := in(h.ns, func() error {
		var err error
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		return err
	})
	return l, err
}

// DialContext connects to a TCP address as the task's processes do, such as 127.0.0.1:8500.
func (t *Task) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.host == nil {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	var conn net.Conn
	err := in(t.host.ns, func() error {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// close lets go of the host's network, which ends with the last of its processes.
func (h *host) close() { _ = h.ns.Close() }
