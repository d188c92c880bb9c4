package xds

import (
	"cmp"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
)

const transportTLS = "tls"

// publicTLS is TLS towards callers, who have to show the certificate of a service. The mesh CA signs those
// of client agents too, about which no intention says anything.
func (b *builder) publicTLS(protocol string) (*core.TransportSocket, error) {
	var bounds *configentry.DirectionalTLS
	if b.Mesh != nil && b.Mesh.TLS != nil {
		bounds = b.Mesh.TLS.Incoming
	}
	return socket(&tls.DownstreamTlsContext{
		CommonTlsContext:         b.commonTLS(bounds, protocol, pattern(servicePattern(b.TrustDomain))),
		RequireClientCertificate: wrapperspb.Bool(true),
	})
}

// upstreamTLS is TLS towards an upstream, which has to be who it should be.
func (b *builder) upstreamTLS(u *proxycfg.Upstream) (*core.TransportSocket, error) {
	var bounds *configentry.DirectionalTLS
	if b.Mesh != nil && b.Mesh.TLS != nil {
		bounds = b.Mesh.TLS.Outgoing
	}
	return socket(&tls.UpstreamTlsContext{
		CommonTlsContext: b.commonTLS(bounds, u.Protocol, exactly(identity(b.Snapshot, u))),
		Sni:              sni(b.Snapshot, u),
	})
}

func socket(m message) (*core.TransportSocket, error) {
	body, err := pack(m)
	if err != nil {
		return nil, err
	}
	return &core.TransportSocket{Name: transportTLS, ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: body}}, nil
}

// commonTLS is what both directions have: the leaf, the roots, and what the other side's URI has to be.
func (b *builder) commonTLS(bounds *configentry.DirectionalTLS, protocol string, peer *matcher.StringMatcher) *tls.CommonTlsContext {
	verify := &tls.CertificateValidationContext{TrustedCa: inline(b.roots())}
	if b.version.Before(typedNames) {
		//lint:ignore SA1019 older proxies would not look at the newer field, and so at no name at all
		verify.MatchSubjectAltNames = []*matcher.StringMatcher{peer}
	} else {
		verify.MatchTypedSubjectAltNames = []*tls.SubjectAltNameMatcher{{SanType: tls.SubjectAltNameMatcher_URI, Matcher: peer}}
	}
	out := &tls.CommonTlsContext{
		TlsParams: tlsParams(bounds),
		TlsCertificates: []*tls.TlsCertificate{{
			CertificateChain: inline(b.Leaf.Chain), PrivateKey: inline(b.Leaf.Key.Reveal()),
		}},
		ValidationContextType: &tls.CommonTlsContext_ValidationContext{ValidationContext: verify},
	}
	switch protocol {
	case proxycfg.HTTP:
		out.AlpnProtocols = []string{"http/1.1"}
	case proxycfg.HTTP2, proxycfg.GRPC:
		out.AlpnProtocols = []string{"h2"}
	}
	return out
}

func exactly(text string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: text}}
}

func pattern(text string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(text)}}
}

// tlsParams are the bounds that the mesh entry sets; without one at least TLS 1.2.
func tlsParams(d *configentry.DirectionalTLS) *tls.TlsParameters {
	out := &tls.TlsParameters{TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2}
	if d == nil {
		return out
	}
	version := func(name string) tls.TlsParameters_TlsProtocol {
		return tls.TlsParameters_TlsProtocol(tls.TlsParameters_TlsProtocol_value[cmp.Or(name, "TLS_AUTO")])
	}
	if d.TLSMinVersion != "" {
		out.TlsMinimumProtocolVersion = version(d.TLSMinVersion)
	}
	out.TlsMaximumProtocolVersion = version(d.TLSMaxVersion)
	for _, name := range d.CipherSuites {
		if _, openSSL, known := configentry.CipherSuite(name); known {
			name = openSSL
		}
		out.CipherSuites = append(out.CipherSuites, name)
	}
	return out
}

// roots are the certificates that are trusted, as one file.
func (b *builder) roots() string {
	var all strings.Builder
	for _, root := range b.Roots {
		all.WriteString(strings.TrimSpace(root) + "\n")
	}
	return all.String()
}

func inline(text string) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}}
}
