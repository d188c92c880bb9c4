package cli

import (
	"cmp"
	"flag"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-sockaddr/template"
)

// defaultGatewayPort is that of a gateway whose address has none.
const defaultGatewayPort = 8443

// federationMeta marks the mesh gateways that servers of other datacenters reach this one's by.
const federationMeta = "consul-wan-federation"

// gatewayKinds are the words that -gateway takes.
var gatewayKinds = map[string]api.ServiceKind{
	"api": api.ServiceKindAPIGateway, "ingress": api.ServiceKindIngressGateway,
	"mesh": api.ServiceKindMeshGateway, "terminating": api.ServiceKindTerminatingGateway,
}

// gatewayFlags are those of consul connect envoy that are for gateways.
type gatewayFlags struct {
	word            string
	legacy          bool
	registers       bool
	service         string
	address, wan    string
	binds           pairsFlag
	exposeServers   bool
	deregisterAfter time.Duration
}

func (g *gatewayFlags) register(fs *flag.FlagSet) {
	g.binds.sep = "="
	fs.StringVar(&g.word, "gateway", "", "`kind` of the gateway to run: api, ingress, mesh or terminating")
	fs.BoolVar(&g.legacy, "mesh-gateway", false, "older spelling of -gateway=mesh")
	fs.BoolVar(&g.registers, "register", false, "register the gateway with the agent first")
	fs.StringVar(&g.service, "service", "", "`name` of the gateway to register; the kind, such as mesh-gateway, if empty")
	fs.StringVar(&g.address, "address", "", "`address:port` of the gateway to register inside the datacenter; may be a template")
	fs.StringVar(&g.wan, "wan-address", "", "`address:port` of the gateway to register for other datacenters; may be a template")
	fs.Var(&g.binds, "bind-address", "where the gateway to register listens, as `name=ip:port`, in place of its addresses. May be repeated")
	fs.BoolVar(&g.exposeServers, "expose-servers", false, "servers of other datacenters reach those of this one through the mesh gateway to register")
	fs.DurationVar(&g.deregisterAfter, "deregister-after-critical", 6*time.Hour, "`time` after which a registered gateway that cannot be reached is deregistered; 0 is never")
}

// kind returns what -gateway asks for, "" without one.
func (g *gatewayFlags) kind() (api.ServiceKind, error) {
	if g.legacy && g.word == "" {
		g.word = "mesh"
	}
	if g.word == "" {
		return "", nil
	}
	kind, ok := gatewayKinds[g.word]
	if !ok {
		return "", complain("Gateway must be one of: api, terminating, mesh, or ingress")
	}
	if g.exposeServers && (kind != api.ServiceKindMeshGateway || !g.registers) {
		return "", complain("-expose-servers is for a mesh gateway that is registered")
	}
	return kind, nil
}

// registerWith registers the gateway with the agent and returns its ID.
func (g *gatewayFlags) registerWith(client *api.Client, kind api.ServiceKind, id string, q *api.QueryOptions) (string, error) {
	name := cmp.Or(g.service, string(kind))
	id = cmp.Or(id, name)
	lan, err := gatewayAddress(g.address)
	if err != nil {
		return "", complain("Failed to parse the -address parameter: %w", err)
	}
	s := &api.AgentServiceRegistration{
		Kind: kind, ID: id, Name: name, Address: lan.Address, Port: lan.Port,
		Proxy: &api.AgentServiceConnectProxyConfig{}, TaggedAddresses: map[string]api.ServiceAddress{},
		Namespace: q.Namespace, Partition: q.Partition,
		Check: &api.AgentServiceCheck{
			CheckID: string(kind) + "-" + id + "-listening", Name: string(kind) + " listening",
			TCP: joinPort(cmp.Or(lan.Address, "127.0.0.1"), lan.Port), Interval: "10s",
		},
	}
	if g.deregisterAfter > 0 {
		s.Check.DeregisterCriticalServiceAfter = g.deregisterAfter.String()
	}
	if g.exposeServers {
		s.Meta = map[string]string{federationMeta: "1"}
	}
	addTagged(s.TaggedAddresses, "lan", lan)
	if g.wan != "" {
		wan, err := gatewayAddress(g.wan)
		if err != nil {
			return "", complain("Failed to parse the -wan-address parameter: %w", err)
		}
		addTagged(s.TaggedAddresses, "wan", wan)
	}
	if len(g.binds.pairs) > 0 {
		if s.Proxy.Config, err = g.bindConfig(); err != nil {
			return "", err
		}
	}
	if err := client.Agent().ServiceRegister(s); err != nil {
		return "", complain("Error registering service %q: %w", name, err)
	}
	return id, nil
}

// addTagged adds an address, if there is one, and again under the name of its family.
func addTagged(to map[string]api.ServiceAddress, name string, a api.ServiceAddress) {
	if a.Address == "" {
		return
	}
	to[name] = a
	if ip := net.ParseIP(a.Address); ip != nil && ip.To4() != nil {
		to[name+"_ipv4"] = a
	} else if ip != nil {
		to[name+"_ipv6"] = a
	}
}

// gatewayAddress reads host:port, :port, or a host alone; empty is any address.
func gatewayAddress(s string) (api.ServiceAddress, error) {
	a := api.ServiceAddress{Port: defaultGatewayPort}
	s, err := template.Parse(s)
	if err != nil {
		return a, err
	}
	if strings.TrimSpace(s) == "" {
		return a, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		a.Address = strings.Trim(s, "[]")
		return a, nil // a host without a port
	}
	a.Address = host
	if port != "" && port != "0" {
		a.Port, err = parsePort(port)
	}
	return a, err
}

// bindConfig says where the gateway listens (spec: mesh.md section 4).
func (g *gatewayFlags) bindConfig() (map[string]any, error) {
	addresses := map[string]any{}
	for name, text := range g.binds.pairs {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return nil, complain("Failed to parse the -bind-address parameter: %w", err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, complain("Failed to parse the -bind-address parameter: invalid port: %q", port)
		}
		addresses[name] = map[string]any{"address": host, "port": number}
	}
	return map[string]any{"envoy_gateway_no_default_bind": true, "envoy_gateway_bind_addresses": addresses}, nil
}
