// Package freeport finds ports of this machine for agents that are told theirs before they start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Systems give out ports from 32768 on by themselves, to clients and to listeners that ask for any. A port below stays
// free until whoever looked for it opens it, if no other process finds it too: each takes ports of blocks of its own.
const (
	lowest  = 12_000
	highest = 32_000
	span    = 250 // ports of a block; the first is the claim to it
)

// Take returns n different ports of 127.0.0.1 that nobody listens on, neither for TCP nor UDP. No other process gets
// one of them from Take while this one runs.
func Take(n int) ([]int, error) { return here.take(n) }

var here = pool{from: lowest, to: highest}

// pool is the ports of the blocks that a process has claimed.
type pool struct {
	from, to int // where its blocks may be

	mu     sync.Mutex
	claims []net.PacketConn
	ports  []int // first those that were given out longest ago
}

func (p *pool) take(n int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make([]int, 0, n)
	for tried := 0; len(found) < n; tried++ {
		if tried == len(p.ports) && !p.claim() {
			return nil, fmt.Errorf("no %d ports of 127.0.0.1 between %d and %d are free", n, p.from, p.to)
		}
		port := p.ports[0]
		p.ports = append(p.ports[1:], port)
		if free(port) {
			found = append(found, port)
		}
	}
	return found, nil
}

// claim adds the ports of a block that no process has claimed, in front of the others.
func (p *pool) claim() bool {
	for _, i := range rand.Perm((p.to - p.from) / span) {
		first := p.from + i*span
		claim, err := net.ListenPacket("udp", address(first))
		if err != nil {
			continue
		}
		p.claims = append(p.claims, claim)
		ports := make([]int, 0, span-1+len(p.ports))
		for port := first + 1; port < first+span; port++ {
			ports = append(ports, port)
		}
		p.ports = append(ports, p.ports...)
		return true
	}
	return false
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func free(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	p, err := net.ListenPacket("udp", address(port))
	if err != nil {
		return false
	}
	_ = p.Close()
	return true
}
