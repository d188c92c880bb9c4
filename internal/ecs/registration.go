package ecs

import (
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/taskmeta"
)

const (
	proxySuffix     = "-sidecar-proxy"
	foreverTTL      = "100000h" // health-sync is the only one to say what such a check's status is
	proxyInterval   = "10s"
	proxyDeregister = "10m"
)

// registration is what a task registers (ecs.md section 6.1). A gateway has no service.
type registration struct {
	service *api.AgentServiceRegistration
	proxy   *api.AgentServiceRegistration
}

func newRegistration(c *ecsconfig.Config, t *taskmeta.Task) (registration, error) {
	if c.Gateway != nil {
		return registration{proxy: gateway(c.Gateway, t)}, nil
	}
	service, err := service(c, t)
	if err != nil {
		return registration{}, err
	}
	return registration{service: service, proxy: sidecar(c, service)}, nil
}

// meta is what every registration of a task carries; what the user gives wins.
func meta(t *taskmeta.Task, own map[string]string) map[string]string {
	m := map[string]string{"task-id": t.ID(), "task-arn": t.TaskARN, "source": "consul-ecs"}
	maps.Copy(m, own)
	return m
}

// serviceName is the configured name, or the task family in lower case.
func serviceName(c *ecsconfig.Config, t *taskmeta.Task) string {
	if c.Service.Name != "" {
		return c.Service.Name
	}
	return strings.ToLower(t.Family)
}

func serviceID(c *ecsconfig.Config, t *taskmeta.Task) string { return serviceName(c, t) + "-" + t.ID() }

// syncCheckID is the check that health-sync keeps for a container.
func syncCheckID(serviceID, container string) string {
	return serviceID + "-" + container + "-consul-ecs"
}

func service(c *ecsconfig.Config, t *taskmeta.Task) (*api.AgentServiceRegistration, error) {
	s := c.Service
	r := &api.AgentServiceRegistration{
		ID: serviceID(c, t), Name: serviceName(c, t), Tags: s.Tags, Port: s.Port, EnableTagOverride: s.EnableTagOverride,
		Meta: meta(t, s.Meta), Namespace: s.Namespace, Partition: s.Partition,
	}
	if s.Weights != nil {
		r.Weights = &api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning}
	}
	for _, check := range s.Checks {
		converted, err := serviceCheck(check)
		if err != nil {
			return nil, err
		}
		r.Checks = append(r.Checks, converted)
	}
	for _, container := range c.HealthSyncContainers {
		r.Checks = append(r.Checks, &api.AgentServiceCheck{
			CheckID: syncCheckID(r.ID, container),
			Name:    "consul ecs synced",
			Notes: fmt.Sprintf("consul-ecs created and updates this check because the %s container is essential and has an ECS health check.",
				container),
			TTL: foreverTTL,
		})
	}
	return r, nil
}

func serviceCheck(c ecsconfig.Check) (*api.AgentServiceCheck, error) {
	for name, text := range map[string]string{"interval": c.Interval, "timeout": c.Timeout, "ttl": c.TTL} {
		if text == "" {
			continue
		}
		if _, err := time.ParseDuration(text); err != nil {
			return nil, fmt.Errorf("invalid config: service.checks: %s: %w", name, err)
		}
	}
	return &api.AgentServiceCheck{
		CheckID: c.CheckID, Name: c.Name, Args: c.Args, Interval: c.Interval, Timeout: c.Timeout, TTL: c.TTL,
		HTTP: c.HTTP, Header: c.Header, Method: c.Method, Body: c.Body, TCP: c.TCP, UDP: c.UDP,
		Status: c.Status, Notes: c.Notes, TLSServerName: c.TLSServerName, TLSSkipVerify: c.TLSSkipVerify,
		GRPC: c.GRPC, GRPCUseTLS: c.GRPCUseTLS, H2PING: c.H2Ping, H2PingUseTLS: c.H2PingUseTLS,
		AliasNode: c.AliasNode, AliasService: c.AliasService,
		SuccessBeforePassing: c.SuccessBeforePassing, FailuresBeforeCritical: c.FailuresBeforeCritical,
	}, nil
}

