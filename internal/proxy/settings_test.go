package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func sidecar(change func(*api.AgentService)) *api.AgentService {
	s := &api.AgentService{
		Kind: api.ServiceKindConnectProxy, ID: "web-1-sidecar-proxy", Service: "web-sidecar-proxy", Port: 21000,
		Proxy: &api.AgentServiceConnectProxyConfig{
			DestinationServiceName: "web", LocalServicePort: 8080, Config: map[string]any{},
			Upstreams: []api.Upstream{{DestinationType: "service", DestinationName: "api", LocalBindPort: 9191, Config: map[string]any{}}},
		},
	}
	change(s)
	return s
}

func TestSettingsOfARegistration(t *testing.T) {
	config := func(key string, value any) func(*api.AgentService) {
		return func(s *api.AgentService) { s.Proxy.Config[key] = value }
	}
	upstream := func(change func(*api.Upstream)) func(*api.AgentService) {
		return func(s *api.AgentService) { change(&s.Proxy.Upstreams[0]) }
	}
	public := Public{Bind: TCP("0.0.0.0", 21000), Local: TCP("127.0.0.1", 8080), ConnectTimeout: time.Second, HandshakeTimeout: 10 * time.Second}
	tests := []struct {
		name   string
		change func(*api.AgentService)
		want   func(*Public, *Upstream)
		says   string
	}{
		{name: "nothing but what is needed", change: func(*api.AgentService) {}, want: func(*Public, *Upstream) {}},
		{name: "an address of the proxy", change: func(s *api.AgentService) { s.Address = "127.0.0.2" }, want: func(p *Public, _ *Upstream) { p.Bind = TCP("127.0.0.2", 21000) }},
		{name: "bind_address", change: config("bind_address", "127.0.0.3"), want: func(p *Public, _ *Upstream) { p.Bind = TCP("127.0.0.3", 21000) }},
		{name: "bind_port", change: config("bind_port", 20000.0), want: func(p *Public, _ *Upstream) { p.Bind = TCP("0.0.0.0", 20000) }},
		{name: "bind_port as text", change: config("bind_port", "20000"), want: func(p *Public, _ *Upstream) { p.Bind = TCP("0.0.0.0", 20000) }},
		{name: "local_service_address", change: config("local_service_address", "127.0.0.4:80"), want: func(p *Public, _ *Upstream) { p.Local = TCP("127.0.0.4", 80) }},
		{name: "an address of the service", change: func(s *api.AgentService) { s.Proxy.LocalServiceAddress = "::1" }, want: func(p *Public, _ *Upstream) { p.Local = TCP("::1", 8080) }},
		{name: "a socket of the service", change: func(s *api.AgentService) { s.Proxy.LocalServiceSocketPath = "/run/web" }, want: func(p *Public, _ *Upstream) { p.Local = Address{Network: "unix", Addr: "/run/web"} }},
		{name: "local_connect_timeout_ms", change: config("local_connect_timeout_ms", 5.0), want: func(p *Public, _ *Upstream) { p.ConnectTimeout = 5 * time.Millisecond }},
		{name: "handshake_timeout_ms", change: config("handshake_timeout_ms", "5"), want: func(p *Public, _ *Upstream) { p.HandshakeTimeout = 5 * time.Millisecond }},
		{name: "a timeout of 0", change: config("handshake_timeout_ms", 0.0), want: func(*Public, *Upstream) {}},
		{name: "connect_timeout_ms", change: upstream(func(u *api.Upstream) { u.Config["connect_timeout_ms"] = 5 }), want: func(_ *Public, u *Upstream) { u.ConnectTimeout = 5 * time.Millisecond }},
		{name: "an address of the upstream", change: upstream(func(u *api.Upstream) { u.LocalBindAddress = "127.0.0.5" }), want: func(_ *Public, u *Upstream) { u.Bind = TCP("127.0.0.5", 9191) }},
		{name: "a socket of the upstream", change: upstream(func(u *api.Upstream) { u.LocalBindSocketPath, u.LocalBindSocketMode = "/run/api", "0660" }), want: func(_ *Public, u *Upstream) { u.Bind = Address{Network: "unix", Addr: "/run/api", Mode: 0o660} }},
		{name: "central configuration for upstreams", change: func(s *api.AgentService) {
			s.Proxy.Upstreams = append(s.Proxy.Upstreams, api.Upstream{DestinationName: "*", CentrallyConfigured: true})
		}, want: func(*Public, *Upstream) {}},

		{name: "no proxy", change: func(s *api.AgentService) { s.Kind = "" }, says: "service is not a Connect proxy"},
		{name: "a gateway", change: func(s *api.AgentService) { s.Kind = api.ServiceKindMeshGateway }, says: "service is not a Connect proxy"},
		{name: "a port that is no number", change: config("bind_port", "http"), says: "the value of bind_port cannot be used: http"},
		{name: "a port too high", change: config("bind_port", 65536.0), says: "the value of bind_port cannot be used"},
		{name: "half a port", change: config("bind_port", 1.5), says: "the value of bind_port cannot be used"},
		{name: "a negative time", change: config("handshake_timeout_ms", -1.0), says: "the value of handshake_timeout_ms cannot be used"},
		{name: "a time without an end", change: config("handshake_timeout_ms", 1e300), says: "the value of handshake_timeout_ms cannot be used"},
		{name: "an address that is no text", change: config("bind_address", 5.0), says: "the value of bind_address cannot be used"},
		{name: "an upstream's wrong time", change: upstream(func(u *api.Upstream) { u.Config["connect_timeout_ms"] = true }), says: `upstream "api": the value of connect_timeout_ms cannot be used`},
		{name: "a prepared query", change: upstream(func(u *api.Upstream) { u.DestinationType = "prepared_query" }), says: `upstream "api": a destination of type "prepared_query" needs Envoy`},
		{name: "another cluster", change: upstream(func(u *api.Upstream) { u.DestinationPeer = "far" }), says: `upstream "api": a destination in another cluster needs Envoy`},
		{name: "a mode that is none", change: upstream(func(u *api.Upstream) { u.LocalBindSocketPath, u.LocalBindSocketMode = "/run/api", "rw" }), says: `"rw" is no mode of a socket`},
		{name: "two listeners at one address", change: func(s *api.AgentService) { s.Proxy.Upstreams = append(s.Proxy.Upstreams, s.Proxy.Upstreams[0]) }, says: "there are two listeners at 127.0.0.1:9191"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := FromRegistration(sidecar(tc.change))
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantPublic, wantUpstream := public, NewUpstream("api", got.Scope, TCP("127.0.0.1", 9191))
			tc.want(&wantPublic, &wantUpstream)
			if got.Service != "web" || *got.Public != wantPublic || len(got.Upstreams) != 1 || got.Upstreams[0] != wantUpstream {
				t.Errorf("got %+v, %+v", *got.Public, got.Upstreams)
			}
		})
	}
}
