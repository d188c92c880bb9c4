package endpoint

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// watchCentral watches all config entries where they are asked for, and returns the index of the last
// change of one.
func (v *view) watchCentral(ws memdb.WatchSet, index uint64) (uint64, error) {
	if !v.Central {
		return index, nil
	}
	return max(index, v.tx.LastIndex(state.TableConfigEntries)), v.tx.WatchConfigEntries(ws)
}

// central returns an instance as it is, or where that is asked for, a proxy with what config entries say
// about it beside what it says itself, which goes before.
func (v *view) central(i *catalog.Instance) (*catalog.Instance, error) {
	if !v.Central || i.Kind == catalog.KindTypical {
		return i, nil
	}
	name := i.Service.Service
	if i.Kind == catalog.KindConnectProxy {
		name = i.Proxy.DestinationServiceName
	}
	defaults, err := v.entry(configentry.KindProxyDefaults, i.Scope, configentry.GlobalName)
	if err != nil {
		return nil, err
	}
	own, err := v.entry(configentry.KindServiceDefaults, i.Scope, name)
	if err != nil {
		return nil, err
	}
	c := configentry.Resolve(i.Scope, defaults.ProxyDefaults, own.ServiceDefaults)
	out := *i
	if err := mergeProxy(&out.Proxy, c); err != nil {
		return nil, err
	}
	out.Proxy.Upstreams = append([]catalog.Upstream(nil), i.Proxy.Upstreams...)
	for n := range out.Proxy.Upstreams {
		u := &out.Proxy.Upstreams[n]
		to := destination(u, i.Scope)
		own := &configentry.Entry{}
		if to.Peer == "" && u.DestinationType != "prepared_query" && v.who.Allowed(to.Scope, acl.ServiceRead, to.Name) {
			if own, err = v.entry(configentry.KindServiceDefaults, to.Scope, to.Name); err != nil {
				return nil, err
			}
		}
		said := c.Upstream(to, own.ServiceDefaults)
		u.Config = overlay(said.Config, u.Config)
		u.MeshGateway.Mode = cmp.Or(u.MeshGateway.Mode, said.MeshGateway.Mode)
	}
	return &out, nil
}

// entry returns an entry; one that does not exist is empty.
func (v *view) entry(k configentry.Kind, s tenancy.Scope, name string) (*configentry.Entry, error) {
	e, _, err := v.tx.ConfigEntry(nil, k, s, name)
	if e == nil {
		e = &configentry.Entry{}
	}
	return e, err
}

// destination is the service that an upstream of a proxy in s is.
func destination(u *catalog.Upstream, s tenancy.Scope) configentry.Service {
	to := configentry.Service{Name: u.DestinationName, Peer: u.DestinationPeer}
	if to.Peer == "" {
		to.Partition = cmp.Or(strings.ToLower(u.DestinationPartition), s.Partition)
	}
	to.Namespace = cmp.Or(strings.ToLower(u.DestinationNamespace), s.Namespace)
	return to
}

// mergeProxy adds to p what it does not say itself.
func mergeProxy(p *catalog.Proxy, c configentry.Central) error {
	p.Config = overlay(c.Config, p.Config)
	p.Mode = cmp.Or(p.Mode, c.Mode)
	p.MeshGateway.Mode = cmp.Or(p.MeshGateway.Mode, c.MeshGateway.Mode)
	if p.TransparentProxy == nil && c.TransparentProxy != (configentry.TransparentProxy{}) {
		t := catalog.TransparentProxy(c.TransparentProxy)
		p.TransparentProxy = &t
	}
	p.Expose.Checks = p.Expose.Checks || c.Expose.Checks
	if len(p.Expose.Paths) == 0 {
		for _, path := range c.Expose.Paths {
			p.Expose.Paths = append(p.Expose.Paths, catalog.ExposePath(path))
		}
	}
	if len(p.EnvoyExtensions) == 0 && len(c.EnvoyExtensions) > 0 {
		if err := convert(c.EnvoyExtensions, &p.EnvoyExtensions); err != nil {
			return err
		}
	}
	if len(p.AccessLogs) == 0 && c.AccessLogs != nil {
		return convert(c.AccessLogs, &p.AccessLogs)
	}
	return nil
}

// overlay returns over with the keys of under that it does not have.
func overlay(under, over map[string]any) map[string]any {
	if len(under) == 0 {
		return over
	}
	out := maps.Clone(under)
	maps.Copy(out, over)
	return out
}

// convert fills out with what from is as JSON.
func convert(from, out any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}
