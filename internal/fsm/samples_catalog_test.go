package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

const (
	firstNode  = "40de0000-0000-4000-8000-000000000001"
	secondNode = "40de0000-0000-4000-8000-000000000002"
)

func node(s tenancy.Scope, name, id string) catalog.Node {
	return catalog.Node{
		ID: id, Node: name, Address: "10.0.0.1", Datacenter: "dc1", Scope: s,
		TaggedAddresses: map[string]string{"lan": "10.0.0.1"}, Meta: map[string]string{"rack": "7"},
	}
}

func service(s tenancy.Scope, id, name string, tags ...string) *catalog.Instance {
	return &catalog.Instance{Service: catalog.Service{ID: id, Service: name, Tags: tags, Port: 8080, Scope: s}}
}

func health(s tenancy.Scope, id, serviceID, status string) catalog.Check {
	return catalog.Check{CheckID: id, Name: "is " + id, ServiceID: serviceID, Status: status, Scope: s}
}

// fullProxy is an instance with something in each of its fields.
func fullProxy(s tenancy.Scope) *catalog.Instance {
	return &catalog.Instance{Service: catalog.Service{
		Kind: catalog.KindConnectProxy, ID: "web1-proxy", Service: "web-sidecar-proxy", Tags: []string{"v1", "blue"},
		Address: "10.0.0.2", TaggedAddresses: map[string]catalog.ServiceAddress{"wan": {Address: "192.0.2.1", Port: 81}},
		Meta: map[string]string{"version": "1"}, Port: 20000, SocketPath: "/run/web", Weights: catalog.Weights{Passing: 1, Warning: 1},
		EnableTagOverride: true, Locality: &catalog.Locality{Region: "r", Zone: "z"}, Scope: s,
		Proxy: catalog.Proxy{
			DestinationServiceName: "web", DestinationServiceID: "web1", LocalServiceAddress: "127.0.0.1", LocalServicePort: 8080,
			Mode: "transparent", TransparentProxy: &catalog.TransparentProxy{OutboundListenerPort: 15001, DialedDirectly: true},
			Config: map[string]any{"protocol": "http", "limits": map[string]any{"max": 3.0, "list": []any{"a", true, nil}}},
			Upstreams: []catalog.Upstream{{
				DestinationType: "service", DestinationNamespace: "team", DestinationName: "api", LocalBindPort: 9191,
				Config: map[string]any{"connect_timeout_ms": 1000.0}, MeshGateway: catalog.MeshGateway{Mode: "local"},
			}},
			MeshGateway:     catalog.MeshGateway{Mode: "none"},
			Expose:          catalog.Expose{Checks: true, Paths: []catalog.ExposePath{{ListenerPort: 1, Path: "/health", LocalPathPort: 2, Protocol: "http2"}}},
			EnvoyExtensions: []map[string]any{{"Name": "builtin/lua"}}, AccessLogs: map[string]any{"Enabled": true},
		},
	}}
}

func fullCheck(s tenancy.Scope) catalog.Check {
	c := health(s, "ready", "web1-proxy", catalog.Warning)
	c.Notes, c.Output, c.Type, c.Interval, c.Timeout, c.ExposedPort = "notes", "HTTP GET", "http", "10s", "1s", 21500
	c.Definition = catalog.CheckDefinition{
		HTTP: "http://10.0.0.2/", Method: "POST", Header: map[string][]string{"X-A": {"1", "2"}}, Body: "b", TLSSkipVerify: true,
		Interval: 10 * time.Second, Timeout: time.Second, DeregisterCriticalServiceAfter: time.Minute,
	}
	return c
}

// catalogSetup is what the samples about the catalog need. Some of it is in a partition that other
// samples delete.
func catalogSetup() []Command {
	return []Command{
		Register{Node: node(tenancy.Default, "n1", firstNode), Instance: service(tenancy.Default, "web1", "web", "v1"), Checks: []catalog.Check{
			health(tenancy.Default, catalog.SerfHealth, "", catalog.Passing), health(tenancy.Default, "web", "web1", catalog.Passing),
		}},
		Register{Node: node(team, "n1", firstNode), Instance: fullProxy(team), Checks: []catalog.Check{
			fullCheck(team), health(team, catalog.SerfHealth, "", catalog.Passing),
		}},
		Register{Node: node(team.PartitionRoot(), "n2", ""), Instance: service(team.PartitionRoot(), "db1", "db")},
	}
}

func catalogSamples() []sample {
	return []sample{
		{60, Register{Node: node(tenancy.Default, "n2", secondNode), Instance: fullProxy(tenancy.Default), SkipNodeUpdate: true,
			Checks: []catalog.Check{fullCheck(tenancy.Default), health(tenancy.Default, "disk", "", "")}}, false},
		{61, Deregister{Scope: tenancy.Default, Node: "N1", ServiceID: "web1"}, false},
	}
}

// catalogHistory is a log about the catalog alone.
func catalogHistory() [][]Command {
	out := [][]Command{{
		PartitionSet{Partition: tenancy.Partition{Name: "east"}},
		NamespaceSet{Namespace: tenancy.Namespace{Name: "team", Partition: "east"}},
	}, catalogSetup()}
	for _, s := range catalogSamples() {
		out = append(out, []Command{s.command})
	}
	return append(out, []Command{Deregister{Scope: team, Node: "n1", CheckID: "ready"}, Deregister{Scope: team, Node: "n2"}})
}
