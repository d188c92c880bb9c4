package local

import (
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Ports is an inclusive range of TCP ports.
type Ports struct{ Min, Max int }

// What the zero value of a setting means (spec: agent.md section 4, catalog.md section 4).
var (
	defaultSidecarPorts = Ports{21000, 21255}
	defaultExposePorts  = Ports{21500, 21755}
)

const (
	reapEvery = 30 * time.Second
	minReap   = time.Minute
)

// Config is what a State needs. NodeName, Node, Client and Log have to be set; the zero
// value of the rest works.
type Config struct {
	NodeName   string
	Datacenter string
	Partition  string              // that the agent lives in; "" is default
	Server     bool                // whose instance of the service consul the leader registers
	DataDir    string              // "" keeps nothing
	Node       func() catalog.Node // what the catalog is to say about this agent, as of now
	Client     *api.Client         // of the catalog; made with NewClient
	Members    func() int          // of the cluster; nil is one

	// What is synced with: an item's own token, or else the default one, or else the agent's.
	// "" is none; nil is none ever.
	DefaultToken, AgentToken, FileToken func() logging.Secret

	ExposePorts   Ports         // zero is 21500 to 21755; for checks that a proxy exposes
	SidecarPorts  Ports         // zero is 21000 to 21255; negative is no port for a sidecar without one
	CheckUpdates  time.Duration // how long news of a check's output alone may wait; 0 is not at all
	RemoteScripts bool          // checks that are registered over the API may run programs
	LocalScripts  bool          // those of configuration files may
	DiscardOutput bool          // of checks
	Check         check.Options // of every check; the State sets what belongs to one alone

	Log *slog.Logger
	Now func() time.Time // nil is time.Now
}

func (c *Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// scope returns where things of a namespace live on this agent.
func (c *Config) scope(namespace string) tenancy.Scope {
	return tenancy.Scope{Namespace: namespace, Partition: c.partition()}
}

func (c *Config) partition() string {
	if c.Partition == "" {
		return tenancy.DefaultName
	}
	return c.Partition
}

func (c *Config) sidecarPorts() Ports {
	if c.SidecarPorts == (Ports{}) {
		return defaultSidecarPorts
	}
	return c.SidecarPorts
}

func (c *Config) exposePorts() Ports {
	if c.ExposePorts == (Ports{}) {
		return defaultExposePorts
	}
	return c.ExposePorts
}

// secret calls a source of tokens that may be nil.
func secret(source func() logging.Secret) logging.Secret {
	if source == nil {
		return ""
	}
	return source()
}
