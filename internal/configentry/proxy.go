package configentry

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// What several kinds say about proxies.

// MeshGateway says whether traffic leaves through a gateway.
type MeshGateway struct {
	Mode string `json:",omitempty"` // "", "none", "local" or "remote"
}

// TransparentProxy is how a proxy captures outbound traffic.
type TransparentProxy struct {
	OutboundListenerPort int  `json:",omitempty"`
	DialedDirectly       bool `json:",omitempty"`
}

// Expose are the paths that are reachable without mutual TLS.
type Expose struct {
	Checks bool         `json:",omitempty"`
	Paths  []ExposePath `json:",omitempty"`
}

// ExposePath is one of them.
type ExposePath struct {
	ListenerPort    int    `json:",omitempty"`
	Path            string `json:",omitempty"`
	LocalPathPort   int    `json:",omitempty"`
	Protocol        string `json:",omitempty"` // "http" or "http2"
	ParsedFromCheck bool
}

// EnvoyExtension is a change of the resources that a proxy is given.
type EnvoyExtension struct {
	Name          string
	Required      bool
	Arguments     map[string]any `json:",omitempty"`
	ConsulVersion string         `json:",omitempty"`
	EnvoyVersion  string         `json:",omitempty"`
}

// UpstreamConfig is how calls to an upstream are made.
type UpstreamConfig struct {
	Name                       string              `json:",omitempty"` // of an override
	Partition                  string              `json:",omitempty"`
	Namespace                  string              `json:",omitempty"`
	Peer                       string              `json:",omitempty"`
	EnvoyListenerJSON          string              `json:",omitempty"`
	EnvoyClusterJSON           string              `json:",omitempty"`
	Protocol                   string              `json:",omitempty"`
	ConnectTimeoutMs           int                 `json:",omitempty"`
	Limits                     *UpstreamLimits     `json:",omitempty"`
	PassiveHealthCheck         *PassiveHealthCheck `json:",omitempty"`
	MeshGateway                MeshGateway
	BalanceOutboundConnections string `json:",omitempty"`
}

// UpstreamLimits bound what a proxy asks of an upstream at once. nil is the proxy's default.
type UpstreamLimits struct {
	MaxConnections        *int
	MaxPendingRequests    *int
	MaxConcurrentRequests *int
	PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
}

// PassiveHealthCheck is when an instance that fails is left out for a while. Durations are nanoseconds
// in JSON, and may be written as text.
type PassiveHealthCheck struct {
	Interval                           time.Duration `json:",omitempty"`
	MaxFailures                        int
	EnforcingConsecutive5xx            *int           `json:",omitempty"` // percent, as the next one
	EnforcingConsecutiveGatewayFailure *int           `json:",omitempty"`
	Consecutive5xx                     *int           `json:",omitempty"`
	ConsecutiveGatewayFailure          *int           `json:",omitempty"`
	MaxEjectionPercent                 *int           `json:",omitempty"`
	BaseEjectionTime                   *time.Duration `json:",omitempty"`
}

const (
	maxPort  = 65535
	balanced = "exact_balance"
)

func checkModes(mode, mutualTLS string, gateway MeshGateway, wrong *problems) {
	wrong.among("Mode", mode, "", "direct", "transparent")
	wrong.among("MutualTLSMode", mutualTLS, "", "strict", "permissive")
	gateway.check("", wrong)
}

func (g MeshGateway) check(at string, wrong *problems) {
	wrong.among(at+"MeshGateway.Mode", g.Mode, "", "none", "local", "remote")
}

func (t TransparentProxy) check(wrong *problems) {
	wrong.within("TransparentProxy.OutboundListenerPort", t.OutboundListenerPort, 0, maxPort)
}

func (x Expose) check(wrong *problems) {
	for i, p := range x.Paths {
		at := fmt.Sprintf("Expose.Paths[%d].", i)
		if !strings.HasPrefix(p.Path, "/") {
			wrong.add("%sPath must begin with a slash", at)
		}
		wrong.within(at+"ListenerPort", p.ListenerPort, 0, maxPort)
		wrong.within(at+"LocalPathPort", p.LocalPathPort, 0, maxPort)
		wrong.among(at+"Protocol", p.Protocol, "", "http", "http2")
	}
}

func checkExtensions(all []EnvoyExtension, wrong *problems) {
	for i, x := range all {
		name, builtin := strings.CutPrefix(x.Name, "builtin/")
		switch {
		case !builtin || name == "":
			wrong.add("invalid EnvoyExtensions[%d]: name must be a builtin extension, not %q", i, x.Name)
		case x.Required:
			// Nothing applies extensions yet. One that may be left out is left out.
			wrong.add("invalid EnvoyExtensions[%d]: %q cannot be required: it is not supported yet", i, x.Name)
		}
	}
}

func (u *UpstreamConfig) check(at string, wrong *problems) {
	wrong.within(at+"ConnectTimeoutMs", u.ConnectTimeoutMs, 0, math.MaxInt32)
	wrong.among(at+"BalanceOutboundConnections", u.BalanceOutboundConnections, "", balanced)
	u.MeshGateway.check(at, wrong)
	u.PassiveHealthCheck.check(at, wrong)
	if l := u.Limits; l != nil {
		wrong.withinIf(at+"Limits.MaxConnections", l.MaxConnections, 0, math.MaxInt32)
		wrong.withinIf(at+"Limits.MaxPendingRequests", l.MaxPendingRequests, 0, math.MaxInt32)
		wrong.withinIf(at+"Limits.MaxConcurrentRequests", l.MaxConcurrentRequests, 0, math.MaxInt32)
		l.PassiveHealthCheck.check(at+"Limits.", wrong)
	}
}

func (c *PassiveHealthCheck) check(at string, wrong *problems) {
	if c == nil {
		return
	}
	at += "PassiveHealthCheck."
	if c.Interval < 0 {
		wrong.add("%sInterval cannot be negative", at)
	}
	if c.BaseEjectionTime != nil && *c.BaseEjectionTime < 0 {
		wrong.add("%sBaseEjectionTime cannot be negative", at)
	}
	wrong.within(at+"MaxFailures", c.MaxFailures, 0, math.MaxInt32)
	wrong.withinIf(at+"EnforcingConsecutive5xx", c.EnforcingConsecutive5xx, 0, 100)
	wrong.withinIf(at+"EnforcingConsecutiveGatewayFailure", c.EnforcingConsecutiveGatewayFailure, 0, 100)
	wrong.withinIf(at+"Consecutive5xx", c.Consecutive5xx, 0, math.MaxInt32)
	wrong.withinIf(at+"ConsecutiveGatewayFailure", c.ConsecutiveGatewayFailure, 0, math.MaxInt32)
	wrong.withinIf(at+"MaxEjectionPercent", c.MaxEjectionPercent, 0, 100)
}
