// Package peer is the server port: one TCP listener on which servers replicate with
// raft and everybody else speaks HTTP/2, told apart by ALPN, and the client of it.
//
// With TLS switched on, the port speaks TLS only, and who is on the other end is read
// from its verified certificate. Without, it speaks both protocols in the clear, told
// apart by their first bytes, and everybody who can reach it counts as a server: such a
// cluster trusts its network (spec: agent.md section 13).
//
// Goroutines: the listener has one that accepts, and one for each connection that has
// not said who it is, at most maxUnidentified for at most the handshake time-out. After
// that a raft connection belongs to raft, and an HTTP/2 connection to net/http, which
// has two for the connection and one for each of its streams.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/ca"
)

// Kind is what a peer may be taken for.
type Kind uint8

// The kinds, each able to do what those before it can.
const (
	Nobody Kind = iota // no certificate, or one that names neither
	Agent              // a client agent of this datacenter
	Server             // a server of this datacenter
)

// String returns the kind's name for logs.
func (k Kind) String() string {
	switch k {
	case Agent:
		return "client agent"
	case Server:
		return "server"
	}
	return "nobody"
}

// Identity is who is on the other end of a connection. Node is the node's name where
// the certificate tells it, else empty.
type Identity struct {
	Kind Kind
	Node string
}

type identityKey struct{}

// From returns who sent r. It is the zero Identity for a request that did not come
// through this package's listener.
func From(r *http.Request) Identity {
	id, _ := r.Context().Value(identityKey{}).(Identity)
	return id
}

// WithIdentity returns a context in which From finds id.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// identify reads a connection whose certificate was verified against m's roots.
// verified says whether the certificate is good for calls that any member may make.
//
// Only the operator's own CA makes servers: what the mesh CA signs is asked for by
// agents and services, who choose names themselves.
func (m *material) identify(state *tls.ConnectionState) (id Identity, verified bool) {
	if len(state.VerifiedChains) == 0 {
		return Identity{}, false
	}
	leaf := state.VerifiedChains[0][0]
	own := slices.ContainsFunc(state.VerifiedChains, func(chain []*x509.Certificate) bool {
		return m.own[string(chain[len(chain)-1].Raw)]
	})
	if own && hasName(leaf, m.name("server")) {
		return Identity{Kind: Server, Node: nodeName(leaf, m.name("server"))}, true
	}
	if node, ok := m.agentNode(leaf); ok {
		return Identity{Kind: Agent, Node: node}, true
	}
	if own && hasName(leaf, m.name("client")) {
		return Identity{Kind: Agent, Node: nodeName(leaf, m.name("client"))}, true
	}
	return Identity{}, own
}

func hasName(leaf *x509.Certificate, name string) bool {
	return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
}

// nodeName returns the node of a name "<node>.<suffix>" in leaf.
func nodeName(leaf *x509.Certificate, suffix string) string {
	for _, name := range leaf.DNSNames {
		if node, ok := strings.CutSuffix(strings.ToLower(name), "."+strings.ToLower(suffix)); ok && !strings.Contains(node, ".") {
			return node
		}
	}
	return ""
}

// agentNode returns the node of a certificate made by auto_encrypt.
func (m *material) agentNode(leaf *x509.Certificate) (string, bool) {
	if len(leaf.URIs) != 1 {
		return "", false
	}
	id, err := ca.ParseAgentID(leaf.URIs[0])
	return id.Node, err == nil && strings.EqualFold(id.Datacenter, m.datacenter())
}
