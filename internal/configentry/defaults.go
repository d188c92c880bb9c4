package configentry

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// ServiceDefaults are what counts for all instances of a service, or of all whose
// destination it is.
type ServiceDefaults struct {
	Protocol                  string `json:",omitempty"` // "tcp", "http", "http2" or "grpc"; any other is as tcp
	Mode                      string `json:",omitempty"` // "", "direct" or "transparent"
	TransparentProxy          TransparentProxy
	MutualTLSMode             string `json:",omitempty"` // "", "strict" or "permissive"
	MeshGateway               MeshGateway
	Expose                    Expose
	ExternalSNI               string                 `json:",omitempty"`
	UpstreamConfig            *UpstreamConfiguration `json:",omitempty"`
	Destination               *Destination           `json:",omitempty"`
	MaxInboundConnections     int                    `json:",omitempty"`
	LocalConnectTimeoutMs     int                    `json:",omitempty"`
	LocalRequestTimeoutMs     int                    `json:",omitempty"`
	BalanceInboundConnections string                 `json:",omitempty"`
	MaxRequestHeadersKB       *int                   `json:",omitempty"`
	RateLimits                *RateLimits            `json:",omitempty"`
	EnvoyExtensions           []EnvoyExtension       `json:",omitempty"`
}

// UpstreamConfiguration is how a service calls its upstreams: all, and some of them.
type UpstreamConfiguration struct {
	Overrides []UpstreamConfig `json:",omitempty"`
	Defaults  *UpstreamConfig  `json:",omitempty"`
}

// Destination is where a service is that is not in the mesh.
type Destination struct {
	Addresses []string `json:",omitempty"`
	Port      int      `json:",omitempty"`
}

// RateLimits bound the requests that instances take.
type RateLimits struct {
	InstanceLevel InstanceRateLimits
}

// InstanceRateLimits are those of each instance.
type InstanceRateLimits struct {
	RequestsPerSecond int
	RequestsMaxBurst  int
	Routes            []RouteRateLimits
}

// RouteRateLimits are those of some paths.
type RouteRateLimits struct {
	PathExact         string
	PathPrefix        string
	PathRegex         string
	RequestsPerSecond int
	RequestsMaxBurst  int
}

func (d *ServiceDefaults) normalize(*Entry) {
	d.Protocol = strings.ToLower(d.Protocol)
	if d.UpstreamConfig != nil {
		for i := range d.UpstreamConfig.Overrides {
			u := &d.UpstreamConfig.Overrides[i]
			u.Protocol = strings.ToLower(u.Protocol)
		}
		if u := d.UpstreamConfig.Defaults; u != nil {
			u.Protocol = strings.ToLower(u.Protocol)
		}
	}
}

func (d *ServiceDefaults) check(e *Entry, wrong *problems) {
	switch e.Name {
	case "":
		wrong.add("Name is required")
	case "*":
		wrong.add("service-defaults name must be the name of a service, and not a wildcard")
	}
	checkModes(d.Mode, d.MutualTLSMode, d.MeshGateway, wrong)
	d.TransparentProxy.check(wrong)
	d.Expose.check(wrong)
	d.checkUpstreams(wrong)
	if d.Destination != nil {
		d.Destination.check(wrong)
	}
	wrong.within("MaxInboundConnections", d.MaxInboundConnections, 0, math.MaxInt32)
	wrong.within("LocalConnectTimeoutMs", d.LocalConnectTimeoutMs, 0, math.MaxInt32)
	wrong.within("LocalRequestTimeoutMs", d.LocalRequestTimeoutMs, 0, math.MaxInt32)
	wrong.among("BalanceInboundConnections", d.BalanceInboundConnections, "", balanced)
	wrong.withinIf("MaxRequestHeadersKB", d.MaxRequestHeadersKB, 1, 8192)
	d.RateLimits.check(wrong)
	checkExtensions(d.EnvoyExtensions, wrong)
}

func (l *RateLimits) check(wrong *problems) {
	if l == nil {
		return
	}
	rates := func(at string, perSecond, burst int) {
		wrong.within(at+"RequestsPerSecond", perSecond, 0, math.MaxInt32)
		wrong.within(at+"RequestsMaxBurst", burst, 0, math.MaxInt32)
	}
	const at = "RateLimits.InstanceLevel."
	rates(at, l.InstanceLevel.RequestsPerSecond, l.InstanceLevel.RequestsMaxBurst)
	for i, r := range l.InstanceLevel.Routes {
		rates(fmt.Sprintf("%sRoutes[%d].", at, i), r.RequestsPerSecond, r.RequestsMaxBurst)
	}
}

