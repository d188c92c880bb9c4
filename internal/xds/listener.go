package xds

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	connlimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	netrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lictor/lictor/internal/proxycfg"
)

// The names of network filters.
const (
	filterRBAC      = "envoy.filters.network.rbac"
	filterConnLimit = "envoy.filters.network.connection_limit"
	filterTCP       = "envoy.filters.network.tcp_proxy"
	filterHTTP      = "envoy.filters.network.http_connection_manager"
	statAuthz       = "connect_authz"
)

// inbound makes the way from callers to the proxy's own service.
func (b *builder) inbound() error {
	local, err := b.localCluster()
	if err != nil {
		return err
	}
	if err := b.add(Cluster, local.Name, local); err != nil {
		return err
	}
	l, err := b.publicListener(local.Name)
	if err != nil {
		return err
	}
	return b.add(Listener, l.Name, l)
}

// protocol is that of the proxy's own service.
func (b *builder) protocol() string { return proxycfg.ProtocolOf(b.config.Protocol) }

// publicListener takes calls, of those whom intentions let in.
func (b *builder) publicListener(local string) (*listener.Listener, error) {
	address := cmp.Or(b.config.BindAddress, b.Proxy.Address, "0.0.0.0")
	port := cmp.Or(b.config.BindPort, b.Proxy.Port)
	if _, err := netip.ParseAddr(address); err != nil {
		address = "0.0.0.0" // the name of a host: others reach it there, the proxy listens everywhere
	}
	name := publicListener + ":" + address + ":" + strconv.Itoa(port)
	if b.config.PublicListener != "" {
		return b.ownPublicListener(name)
	}
	l := &listener.Listener{
		Name:             name,
		Address:          socketAddress(address, port),
		TrafficDirection: core.TrafficDirection_INBOUND,
	}
	balance(l, b.config.BalanceInboundConnections)
	var filters []*listener.Filter
	if n := b.config.MaxInboundConnections; n > 0 {
		limit, err := filter(filterConnLimit, &connlimit.ConnectionLimit{
			StatPrefix: "inbound_connection_limit", MaxConnections: wrapperspb.UInt64(uint64(min(n, math.MaxInt32))),
		})
		if err != nil {
			return nil, err
		}
		filters = append(filters, limit)
	}
	last, err := b.inboundFilter(local)
	if err != nil {
		return nil, err
	}
	chain := &listener.FilterChain{Filters: append(filters, last)}
	l.FilterChains = []*listener.FilterChain{chain}
	return l, b.guard(chain)
}

// guard puts mutual TLS, and what intentions decide by connection, before the filters of a chain.
func (b *builder) guard(chain *listener.FilterChain) error {
	var err error
	if chain.TransportSocket, err = b.publicTLS(b.protocol()); err != nil {
		return err
	}
	if b.protocol() != proxycfg.TCP && b.config.PublicListener == "" {
		return nil // each request is decided about
	}
	authz, err := filter(filterRBAC, &netrbac.RBAC{StatPrefix: statAuthz, Rules: rules(b.Snapshot, false)})
	if err != nil {
		return err
	}
	chain.Filters = append([]*listener.Filter{authz}, chain.Filters...)
	return nil
}

