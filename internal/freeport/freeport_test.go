package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestTake(t *testing.T) {
	ports, err := Take(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < lowest || port >= highest {
			t.Errorf("port %d of %v", port, ports)
		}
		seen[port] = true
	}
}

func TestAPortThatIsInUseIsNotFree(t *testing.T) {
	ports, err := Take(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "udp"} {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
		var closer interface{ Close() error }
		if network == "tcp" {
			closer, err = net.Listen(network, addr)
		} else {
			closer, err = net.ListenPacket(network, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		if free(ports[0]) {
			t.Errorf("a port that is used for %s is free", network)
		}
		_ = closer.Close()
	}
	if !free(ports[0]) {
		t.Error("a port is not free again")
	}
}
