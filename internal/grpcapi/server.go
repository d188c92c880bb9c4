package grpcapi

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/proxycfg"
)

// What a connection can take, and how long it may be silent (mesh.md section 6).
const (
	maxMessage       = 1 << 20 // bytes of a request
	maxHeaders       = 16 << 10
	streamsPerConn   = 64
	streamsPerSource = 512
	streamsTotal     = 8192
	handshakeTime    = 10 * time.Second
	pingInterval     = 30 * time.Second
	pingTimeout      = 20 * time.Second
	pingsAtMostEach  = 5 * time.Second
	idleTime         = 5 * time.Minute // of a connection without a stream
	stopTime         = time.Second     // for the last word
)

// API serves xDS. Source, Resolver and Log have to be set.
type API struct {
	Source   *proxycfg.Source
	Resolver interface {
		// Resolve returns who presents a secret; "" is the anonymous token.
		Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error)
	}
	// Changed returns a channel that is closed after the next change of what tokens may do; nil, or a nil channel, tells of none.
	Changed      func() <-chan struct{}
	DefaultToken func() logging.Secret // of calls without a token; nil is none
	Partition    string                // of this agent; "" is default
	Audit        *audit.Log            // nil writes no audit trail
	Log          *slog.Logger

	KeepaliveInterval, KeepaliveTimeout time.Duration // 0 is 30 s and 20 s

	streams limit.Places
}

// Server is an API on one listener or more.
type Server struct {
	*grpc.Server
	stop context.CancelFunc
	open connSet
}

// NewServer returns a server of a, with TLS if creds says so; nil is none. An API may have several.
func (a *API) NewServer(creds credentials.TransportCredentials) *Server {
	a.streams.PerSource, a.streams.Total = streamsPerSource, streamsTotal
	ctx, stop := context.WithCancel(context.Background())
	options := []grpc.ServerOption{
		grpc.ConnectionTimeout(handshakeTime),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(streamsPerConn),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: orElse(a.KeepaliveInterval, pingInterval), Timeout: orElse(a.KeepaliveTimeout, pingTimeout), MaxConnectionIdle: idleTime,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAtMostEach, PermitWithoutStream: true}),
		grpc.StreamInterceptor(a.guarded),
		grpc.UnknownServiceHandler(unknown),
		grpc.WaitForHandlers(true), // so that their events are written before the trail is closed
	}
	if creds != nil {
		options = append(options, grpc.Creds(creds))
	}
	s := &Server{Server: grpc.NewServer(options...), stop: stop}
	discovery.RegisterAggregatedDiscoveryServiceServer(s, &ads{API: a, stopping: ctx.Done()})
	return s
}

// Serve answers on l until Close, which gives nil.
func (s *Server) Serve(l net.Listener) error {
	return s.Server.Serve(&trackedListener{Listener: l, open: &s.open})
}

// Close ends every stream, with a word to its proxy, and closes the listeners. Who does not listen is cut off.
func (s *Server) Close() {
	s.stop()
	late := time.AfterFunc(stopTime, func() {
		s.open.closeAll() // Stop waits for handshakes too
		s.Stop()
	})
	defer late.Stop()
	s.GracefulStop()
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// guarded keeps what goes wrong in one stream from ending the agent.
func (a *API) guarded(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			a.Log.Error("a stream of gRPC panicked", "method", info.FullMethod, "cause", cause, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	return a.audited(srv, stream, info, handler)
}

// unknown answers calls that there are not. Going through the interceptor they are in the audit trail too.
func unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Error(codes.Unimplemented, "unknown method "+method)
}

// ads is the aggregated discovery service of one Server.
type ads struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	*API
	stopping <-chan struct{}
}

// StreamAggregatedResources refuses the form of xDS that sends everything at each change.
func (s *ads) StreamAggregatedResources(discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return status.Error(codes.Unknown, "not implemented")
}

// DeltaAggregatedResources serves one proxy until the stream ends.
func (s *ads) DeltaAggregatedResources(rpc discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	source := sourceOf(rpc.Context())
	if !s.streams.Take(source, 1) {
		return errs.New(errs.Throttled, "too many streams: try again later")
	}
	defer s.streams.Give(source, 1)
	st := &stream{ads: s, rpc: rpc, token: tokenOf(rpc.Context())}
	return st.serve(rpc.Context())
}
