//go:build !linux

package taskrun

import (
	"context"
	"fmt"
	"net"
)

const endpointAddr = "169.254.170.2"

// Network is a network of isolated tasks. Only Linux has it.
type Network struct{}

// host is a task's network.
type host struct{ addr, name string }

// NewNetwork returns ErrIsolation.
func NewNetwork() (*Network, error) { return nil, fmt.Errorf("%w: that needs Linux", ErrIsolation) }

// Addr is this machine's address in the network.
func (n *Network) Addr() string { return "" }

// Addrs are all of this machine's addresses in the network.
func (n *Network) Addrs() []string { return nil }

// Close ends the network.
func (n *Network) Close() error { return nil }

func (n *Network) join() (*host, error) { return nil, ErrIsolation }

func (h *host) listen(string) (net.Listener, error) { return nil, ErrIsolation }

func (h *host) close() {}

func (t *Task) enter(*container) (*place, error) { return newPlace(nil) }

// DialContext connects to a TCP address as the task's processes do.
func (t *Task) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}
