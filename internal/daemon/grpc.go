package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"google.golang.org/grpc/credentials"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/grpcapi"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
)

// rights say what tokens may do, and tell when that changes.
type rights interface {
	Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error)
	ACLs() (enabled, defaultAllow bool)
}

// grpcListener is one open address of gRPC.
type grpcListener struct {
	net.Listener
	server *grpcapi.Server
	tls    bool
}

func (l *grpcListener) serve(context.Context) error {
	if err := l.server.Serve(l.Listener); err != nil {
		return fmt.Errorf("grpc on %s: %w", l.Addr(), err)
	}
	return nil
}

// shutdown ends every stream: the proxies go on with what they have.
func (l *grpcListener) shutdown() {
	l.server.Close()
	_ = l.Close() // also where serve has not begun
}

// openGRPC opens the addresses of gRPC. Where both ports are off nothing is made.
func (b *base) openGRPC(api *httpapi.API, who rights, changed func() <-chan struct{}) error {
	plain, secure := b.cfg.Ports.GRPC > 0, b.cfg.Ports.GRPCTLS > 0
	if file := b.cfg.TLS.GRPC; secure && file.CertFile != "" {
		if err := b.grpcTLS.load(file); err != nil {
			return fmt.Errorf("tls.grpc: %w", err)
		}
	}
	if secure && !b.grpcTLS.loaded() {
		b.log.Info("gRPC with TLS is off: tls.grpc has no certificate")
		secure = false
	}
	if !plain && !secure {
		return nil
	}
	served, err := b.grpcAPI(api, who, changed)
	if err != nil {
		return err
	}
	if plain {
		addrs := addresses(b.cfg.Addresses.GRPC, b.cfg.ClientAddrs)
		if err := b.openGRPCOn(addrs, b.cfg.Ports.GRPC, "grpc", func() *grpcapi.Server { return served.NewServer(nil) }); err != nil {
			return err
		}
	}
	if secure {
		addrs := addresses(b.cfg.Addresses.GRPCTLS, b.cfg.ClientAddrs)
		err = b.openGRPCOn(addrs, b.cfg.Ports.GRPCTLS, "grpc_tls", func() *grpcapi.Server {
			return served.NewServer(credentials.NewTLS(b.grpcTLS.config()))
		})
	}
	return err
}

// grpcAPI is what is served, to proxies of this agent.
func (b *base) grpcAPI(api *httpapi.API, who rights, changed func() <-chan struct{}) (*grpcapi.API, error) {
	client, err := local.NewClient(&inProcess{handler: api.ProxyHandler()}, b.cfg.Partition)
	if err != nil {
		return nil, err
	}
	log := logging.Named(b.log, "envoy")
	enabled, allow := who.ACLs()
	return &grpcapi.API{
		Source: &proxycfg.Source{
			Services: exposing{b.local}, Client: client, Datacenter: b.cfg.Datacenter, DefaultAllow: !enabled || allow, Log: log,
		},
		Resolver: who, Changed: changed, Partition: b.cfg.Partition, Audit: b.audit, Log: log,
		DefaultToken:      func() logging.Secret { return b.tokens.Get(httpapi.TokenDefault) },
		KeepaliveInterval: b.cfg.GRPCKeepaliveInterval, KeepaliveTimeout: b.cfg.GRPCKeepaliveTimeout,
	}, nil
}

func (b *base) openGRPCOn(addrs []string, port int, protocol string, server func() *grpcapi.Server) error {
	for _, addr := range addrs {
		l, err := open(addr, port)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", protocol, err)
		}
		b.log.Info("Starting server", slog.String("address", l.Addr().String()),
			slog.String("network", l.Addr().Network()), slog.String("protocol", protocol))
		bounded := grpcapi.NewListener(l, b.cfg.Limits.HTTPMaxConnsPerClient)
		b.grpc = append(b.grpc, &grpcListener{Listener: bounded, server: server(), tls: protocol == "grpc_tls"})
	}
	return nil
}

// supportedProxies are the releases of Envoy that are tried with this one (mesh.md section 4). Others that are not too
// old are served too.
var supportedProxies = map[string][]string{"envoy": {"1.26.2", "1.25.7", "1.24.8", "1.23.10"}}

// xds says where proxies get their configuration, nil if nowhere.
func (b *base) xds() *httpapi.XDS {
	if len(b.grpc) == 0 {
		return nil
	}
	out := &httpapi.XDS{SupportedProxies: supportedProxies}
	out.Ports.Plaintext, out.Ports.TLS = -1, -1
	for _, l := range b.grpc {
		if l.tls {
			out.Ports.TLS = b.cfg.Ports.GRPCTLS
		} else {
			out.Ports.Plaintext = b.cfg.Ports.GRPC
		}
	}
	out.Port = cmp.Or(max(out.Ports.Plaintext, 0), out.Ports.TLS)
	return out
}

// exposing is what is registered with this agent, where a proxy has the paths too that checks of its service need.
type exposing struct{ *local.State }

// Service implements proxycfg.Services.
func (e exposing) Service(who acl.Caller, in tenancy.Scope, id string) (catalog.Service, error) {
	i, err := e.State.Service(who, in, id)
	if paths := e.ExposedPaths(in, id); err == nil && len(paths) > 0 {
		i.Proxy.Expose.Paths = slices.Concat(i.Proxy.Expose.Paths, paths)
	}
	return i, err
}
