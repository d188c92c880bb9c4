package xds

import (
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	bridge "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"
	grpcstats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	metadata "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	httprbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
)

const (
	forwardedCert = "x-forwarded-client-cert"
	maxHeadersKB  = 8192 // that Envoy takes
)

// publicManager treats requests of callers. What intentions say about paths holds for paths in their
// normal form, which is also what the service sees.
func (b *builder) publicManager(local string) (*manager.HttpConnectionManager, error) {
	filters, err := b.publicFilters()
	if err != nil {
		return nil, err
	}
	action := &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: local}}
	action.Timeout = optional(b.config.LocalRequestTimeoutMs)
	action.IdleTimeout = optional(b.config.LocalIdleTimeoutMs)
	m := connectionManager(publicListener, publicListener, publicListener, action, filters)
	m.ForwardClientCertDetails = manager.HttpConnectionManager_APPEND_FORWARD
	m.SetCurrentClientCertDetails = &manager.HttpConnectionManager_SetCurrentClientCertDetails{
		Subject: wrapperspb.Bool(true), Cert: true, Chain: true, Dns: true, Uri: true,
	}
	normal := &configentry.RequestNormalization{}
	if b.Mesh != nil && b.Mesh.HTTP != nil {
		if b.Mesh.HTTP.SanitizeXForwardedClientCert {
			m.ForwardClientCertDetails = manager.HttpConnectionManager_SANITIZE_SET
		}
		if in := b.Mesh.HTTP.Incoming; in != nil && in.RequestNormalization != nil {
			normal = in.RequestNormalization
		}
	}
	normalize(m, normal)
	if n := b.config.MaxRequestHeadersKB; n > 0 {
		m.MaxRequestHeadersKb = wrapperspb.UInt32(uint32(min(n, maxHeadersKB)))
	}
	return m, nil
}

func normalize(m *manager.HttpConnectionManager, n *configentry.RequestNormalization) {
	m.NormalizePath = wrapperspb.Bool(!n.InsecureDisablePathNormalization)
	m.MergeSlashes = n.MergeSlashes
	m.PathWithEscapedSlashesAction = manager.HttpConnectionManager_PathWithEscapedSlashesAction(
		manager.HttpConnectionManager_PathWithEscapedSlashesAction_value[n.PathWithEscapedSlashesAction])
	if n.HeadersWithUnderscoresAction != "" {
		m.CommonHttpProtocolOptions = &core.HttpProtocolOptions{
			HeadersWithUnderscoresAction: core.HttpProtocolOptions_HeadersWithUnderscoresAction(
				core.HttpProtocolOptions_HeadersWithUnderscoresAction_value[n.HeadersWithUnderscoresAction]),
		}
	}
}

// upstreamManager treats requests of the proxy's own service to an upstream.
func (b *builder) upstreamManager(u *proxycfg.Upstream) (*manager.HttpConnectionManager, error) {
	c := &chain{}
	if u.Protocol == proxycfg.GRPC {
		c.grpc()
	}
	c.add("envoy.filters.http.router", &router.Router{})
	name := target(b.Snapshot, u)
	action := &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: sni(b.Snapshot, u)}}
	return connectionManager("upstream."+name, u.DestinationName, name, action, c.filters), c.err
}

// connectionManager hands all requests to one place.
func connectionManager(stat, name, host string, to *route.RouteAction, filters []*manager.HttpFilter) *manager.HttpConnectionManager {
	return &manager.HttpConnectionManager{
		StatPrefix:  stat,
		HttpFilters: filters,
		RouteSpecifier: &manager.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name: name,
			VirtualHosts: []*route.VirtualHost{{
				Name: host, Domains: []string{"*"},
				Routes: []*route.Route{{
					Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
					Action: &route.Route_Route{Route: to},
				}},
			}},
		}},
		UpgradeConfigs: []*manager.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	}
}

// publicFilters decide about a request before anything else sees it.
func (b *builder) publicFilters() ([]*manager.HttpFilter, error) {
	c := &chain{}
	c.add("envoy.filters.http.rbac", &httprbac.RBAC{Rules: rules(b.Snapshot, true)})
	c.add("envoy.filters.http.header_to_metadata", callerMetadata())
	if b.protocol() == proxycfg.GRPC {
		c.grpc()
	}
	c.add("envoy.filters.http.router", &router.Router{})
	return c.filters, c.err
}

// chain gathers filters. err is the first error.
type chain struct {
	filters []*manager.HttpFilter
	err     error
}

func (c *chain) add(name string, m message) {
	body, err := pack(m)
	if c.err == nil {
		c.err = err
	}
	c.filters = append(c.filters, &manager.HttpFilter{Name: name, ConfigType: &manager.HttpFilter_TypedConfig{TypedConfig: body}})
}

func (c *chain) grpc() {
	c.add("envoy.filters.http.grpc_http1_bridge", &bridge.Config{})
	c.add("envoy.filters.http.grpc_stats", &grpcstats.FilterConfig{
		PerMethodStatSpecifier: &grpcstats.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(true)},
	})
}

// callerPattern reads the last URI of x-forwarded-client-cert: the one of the certificate that this
// proxy has verified. What callers have written stands before it.
const callerPattern = `.*URI=spiffe://([^/]+)(?:/ap/([^/]+))?/ns/([^/]+)/dc/([^/]+)/svc/([^/;,]+).*`

// callerMetadata tells the service's filters and logs who calls.
func callerMetadata() *metadata.Config {
	out := &metadata.Config{}
	for i, key := range []string{"trust-domain", "partition", "namespace", "datacenter", "service"} {
		out.RequestRules = append(out.RequestRules, &metadata.Config_Rule{
			Header: forwardedCert,
			OnHeaderPresent: &metadata.Config_KeyValuePair{
				MetadataNamespace: "consul", Key: key,
				RegexValueRewrite: &matcher.RegexMatchAndSubstitute{
					Pattern: regex(callerPattern), Substitution: `\` + string(rune('1'+i)),
				},
			},
		})
	}
	return out
}

// optional is a timeout: nil leaves it to Envoy, and 0 is none.
func optional(ms *int) *durationpb.Duration {
	if ms == nil || *ms < 0 {
		return nil
	}
	return durationpb.New(time.Duration(*ms) * time.Millisecond)
}
