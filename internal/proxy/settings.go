package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/tenancy"
)

// Settings are what a proxy does.
type Settings struct {
	Service   string // that it stands in for
	Scope     tenancy.Scope
	Public    *Public // nil: nobody can connect to the service
	Upstreams []Upstream
}

// Public is the listener for those who connect to the service.
type Public struct {
	Bind             Address
	Local            Address       // of the service
	ConnectTimeout   time.Duration // to the service
	HandshakeTimeout time.Duration // of whoever connects, and for the decision about them
}

// Upstream is a listener for the service, and whom it leads to.
type Upstream struct {
	Service        string
	Scope          tenancy.Scope
	Datacenter     string // "" is the proxy's own
	Bind           Address
	ConnectTimeout time.Duration // to an instance, with the handshake
}

// Name is the upstream as the log names it.
func (u Upstream) Name() string { return u.Service + ":" + u.Bind.Addr }

// Address is what is listened at or connected to.
type Address struct {
	Network string // "tcp" or "unix"
	Addr    string // host:port, or a path
	Mode    fs.FileMode
}

// family is the network to listen in: 0.0.0.0 is IPv4 alone.
func (a Address) family() string {
	host, _, _ := net.SplitHostPort(a.Addr)
	if ip := net.ParseIP(host); a.Network == "tcp" && ip != nil && ip.To4() != nil {
		return "tcp4"
	}
	return a.Network
}

// Defaults of timeouts (mesh.md section 8).
const (
	defaultLocalConnect = time.Second
	defaultHandshake    = 10 * time.Second
	defaultConnect      = 10 * time.Second
)

// TCP returns an address of TCP.
func TCP(host string, port int) Address {
	return Address{Network: "tcp", Addr: net.JoinHostPort(host, strconv.Itoa(port))}
}

// NewPublic returns a public listener with the default timeouts.
func NewPublic(bind, local Address) *Public {
	return &Public{Bind: bind, Local: local, ConnectTimeout: defaultLocalConnect, HandshakeTimeout: defaultHandshake}
}

// NewUpstream returns an upstream with the default timeout.
func NewUpstream(service string, scope tenancy.Scope, bind Address) Upstream {
	return Upstream{Service: service, Scope: scope, Bind: bind, ConnectTimeout: defaultConnect}
}

// FromRegistration returns what a registered sidecar is to do. It says what of the registration
// cannot be used.
func FromRegistration(s *api.AgentService) (Settings, error) {
	if s.Kind != api.ServiceKindConnectProxy || s.Proxy == nil {
		return Settings{}, errors.New("service is not a Connect proxy")
	}
	scope, err := tenancy.Parse(s.Partition, s.Namespace)
	if err != nil {
		return Settings{}, err
	}
	out := Settings{Service: s.Proxy.DestinationServiceName, Scope: scope}
	if out.Public, err = publicOf(s); err != nil {
		return out, err
	}
	binds := map[Address]bool{out.Public.Bind: true}
	for i := range s.Proxy.Upstreams {
		u := &s.Proxy.Upstreams[i]
		if u.LocalBindPort == 0 && u.LocalBindSocketPath == "" {
			continue // only central configuration is about it
		}
		up, err := upstreamOf(u, scope)
		if err != nil {
			return out, fmt.Errorf("upstream %q: %w", u.DestinationName, err)
		}
		if binds[up.Bind] {
			return out, fmt.Errorf("upstream %q: there are two listeners at %s", u.DestinationName, up.Bind.Addr)
		}
		binds[up.Bind] = true
		out.Upstreams = append(out.Upstreams, up)
	}
	return out, nil
}

