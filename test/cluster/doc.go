// Package cluster runs a real cluster for tests: built consul agents as processes,
// over TLS and encrypted gossip, on loopback addresses of their own. What goes
// between agents passes a Network, which can cut it.
package cluster
