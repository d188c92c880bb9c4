package proxycfg

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

// upstreamKey names a service that is looked for. Several upstreams may have the same.
type upstreamKey struct {
	name, datacenter string
	scope            tenancy.Scope
}

// upstreamState is what is known of it.
type upstreamState struct {
	end       context.CancelFunc
	endpoints *[]Endpoint // nil before the first answer
}

// keyOf returns what is looked for; what an upstream does not say of its scope is the proxy's.
func (f *follower) keyOf(u *catalog.Upstream) upstreamKey {
	return upstreamKey{name: u.DestinationName, datacenter: u.Datacenter, scope: tenancy.Scope{
		Partition: cmp.Or(u.DestinationPartition, f.registered.Partition),
		Namespace: cmp.Or(u.DestinationNamespace, f.registered.Namespace),
	}}
}

// reconcile begins to look for upstreams that are new, and ends it for those that are gone.
func (f *follower) reconcile(ctx context.Context) {
	wanted := map[upstreamKey]bool{}
	for i := range f.registered.Proxy.Upstreams {
		u := &f.registered.Proxy.Upstreams[i]
		if u.DestinationPeer == "" && cmp.Or(u.DestinationType, "service") == "service" {
			wanted[f.keyOf(u)] = true
		}
	}
	for key, state := range f.upstreams {
		if !wanted[key] {
			state.end()
			delete(f.upstreams, key)
		}
	}
	for key := range wanted {
		if f.upstreams[key] == nil {
			f.look(ctx, key)
		}
	}
}

// look begins to look for the instances of a service. One that cannot be looked for has none, so that the
// others get what they need.
func (f *follower) look(ctx context.Context, key upstreamKey) {
	ctx, end := context.WithCancel(ctx)
	state := &upstreamState{end: end}
	f.upstreams[key] = state
	find := func(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
		q.Namespace, q.Partition, q.Datacenter = key.scope.Namespace, key.scope.Partition, key.datacenter
		found, meta, err := f.Client.Health().Connect(key.name, "", false, q)
		if err != nil {
			return nil, nil, err
		}
		endpoints := endpointsOf(found)
		return func() { state.endpoints = &endpoints }, meta, nil
	}
	f.read(ctx, key.String(), find, func() { state.endpoints = &[]Endpoint{} })
}

// endpointsOf returns where instances are, always in the same order.
func endpointsOf(found []*api.ServiceEntry) []Endpoint {
	out := []Endpoint{}
	for _, e := range found {
		p := Endpoint{Address: cmp.Or(e.Service.Address, e.Node.Address), Port: e.Service.Port}
		switch e.Checks.AggregatedStatus() {
		case api.HealthPassing:
			p.Healthy, p.Weight = true, e.Service.Weights.Passing
		case api.HealthWarning:
			p.Healthy, p.Weight = true, e.Service.Weights.Warning
		default:
			p.Weight = e.Service.Weights.Passing
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	return out
}
