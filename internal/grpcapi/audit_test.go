package grpcapi

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/logging"
)

const (
	someSecret   = "5ec2e700-0000-4000-8000-000000000001"
	someAccessor = "acce5500-0000-4000-8000-000000000001"
)

// oneToken resolves someSecret.
type oneToken struct{}

func (oneToken) Resolve(_ context.Context, secret logging.Secret) (acl.Caller, error) {
	if secret != someSecret {
		return acl.Caller{}, acl.ErrNotFound
	}
	return acl.Caller{AccessorID: someAccessor}, nil
}

// serveAudited runs an API with a trail. end stops both, once every call has ended or at once, and returns the trail.
func serveAudited(t *testing.T) (conn *grpc.ClientConn, api *API, end func(wait bool) string) {
	t.Helper()
	var out bytes.Buffer
	trail, err := audit.Open(audit.Config{
		Stdout: &out, Log: slog.New(slog.DiscardHandler), Sinks: []audit.Sink{{Name: "out", Type: audit.TypeFile, Path: "/dev/stdout"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	api = &API{Resolver: oneToken{}, Audit: trail, Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn, api, func(wait bool) string {
		if wait {
			_ = conn.Close()
			server.GracefulStop()
		}
		server.Close()
		<-served
		trail.Close()
		_ = conn.Close()
		return out.String()
	}
}

// call makes a call that says who it is for, and returns how it ended.
func call(ctx context.Context, conn *grpc.ClientConn, method, node string) codes.Code {
	ctx = metadata.AppendToOutgoingContext(ctx, tokenKey, someSecret)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err == nil {
		_ = stream.SendMsg(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: node, UserAgentName: "envoy"}})
		err = stream.RecvMsg(&discovery.DeltaDiscoveryResponse{})
	}
	return status.Code(err)
}

func TestEveryCallIsInTheTrail(t *testing.T) {
	conn, api, end := serveAudited(t)
	type event struct {
		Payload struct {
			Stage string
			Auth  struct {
				Accessor string `json:"accessor_id"`
			}
			Request struct {
				ID, Action, Endpoint string
				UserAgent            string `json:"user_agent"`
				Host                 string
				Body                 map[string]string
			}
			Response struct{ Status, Error string }
		}
	}
	const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
	full := func(c func() codes.Code) codes.Code {
		api.streams.Total = 1
		api.streams.Take("192.0.2.1", 1)
		defer api.streams.Give("192.0.2.1", 1)
		defer func() { api.streams.Total = streamsTotal }()
		return c()
	}
	var heard atomic.Pointer[context.CancelFunc] // called once the server has begun
	api.Resolver = resolverFunc(func(ctx context.Context, secret logging.Secret) (acl.Caller, error) {
		if leave := heard.Load(); leave != nil {
			(*leave)()
		}
		return oneToken{}.Resolve(ctx, secret)
	})
	leaves := func() codes.Code {
		ctx, leave := context.WithCancel(t.Context())
		heard.Store(&leave)
		return callNothing(ctx, conn)
	}
	cases := []struct {
		name             string
		got              codes.Code
		want             codes.Code
		endpoint, action string
		status, proxy    string
	}{
		{"a proxy without a name", call(t.Context(), conn, deltaMethod, ""), codes.InvalidArgument, deltaMethod, "xds.stream", "400", ""},
		{"no place is left", full(func() codes.Code { return call(t.Context(), conn, deltaMethod, "p") }), codes.ResourceExhausted, deltaMethod, "xds.stream", "429", ""},
		{"the other form of xDS", call(t.Context(), conn, service+"StreamAggregatedResources", "p"), codes.Unknown, service + "StreamAggregatedResources", "", "500", ""},
		{"a call that there is not", call(t.Context(), conn, "/no.Such/Call", "p"), codes.Unimplemented, "/no.Such/Call", "", "404", ""},
		{"a secret as a name", call(t.Context(), conn, "/no.Such/"+someSecret, "p"), codes.Unimplemented, "/no.Such/hmac_sha256:", "", "404", ""},
		{"a client that goes away", leaves(), codes.Canceled, deltaMethod, "xds.stream", "200", ""},
	}
	trail := end(true)
	if strings.Contains(trail, someSecret) {
		t.Error("the secret is in the trail")
	}
	var events []event
	for line := range strings.Lines(trail) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	if len(events) != 2*len(cases) {
		t.Fatalf("%d calls: %s", len(cases), trail)
	}
	for i, c := range cases {
		start, complete := events[2*i].Payload, events[2*i+1].Payload
		r := complete.Request
		if c.got != c.want || start.Stage != "OperationStart" || complete.Stage != "OperationComplete" || start.Request.ID != r.ID || r.ID == "" ||
			!strings.HasPrefix(r.Endpoint, c.endpoint) || r.Action != c.action || complete.Response.Status != c.status || strings.Contains(complete.Response.Error, "rpc error") || start.Auth.Accessor != someAccessor ||
			r.Body["proxy_id"] != c.proxy || r.UserAgent == "" || r.Host == "" {
			t.Errorf("%s: %v, %+v, %+v", c.name, c.got, start, complete)
		}
	}
}

func TestAStreamThatTheAgentEndsIsInTheTrail(t *testing.T) {
	for name, late := range map[string]bool{"with a word to its proxy": false, "cut off, because it is not ready in time": true} {
		t.Run(name, func(t *testing.T) {
			conn, api, end := serveAudited(t)
			begun := make(chan struct{})
			resolver := api.Resolver
			api.Resolver = resolverFunc(func(ctx context.Context, secret logging.Secret) (acl.Caller, error) {
				defer func() {
					select {
					case begun <- struct{}{}:
					case <-ctx.Done():
					}
					if late {
						<-ctx.Done()
					}
				}()
				return resolver.Resolve(ctx, secret)
			})
			ended := make(chan codes.Code, 1)
			go func() { ended <- callNothing(t.Context(), conn) }()
			<-begun
			trail := end(false)
			if code := <-ended; code != codes.Unavailable && !(late && code == codes.Canceled) { // the connection breaks off
				t.Errorf("the proxy is told %v", code)
			}
			if strings.Count(trail, "OperationStart") != 1 || strings.Count(trail, "OperationComplete") != 1 || !strings.Contains(trail, `"status":"503"`) {
				t.Errorf("trail: %s", trail)
			}
		})
	}
}

type resolverFunc func(context.Context, logging.Secret) (acl.Caller, error)

func (f resolverFunc) Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error) {
	return f(ctx, secret)
}

// callNothing opens a stream, says nothing and leaves.
func callNothing(ctx context.Context, conn *grpc.ClientConn) codes.Code {
	stream, err := conn.NewStream(metadata.AppendToOutgoingContext(ctx, tokenKey, someSecret), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, deltaMethod)
	if err == nil {
		err = stream.RecvMsg(&discovery.DeltaDiscoveryResponse{})
	}
	return status.Code(err)
}
