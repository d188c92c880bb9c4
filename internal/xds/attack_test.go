package xds

import (
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
)

// each calls f with every golden snapshot's resources of one type.
func each(t *testing.T, kind Type, f func(t *testing.T, m any)) {
	for _, c := range golden {
		all, err := Build(c.snapshot, c.version)
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range all[kind] {
			t.Run(c.name+" "+name, func(t *testing.T) {
				m, err := r.Body.UnmarshalNew()
				if err != nil {
					t.Fatal(err)
				}
				f(t, m)
			})
		}
	}
}

func TestCVE_2021_32574_AnUpstreamHasToBeWhoItShouldBe(t *testing.T) {
	each(t, Cluster, func(t *testing.T, m any) {
		c := m.(*cluster.Cluster)
		if c.Name == localApp || strings.HasPrefix(c.Name, "exposed_cluster_") {
			return // the proxy's own service
		}
		up := &tls.UpstreamTlsContext{}
		if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(up); err != nil {
			t.Fatal(err)
		}
		verify := up.CommonTlsContext.GetValidationContext()
		old, typed := verify.GetMatchSubjectAltNames(), verify.MatchTypedSubjectAltNames //lint:ignore SA1019 of older proxies
		if len(old)+len(typed) != 1 || verify.TrustedCa.GetInlineString() == "" {
			t.Fatalf("names %v %v, roots %q", old, typed, verify.TrustedCa.GetInlineString())
		}
		name := ""
		if len(old) == 1 {
			name = old[0].GetExact()
		} else if typed[0].SanType == tls.SubjectAltNameMatcher_URI {
			name = typed[0].Matcher.GetExact()
		}
		if !strings.HasPrefix(name, "spiffe://"+trustDomain+"/") || !strings.HasSuffix(name, "/svc/stock") {
			t.Errorf("any upstream may be %q", name)
		}
	})
}

// public reports whether a golden listener is the one for callers. That of exposed paths has a test of its own.
func public(l *listener.Listener) bool {
	return !strings.HasPrefix(l.Name, "exposed_paths:") && l.TrafficDirection != core.TrafficDirection_OUTBOUND && !strings.HasPrefix(l.Name, "stock")
}

// The mesh CA signs the certificates of client agents too. Where the default is to allow, no rule is about them.
func TestAttack_AnAgentsCertificateIsNoCaller(t *testing.T) {
	each(t, Listener, func(t *testing.T, m any) {
		l := m.(*listener.Listener)
		if !public(l) {
			return
		}
		for _, chain := range l.FilterChains {
			down := &tls.DownstreamTlsContext{}
			if err := chain.TransportSocket.GetTypedConfig().UnmarshalTo(down); err != nil {
				t.Fatal(err)
			}
			verify := down.CommonTlsContext.GetValidationContext()
			names := verify.GetMatchSubjectAltNames() //lint:ignore SA1019 of older proxies
			for _, typed := range verify.MatchTypedSubjectAltNames {
				names = append(names, typed.Matcher)
			}
			if len(names) != 1 {
				t.Fatalf("names %v", names)
			}
			for path, may := range map[string]bool{
				trustDomain + "/ns/default/dc/dc1/svc/web":         true,
				trustDomain + "/ap/team/ns/blue/dc/dc2/svc/a.b":    true,
				trustDomain + "/agent/client/dc/dc1/id/n1":         false,
				trustDomain + "/ap/team/agent/client/dc/dc1/id/n1": false,
				trustDomain: false,
				trustDomain + "/ns/default/dc/dc1/svc/web/x":                                   false,
				strings.Replace(trustDomain, "1", "2", 1) + "/ns/default/dc/dc1/svc/web":       false,
				"x.consul/spiffe://" + trustDomain + "/ns/default/dc/dc1/svc/web":              false,
				strings.Replace(trustDomain, ".consul", "xconsul", 1) + "/ns/a/dc/dc1/svc/web": false,
			} {
				if matches(names[0], "spiffe://"+path) != may {
					t.Errorf("%s is let in: %v", path, !may)
				}
			}
		}
	})
}

