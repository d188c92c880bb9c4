package xds

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lictor/lictor/internal/proxycfg"
)

// httpOptions is the key of the options for HTTP of a cluster.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// localCluster is where the proxy's own service listens.
func (b *builder) localCluster() (*cluster.Cluster, error) {
	if b.config.LocalCluster != "" {
		c := &cluster.Cluster{}
		return c, unmarshal(b.config.LocalCluster, c)
	}
	p := &b.Proxy.Proxy
	at := pipe(p.LocalServiceSocketPath)
	if p.LocalServiceSocketPath == "" {
		at = socketAddress(cmp.Or(p.LocalServiceAddress, "127.0.0.1"), p.LocalServicePort)
	}
	c := &cluster.Cluster{
		Name:                 localApp,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(milliseconds(b.config.LocalConnectTimeoutMs, connectTimeout)),
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: localApp,
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: at}},
			}}}},
		},
	}
	if _, err := netip.ParseAddr(cmp.Or(p.LocalServiceAddress, "127.0.0.1")); err != nil && p.LocalServiceSocketPath == "" {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS} // a host's name
	}
	if n := b.config.MaxInboundConnections; n > 0 {
		c.CircuitBreakers = &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
			MaxConnections: wrapperspb.UInt32(uint32(min(n, math.MaxInt32))),
		}}}
	}
	return c, speakHTTP2(c, b.protocol())
}

// upstreamCluster is an upstream, whose endpoints come by themselves.
func (b *builder) upstreamCluster(u *proxycfg.Upstream, settings *upstreamSettings) (*cluster.Cluster, error) {
	name := sni(b.Snapshot, u)
	c := &cluster.Cluster{
		Name:                 name,
		AltStatName:          name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: &core.ConfigSource{
			ResourceApiVersion:    core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		}},
		ConnectTimeout:   durationpb.New(milliseconds(settings.ConnectTimeoutMs, connectTimeout)),
		CommonLbConfig:   &cluster.Cluster_CommonLbConfig{HealthyPanicThreshold: &envoytype.Percent{}},
		CircuitBreakers:  circuitBreakers(settings.Limits),
		OutlierDetection: outlierDetection(settings.PassiveHealthCheck),
	}
	if settings.Cluster != "" {
		c = &cluster.Cluster{}
		if err := unmarshal(settings.Cluster, c); err != nil {
			return nil, err
		}
		c.Name = name // listeners and endpoints know it by no other
	} else if err := speakHTTP2(c, u.Protocol); err != nil {
		return nil, err
	}
	var err error
	c.TransportSocket, err = b.upstreamTLS(u)
	return c, err
}

// speakHTTP2 makes a cluster of HTTP/2 one.
func speakHTTP2(c *cluster.Cluster, protocol string) error {
	if protocol != proxycfg.HTTP2 && protocol != proxycfg.GRPC {
		return nil
	}
	options, err := pack(&upstreams.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &core.Http2ProtocolOptions{},
				},
			},
		},
	})
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: options}
	return err
}

func circuitBreakers(l *limits) *cluster.CircuitBreakers {
	if l == nil {
		return &cluster.CircuitBreakers{}
	}
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections: number(l.MaxConnections), MaxPendingRequests: number(l.MaxPendingRequests), MaxRequests: number(l.MaxConcurrentRequests),
	}}}
}

func outlierDetection(h *passiveHealthCheck) *cluster.OutlierDetection {
	out := &cluster.OutlierDetection{}
	if h == nil {
		return out
	}
	if h.Interval > 0 {
		out.Interval = durationpb.New(h.Interval)
	}
	if h.MaxFailures > 0 {
		out.Consecutive_5Xx = wrapperspb.UInt32(h.MaxFailures)
	}
	out.EnforcingConsecutive_5Xx = number(h.EnforcingConsecutive5xx)
	out.MaxEjectionPercent = number(h.MaxEjectionPercent)
	if d := h.BaseEjectionTime; d != nil && *d > time.Duration(0) {
		out.BaseEjectionTime = durationpb.New(*d)
	}
	return out
}

func number(n *uint32) *wrapperspb.UInt32Value {
	if n == nil {
		return nil
	}
	return wrapperspb.UInt32(*n)
}

// assignment is where the instances of an upstream are. Those that are critical stay, and get nothing.
func (b *builder) assignment(u *proxycfg.Upstream) (*endpoint.ClusterLoadAssignment, error) {
	locality := &endpoint.LocalityLbEndpoints{}
	var wrong error
	for _, e := range u.Endpoints {
		if _, err := netip.ParseAddr(e.Address); err != nil {
			wrong = fmt.Errorf("an instance is at %q, which is no IP address", e.Address)
			continue
		}
		status := core.HealthStatus_HEALTHY
		if !e.Healthy || e.Weight <= 0 {
			status = core.HealthStatus_UNHEALTHY
		}
		locality.LbEndpoints = append(locality.LbEndpoints, &endpoint.LbEndpoint{
			HostIdentifier:      &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: socketAddress(e.Address, e.Port)}},
			HealthStatus:        status,
			LoadBalancingWeight: wrapperspb.UInt32(uint32(min(max(e.Weight, 1), math.MaxUint16))),
		})
	}
	out := &endpoint.ClusterLoadAssignment{ClusterName: sni(b.Snapshot, u)}
	out.Endpoints = []*endpoint.LocalityLbEndpoints{locality}
	return out, wrong
}

func socketAddress(host string, port int) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: portOf(port)},
	}}}
}

func pipe(path string) *core.Address {
	return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path}}}
}
