package freeport

import (
	"net"
	"testing"
)

// process is a pool of a process of its own, which ends with the test. Its ports are beside those of Take, which other
// tests need.
func process(t *testing.T) *pool {
	p := &pool{from: lowest - 20*span, to: lowest}
	t.Cleanup(func() {
		for _, c := range p.claims {
			_ = c.Close()
		}
	})
	return p
}

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

func TestTwoProcessesTakeDifferentPorts(t *testing.T) {
	one, two := process(t), process(t)
	seen := map[int]bool{}
	for _, p := range []*pool{one, two} {
		for range 2 {
			ports, err := p.take(3 * span / 4) // more than one block in all
			if err != nil {
				t.Fatal(err)
			}
			for _, port := range ports {
				if p == one {
					seen[port] = true
				} else if seen[port] {
					t.Fatalf("both take %d", port)
				}
			}
		}
	}
	taken := one.claims[0].LocalAddr().(*net.UDPAddr).Port
	late := &pool{from: taken, to: taken + span}
	if ports, err := late.take(1); err == nil {
		t.Errorf("where all blocks are claimed: %d", ports)
	}
}

func TestAPortIsGivenOutAgainLast(t *testing.T) {
	p := process(t)
	seen := map[int]bool{}
	for range 10 {
		ports, err := p.take(10)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] {
				t.Fatalf("port %d after %d others", port, len(seen))
			}
			seen[port] = true
		}
	}
}

func TestAPortThatIsInUseIsNotFree(t *testing.T) {
	ports, err := Take(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "udp"} {
		var closer interface{ Close() error }
		if network == "tcp" {
			closer, err = net.Listen(network, address(ports[0]))
		} else {
			closer, err = net.ListenPacket(network, address(ports[0]))
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
