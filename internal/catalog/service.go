package catalog

import "github.com/lictor/lictor/internal/tenancy"

// Kind says what an instance is: a service of its own, or a proxy or gateway.
type Kind string

// The kinds that the mesh gives a meaning to. Others are stored as they are.
const (
	KindTypical            Kind = ""
	KindConnectProxy       Kind = "connect-proxy"
	KindMeshGateway        Kind = "mesh-gateway"
	KindTerminatingGateway Kind = "terminating-gateway"
	KindIngressGateway     Kind = "ingress-gateway"
	KindAPIGateway         Kind = "api-gateway"
)

// Service is one instance of a service, as it was registered. Its ID is unique on
// its node within its namespace.
type Service struct {
	Kind              Kind `json:",omitempty"`
	ID                string
	Service           string // the service's name
	Tags              []string
	Address           string                    // "" is the node's
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int
	SocketPath        string `json:",omitempty"`
	Weights           Weights
	EnableTagOverride bool
	Proxy             Proxy
	Connect           Connect
	Locality          *Locality `json:",omitempty"`
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// ServiceAddress is another address of an instance.
type ServiceAddress struct {
	Address string
	Port    int
}

// Weights are an instance's shares of traffic, by its health.
type Weights struct{ Passing, Warning int }

// Locality is where an instance runs.
type Locality struct{ Region, Zone string }

// Connect says how an instance takes part in the mesh.
type Connect struct {
	Native bool `json:",omitempty"`
}

// Proxy is what a proxy instance stands in for and connects to.
type Proxy struct {
	DestinationServiceName string            `json:",omitempty"`
	DestinationServiceID   string            `json:",omitempty"`
	LocalServiceAddress    string            `json:",omitempty"`
	LocalServicePort       int               `json:",omitempty"`
	LocalServiceSocketPath string            `json:",omitempty"`
	Mode                   string            // "", "direct" or "transparent"
	TransparentProxy       *TransparentProxy `json:",omitempty"`
	Config                 map[string]any    `json:",omitempty"`
	Upstreams              []Upstream        `json:",omitempty"`
	MeshGateway            MeshGateway
	Expose                 Expose
	EnvoyExtensions        []map[string]any `json:",omitempty"`
	AccessLogs             map[string]any   `json:",omitempty"`
}

// TransparentProxy is how a proxy captures outbound traffic.
type TransparentProxy struct {
	OutboundListenerPort int  `json:",omitempty"`
	DialedDirectly       bool `json:",omitempty"`
}

// MeshGateway says whether traffic leaves through a gateway.
type MeshGateway struct {
	Mode string `json:",omitempty"` // "", "none", "local" or "remote"
}

// Expose are the paths that are reachable without mutual TLS.
type Expose struct {
	Checks bool         `json:",omitempty"`
	Paths  []ExposePath `json:",omitempty"`
}

// ExposePath is one of them.
type ExposePath struct {
	ListenerPort    int    `json:",omitempty"`
	Path            string `json:",omitempty"`
	LocalPathPort   int    `json:",omitempty"`
	Protocol        string `json:",omitempty"`
	ParsedFromCheck bool   `json:",omitempty"`
}

// Upstream is a service that a proxy's own service calls.
type Upstream struct {
	DestinationType      string `json:",omitempty"` // "service" or "prepared_query"
	DestinationPartition string `json:",omitempty"`
	DestinationNamespace string `json:",omitempty"`
	DestinationPeer      string `json:",omitempty"`
	DestinationName      string
	Datacenter           string         `json:",omitempty"`
	LocalBindAddress     string         `json:",omitempty"`
	LocalBindPort        int            `json:",omitempty"`
	LocalBindSocketPath  string         `json:",omitempty"`
	LocalBindSocketMode  string         `json:",omitempty"`
	Config               map[string]any `json:",omitempty"`
	MeshGateway          MeshGateway
	CentrallyConfigured  bool `json:",omitempty"`
}

// Instance is a service on its node, as it is stored.
type Instance struct {
	Node string // the node's name
	Service
}
