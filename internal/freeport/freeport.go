// Package freeport finds ports of this machine for agents that are told theirs before they start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Systems give out ports from 32768 on by themselves, to clients and to listeners that ask for any. A port below stays
// free until whoever looked for it opens it.
const (
	lowest  = 12_000
	highest = 32_000
)

// attempts for each port that is asked for.
const attempts = 1000

// Take returns n different ports of 127.0.0.1 that nobody listens on, neither for TCP nor UDP.
func Take(n int) ([]int, error) {
	ports := make([]int, 0, n)
	taken := map[int]bool{}
	for range attempts * n {
		if len(ports) == n {
			break
		}
		port := lowest + rand.IntN(highest-lowest)
		if !taken[port] && free(port) {
			ports = append(ports, port)
		}
		taken[port] = true
	}
	if len(ports) < n {
		return nil, fmt.Errorf("no %d ports of 127.0.0.1 between %d and %d are free", n, lowest, highest)
	}
	return ports, nil
}

func free(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	_ = l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	_ = p.Close()
	return true
}
