package proxycfg

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// facts are the answers of the readers that every proxy has.
type facts struct {
	trustDomain string
	roots       []string // nil before the first answer, as all of these
	leaf        *Leaf
	intentions  *[]configentry.Intention
	defaults    *configentry.ProxyDefaults
	mesh        *meshEntry
	services    map[string]*configentry.ServiceDefaults // by serviceKey
}

// meshEntry is the mesh entry, if there is one.
type meshEntry struct{ *configentry.Mesh }

// complete reports whether every reader has answered.
func (k *facts) complete() bool {
	return k.roots != nil && k.leaf != nil && k.intentions != nil && k.defaults != nil && k.mesh != nil && k.services != nil
}

// enter begins to read what every proxy of a destination needs.
func (f *follower) enter(ctx context.Context, p *catalog.Service) {
	ctx, f.forget = context.WithCancel(ctx)
	destination := p.Proxy.DestinationServiceName
	f.read(ctx, "roots of the mesh CA", f.queryRoots, nil)
	f.read(ctx, "leaf certificate", func(q *api.QueryOptions) (func(), *api.QueryMeta, error) { return f.queryLeaf(destination, q) }, nil)
	f.read(ctx, "intentions", func(q *api.QueryOptions) (func(), *api.QueryMeta, error) { return f.queryIntentions(destination, q) }, nil)
	f.read(ctx, "proxy-defaults", f.queryProxyDefaults, nil)
	f.read(ctx, "mesh entry", f.queryMesh, nil)
	f.read(ctx, "service-defaults", f.queryServiceDefaults, nil)
}

func (f *follower) queryRoots(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	list, meta, err := f.Client.Agent().ConnectCARoots(q)
	if err != nil {
		return nil, nil, err
	}
	return func() {
		slices.SortStableFunc(list.Roots, func(a, b *api.CARoot) int { return order(b.Active) - order(a.Active) })
		f.known.trustDomain, f.known.roots = list.TrustDomain, []string{}
		for _, r := range list.Roots {
			f.known.roots = append(f.known.roots, r.RootCertPEM)
		}
	}, meta, nil
}

func order(first bool) int {
	if first {
		return 1
	}
	return 0
}

func (f *follower) queryLeaf(service string, q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	leaf, meta, err := f.Client.Agent().ConnectCALeaf(service, q)
	if err != nil {
		return nil, nil, err
	}
	return func() { f.known.leaf = &Leaf{Chain: leaf.CertPEM, Key: logging.Secret(leaf.PrivateKeyPEM)} }, meta, nil
}

func (f *follower) queryIntentions(service string, q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	var found map[string][]configentry.Intention
	meta, err := f.Client.Raw().Query("/v1/connect/intentions/match?"+url.Values{"by": {"destination"}, "name": {service}}.Encode(), &found, q)
	if err != nil {
		return nil, nil, err
	}
	return func() {
		all := []configentry.Intention{}
		for _, list := range found {
			all = append(all, list...)
		}
		f.known.intentions = &all
	}, meta, nil
}

// queryKind asks for all entries of a kind: that of one which does not exist cannot be waited for.
func (f *follower) queryKind(kind configentry.Kind, out any, q *api.QueryOptions) (*api.QueryMeta, error) {
	return f.Client.Raw().Query("/v1/config/"+string(kind), out, q)
}

func (f *follower) queryProxyDefaults(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	var all []configentry.ProxyDefaults
	meta, err := f.queryKind(configentry.KindProxyDefaults, &all, q)
	return func() {
		f.known.defaults = &configentry.ProxyDefaults{}
		if len(all) > 0 {
			f.known.defaults = &all[0]
		}
	}, meta, err
}

func (f *follower) queryMesh(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	var all []configentry.Mesh
	meta, err := f.queryKind(configentry.KindMesh, &all, q)
	return func() {
		f.known.mesh = &meshEntry{}
		if len(all) > 0 {
			f.known.mesh = &meshEntry{&all[0]}
		}
	}, meta, err
}

// queryServiceDefaults asks for those of every namespace: upstreams may be in any.
func (f *follower) queryServiceDefaults(q *api.QueryOptions) (func(), *api.QueryMeta, error) {
	var all []struct {
		Name, Namespace string
		configentry.ServiceDefaults
	}
	q.Namespace = tenancy.Wildcard
	meta, err := f.queryKind(configentry.KindServiceDefaults, &all, q)
	return func() {
		f.known.services = map[string]*configentry.ServiceDefaults{}
		for i := range all {
			f.known.services[serviceKey(all[i].Namespace, all[i].Name)] = &all[i].ServiceDefaults
		}
	}, meta, err
}

func serviceKey(namespace, name string) string {
	return cmp.Or(namespace, tenancy.DefaultName) + "/" + strings.ToLower(name)
}

// snapshot returns one of what is known, nil as long as something is missing.
func (f *follower) snapshot() *Snapshot {
	if f.registered == nil || !f.known.complete() {
		return nil
	}
	destination := f.registered.Proxy.DestinationServiceName
	central := configentry.Resolve(f.registered.Scope, f.known.defaults, f.known.services[serviceKey(f.registered.Namespace, destination)])
	s := &Snapshot{
		Proxy:       *f.registered,
		Datacenter:  f.Datacenter,
		TrustDomain: f.known.trustDomain,
		Leaf:        *f.known.leaf, Roots: f.known.roots,
		Intentions: *f.known.intentions, DefaultAllow: f.DefaultAllow,
		Mesh: f.known.mesh.Mesh,
	}
	s.Proxy.Proxy.Config = merge(central.Config, f.registered.Proxy.Config)
	for i := range f.registered.Proxy.Upstreams {
		u := f.upstream(&central, &f.registered.Proxy.Upstreams[i])
		if u == nil {
			return nil
		}
		s.Upstreams = append(s.Upstreams, *u)
	}
	return s
}

// upstream returns an upstream with what is known of it, nil as long as nobody has answered.
func (f *follower) upstream(central *configentry.Central, registered *catalog.Upstream) *Upstream {
	key := f.keyOf(registered)
	state := f.upstreams[key]
	if state != nil && state.endpoints == nil {
		return nil
	}
	to := configentry.Service{Name: key.name, Scope: key.scope, Peer: registered.DestinationPeer}
	var own *configentry.ServiceDefaults
	if key.scope.Partition == f.registered.Partition {
		own = f.known.services[serviceKey(key.scope.Namespace, key.name)]
	}
	u := &Upstream{Upstream: *registered, Scope: key.scope}
	u.Config = merge(central.Upstream(to, own).Config, registered.Config)
	protocol, _ := u.Config["protocol"].(string)
	u.Protocol = ProtocolOf(strings.ToLower(protocol))
	if state != nil {
		u.Endpoints = *state.endpoints
	}
	return u
}

// merge returns the keys of both; those of over count.
func merge(under, over map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range []map[string]any{under, over} {
		for key, value := range m {
			out[key] = value
		}
	}
	return out
}

// String names an upstream in logs.
func (k upstreamKey) String() string { return fmt.Sprintf("upstream %s/%s", k.scope, k.name) }
