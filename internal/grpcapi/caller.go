package grpcapi

import (
	"context"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
)

const tokenKey = "x-consul-token"

// tokenOf returns the token that a call carries, "" if it carries none.
func tokenOf(ctx context.Context) logging.Secret {
	if values := metadata.ValueFromIncomingContext(ctx, tokenKey); len(values) > 0 {
		return logging.Secret(values[0])
	}
	return ""
}

// tokenFor returns the token that counts for a call that carries token.
func (a *API) tokenFor(token logging.Secret) logging.Secret {
	if token == "" && a.DefaultToken != nil {
		return a.DefaultToken()
	}
	return token
}

func remoteOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// sourceOf is what the streams of a client are counted under.
func sourceOf(ctx context.Context) string { return limit.SourceOf(remoteOf(ctx)) }
