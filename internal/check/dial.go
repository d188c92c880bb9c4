package check

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// security is how a probe's connections are encrypted.
type security struct {
	base       *tls.Config // may be nil
	serverName string      // empty is the host that is dialled
	skipVerify bool
}

func newSecurity(d *Definition, o *Options) security {
	return security{base: o.TLS, serverName: d.TLSServerName, skipVerify: d.TLSSkipVerify}
}

// config returns a configuration of the caller's own.
func (s security) config(protocols ...string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.base != nil {
		c = s.base.Clone()
	}
	if s.serverName != "" {
		c.ServerName = s.serverName
	}
	c.InsecureSkipVerify = c.InsecureSkipVerify || s.skipVerify
	c.NextProtos = protocols
	return c
}

// dial connects, with TLS if secure is there.
func dial(ctx context.Context, addr string, secure *tls.Config) (net.Conn, error) {
	if secure == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	d := tls.Dialer{Config: secure}
	return d.DialContext(ctx, "tcp", addr)
}

// newTransport returns a transport for one probe. It keeps no connection, uses
// no proxy and reads only few bytes of headers.
func newTransport(secure *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    time.Minute, // the probe's own time-out is shorter, or meant
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
