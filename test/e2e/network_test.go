package e2e

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
)

// network is where the hosts of a test's cluster live, by number from 1.
type network interface {
	// name says what it is, for the figures.
	name() string
	// addr is a host's address, and local the one that it uses for itself alone.
	addr(host int) string
	local(host int) string
	// on runs f so that the sockets f opens and the processes it starts are
	// the host's. Host 0 is none of the cluster: AWS is there.
	on(host int, f func() error) error
	// cut takes a host away from all others, and heal brings it back. They
	// report false where only the processes on the host can be stopped for that.
	cut(host int) (bool, error)
	heal(host int) (bool, error)
}

var networks atomic.Int32 // made so far

// newNetwork returns network namespaces, where the machine lets the test make
// them, else loopback addresses.
func newNetwork(t *testing.T, hosts int) network {
	t.Helper()
	if n, err := newNamespaces(hosts); err == nil {
		t.Cleanup(n.close)
		return n
	}
	return loopback(64 + (os.Getpid()*8+int(networks.Add(1)))%128)
}

// loopback is a network of addresses 127.0.n.m on one host.
type loopback int

func (n loopback) name() string { return "loopback addresses" }

func (n loopback) addr(host int) string { return fmt.Sprintf("127.0.%d.%d", int(n), host+1) }

func (n loopback) local(host int) string { return n.addr(host) }

func (n loopback) on(_ int, f func() error) error { return f() }

func (n loopback) cut(int) (bool, error) { return false, nil }

func (n loopback) heal(int) (bool, error) { return false, nil }