func publicOf(s *api.AgentService) (*Public, error) {
	c := config{values: s.Proxy.Config}
	p := &Public{
		Bind:             TCP(c.text("bind_address", cmp.Or(s.Address, "0.0.0.0")), c.number("bind_port", s.Port)),
		ConnectTimeout:   c.milliseconds("local_connect_timeout_ms", defaultLocalConnect),
		HandshakeTimeout: c.milliseconds("handshake_timeout_ms", defaultHandshake),
	}
	p.Local = TCP(cmp.Or(s.Proxy.LocalServiceAddress, "127.0.0.1"), s.Proxy.LocalServicePort)
	if s.Proxy.LocalServiceSocketPath != "" {
		p.Local = Address{Network: "unix", Addr: s.Proxy.LocalServiceSocketPath}
	}
	if given := c.text("local_service_address", ""); given != "" {
		p.Local = Address{Network: "tcp", Addr: given}
	}
	return p, c.err
}

func upstreamOf(u *api.Upstream, own tenancy.Scope) (Upstream, error) {
	switch {
	case u.DestinationType != "" && u.DestinationType != api.UpstreamDestTypeService:
		return Upstream{}, fmt.Errorf("a destination of type %q needs Envoy", u.DestinationType)
	case u.DestinationPeer != "":
		return Upstream{}, errors.New("a destination in another cluster needs Envoy")
	}
	scope, err := tenancy.Parse(cmp.Or(u.DestinationPartition, own.Partition), cmp.Or(u.DestinationNamespace, own.Namespace))
	if err != nil {
		return Upstream{}, err
	}
	c := config{values: u.Config}
	up := Upstream{
		Service: u.DestinationName, Scope: scope, Datacenter: u.Datacenter,
		Bind:           TCP(cmp.Or(u.LocalBindAddress, "127.0.0.1"), u.LocalBindPort),
		ConnectTimeout: c.milliseconds("connect_timeout_ms", defaultConnect),
	}
	if u.LocalBindSocketPath != "" {
		up.Bind = Address{Network: "unix", Addr: u.LocalBindSocketPath}
		if u.LocalBindSocketMode != "" {
			mode, err := strconv.ParseUint(u.LocalBindSocketMode, 8, 32)
			if err != nil || mode > uint64(fs.ModePerm) {
				return up, fmt.Errorf("%q is no mode of a socket", u.LocalBindSocketMode)
			}
			up.Bind.Mode = fs.FileMode(mode)
		}
	}
	return up, c.err
}

// config reads the free keys of a registration, and keeps the first error.
type config struct {
	values map[string]any
	err    error
}

func (c *config) wrong(key string, value any) {
	if c.err == nil {
		c.err = fmt.Errorf("the value of %s cannot be used: %v", key, value)
	}
}

// text returns a text, or what counts without one.
func (c *config) text(key, otherwise string) string {
	switch v := c.values[key].(type) {
	case nil:
		return otherwise
	case string:
		return cmp.Or(v, otherwise)
	default:
		c.wrong(key, v)
		return otherwise
	}
}

// number returns a whole number from 0 to that of the highest port, or what counts without one; 0 is none. It may be
// written as a text.
func (c *config) number(key string, otherwise int) int {
	return int(c.upTo(key, float64(otherwise), math.MaxUint16))
}

// milliseconds returns a time, or what counts without one; 0 is none.
func (c *config) milliseconds(key string, otherwise time.Duration) time.Duration {
	ms := c.upTo(key, float64(otherwise.Milliseconds()), float64(time.Hour.Milliseconds()))
	return time.Duration(ms) * time.Millisecond
}

func (c *config) upTo(key string, otherwise, highest float64) float64 {
	n := 0.0
	switch v := c.values[key].(type) {
	case nil:
	case float64:
		n = v
	case int:
		n = float64(v)
	case string:
		whole, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			c.wrong(key, v)
		}
		n = float64(whole)
	default:
		c.wrong(key, v)
	}
	if n < 0 || n > highest || n != math.Trunc(n) {
		c.wrong(key, c.values[key])
		n = 0
	}
	return cmp.Or(n, otherwise)
}
