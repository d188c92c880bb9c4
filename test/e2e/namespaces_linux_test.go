package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaces is a network in which each host is a network namespace, connected
// to a bridge in one more. Nothing of it has a name outside this process and it is gone
// with it.
type namespaces struct {
	hosts []*os.File // the namespaces; the bridge is in the first
}

// newNamespaces makes them, or says why it cannot.
func newNamespaces(hosts int) (*namespaces, error) {
	n := &namespaces{}
	for range hosts + 1 {
		ns, err := newNamespace()
		if err != nil {
			n.close()
			return nil, err
		}
		n.hosts = append(n.hosts, ns)
	}
	if err := n.connect(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func newNamespace() (*os.File, error) {
	var ns *os.File
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	return ns, <-made
}

// connect makes the bridge and a link to it for each host.
func (n *namespaces) connect() error {
	err := n.ip(0, "link add br0 type bridge", "addr add "+n.addr(0)+"/24 dev br0", "link set br0 up", "link set lo up")
	for host := 1; err == nil && host < len(n.hosts); host++ {
		link := fmt.Sprintf("host%d", host)
		err = n.ip(0,
			fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", link, os.Getpid(), n.hosts[host].Fd()),
			"link set "+link+" master br0 up")
		if err == nil {
			err = n.ip(host, "link set lo up", "addr add "+n.addr(host)+"/24 dev eth0", "link set eth0 up")
		}
	}
	return err
}

// ip runs the ip command with each of the arguments on a host.
func (n *namespaces) ip(host int, commands ...string) error {
	return n.on(host, func() error {
		for _, args := range commands {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", args, err, out)
			}
		}
		return nil
	})
}

func (n *namespaces) name() string { return "network namespaces" }

func (n *namespaces) addr(host int) string { return fmt.Sprintf("10.77.0.%d", host+1) }

func (n *namespaces) local(int) string { return "127.0.0.1" }

// on runs f on a thread of the host's namespace.
func (n *namespaces) on(host int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // as above
		if err := unix.Setns(int(n.hosts[host].Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func (n *namespaces) cut(host int) (bool, error) {
	return true, n.ip(0, fmt.Sprintf("link set host%d down", host))
}

func (n *namespaces) heal(host int) (bool, error) {
	return true, n.ip(0, fmt.Sprintf("link set host%d up", host))
}

func (n *namespaces) close() {
	for _, ns := range n.hosts {
		_ = ns.Close()
	}
}
