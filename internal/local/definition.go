package local

import (
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// ServiceDefinition is a service as it is registered over the API or in a
// configuration file. Its Scope says a namespace; a partition other than the agent's is refused.
type ServiceDefinition struct {
	Kind              catalog.Kind
	ID                string // "" is Name
	Name              string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]catalog.ServiceAddress
	Meta              map[string]string
	Port              int
	SocketPath        string
	Weights           *catalog.Weights // nil is 1 and 1
	EnableTagOverride bool
	Proxy             *catalog.Proxy
	Connect           *ConnectDefinition
	Locality          *catalog.Locality
	Check             *check.Definition
	Checks            []check.Definition
	Token             logging.Secret // of a configuration file: what it is synced with
	tenancy.Scope
}

// ConnectDefinition says how a service takes part in the mesh.
type ConnectDefinition struct {
	Native         bool
	SidecarService *ServiceDefinition // a proxy that is registered with the service
}

// CheckDefinition is a check that is registered by itself: of the node, or of the
// service that it names.
type CheckDefinition struct {
	check.Definition
	Token logging.Secret // as of a ServiceDefinition
	tenancy.Scope
}
