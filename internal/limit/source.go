// Package limit bounds what callers can take: places that are held, bytes in memory, rates, and
// turns of a queue. Everything is counted by source, so that one that takes all it can leaves
// the others what they need, and every table is bounded itself.
package limit

import (
	"context"
	"net/netip"
)

// sourceBits is the part of an IPv6 address that one customer of a network has for itself.
const sourceBits = 64

// SourceOf returns what requests from a remote address ("ip:port") are counted under: an IPv4
// address, or the /64 of an IPv6 address. What has no address, as a unix socket, is "local".
func SourceOf(remote string) string {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "local"
	}
	return sourceOfAddr(peer.Addr())
}

func sourceOfAddr(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(sourceBits) // of an IPv6 address
	return network.String()
}

type sourceKey struct{}

// WithSource returns a context in which Source finds source.
func WithSource(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source)
}

// Source returns where the request of ctx came from, "" where nobody has said so.
func Source(ctx context.Context) string {
	source, _ := ctx.Value(sourceKey{}).(string)
	return source
}