// ownPublicListener is the one that the registration writes in place of ours. It may have any filters,
// behind mutual TLS and intentions.
func (b *builder) ownPublicListener(name string) (*listener.Listener, error) {
	l := &listener.Listener{}
	if err := unmarshal(b.config.PublicListener, l); err != nil {
		return nil, fmt.Errorf("envoy_public_listener_json: %w", err)
	}
	l.Name = cmp.Or(l.Name, name)
	chains := l.FilterChains
	if l.DefaultFilterChain != nil {
		chains = append(chains[:len(chains):len(chains)], l.DefaultFilterChain)
	}
	if len(chains) == 0 {
		return nil, errors.New("envoy_public_listener_json: there are no filter_chains")
	}
	for _, chain := range chains {
		if err := b.guard(chain); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// inboundFilter is the filter that hands calls on to the proxy's own service.
func (b *builder) inboundFilter(local string) (*listener.Filter, error) {
	if b.protocol() == proxycfg.TCP {
		return tcp(publicListener, local)
	}
	manager, err := b.publicManager(local)
	if err != nil {
		return nil, err
	}
	return filter(filterHTTP, manager)
}

// outbound makes the way from the proxy's own service to an upstream.
func (b *builder) outbound(u *proxycfg.Upstream) error {
	switch {
	case u.DestinationType != "" && u.DestinationType != "service":
		return fmt.Errorf("upstreams of type %q are not served", u.DestinationType)
	case u.DestinationPeer != "":
		return errors.New("upstreams of a peer are not served")
	}
	settings := &upstreamSettings{}
	if err := decode(u.Config, settings); err != nil {
		b.errs = append(b.errs, fmt.Errorf("config of upstream %q: %w", u.DestinationName, err))
	}
	c, err := b.upstreamCluster(u, settings)
	if err != nil {
		return err
	}
	l, err := b.upstreamListener(u, settings)
	if err != nil {
		return err
	}
	places, wrong := b.assignment(u)
	if wrong != nil {
		b.errs = append(b.errs, fmt.Errorf("upstream %q: %w", u.DestinationName, wrong))
	}
	return errors.Join(b.add(Cluster, c.Name, c), b.add(Endpoint, c.Name, places), b.add(Listener, l.Name, l))
}

// upstreamListener takes calls of the proxy's own service.
func (b *builder) upstreamListener(u *proxycfg.Upstream, settings *upstreamSettings) (*listener.Listener, error) {
	name := listenerName(u)
	at, err := bindAddress(u)
	if err != nil {
		return nil, err
	}
	if settings.Listener != "" {
		l := &listener.Listener{}
		if err := unmarshal(settings.Listener, l); err != nil {
			return nil, fmt.Errorf("envoy_listener_json: %w", err)
		}
		l.Name = cmp.Or(l.Name, name)
		return l, nil
	}
	l := &listener.Listener{Name: name, Address: at, TrafficDirection: core.TrafficDirection_OUTBOUND}
	balance(l, settings.BalanceOutboundConnections)
	last, err := b.upstreamFilter(u)
	l.FilterChains = []*listener.FilterChain{{Filters: []*listener.Filter{last}}}
	return l, err
}

func (b *builder) upstreamFilter(u *proxycfg.Upstream) (*listener.Filter, error) {
	if u.Protocol == proxycfg.TCP {
		return tcp("upstream."+target(b.Snapshot, u), sni(b.Snapshot, u))
	}
	manager, err := b.upstreamManager(u)
	if err != nil {
		return nil, err
	}
	return filter(filterHTTP, manager)
}

func bindAddress(u *proxycfg.Upstream) (*core.Address, error) {
	if u.LocalBindPort > 0 {
		return socketAddress(cmp.Or(u.LocalBindAddress, "127.0.0.1"), u.LocalBindPort), nil
	}
	if u.LocalBindSocketPath == "" {
		return nil, errors.New("neither LocalBindPort nor LocalBindSocketPath is set")
	}
	at := pipe(u.LocalBindSocketPath)
	if u.LocalBindSocketMode != "" {
		mode, err := strconv.ParseUint(u.LocalBindSocketMode, 8, 32)
		if err != nil {
			return nil, fmt.Errorf("LocalBindSocketMode %q is no octal number", u.LocalBindSocketMode)
		}
		at.GetPipe().Mode = uint32(mode)
	}
	return at, nil
}

func tcp(stat, to string) (*listener.Filter, error) {
	return filter(filterTCP, &tcpproxy.TcpProxy{StatPrefix: stat, ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: to}})
}

func filter(name string, m message) (*listener.Filter, error) {
	body, err := pack(m)
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: body}}, err
}

// balance spreads connections evenly over the threads of a proxy where that is wanted.
func balance(l *listener.Listener, how string) {
	if how == balanced {
		l.ConnectionBalanceConfig = &listener.Listener_ConnectionBalanceConfig{
			BalanceType: &listener.Listener_ConnectionBalanceConfig_ExactBalance_{
				ExactBalance: &listener.Listener_ConnectionBalanceConfig_ExactBalance{},
			},
		}
	}
}

// unmarshal reads a resource that somebody has written by hand.
func unmarshal(text string, m message) error { return protojson.Unmarshal([]byte(text), m) }
