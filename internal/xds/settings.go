package xds

import (
	"time"

	"github.com/mitchellh/mapstructure"
)

// Defaults (mesh.md section 4).
const (
	connectTimeout = 5 * time.Second
	balanced       = "exact_balance"
)

// proxySettings are the keys of a proxy's Config that its resources depend on.
type proxySettings struct {
	Protocol                  string `mapstructure:"protocol"`
	BindAddress               string `mapstructure:"bind_address"`
	BindPort                  int    `mapstructure:"bind_port"`
	LocalConnectTimeoutMs     int    `mapstructure:"local_connect_timeout_ms"`
	LocalRequestTimeoutMs     *int   `mapstructure:"local_request_timeout_ms"`
	LocalIdleTimeoutMs        *int   `mapstructure:"local_idle_timeout_ms"`
	MaxInboundConnections     int    `mapstructure:"max_inbound_connections"`
	MaxRequestHeadersKB       int    `mapstructure:"max_request_headers_kb"`
	BalanceInboundConnections string `mapstructure:"balance_inbound_connections"`
	PublicListener            string `mapstructure:"envoy_public_listener_json"`
	LocalCluster              string `mapstructure:"envoy_local_cluster_json"`
}

// upstreamSettings are the keys of an upstream's Config.
type upstreamSettings struct {
	ConnectTimeoutMs           int                 `mapstructure:"connect_timeout_ms"`
	Limits                     *limits             `mapstructure:"limits"`
	PassiveHealthCheck         *passiveHealthCheck `mapstructure:"passive_health_check"`
	BalanceOutboundConnections string              `mapstructure:"balance_outbound_connections"`
	Listener                   string              `mapstructure:"envoy_listener_json"`
	Cluster                    string              `mapstructure:"envoy_cluster_json"`
}

// limits bound what is asked of an upstream at once.
type limits struct {
	MaxConnections        *uint32 `mapstructure:"max_connections"`
	MaxPendingRequests    *uint32 `mapstructure:"max_pending_requests"`
	MaxConcurrentRequests *uint32 `mapstructure:"max_concurrent_requests"`
}

// passiveHealthCheck is when an instance that fails is left out for a while.
type passiveHealthCheck struct {
	Interval                time.Duration  `mapstructure:"interval"`
	MaxFailures             uint32         `mapstructure:"max_failures"`
	EnforcingConsecutive5xx *uint32        `mapstructure:"enforcing_consecutive_5xx"`
	MaxEjectionPercent      *uint32        `mapstructure:"max_ejection_percent"`
	BaseEjectionTime        *time.Duration `mapstructure:"base_ejection_time"`
}

// decode reads the keys of a Config that out has. What cannot be read is left out, and the error says what.
func decode(config map[string]any, out any) error {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: out, WeaklyTypedInput: true, DecodeHook: mapstructure.StringToTimeDurationHookFunc(),
		MatchName: func(key, field string) bool { return normal(key) == normal(field) },
	})
	if err != nil {
		return err
	}
	return d.Decode(config)
}

// normal is a key in lower case without underscores: config entries write MaxConnections.
func normal(key string) string {
	out := make([]byte, 0, len(key))
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c != '_':
			out = append(out, c)
		}
	}
	return string(out)
}

func milliseconds(n int, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Millisecond
}

// portOf bounds a port to what a message can hold; validation refuses what is none.
func portOf(n int) uint32 {
	if n < 0 || n > 65535 {
		return 1 << 16
	}
	return uint32(n)
}