func (d *ServiceDefaults) checkUpstreams(wrong *problems) {
	if d.UpstreamConfig == nil {
		return
	}
	if u := d.UpstreamConfig.Defaults; u != nil {
		if u.Name != "" || u.Namespace != "" || u.Partition != "" || u.Peer != "" {
			wrong.add("error in upstream defaults: Name, Namespace, Partition and Peer must be empty")
		}
		u.check("UpstreamConfig.Defaults.", wrong)
	}
	for i := range d.UpstreamConfig.Overrides {
		u := &d.UpstreamConfig.Overrides[i]
		switch u.Name {
		case "":
			wrong.add("error in upstream override: Name is required")
		case "*":
			wrong.add("error in upstream override for %q: wildcard name is not supported", u.Name)
		}
		u.check(fmt.Sprintf("UpstreamConfig.Overrides[%d].", i), wrong)
	}
}

func (d *Destination) check(wrong *problems) {
	if len(d.Addresses) == 0 {
		wrong.add("Destination.Addresses must not be empty")
	}
	for _, a := range d.Addresses {
		if _, err := netip.ParseAddr(a); err != nil && !isHost(a) {
			wrong.add("Destination.Addresses: %q is neither a host name nor an IP address", a)
		}
	}
	wrong.within("Destination.Port", d.Port, 1, maxPort)
}

func isHost(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	})
}

// ProxyDefaults are what counts for all proxies of a partition.
type ProxyDefaults struct {
	Config               map[string]any `json:",omitempty"`
	Mode                 string         `json:",omitempty"`
	TransparentProxy     TransparentProxy
	MutualTLSMode        string `json:",omitempty"`
	MeshGateway          MeshGateway
	Expose               Expose
	AccessLogs           *AccessLogs           `json:",omitempty"`
	EnvoyExtensions      []EnvoyExtension      `json:",omitempty"`
	FailoverPolicy       *FailoverPolicy       `json:",omitempty"`
	PrioritizeByLocality *PrioritizeByLocality `json:",omitempty"`
}

// AccessLogs are what proxies log about requests.
type AccessLogs struct {
	Enabled             bool   `json:",omitempty"`
	DisableListenerLogs bool   `json:",omitempty"`
	Type                string `json:",omitempty"` // "", "file", "stderr" or "stdout"
	Path                string `json:",omitempty"` // of type "file"
	JSONFormat          string `json:",omitempty"`
	TextFormat          string `json:",omitempty"`
}

// FailoverPolicy is the order in which failover targets are tried.
type FailoverPolicy struct {
	Mode    string   `json:",omitempty"` // "", "sequential" or "order-by-locality"
	Regions []string `json:",omitempty"`
}

// PrioritizeByLocality prefers instances that are near.
type PrioritizeByLocality struct {
	Mode string `json:",omitempty"` // "", "none" or "failover"
}

func (d *ProxyDefaults) normalize(*Entry) {}

func (d *ProxyDefaults) check(e *Entry, wrong *problems) {
	if e.Name != GlobalName {
		wrong.add("invalid name (%q), only %q is supported", e.Name, GlobalName)
	}
	checkModes(d.Mode, d.MutualTLSMode, d.MeshGateway, wrong)
	d.TransparentProxy.check(wrong)
	d.Expose.check(wrong)
	if d.AccessLogs != nil {
		d.AccessLogs.check(wrong)
	}
	checkExtensions(d.EnvoyExtensions, wrong)
	if d.FailoverPolicy != nil {
		wrong.among("FailoverPolicy.Mode", d.FailoverPolicy.Mode, "", "sequential", "order-by-locality")
	}
	if d.PrioritizeByLocality != nil {
		wrong.among("PrioritizeByLocality.Mode", d.PrioritizeByLocality.Mode, "", "none", "failover")
	}
}

func (l *AccessLogs) check(wrong *problems) {
	wrong.among("AccessLogs.Type", l.Type, "", "file", "stderr", "stdout")
	if (l.Type == "file") != (l.Path != "") {
		wrong.add("AccessLogs.Path goes with AccessLogs.Type \"file\", and only with that")
	}
	if l.JSONFormat != "" && l.TextFormat != "" {
		wrong.add("AccessLogs cannot have both JSONFormat and TextFormat")
	}
}
