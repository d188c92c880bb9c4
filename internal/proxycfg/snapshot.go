// Package proxycfg gathers what one proxy must know: its registration, its certificate, the
// roots that it trusts, who may call its service, and where its upstreams are
// (spec: mesh.md sections 3 to 7). A Watcher builds a Snapshot after each change, from blocking reads that
// carry the proxy's own token, so that a proxy never learns what its token may not read.
package proxycfg

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Snapshot is everything that one proxy must know at a moment. It is never changed, only replaced.
type Snapshot struct {
	Proxy       catalog.Service // as registered, with what is configured centrally
	Datacenter  string
	TrustDomain string
	Leaf        Leaf
	Roots       []string // PEM of each root to trust, the active one first

	// Intentions are about calls of the proxy's service, in the order in which they count.
	Intentions   []configentry.Intention
	DefaultAllow bool // what decides where no intention does

	Upstreams []Upstream
	Mesh      *configentry.Mesh // nil without one
}

// Leaf is the certificate that a proxy shows.
type Leaf struct {
	Chain string         // PEM: the leaf, then what leads to a root
	Key   logging.Secret // PEM
}

// Upstream is a service that the proxy's service calls.
type Upstream struct {
	catalog.Upstream               // with what is configured centrally
	Scope            tenancy.Scope // of the service, complete
	Protocol         string        // "tcp", "http", "http2" or "grpc"
	Endpoints        []Endpoint    // in a fixed order
}

// Endpoint is where an instance of an upstream is reached.
type Endpoint struct {
	Address string // an IP address
	Port    int
	Weight  int // its share of traffic as healthy as it is
	Healthy bool
}

// The protocols that a proxy understands. Any other is treated as TCP.
const (
	TCP   = "tcp"
	HTTP  = "http"
	HTTP2 = "http2"
	GRPC  = "grpc"
)

// ProtocolOf returns the protocol of a configured name.
func ProtocolOf(name string) string {
	switch name {
	case HTTP, HTTP2, GRPC:
		return name
	}
	return TCP
}
