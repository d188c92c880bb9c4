package proxycfg

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/logging"
)

// facts are the answers of the readers that every proxy has.
type facts struct {
	trustDomain string
	roots       []string // nil before the first answer, as all of these
	leaf        *Leaf
	intentions  *[]configentry.Intention
	defaults    *configentry.ProxyDefaults
	mesh        *meshEntry

	defaultAllow bool // known with intentions
}

// meshEntry is the mesh entry, if there is one.
type meshEntry struct{ *configentry.Mesh }

// complete reports whether every reader has answered.
func (k *facts) complete() bool {
	return k.roots != nil && k.leaf != nil && k.intentions != nil && k.defaults != nil && k.mesh != nil
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
	found, meta, err := f.Client.Connect().IntentionMatch(&api.IntentionMatch{By: api.IntentionMatchDestination, Names: []string{service}}, q)
	if err != nil {
		return nil, nil, err
	}
	all := []configentry.Intention{}
	for _, list := range found {
		for _, i := range list {
			own, err := intentionOf(i)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, own)
		}
	}
	return func() { f.known.intentions, f.known.defaultAllow = &all, defaultAllow(meta, f.DefaultAllow) }, meta, nil
}

// defaultAllow reports what counts where no intention does, as the server says that was asked about them; one that
// does not say it has this agent's own policy.
func defaultAllow(meta *api.QueryMeta, own bool) bool {
	switch meta.DefaultACLPolicy {
	case "allow":
		return true
	case "deny":
		return false
	}
	return own
}

// intentionOf returns an intention as it was before it became JSON.
func intentionOf(i *api.Intention) (own configentry.Intention, err error) {
	text, err := json.Marshal(i)
	if err != nil {
		return own, err
	}
	return own, json.Unmarshal(text, &own)
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

// snapshot returns one of what is known, nil as long as something is missing.
func (f *follower) snapshot() *Snapshot {
	if f.registered == nil || !f.known.complete() {
		return nil
	}
	destination := f.registered.Proxy.DestinationServiceName
	for _, d := range f.defaults {
		if d.byName == nil {
			return nil
		}
	}
	central := configentry.Resolve(f.registered.Scope, f.known.defaults, f.serviceDefaults(f.registered.Scope, destination))
	s := &Snapshot{
		Proxy:       *f.registered,
		Datacenter:  f.Datacenter,
		TrustDomain: f.known.trustDomain,
		Leaf:        *f.known.leaf, Roots: f.known.roots,
		Intentions: *f.known.intentions, DefaultAllow: f.known.defaultAllow,
		Mesh: f.known.mesh.Mesh,
	}
	s.Proxy.Proxy.Config = merge(central.Config, f.registered.Proxy.Config)
	s.Proxy.Proxy.Expose.Paths = exposed(f.registered.Proxy.Expose.Paths, central.Expose.Paths)
	for i := range f.registered.Proxy.Upstreams {
		u := f.upstream(&central, &f.registered.Proxy.Upstreams[i])
		if u == nil {
			return nil
		}
		s.Upstreams = append(s.Upstreams, *u)
	}
	return s
}

// exposed returns the paths of a registration, with the central ones unless it has some of its own. Those that
// its service's checks need are nobody's choice.
func exposed(registered []catalog.ExposePath, central []configentry.ExposePath) []catalog.ExposePath {
	if slices.ContainsFunc(registered, func(p catalog.ExposePath) bool { return !p.ParsedFromCheck }) {
		return registered
	}
	all := slices.Clone(registered)
	for _, p := range central {
		all = append(all, catalog.ExposePath(p))
	}
	return all
}

// upstream returns an upstream with what is known of it, nil as long as nobody has answered.
func (f *follower) upstream(central *configentry.Central, registered *catalog.Upstream) *Upstream {
	key := f.keyOf(registered)
	state := f.upstreams[key]
	if state != nil && state.endpoints == nil {
		return nil
	}
	to := configentry.Service{Name: key.name, Scope: key.scope, Peer: registered.DestinationPeer}
	u := &Upstream{Upstream: *registered, Scope: key.scope}
	u.Config = merge(central.Upstream(to, f.serviceDefaults(key.scope, key.name)).Config, registered.Config)
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
