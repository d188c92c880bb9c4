// Package xdsreader is a proxy that does nothing but read its configuration: a client of the incremental
// form of xDS, written from the protocol (envoyproxy.io, "xDS REST and gRPC protocol") and from nothing else.
// It subscribes as Envoy does: to all clusters and listeners, to the endpoints of clusters that say
// so, and to the routes of listeners that say so. It acknowledges what it gets.
package xdsreader

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Type URLs.
const (
	Clusters  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	Endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listeners = "type.googleapis.com/envoy.config.listener.v3.Listener"
)

// Proxy is who reads.
type Proxy struct {
	ID                   string
	Token                string // "" sends none
	Partition, Namespace string
	Envoy                [3]uint32 // the version that it says to have; zero says none
}

// State is what a proxy has been told. It is never changed.
type State struct {
	Clusters  map[string]*cluster.Cluster
	Endpoints map[string]*endpoint.ClusterLoadAssignment
	Listeners map[string]*listener.Listener
	Responses int
}

// Reader is an open stream.
type Reader struct {
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

	mu      sync.Mutex // guards what follows
	state   State
	err     error         // that ended the stream
	changed chan struct{} // closed at the next change
}

// Open opens a stream, which ctx ends.
func Open(ctx context.Context, conn grpc.ClientConnInterface, p Proxy) (*Reader, error) {
	if p.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-consul-token", p.Token)
	}
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{stream: stream, changed: make(chan struct{}), state: State{
		Clusters: map[string]*cluster.Cluster{}, Endpoints: map[string]*endpoint.ClusterLoadAssignment{}, Listeners: map[string]*listener.Listener{},
	}}
	for _, kind := range []string{Clusters, Listeners} {
		r.send(&discovery.DeltaDiscoveryRequest{Node: p.node(), TypeUrl: kind})
	}
	go r.read()
	return r, nil
}

// send sends a request. Where the stream has ended that fails, and only Recv says why it has.
func (r *Reader) send(request *discovery.DeltaDiscoveryRequest) { _ = r.stream.Send(request) }

func (p *Proxy) node() *core.Node {
	n := &core.Node{Id: p.ID, UserAgentName: "envoy", Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{}}}
	for key, value := range map[string]string{"partition": p.Partition, "namespace": p.Namespace} {
		if value != "" {
			n.Metadata.Fields[key] = structpb.NewStringValue(value)
		}
	}
	if v := p.Envoy; v != ([3]uint32{}) {
		n.UserAgentVersionType = &core.Node_UserAgentBuildVersion{UserAgentBuildVersion: &core.BuildVersion{
			Version: &envoytype.SemanticVersion{MajorNumber: v[0], MinorNumber: v[1], Patch: v[2]},
		}}
	}
	return n
}

func (r *Reader) read() {
	for {
		response, err := r.stream.Recv()
		if err == nil {
			err = r.take(response)
		}
		if err != nil {
			r.mu.Lock()
			r.err = err
			close(r.changed)
			r.mu.Unlock()
			return
		}
	}
}

// take takes over a response, and acknowledges it.
func (r *Reader) take(response *discovery.DeltaDiscoveryResponse) error {
	r.mu.Lock()
	next, wanted := r.state, r.wanted()
	r.mu.Unlock()
	next.Responses++
	var err error
	switch response.TypeUrl {
	case Clusters:
		next.Clusters, err = apply(next.Clusters, response)
	case Endpoints:
		next.Endpoints, err = apply(next.Endpoints, response)
	case Listeners:
		next.Listeners, err = apply(next.Listeners, response)
	default:
		err = fmt.Errorf("a response of type %q", response.TypeUrl)
	}
	if err != nil {
		return err
	}
	r.send(&discovery.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce})
	r.mu.Lock()
	r.state = next
	now := r.wanted()
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	r.subscribe(wanted, now)
	return nil
}

// wanted returns the clusters whose endpoints are to come. r.mu is held.
func (r *Reader) wanted() []string {
	var names []string
	for name, c := range r.state.Clusters {
		if c.GetType() == cluster.Cluster_EDS {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// subscribe asks for the endpoints of clusters that are new, and for those of the others no longer.
func (r *Reader) subscribe(before, now []string) {
	request := &discovery.DeltaDiscoveryRequest{TypeUrl: Endpoints}
	for _, name := range now {
		if !slices.Contains(before, name) {
			request.ResourceNamesSubscribe = append(request.ResourceNamesSubscribe, name)
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			request.ResourceNamesUnsubscribe = append(request.ResourceNamesUnsubscribe, name)
		}
	}
	if len(request.ResourceNamesSubscribe) > 0 || len(request.ResourceNamesUnsubscribe) > 0 {
		r.send(request)
	}
}

// validated is a message of Envoy's API.
type validated interface {
	proto.Message
	ValidateAll() error
}

// apply returns resources with what a response adds and removes.
func apply[M validated](old map[string]M, response *discovery.DeltaDiscoveryResponse) (map[string]M, error) {
	next := maps.Clone(old)
	for _, r := range response.Resources {
		body, err := r.Resource.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		m, ok := body.(M)
		if !ok || r.Version == "" {
			return nil, fmt.Errorf("resource %q of version %q is a %T", r.Name, r.Version, body)
		}
		if err := m.ValidateAll(); err != nil {
			return nil, err
		}
		next[r.Name] = m
	}
	for _, name := range response.RemovedResources {
		delete(next, name)
	}
	return next, nil
}

// Wait returns the first state for which enough is true. It returns the error that ended the stream, or ctx's.
func (r *Reader) Wait(ctx context.Context, enough func(State) bool) (State, error) {
	for {
		r.mu.Lock()
		state, err, changed := r.state, r.err, r.changed
		r.mu.Unlock()
		if err != nil || enough(state) {
			return state, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return state, ctx.Err()
		}
	}
}

// State returns what the proxy has been told so far.
func (r *Reader) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Ended waits for the end of the stream and returns its error.
func (r *Reader) Ended(ctx context.Context) error {
	_, err := r.Wait(ctx, func(State) bool { return false })
	return err
}
