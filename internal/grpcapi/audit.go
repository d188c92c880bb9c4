package grpcapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/uuid"
)

const (
	// deltaMethod is the path of the one call that is served.
	deltaMethod = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	// maxShown bounds what an event shows of a proxy's names, in bytes.
	maxShown = 256
)

// recorded is a stream whose events say which proxy it was for.
type recorded struct {
	grpc.ServerStream
	node atomic.Pointer[core.Node] // of the first request
}

// RecvMsg implements grpc.ServerStream.
func (r *recorded) RecvMsg(m any) error {
	err := r.ServerStream.RecvMsg(m)
	if request, ok := m.(*discovery.DeltaDiscoveryRequest); ok && err == nil && request.Node != nil {
		r.node.CompareAndSwap(nil, request.Node)
	}
	return err
}

// audited answers a call between its events, whether there is such a call or not, and turns its error into what the
// other side is told.
func (a *API) audited(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if a.Audit == nil {
		_, told := answer(handler(srv, stream), a.Log)
		return told
	}
	token := a.tokenFor(tokenOf(stream.Context()))
	scrub := func(text string) string { return audit.Scrub(text, token, a.Audit.Hash) }
	kept := &recorded{ServerStream: stream}
	record, err := a.begin(stream.Context(), info.FullMethod, token, scrub)
	if err == nil {
		err = handler(srv, kept)
	}
	code, told := answer(err, a.Log)
	result := audit.Result{Status: code, Body: proxyOf(kept.node.Load(), scrub)}
	if told != nil {
		result.Error = scrub(status.Convert(told).Message())
	}
	if failed := record.Complete(result); failed != nil {
		_, told = answer(failed, a.Log)
	}
	return told
}

// begin writes the event of a call that begins. After an error it must not be served. The record may be nil.
func (a *API) begin(ctx context.Context, method string, token logging.Secret, scrub func(string) string) (*audit.Record, error) {
	about := &audit.Request{ID: uuid.New(), Method: http.MethodPost, Endpoint: scrub(method), RemoteAddr: remoteOf(ctx)}
	if method == deltaMethod {
		about.Action = "xds.stream"
	}
	if agent := metadata.ValueFromIncomingContext(ctx, "user-agent"); len(agent) > 0 {
		about.UserAgent = scrub(agent[0])
	}
	if host := metadata.ValueFromIncomingContext(ctx, ":authority"); len(host) > 0 {
		about.Host = scrub(host[0])
	}
	return a.Audit.Begin(about, audit.Who(ctx, a.Resolver, token))
}

// proxyOf is what an event shows of the request that a stream begins with; nil is nothing.
func proxyOf(n *core.Node, scrub func(string) string) []byte {
	if n == nil {
		return nil
	}
	fields := n.GetMetadata().GetFields()
	show := func(text string) string { return strings.ToValidUTF8(cut(scrub(text), maxShown), "") }
	text, err := json.Marshal(map[string]string{
		"proxy_id":  show(n.Id),
		"partition": show(orDefault(fields["partition"].GetStringValue())),
		"namespace": show(orDefault(fields["namespace"].GetStringValue())),
	})
	if err != nil {
		return nil
	}
	return text
}
