package grpcapi

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/uuid"
)

const (
	tokenKey = "x-consul-token"

	// whoTimeout bounds finding out whose token a call carries for its event alone.
	whoTimeout = 2 * time.Second
)

// tokenOf returns the token that a call carries, "" if it carries none.
func tokenOf(ctx context.Context) logging.Secret {
	if values := metadata.ValueFromIncomingContext(ctx, tokenKey); len(values) > 0 {
		return logging.Secret(values[0])
	}
	return ""
}

func remoteOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// sourceOf is what the streams of a client are counted under.
func sourceOf(ctx context.Context) string { return limit.SourceOf(remoteOf(ctx)) }

// deltaMethod is the path of the one call that is served.
const deltaMethod = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

// begin writes the event of a stream that begins. After an error it must not be served. The record may be nil.
func (a *API) begin(ctx context.Context, token logging.Secret) (*audit.Record, error) {
	if a.Audit == nil {
		return nil, nil
	}
	about := &audit.Request{
		ID: uuid.New(), Action: "xds.stream", Method: http.MethodPost, Endpoint: deltaMethod, RemoteAddr: remoteOf(ctx),
	}
	if agent := metadata.ValueFromIncomingContext(ctx, "user-agent"); len(agent) > 0 {
		about.UserAgent = agent[0]
	}
	return a.Audit.Begin(about, a.who(ctx, token))
}

// who returns whose token it is, nil where that cannot be said.
func (a *API) who(ctx context.Context, token logging.Secret) *audit.Auth {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	caller, err := a.Resolver.Resolve(ctx, token)
	if err != nil || caller.AccessorID == "" {
		return nil
	}
	auth := &audit.Auth{AccessorID: caller.AccessorID}
	if t := caller.Token; t != nil {
		auth.Description, auth.CreateTime = t.Description, t.CreateTime
	}
	return auth
}

// complete writes the event of a stream that has ended.
func (a *API) complete(record *audit.Record, code int, told error) error {
	result := audit.Result{Status: code}
	if told != nil {
		result.Error = told.Error()
	}
	return record.Complete(result)
}
