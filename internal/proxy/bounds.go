package proxy

import (
	"crypto/tls"
	"slices"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/configentry"
)

// bounds are what the mesh entry says about TLS, by direction as the proxy sees it. They never change.
type bounds struct{ incoming, outgoing *api.MeshDirectionalTLSConfig }

// readBounds returns what the mesh entries of the partition say; there is one at most.
func readBounds(entries []api.ConfigEntry) *bounds {
	b := &bounds{}
	for _, e := range entries {
		if mesh, ok := e.(*api.MeshConfigEntry); ok && mesh.TLS != nil {
			b.incoming, b.outgoing = mesh.TLS.Incoming, mesh.TLS.Outgoing
		}
	}
	return b
}

// tlsVersions are what the mesh entry calls the versions that the proxy speaks, and those before.
var tlsVersions = map[string]uint16{
	"TLSv1_0": tls.VersionTLS10, "TLSv1_1": tls.VersionTLS11, "TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13,
}

// within returns c within bounds, which may be nil. What they allow beyond c stays refused.
func within(c *tls.Config, d *api.MeshDirectionalTLSConfig) *tls.Config {
	if d == nil {
		return c
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tlsVersions[d.TLSMinVersion])
	c.MaxVersion = tlsVersions[d.TLSMaxVersion]
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.ContainsFunc(d.CipherSuites, func(name string) bool {
			iana, _, _ := configentry.CipherSuite(name)
			return iana == suite.Name
		}) {
			c.CipherSuites = append(c.CipherSuites, suite.ID)
		}
	}
	return c
}