func TestCVE_2024_10005_NobodyCallsPastIntentions(t *testing.T) {
	each(t, Listener, func(t *testing.T, m any) {
		l := m.(*listener.Listener)
		if !public(l) {
			return
		}
		for _, chain := range l.FilterChains {
			down := &tls.DownstreamTlsContext{}
			if err := chain.TransportSocket.GetTypedConfig().UnmarshalTo(down); err != nil || !down.RequireClientCertificate.GetValue() {
				t.Errorf("no certificate is demanded: %v", err)
			}
			if chain.Filters[0].Name == filterRBAC {
				continue
			}
			http := &manager.HttpConnectionManager{}
			if err := chain.Filters[len(chain.Filters)-1].GetTypedConfig().UnmarshalTo(http); err != nil || http.HttpFilters[0].Name != "envoy.filters.http.rbac" {
				t.Errorf("intentions do not come first: %v", err)
			}
			if !http.NormalizePath.GetValue() {
				t.Error("intentions see paths that are not in their normal form")
			}
		}
	})
}

func TestAttack_WhatCannotBeMadeIsLeftOutNotOpen(t *testing.T) {
	for _, c := range []struct {
		name     string
		snapshot *proxycfg.Snapshot
		listens  int // how many listeners remain
	}{
		{"a public listener that is no JSON", shop(configured("envoy_public_listener_json", "{"), calls(stock())), 1},
		{"one without filter chains", shop(configured("envoy_public_listener_json", `{"name":"x"}`), calls(stock())), 1},
		{"a port that is none", shop(configured("bind_port", 70000), calls(stock())), 1},
		{"an upstream that is a prepared query", shop(calls(stock(func(u *proxycfg.Upstream) { u.DestinationType = "prepared_query" }))), 1},
		{"an upstream of a peer", shop(calls(stock(func(u *proxycfg.Upstream) { u.DestinationPeer = "east" }))), 1},
		{"an upstream without a port", shop(calls(stock(func(u *proxycfg.Upstream) { u.LocalBindPort = 0 }))), 1},
		{"an instance at a host's name", shop(calls(stock(func(u *proxycfg.Upstream) { u.Endpoints[0].Address = "db.example" }))), 2},
		{"an upstream's cluster that is no JSON", shop(calls(stock(func(u *proxycfg.Upstream) { u.Config = map[string]any{"envoy_cluster_json": "x"} }))), 1},
		{"a setting of another kind", shop(configured("max_inbound_connections", []any{"x"}), calls(stock())), 2},
	} {
		all, err := Build(c.snapshot, Version{})
		if err == nil || len(all[Listener]) != c.listens {
			t.Errorf("%s: %d listeners, error %v", c.name, len(all[Listener]), err)
		}
	}
}

// FuzzBuild checks that no name or path of an intention, and no setting, makes anything but valid resources or an error.
func FuzzBuild(f *testing.F) {
	f.Add("web", "/admin", "tcp", "127.0.0.1")
	f.Add("a.*$", "(", "http", "::1")
	f.Fuzz(func(t *testing.T, name, path, protocol, address string) {
		s := shop(configured("protocol", protocol), configured("bind_address", address), configured("envoy_local_cluster_json", path),
			intended(from(name, configentry.Allow, 9), from("*", "", 8,
				configentry.Permission{Action: configentry.Deny, HTTP: &configentry.HTTPPermission{PathPrefix: path, Methods: []string{name}}})),
			calls(stock(func(u *proxycfg.Upstream) {
				u.DestinationName, u.LocalBindAddress, u.Protocol = name, address, proxycfg.ProtocolOf(protocol)
			})))
		all, _ := Build(s, Version{})
		for _, byName := range all {
			for _, r := range byName {
				m, err := r.Body.UnmarshalNew()
				if err != nil {
					t.Fatal(err)
				}
				if err := m.(message).ValidateAll(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
