// Package xds turns a proxycfg.Snapshot into the resources of Envoy's v3 API (spec: mesh.md sections 4
// and 7). It is pure: the same snapshot gives the same resources with the same versions. Every message
// passes Envoy's own validation before it becomes a resource.
package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lictor/lictor/internal/proxycfg"
)

// Type is the type URL of a resource.
type Type string

const urlPrefix = "type.googleapis.com/"

// The types that are served, in the order in which they are sent.
const (
	Cluster  Type = urlPrefix + "envoy.config.cluster.v3.Cluster"
	Endpoint Type = urlPrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listener Type = urlPrefix + "envoy.config.listener.v3.Listener"
	Route    Type = urlPrefix + "envoy.config.route.v3.RouteConfiguration"
)

// Types returns them in that order.
func Types() []Type { return []Type{Cluster, Endpoint, Listener, Route} }

// Resource is one resource. Version is a hash of Body.
type Resource struct {
	Name    string
	Version string
	Body    *anypb.Any
}

// Resources are all resources of a proxy, by type and name.
type Resources map[Type]map[string]Resource

// message is a generated message that knows Envoy's rules for it.
type message interface {
	proto.Message
	ValidateAll() error
}

// builder makes resources from a snapshot.
type builder struct {
	*proxycfg.Snapshot
	version Version
	config  proxySettings
	out     Resources
	errs    []error
}

// Build returns the resources of the proxy of s, which runs release v. What cannot be made is left out, and the
// error says what and why; the rest is complete.
func Build(s *proxycfg.Snapshot, v Version) (Resources, error) {
	b := &builder{Snapshot: s, version: v, out: Resources{}}
	for _, t := range Types() {
		b.out[t] = map[string]Resource{}
	}
	if err := decode(s.Proxy.Proxy.Config, &b.config); err != nil {
		b.errs = append(b.errs, fmt.Errorf("proxy config: %w", err))
	}
	b.try("local service", b.inbound)
	b.exposed()
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		b.try(fmt.Sprintf("upstream %q", u.DestinationName), func() error { return b.outbound(u) })
	}
	return b.out, errors.Join(b.errs...)
}

func (b *builder) try(what string, make func() error) {
	if err := make(); err != nil {
		b.errs = append(b.errs, fmt.Errorf("%s: %w", what, err))
	}
}

// add makes a message a resource. The first of a name stays: two upstreams may share a cluster.
func (b *builder) add(t Type, name string, m message) error {
	body, err := pack(m)
	if err != nil {
		return err
	}
	if body.TypeUrl != string(t) {
		return fmt.Errorf("%s is no %s", body.TypeUrl, t)
	}
	if _, exists := b.out[t][name]; exists {
		return nil
	}
	sum := sha256.Sum256(body.Value)
	b.out[t][name] = Resource{Name: name, Version: hex.EncodeToString(sum[:]), Body: body}
	return nil
}

// pack validates a message and encodes it, always the same way.
func pack(m message) (*anypb.Any, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, err
	}
	body := &anypb.Any{}
	err := anypb.MarshalFrom(body, m, proto.MarshalOptions{Deterministic: true})
	return body, err
}
