package configentry

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/tenancy"
)

// Central is what config entries say about the proxies of one service. What a proxy says itself goes
// before it.
type Central struct {
	Config           map[string]any // by the keys of mesh.md section 4; nil is none
	Mode             string
	TransparentProxy TransparentProxy
	MutualTLSMode    string
	MeshGateway      MeshGateway
	Expose           Expose
	AccessLogs       *AccessLogs
	EnvoyExtensions  []EnvoyExtension

	protocol  string // of proxies that no entry says more about
	upstreams *UpstreamConfiguration
	home      tenancy.Scope // of the service
}

// Resolve merges what counts for the proxies of a service in s: its defaults go before those of all
// proxies. Either may be nil.
func Resolve(s tenancy.Scope, proxy *ProxyDefaults, service *ServiceDefaults) Central {
	c := Central{home: s}
	if proxy != nil {
		c.Config = maps.Clone(proxy.Config)
		c.Mode, c.MutualTLSMode, c.MeshGateway = proxy.Mode, proxy.MutualTLSMode, proxy.MeshGateway
		c.TransparentProxy, c.Expose, c.AccessLogs = proxy.TransparentProxy, proxy.Expose, proxy.AccessLogs
		c.EnvoyExtensions = proxy.EnvoyExtensions
		c.protocol, _ = proxy.Config["protocol"].(string)
	}
	if service == nil {
		return c
	}
	c.Mode = cmp.Or(service.Mode, c.Mode)
	c.MutualTLSMode = cmp.Or(service.MutualTLSMode, c.MutualTLSMode)
	c.MeshGateway = cmp.Or(service.MeshGateway, c.MeshGateway)
	c.TransparentProxy.OutboundListenerPort = cmp.Or(service.TransparentProxy.OutboundListenerPort, c.TransparentProxy.OutboundListenerPort)
	c.TransparentProxy.DialedDirectly = service.TransparentProxy.DialedDirectly || c.TransparentProxy.DialedDirectly
	c.Expose.Checks = service.Expose.Checks || c.Expose.Checks
	if len(service.Expose.Paths) > 0 {
		c.Expose.Paths = service.Expose.Paths
	}
	c.EnvoyExtensions = slices.Concat(c.EnvoyExtensions, service.EnvoyExtensions)
	c.upstreams = service.UpstreamConfig
	set(&c.Config, "protocol", service.Protocol)
	set(&c.Config, "max_inbound_connections", service.MaxInboundConnections)
	set(&c.Config, "local_connect_timeout_ms", service.LocalConnectTimeoutMs)
	set(&c.Config, "local_request_timeout_ms", service.LocalRequestTimeoutMs)
	set(&c.Config, "balance_inbound_connections", service.BalanceInboundConnections)
	if service.MaxRequestHeadersKB != nil {
		set(&c.Config, "max_request_headers_kb", *service.MaxRequestHeadersKB)
	}
	return c
}

// set sets a key where there is something to set. Numbers are float64, as readers of JSON have them.
func set[V int | string](config *map[string]any, key string, value V) {
	var zero V
	if value == zero {
		return
	}
	if *config == nil {
		*config = map[string]any{}
	}
	(*config)[key] = value
	if n, ok := any(value).(int); ok {
		(*config)[key] = float64(n)
	}
}

// Upstream is what config entries say about one upstream of a service's proxies.
type Upstream struct {
	Config      map[string]any // by the keys of mesh.md section 4; nil is none
	MeshGateway MeshGateway    // Mode "" leaves it to the proxy
}

// Upstream merges what counts for calls of an upstream, from what counts least: its protocol where
// own, its defaults, says one, which may be nil; what the calling service says about all
// upstreams; and what it says about this one.
func (c Central) Upstream(to Service, own *ServiceDefaults) Upstream {
	var u Upstream
	set(&u.Config, "protocol", c.protocol)
	if own != nil {
		set(&u.Config, "protocol", own.Protocol)
	}
	if c.upstreams == nil {
		return u
	}
	u.add(c.upstreams.Defaults)
	for i := range c.upstreams.Overrides {
		if o := &c.upstreams.Overrides[i]; o.names(to, c.home) {
			u.add(o)
		}
	}
	return u
}

// names reports whether an override of a service at home is about the upstream to.
func (u *UpstreamConfig) names(to Service, home tenancy.Scope) bool {
	if u.Peer != to.Peer || !strings.EqualFold(u.Name, to.Name) {
		return false
	}
	return u.Peer != "" || cmp.Or(strings.ToLower(u.Namespace), home.Namespace) == to.Namespace && cmp.Or(strings.ToLower(u.Partition), home.Partition) == to.Partition
}

func (u *Upstream) add(c *UpstreamConfig) {
	if c == nil {
		return
	}
	u.MeshGateway = cmp.Or(c.MeshGateway, u.MeshGateway)
	set(&u.Config, "protocol", c.Protocol)
	set(&u.Config, "connect_timeout_ms", c.ConnectTimeoutMs)
	set(&u.Config, "envoy_listener_json", c.EnvoyListenerJSON)
	set(&u.Config, "envoy_cluster_json", c.EnvoyClusterJSON)
	set(&u.Config, "balance_outbound_connections", c.BalanceOutboundConnections)
	if l := c.Limits; l != nil {
		u.group("limits", map[string]*int{
			"max_connections": l.MaxConnections, "max_pending_requests": l.MaxPendingRequests, "max_concurrent_requests": l.MaxConcurrentRequests,
		})
		u.health(l.PassiveHealthCheck)
	}
	u.health(c.PassiveHealthCheck)
}

// group sets the numbers that are there as one key.
func (u *Upstream) group(key string, numbers map[string]*int) map[string]any {
	out := map[string]any{}
	for name, n := range numbers {
		if n != nil {
			out[name] = float64(*n)
		}
	}
	if u.Config == nil {
		u.Config = map[string]any{}
	}
	u.Config[key] = out
	return out
}

func (u *Upstream) health(c *PassiveHealthCheck) {
	if c == nil {
		return
	}
	out := u.group("passive_health_check", map[string]*int{
		"max_failures": &c.MaxFailures, "enforcing_consecutive_5xx": c.EnforcingConsecutive5xx,
		"enforcing_consecutive_gateway_failure": c.EnforcingConsecutiveGatewayFailure, "consecutive_5xx": c.Consecutive5xx,
		"consecutive_gateway_failure": c.ConsecutiveGatewayFailure, "max_ejection_percent": c.MaxEjectionPercent,
	})
	if c.Interval > 0 {
		out["interval"] = c.Interval.String()
	}
	if c.BaseEjectionTime != nil {
		out["base_ejection_time"] = c.BaseEjectionTime.String()
	}
}
