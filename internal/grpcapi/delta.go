package grpcapi

import (
	"fmt"
	"maps"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/xds"
)

// maxNames bounds the resources that a proxy can subscribe to, of all types together.
const maxNames = 16384

// wildcard is the name that stands for all resources of a type.
const wildcard = "*"

// subscription is what a proxy wants of one type, and what it has of that.
type subscription struct {
	all      bool
	names    map[string]bool
	has      map[string]string // version by name: what was sent and not taken back
	again    map[string]bool   // names to answer for, whatever the proxy has
	answered bool              // there was a response
}

// request takes over what a request says about subscriptions (xDS protocol, "Incremental xDS").
func (s *subscription) request(t xds.Type, r *discovery.DeltaDiscoveryRequest) {
	first := s.names == nil
	if first {
		s.names, s.again, s.has = map[string]bool{}, map[string]bool{}, map[string]string{}
		maps.Copy(s.has, r.InitialResourceVersions)
		s.all = len(r.ResourceNamesSubscribe) == 0 && (t == xds.Listener || t == xds.Cluster)
	}
	for _, name := range r.ResourceNamesSubscribe {
		if name == wildcard {
			s.all = true
			continue
		}
		s.names[name] = true
		if _, known := s.has[name]; !first || !known {
			s.again[name] = true
		}
	}
	for _, name := range r.ResourceNamesUnsubscribe {
		if name == wildcard {
			s.all = false
			maps.DeleteFunc(s.has, func(name, _ string) bool { return !s.names[name] })
			continue
		}
		delete(s.names, name)
		delete(s.again, name)
		if !s.all {
			delete(s.has, name)
		}
	}
}

// size is how many names are kept for the proxy.
func (s *subscription) size() int { return len(s.names) + len(s.has) }

// response returns what the proxy is to be told, nil if that is nothing, and takes it as told. Without removals
// it is told of none.
func (s *subscription) response(t xds.Type, resources map[string]xds.Resource, removals bool) *discovery.DeltaDiscoveryResponse {
	out := &discovery.DeltaDiscoveryResponse{TypeUrl: string(t)}
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		if r := resources[name]; (s.all || s.names[name]) && (s.has[name] != r.Version || s.again[name]) {
			out.Resources = append(out.Resources, &discovery.Resource{Name: name, Version: r.Version, Resource: r.Body})
			s.has[name] = r.Version
			delete(s.again, name)
		}
	}
	if removals {
		out.RemovedResources = s.removed(resources)
	}
	if len(out.Resources) == 0 && len(out.RemovedResources) == 0 && (s.answered || !s.all) {
		return nil
	}
	s.answered = true
	return out
}

// removed returns the names that the proxy has, or asked for, and that are no more.
func (s *subscription) removed(resources map[string]xds.Resource) []string {
	gone := map[string]bool{}
	for name := range s.has {
		if _, exists := resources[name]; !exists {
			gone[name] = true
			delete(s.has, name)
		}
	}
	for name := range s.again {
		if _, exists := resources[name]; !exists {
			gone[name] = true
			delete(s.again, name)
		}
	}
	return slices.Sorted(maps.Keys(gone))
}

// delta is the state of one stream, apart from who it is for.
type delta struct {
	subscriptions map[xds.Type]*subscription
	resources     xds.Resources // nil before there are any
	nonce         uint64
}

// request takes over a request of a type that is served. It returns errs.Throttled if that is too much.
func (d *delta) request(t xds.Type, r *discovery.DeltaDiscoveryRequest) error {
	if d.subscriptions == nil {
		d.subscriptions = map[xds.Type]*subscription{}
	}
	s := d.subscriptions[t]
	if s == nil {
		s = &subscription{}
		d.subscriptions[t] = s
	}
	s.request(t, r)
	total := 0
	for _, s := range d.subscriptions {
		total += s.size()
	}
	if total > maxNames {
		return errs.Errorf(errs.Throttled, "too many resources are asked for, at most %d", maxNames)
	}
	return nil
}

// round is one step of telling a proxy what has changed.
type round struct {
	of       xds.Type
	removals bool
}

// rounds are the steps in an order in which nothing refers to what the proxy does not have: what is new comes before
// what refers to it, and what is gone goes after that.
var rounds = []round{
	{xds.Cluster, false}, {xds.Endpoint, false}, {xds.Listener, true}, {xds.Route, true}, {xds.Cluster, true}, {xds.Endpoint, true},
}

// responses returns what the proxy is to be told now, in order.
func (d *delta) responses() []*discovery.DeltaDiscoveryResponse {
	if d.resources == nil {
		return nil
	}
	var all []*discovery.DeltaDiscoveryResponse
	for _, step := range rounds {
		s := d.subscriptions[step.of]
		if s == nil {
			continue
		}
		if r := s.response(step.of, d.resources[step.of], step.removals); r != nil {
			d.nonce++
			r.Nonce = fmt.Sprintf("%08x", d.nonce)
			all = append(all, r)
			d.refresh(r)
		}
	}
	return all
}

// refresh has endpoints sent again of clusters that are: a proxy that is given another version of a
// cluster waits for them.
func (d *delta) refresh(r *discovery.DeltaDiscoveryResponse) {
	s := d.subscriptions[xds.Endpoint]
	if r.TypeUrl != string(xds.Cluster) || s == nil {
		return
	}
	for _, c := range r.Resources {
		if s.names[c.Name] || s.all {
			s.again[c.Name] = true
		}
	}
}
