package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// envoyProxy is what the agent says about the proxy.
type envoyProxy struct {
	id, cluster          string // cluster is the service that it stands in for
	namespace, partition string
	datacenter           string
	config               map[string]any
}

// proxy finds the proxy that the flags mean, and registers it first if it is a gateway
// that is to be registered.
func (f *envoyFlags) proxy(ctx context.Context, client *api.Client) (envoyProxy, error) {
	q := f.read(ctx)
	kind, err := f.gateway.kind()
	if err != nil {
		return envoyProxy{}, err
	}
	id := f.proxyID
	switch {
	case kind != "" && f.gateway.registers:
		if id, err = f.gateway.registerWith(client, kind, id, q); err != nil {
			return envoyProxy{}, err
		}
	case f.gateway.registers:
		return envoyProxy{}, complain("Auto-Registration can only be used for gateways")
	case id != "":
	case f.sidecarFor != "":
		if id, err = findSidecar(client, f.sidecarFor, q); err != nil {
			return envoyProxy{}, complain("%w", err)
		}
	case kind != "":
		if id, err = findGateway(client, kind, q); err != nil {
			return envoyProxy{}, err
		}
	default:
		return envoyProxy{}, complain("No proxy ID specified. One of -proxy-id, -sidecar-for, or -gateway is required")
	}
	if f.noCentral {
		return envoyProxy{id: id, cluster: cmp.Or(f.sidecarFor, f.gateway.service, id), namespace: f.namespace, partition: f.partition}, nil
	}
	s, err := f.fetch(client, id, q)
	if err != nil {
		return envoyProxy{}, complain("failed fetch proxy config from local agent: %w", err)
	}
	if s.Kind == api.ServiceKindTypical || s.Proxy == nil {
		return envoyProxy{}, complain("service is not a Connect proxy or gateway")
	}
	return envoyProxy{
		id: id, cluster: cmp.Or(s.Proxy.DestinationServiceName, s.Service), datacenter: s.Datacenter,
		namespace: cmp.Or(s.Namespace, f.namespace), partition: cmp.Or(s.Partition, f.partition), config: s.Proxy.Config,
	}, nil
}

// fetch returns the registration of the proxy: from the agent, or from the catalog for
// a proxy on another node.
func (f *envoyFlags) fetch(client *api.Client, id string, q *api.QueryOptions) (*api.AgentService, error) {
	if f.nodeName == "" {
		s, _, err := client.Agent().Service(id, q)
		return s, err
	}
	list, _, err := client.Catalog().NodeServiceList(f.nodeName, q)
	if err != nil {
		return nil, err
	}
	if list != nil {
		for _, s := range list.Services {
			if s.ID == id {
				s.Datacenter = cmp.Or(s.Datacenter, list.Node.Datacenter)
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("unknown service ID: %s", id)
}

// findSidecar returns the ID of the only sidecar of a service of the agent.
func findSidecar(client *api.Client, service string, q *api.QueryOptions) (string, error) {
	all, err := client.Agent().ServicesWithFilterOpts("", q)
	if err != nil {
		return "", fmt.Errorf("Failed looking up sidecar proxy info for %s: %w", service, err)
	}
	ids := matching(all, func(s *api.AgentService) bool {
		return s.Kind == api.ServiceKindConnectProxy && s.Proxy != nil && strings.EqualFold(s.Proxy.DestinationServiceID, service)
	})
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("No sidecar proxy registered for %s", service)
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("More than one sidecar proxy registered for %s.\n    Start proxy with -proxy-id and one of the following IDs: %s",
		service, strings.Join(ids, ", "))
}

// findGateway returns the ID of the only gateway of a kind.
func findGateway(client *api.Client, kind api.ServiceKind, q *api.QueryOptions) (string, error) {
	all, err := client.Agent().ServicesWithFilterOpts("", q)
	if err != nil {
		return "", complain("Failed looking up %s instances: %w", kind, err)
	}
	ids := matching(all, func(s *api.AgentService) bool { return s.Kind == kind })
	switch len(ids) {
	case 0:
		return "", complain("No %s services registered with this agent", kind)
	case 1:
		return ids[0], nil
	}
	return "", complain("More than one %s is registered with this agent.\n    Start it with -proxy-id and one of the following IDs: %s",
		kind, strings.Join(ids, ", "))
}

// matching returns the IDs of the services that is picks, sorted.
func matching(all map[string]*api.AgentService, is func(*api.AgentService) bool) []string {
	var ids []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if is(all[key]) {
			ids = append(ids, all[key].ID)
		}
	}
	return ids
}