func sidecar(c *ecsconfig.Config, s *api.AgentServiceRegistration) *api.AgentServiceRegistration {
	p := c.Proxy
	r := &api.AgentServiceRegistration{
		ID: s.ID + proxySuffix, Name: s.Name + proxySuffix, Kind: api.ServiceKindConnectProxy, Port: p.PublicListenerPort,
		Tags: s.Tags, EnableTagOverride: s.EnableTagOverride, Weights: s.Weights, Meta: s.Meta,
		Namespace: s.Namespace, Partition: s.Partition,
		Proxy: &api.AgentServiceConnectProxyConfig{
			DestinationServiceName: s.Name, DestinationServiceID: s.ID,
			LocalServiceAddress: p.LocalServiceAddress, LocalServicePort: s.Port, Config: p.Config,
		},
		Checks: api.AgentServiceChecks{
			listenerCheck("Proxy Public Listener", "127.0.0.1", p.PublicListenerPort),
			{Name: "Destination Alias", AliasService: s.ID},
		},
	}
	for _, u := range p.Upstreams {
		r.Proxy.Upstreams = append(r.Proxy.Upstreams, api.Upstream{
			DestinationType: api.UpstreamDestType(u.DestinationType), DestinationName: u.DestinationName,
			DestinationNamespace: u.DestinationNamespace, DestinationPartition: u.DestinationPartition, DestinationPeer: u.DestinationPeer,
			Datacenter: u.Datacenter, LocalBindAddress: u.LocalBindAddress, LocalBindPort: u.LocalBindPort,
			Config: u.Config, MeshGateway: meshGateway(u.MeshGateway),
		})
	}
	r.Proxy.MeshGateway = meshGateway(p.MeshGateway)
	if p.Expose != nil {
		r.Proxy.Expose.Checks = p.Expose.Checks
		for _, path := range p.Expose.Paths {
			r.Proxy.Expose.Paths = append(r.Proxy.Expose.Paths, api.ExposePath{
				ListenerPort: path.ListenerPort, Path: path.Path, LocalPathPort: path.LocalPathPort, Protocol: path.Protocol,
			})
		}
	}
	return r
}

func meshGateway(g *ecsconfig.MeshGateway) api.MeshGatewayConfig {
	if g == nil {
		return api.MeshGatewayConfig{}
	}
	return api.MeshGatewayConfig{Mode: api.MeshGatewayMode(g.Mode)}
}

func listenerCheck(name, host string, port int) *api.AgentServiceCheck {
	return &api.AgentServiceCheck{
		Name: name, TCP: net.JoinHostPort(host, strconv.Itoa(port)),
		Interval: proxyInterval, DeregisterCriticalServiceAfter: proxyDeregister,
	}
}

// gateway is the registration of a gateway. Its name is the family as it is; the port of the WAN
// address is the standard one, not that of the LAN.
func gateway(g *ecsconfig.Gateway, t *taskmeta.Task) *api.AgentServiceRegistration {
	name := g.Name
	if name == "" {
		name = t.Family
	}
	r := &api.AgentServiceRegistration{
		ID: name + "-" + t.ID(), Name: name, Kind: api.ServiceKind(g.Kind), Port: ecsconfig.DefaultGatewayPort,
		Tags: g.Tags, Meta: meta(t, g.Meta), Namespace: g.Namespace, Partition: g.Partition,
		Proxy:           &api.AgentServiceConnectProxyConfig{Config: g.Proxy.Config},
		TaggedAddresses: map[string]api.ServiceAddress{},
	}
	host := t.NodeIP()
	if a := g.LANAddress; a != nil {
		if a.Port != 0 {
			r.Port = a.Port
		}
		if a.Address != "" {
			r.Address, host = a.Address, a.Address
			r.TaggedAddresses["lan"] = api.ServiceAddress{Address: a.Address, Port: r.Port}
		}
	}
	if a := g.WANAddress; a != nil && a.Address != "" {
		port := ecsconfig.DefaultGatewayPort
		if a.Port != 0 {
			port = a.Port
		}
		r.TaggedAddresses["wan"] = api.ServiceAddress{Address: a.Address, Port: port}
	}
	r.Checks = api.AgentServiceChecks{listenerCheck(g.Kind+" listener", host, r.Port)}
	return r
}
