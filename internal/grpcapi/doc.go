// Package grpcapi is the edge of gRPC: xDS for proxies, as Envoy's v3 API in its incremental form
// (spec: mesh.md section 6). Each stream serves one proxy that is registered with this agent.
//
// Goroutines: for each stream one that reads, one that follows the proxy, and those of that; all end with the stream.
package grpcapi
