package xds

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/proxycfg"
)

// exposed makes the ways past mutual TLS and intentions that the registration asks for: single paths of the
// proxy's own service, for load balancers and health checks outside the mesh (mesh.md section 3). Paths of one
// listener port share its listener. Another path than those is not found there.
func (b *builder) exposed() {
	byPort := map[int][]catalog.ExposePath{}
	var ports []int
	for _, p := range b.Proxy.Proxy.Expose.Paths {
		if byPort[p.ListenerPort] == nil {
			ports = append(ports, p.ListenerPort)
		}
		byPort[p.ListenerPort] = append(byPort[p.ListenerPort], p)
	}
	for _, port := range ports {
		b.try(fmt.Sprintf("exposed paths on port %d", port), func() error { return b.exposedPort(port, byPort[port]) })
	}
}

func (b *builder) exposedPort(port int, paths []catalog.ExposePath) error {
	if port < 1 || port > 65535 || port == cmp.Or(b.config.BindPort, b.Proxy.Port) {
		return errors.New("the port is none, or that of the public listener")
	}
	var routes []*route.Route
	for _, p := range paths {
		if !strings.HasPrefix(p.Path, "/") || p.LocalPathPort < 1 || p.LocalPathPort > 65535 {
			return fmt.Errorf("path %q of port %d is none", p.Path, p.LocalPathPort)
		}
		c, err := b.exposedCluster(p)
		if err != nil {
			return err
		}
		if err := b.add(Cluster, c.Name, c); err != nil {
			return err
		}
		routes = append(routes, &route.Route{
			Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Path{Path: p.Path}},
			Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: c.Name}}},
		})
	}
	l, err := b.exposedListener(port, routes)
	if err != nil {
		return err
	}
	return b.add(Listener, l.Name, l)
}

// exposedCluster is the port of the proxy's own service behind a path.
func (b *builder) exposedCluster(p catalog.ExposePath) (*cluster.Cluster, error) {
	host := cmp.Or(b.Proxy.Proxy.LocalServiceAddress, "127.0.0.1")
	c := &cluster.Cluster{
		Name:                 "exposed_cluster_" + cmp.Or(p.Protocol, proxycfg.HTTP) + "_" + strconv.Itoa(p.LocalPathPort),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(milliseconds(b.config.LocalConnectTimeoutMs, connectTimeout)),
	}
	if _, err := netip.ParseAddr(host); err != nil {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS} // a host's name
	}
	c.LoadAssignment = &endpoint.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: socketAddress(host, p.LocalPathPort)}},
		}}}},
	}
	return c, speakHTTP2(c, p.Protocol)
}

func (b *builder) exposedListener(port int, routes []*route.Route) (*listener.Listener, error) {
	address := cmp.Or(b.config.BindAddress, b.Proxy.Address, "0.0.0.0")
	if _, err := netip.ParseAddr(address); err != nil {
		address = "0.0.0.0"
	}
	name := "exposed_paths:" + address + ":" + strconv.Itoa(port)
	last := &chain{}
	last.add("envoy.filters.http.router", &router.Router{})
	if last.err != nil {
		return nil, last.err
	}
	f, err := filter(filterHTTP, &manager.HttpConnectionManager{
		StatPrefix:    "exposed_paths_" + strconv.Itoa(port),
		HttpFilters:   last.filters,
		NormalizePath: wrapperspb.Bool(true),
		RouteSpecifier: &manager.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name:         name,
			VirtualHosts: []*route.VirtualHost{{Name: name, Domains: []string{"*"}, Routes: routes}},
		}},
	})
	return &listener.Listener{
		Name: name, Address: socketAddress(address, port), TrafficDirection: core.TrafficDirection_INBOUND,
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{f}}},
	}, err
}
