package local

import (
	"cmp"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"time"

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

// instance returns the service of d with its defaults, in s.
func (d *ServiceDefinition) instance(s tenancy.Scope) *catalog.Service {
	i := &catalog.Service{
		Kind: d.Kind, ID: cmp.Or(d.ID, d.Name), Service: d.Name,
		Tags: append([]string{}, d.Tags...), Meta: map[string]string{},
		Address: d.Address, TaggedAddresses: maps.Clone(d.TaggedAddresses), Port: d.Port, SocketPath: d.SocketPath,
		Weights: catalog.Weights{Passing: 1, Warning: 1}, EnableTagOverride: d.EnableTagOverride,
		Locality: d.Locality, Scope: s,
	}
	maps.Copy(i.Meta, d.Meta)
	if d.Weights != nil {
		i.Weights = *d.Weights
	}
	if d.Connect != nil {
		i.Connect.Native = d.Connect.Native
	}
	if d.Proxy != nil {
		i.Proxy = *d.Proxy
		i.Proxy.Upstreams = slices.Clone(i.Proxy.Upstreams)
	}
	for n := range i.Proxy.Upstreams {
		u := &i.Proxy.Upstreams[n]
		u.DestinationType = cmp.Or(u.DestinationType, "service")
	}
	addFamilies(i)
	return i
}

// addFamilies adds the service's address under the names for its family.
func addFamilies(i *catalog.Service) {
	ip := net.ParseIP(i.Address)
	if ip == nil {
		return
	}
	names := []string{"lan_ipv4", "wan_ipv4"}
	if ip.To4() == nil {
		names = []string{"lan_ipv6", "wan_ipv6"}
	}
	if i.TaggedAddresses == nil {
		i.TaggedAddresses = map[string]catalog.ServiceAddress{}
	}
	for _, name := range names {
		if _, given := i.TaggedAddresses[name]; !given {
			i.TaggedAddresses[name] = catalog.ServiceAddress{Address: i.Address, Port: i.Port}
		}
	}
}

// checksOf returns the checks of d as those of i, with the ids and names that
// embedded checks get (spec: agent.md section 16.3).
func (d *ServiceDefinition) checksOf(i *catalog.Service) ([]check.Definition, error) {
	var defs []check.Definition
	if d.Check != nil && !empty(d.Check) {
		defs = append(defs, *d.Check)
	}
	defs = append(defs, d.Checks...)
	seen := map[string]bool{}
	for n := range defs {
		c := &defs[n]
		if c.CheckID == "" {
			c.CheckID = "service:" + i.ID
			if len(defs) > 1 {
				c.CheckID += ":" + strconv.Itoa(n+1)
			}
		}
		c.Name = cmp.Or(c.Name, "Service '"+i.Service+"' check")
		c.ServiceID = i.ID
		if err := c.Validate(); err != nil {
			return nil, err
		}
		if seen[c.CheckID] {
			return nil, invalid("Invalid check: the service has two checks with the ID %q", c.CheckID)
		}
		seen[c.CheckID] = true
	}
	return defs, nil
}

// empty reports whether a definition says nothing, as clients send it for none.
func empty(d *check.Definition) bool { return reflect.DeepEqual(*d, check.Definition{}) }

// sidecarOf returns the definition of the proxy of i, without a port where none
// is given, or nil if d has none (spec: mesh.md section 3).
func (d *ServiceDefinition) sidecarOf(i *catalog.Service) (*ServiceDefinition, error) {
	if d.Connect == nil || d.Connect.SidecarService == nil {
		return nil, nil
	}
	side := *d.Connect.SidecarService
	switch {
	case side.ID != "":
		return nil, invalid("A SidecarService cannot specify an ID as this is managed by the agent")
	case side.Connect != nil && side.Connect.SidecarService != nil:
		return nil, invalid("A SidecarService cannot have a nested SidecarService")
	}
	side.ID = i.ID + sidecarSuffix
	side.Name = cmp.Or(side.Name, i.Service+sidecarSuffix)
	side.Kind = cmp.Or(side.Kind, catalog.KindConnectProxy)
	side.Address = cmp.Or(side.Address, i.Address)
	side.Scope = i.Scope
	if side.Tags == nil {
		side.Tags = i.Tags
	}
	if side.Meta == nil {
		side.Meta = i.Meta
	}
	if side.Weights == nil {
		side.Weights = &i.Weights
	}
	side.EnableTagOverride = side.EnableTagOverride || i.EnableTagOverride
	proxy := catalog.Proxy{}
	if side.Proxy != nil {
		proxy = *side.Proxy
	}
	proxy.DestinationServiceName = cmp.Or(proxy.DestinationServiceName, i.Service)
	proxy.DestinationServiceID = cmp.Or(proxy.DestinationServiceID, i.ID)
	if proxy.LocalServiceSocketPath == "" {
		proxy.LocalServiceAddress = cmp.Or(proxy.LocalServiceAddress, "127.0.0.1")
		proxy.LocalServicePort = cmp.Or(proxy.LocalServicePort, i.Port)
	}
	side.Proxy = &proxy
	return &side, nil
}

const sidecarSuffix = "-sidecar-proxy"

// addSidecarChecks gives the proxy of parent, whose port is known, the checks
// that it has where it is defined without any.
func (d *ServiceDefinition) addSidecarChecks(parent *catalog.Service) {
	if d.Check != nil && !empty(d.Check) || len(d.Checks) > 0 {
		return
	}
	host := cmp.Or(d.Address, "127.0.0.1")
	d.Checks = []check.Definition{
		{Name: "Connect Sidecar Listening", TCP: net.JoinHostPort(host, strconv.Itoa(d.Port)), Interval: sidecarInterval},
		{Name: "Connect Sidecar Aliasing " + parent.ID, AliasService: parent.ID},
	}
}

const sidecarInterval = 10 * time.Second
