package proxycfg

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
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
	wanted, scopes := map[upstreamKey]bool{}, map[tenancy.Scope]bool{f.registered.Scope: true}
	for i := range f.registered.Proxy.Upstreams {
		u := &f.registered.Proxy.Upstreams[i]
		if u.DestinationPeer == "" && cmp.Or(u.DestinationType, "service") == "service" {
			key := f.keyOf(u)
			wanted[key], scopes[key.scope] = true, true
		}
	}
	for key, state := range f.upstreams {
		if !wanted[key] {
			state.end()
			delete(f.upstreams, key)
		}
	}
	for scope, state := range f.defaults {
		if !scopes[scope] {
			state.end()
			delete(f.defaults, scope)
		}
	}
	for key := range wanted {
		if f.upstreams[key] == nil {
			f.look(ctx, key)
		}
	}
	for scope := range scopes {
		if f.defaults[scope] == nil {
			f.readDefaults(ctx, scope)
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
	f.read(ctx, "upstream "+key.scope.String()+"/"+key.name, find, func() { state.endpoints = &[]Endpoint{} })
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

// defaultsState is what is known of the service-defaults of a scope.
type defaultsState struct {
	end    context.CancelFunc
	byName map[string]*configentry.ServiceDefaults // by name in lower case; nil before the first answer
}

// readDefaults begins to read the service-defaults of a scope: those that the token may read. Another scope than the
// proxy's own that cannot be read has none, so that the upstreams elsewhere get what they need.
func (f *follower) readDefaults(ctx context.Context, scope tenancy.Scope) {
	ctx, end := context.WithCancel(ctx)
	state := &defaultsState{end: end}
	f.defaults[scope] = state
	list := func(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
		var all []struct {
			Name string
			configentry.ServiceDefaults
		}
		q.Namespace, q.Partition = scope.Namespace, scope.Partition
		meta, err := f.queryKind(configentry.KindServiceDefaults, &all, q)
		byName := map[string]*configentry.ServiceDefaults{}
		for i := range all {
			byName[strings.ToLower(all[i].Name)] = &all[i].ServiceDefaults
		}
		return func() { state.byName = byName }, meta, err
	}
	var failed func()
	if scope != f.registered.Scope {
		failed = func() { state.byName = map[string]*configentry.ServiceDefaults{} }
	}
	f.read(ctx, "service-defaults of "+scope.String(), list, failed)
}

// serviceDefaults returns those of one service, nil where there are none.
func (f *follower) serviceDefaults(scope tenancy.Scope, name string) *configentry.ServiceDefaults {
	if d := f.defaults[scope]; d != nil {
		return d.byName[strings.ToLower(name)]
	}
	return nil
}
