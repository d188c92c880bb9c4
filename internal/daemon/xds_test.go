package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	netrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/test/xdsreader"
)

// soon is how long a proxy may take to learn of a change. The promise is a second; a machine that runs other tests
// beside gets much more.
const soon = 30 * time.Second

// meshAgent is a server with gRPC, and clients of it.
type meshAgent struct {
	*testing.T
	client *api.Client
	conn   *grpc.ClientConn
	ctx    context.Context
	log    *lockedBuffer
}

func startMesh(t *testing.T, change ...func(*Config)) *meshAgent {
	cfg := testConfig(t)
	cfg.ConnectEnabled, cfg.Ports.GRPC = true, freePort(t)
	for _, c := range change {
		c(&cfg)
	}
	log := start(t, cfg, nil).log
	return dialMesh(t, cfg, log)
}

// dialMesh connects to an agent that runs; log may be nil.
func dialMesh(t *testing.T, cfg Config, log *lockedBuffer) *meshAgent {
	m := &meshAgent{T: t, log: log}
	var err error
	if m.client, err = api.NewClient(&api.Config{Address: fmt.Sprintf("127.0.0.1:%d", cfg.Ports.HTTP), Token: management}); err != nil {
		t.Fatal(err)
	}
	m.conn, err = grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", cfg.Ports.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	m.ctx = ctx
	return m
}

func (m *meshAgent) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// register registers web with a sidecar that calls api.
func (m *meshAgent) register() {
	m.Helper()
	m.must(m.client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		Name: "web", Port: 8080, Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
			Port: 21000, Proxy: &api.AgentServiceConnectProxyConfig{Upstreams: []api.Upstream{{DestinationName: "api", LocalBindPort: 9191}}},
		}},
	}))
}

// instance registers a sidecar of api on another node, as healthy as status says.
func (m *meshAgent) instance(ip, status string) {
	m.Helper()
	_, err := m.client.Catalog().Register(&api.CatalogRegistration{
		Node: "node-" + ip, Address: ip,
		Service: &api.AgentService{
			Kind: api.ServiceKindConnectProxy, ID: "api-sidecar-proxy", Service: "api-sidecar-proxy", Port: 21000,
			Proxy: &api.AgentServiceConnectProxyConfig{DestinationServiceName: "api"},
		},
		Check: &api.AgentCheck{Node: "node-" + ip, CheckID: "listening", Name: "listening", ServiceID: "api-sidecar-proxy", Status: status},
	}, nil)
	m.must(err)
}

func (m *meshAgent) read(p xdsreader.Proxy) *xdsreader.Reader {
	m.Helper()
	r, err := xdsreader.Open(m.ctx, m.conn, p)
	m.must(err)
	return r
}

// sees waits until the proxy has been told what enough asks for, after do.
func (m *meshAgent) sees(r *xdsreader.Reader, what string, do func(), enough func(xdsreader.State) bool) {
	m.Helper()
	do()
	began := time.Now()
	ctx, cancel := context.WithTimeout(m.ctx, soon)
	defer cancel()
	state, err := r.Wait(ctx, enough)
	if err != nil {
		m.Fatalf("%s: %v\nclusters %v\nendpoints %v\nlisteners %v\n%s", what, err,
			slices.Sorted(maps.Keys(state.Clusters)), state.Endpoints, slices.Sorted(maps.Keys(state.Listeners)), m.log)
	}
	m.Logf("%s: seen after %v", what, time.Since(began).Round(time.Millisecond))
}

// endpoints shows where the proxy is told that api is: "10.0.0.1 HEALTHY".
func endpoints(s xdsreader.State) []string {
	var out []string
	for name, a := range s.Endpoints {
		if !strings.HasPrefix(name, "api.default.dc1.internal.") {
			continue
		}
		for _, e := range a.Endpoints[0].LbEndpoints {
			out = append(out, e.GetEndpoint().Address.GetSocketAddress().Address+" "+e.HealthStatus.String())
		}
	}
	return out
}

func located(want ...string) func(xdsreader.State) bool {
	return func(s xdsreader.State) bool { return slices.Equal(endpoints(s), want) && len(s.Endpoints) == 1 }
}

// authz returns the rules of the public listener.
func authz(s xdsreader.State) *netrbac.RBAC {
	rules := &netrbac.RBAC{}
	for name, l := range s.Listeners {
		if strings.HasPrefix(name, "public_listener:") {
			_ = l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(rules)
		}
	}
	return rules
}

// leafOf returns the certificate that the proxy shows to its upstream.
func leafOf(s xdsreader.State) string {
	for _, c := range s.Clusters {
		if c.GetType() == cluster.Cluster_EDS {
			up := &tlsv3.UpstreamTlsContext{}
			_ = c.TransportSocket.GetTypedConfig().UnmarshalTo(up)
			return up.CommonTlsContext.TlsCertificates[0].CertificateChain.GetInlineString()
		}
	}
	return ""
}

func TestAProxyIsToldOfEachChange(t *testing.T) {
	m := startMesh(t)
	r := m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: management, Envoy: [3]uint32{1, 26, 2}})
	m.sees(r, "the first configuration, once the proxy is registered", m.register, func(s xdsreader.State) bool {
		return len(s.Clusters) == 2 && len(s.Listeners) == 2 && s.Listeners["api:127.0.0.1:9191"] != nil && len(s.Endpoints) == 1
	})
	m.sees(r, "an instance", func() { m.instance("10.0.0.1", api.HealthPassing) }, located("10.0.0.1 HEALTHY"))
	m.sees(r, "another instance", func() { m.instance("10.0.0.2", api.HealthPassing) }, located("10.0.0.1 HEALTHY", "10.0.0.2 HEALTHY"))
	m.sees(r, "a critical instance", func() { m.instance("10.0.0.2", api.HealthCritical) }, located("10.0.0.1 HEALTHY", "10.0.0.2 UNHEALTHY"))
	if got := authz(r.State()); len(got.GetRules().GetPolicies()) != 0 {
		t.Errorf("before an intention: %v", got)
	}
	m.sees(r, "an intention", func() {
		_, err := m.client.Connect().IntentionUpsert(&api.Intention{SourceName: "shop", DestinationName: "web", Action: api.IntentionActionAllow}, nil)
		m.must(err)
	}, func(s xdsreader.State) bool { return strings.Contains(authz(s).String(), "/svc/(?i:shop)$") })
	m.sees(r, "that it denies now", func() {
		_, err := m.client.Connect().IntentionUpsert(&api.Intention{SourceName: "shop", DestinationName: "web", Action: api.IntentionActionDeny}, nil)
		m.must(err)
	}, func(s xdsreader.State) bool { return len(authz(s).GetRules().GetPolicies()) == 0 })
	m.sees(r, "the protocol", func() {
		_, _, err := m.client.ConfigEntries().Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http"}, nil)
		m.must(err)
	}, func(s xdsreader.State) bool {
		for name, l := range s.Listeners {
			if strings.HasPrefix(name, "public_listener:") {
				return strings.HasSuffix(l.FilterChains[0].Filters[0].Name, "http_connection_manager")
			}
		}
		return false
	})
	old := leafOf(r.State())
	m.sees(r, "another leaf, of another root", func() {
		config, _, err := m.client.Connect().CAGetConfig(nil)
		m.must(err)
		config.Config["PrivateKeyBits"], config.Config["PrivateKeyType"] = 384, "ec"
		_, err = m.client.Connect().CASetConfig(config, nil)
		m.must(err)
	}, func(s xdsreader.State) bool { return leafOf(s) != old })
	m.sees(r, "another upstream, and that the first one is gone", func() {
		m.must(m.client.Agent().ServiceRegister(&api.AgentServiceRegistration{
			Name: "web", Port: 8080, Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
				Port: 21000, Proxy: &api.AgentServiceConnectProxyConfig{Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: 5432}}},
			}},
		}))
	}, func(s xdsreader.State) bool {
		return len(s.Clusters) == 2 && len(s.Listeners) == 2 && s.Listeners["db:127.0.0.1:5432"] != nil
	})
}

// token makes a token that may act as web.
func (m *meshAgent) token() *api.ACLToken {
	m.Helper()
	token, _, err := m.client.ACL().TokenCreate(&api.ACLToken{ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "web"}}}, nil)
	m.must(err)
	return token
}

func (m *meshAgent) endsWith(r *xdsreader.Reader, code codes.Code, text string) {
	m.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(m.ctx, soon)
	defer cancel()
	got := status.Convert(r.Ended(ctx))
	if got.Code() != code || !strings.Contains(got.Message(), text) {
		m.Errorf("the stream ended with %v %q, want %v %q", got.Code(), got.Message(), code, text)
	}
	m.Logf("%v after %v", code, time.Since(began).Round(time.Millisecond))
}

func configured(s xdsreader.State) bool { return len(s.Listeners) == 2 }

func TestAStreamEndsWithItsToken(t *testing.T) {
	m := startMesh(t)
	m.register()
	token := m.token()
	r := m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: token.SecretID})
	m.sees(r, "the configuration", func() {}, configured)
	token.Description = "harmless"
	_, _, err := m.client.ACL().TokenUpdate(token, nil)
	m.must(err)
	m.sees(r, "a change after one that is harmless", func() { m.instance("10.0.0.3", api.HealthPassing) }, located("10.0.0.3 HEALTHY"))
	_, err = m.client.ACL().TokenDelete(token.AccessorID, nil)
	m.must(err)
	m.endsWith(r, codes.Unauthenticated, "unauthenticated: ACL not found")

	weaker := m.token()
	r = m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: weaker.SecretID})
	m.sees(r, "the configuration", func() {}, configured)
	weaker.ServiceIdentities = []*api.ACLServiceIdentity{{ServiceName: "other"}}
	_, _, err = m.client.ACL().TokenUpdate(weaker, nil)
	m.must(err)
	m.endsWith(r, codes.PermissionDenied, `lacks permission 'service:write' on "web"`)
}

func TestWhoMayNotIsToldWhy(t *testing.T) {
	m := startMesh(t)
	m.register()
	other, _, err := m.client.ACL().TokenCreate(&api.ACLToken{ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "api"}}}, nil)
	m.must(err)
	for _, c := range []struct {
		name  string
		proxy xdsreader.Proxy
		code  codes.Code
		text  string
	}{
		{"no token", xdsreader.Proxy{ID: "web-sidecar-proxy"}, codes.PermissionDenied, `Permission denied: anonymous token lacks permission 'service:write' on "web"`},
		{"a token that there is not", xdsreader.Proxy{ID: "web-sidecar-proxy", Token: "nope"}, codes.Unauthenticated, "unauthenticated: ACL not found"},
		{"the token of another service", xdsreader.Proxy{ID: "web-sidecar-proxy", Token: other.SecretID}, codes.PermissionDenied, "lacks permission 'service:write'"},
		{"an old Envoy", xdsreader.Proxy{ID: "web-sidecar-proxy", Token: management, Envoy: [3]uint32{1, 18, 5}}, codes.InvalidArgument, "Envoy 1.18.5 is too old and is not supported by Consul"},
		{"no proxy", xdsreader.Proxy{Token: management}, codes.InvalidArgument, "node.id"},
		{"a service", xdsreader.Proxy{ID: "web", Token: management}, codes.InvalidArgument, "not the ID of a sidecar proxy"},
		{"another partition", xdsreader.Proxy{ID: "web-sidecar-proxy", Token: management, Partition: "team"}, codes.InvalidArgument, "partition"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := *m
			m.T = t
			m.endsWith(m.read(c.proxy), c.code, c.text)
		})
	}
	full, err := discovery.NewAggregatedDiscoveryServiceClient(m.conn).StreamAggregatedResources(m.ctx)
	m.must(err)
	_, err = full.Recv()
	if got := status.Convert(err); got.Code() != codes.Unknown || got.Message() != "not implemented" {
		t.Errorf("state of the world: %v", err)
	}
}

func TestOddRequestsDoNotHurt(t *testing.T) {
	m := startMesh(t)
	m.register()
	open := func() discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
		stream, err := discovery.NewAggregatedDiscoveryServiceClient(m.conn).DeltaAggregatedResources(m.ctx)
		m.must(err)
		return stream
	}
	node := &core.Node{Id: "web-sidecar-proxy"}
	token := m.token()
	good := m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: token.SecretID})

	flood := open() // the anonymous token, and a proxy that nobody has registered
	m.must(flood.Send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "unknown"}, TypeUrl: xdsreader.Endpoints}))
	var err error
	for i := 0; i < 64 && err == nil; i++ {
		request := &discovery.DeltaDiscoveryRequest{TypeUrl: xdsreader.Endpoints, ResponseNonce: strings.Repeat("x", 1000)}
		for j := range 1000 {
			request.ResourceNamesSubscribe = append(request.ResourceNamesSubscribe, fmt.Sprint(i, " ", j))
		}
		err = flood.Send(request)
	}
	if _, err = flood.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a flood of names ended with %v", err)
	}
	large := open()
	_ = large.Send(&discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: strings.Repeat("x", 2<<20)})
	if _, err = large.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a large request ended with %v", err)
	}
	m.sees(good, "the configuration all the same", func() {}, configured)
}

// What counts where no intention does is the policy for that, which is not that of ACLs.
func TestAProxyIsToldWhatCountsWithoutIntentions(t *testing.T) {
	m := startMesh(t, func(c *Config) { c.DefaultIntentionPolicy = "allow" }) // with ACLs the default is to deny
	m.register()
	r := m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: m.token().SecretID})
	m.sees(r, "nobody denied", func() {}, func(s xdsreader.State) bool {
		return configured(s) && authz(s).GetRules().GetAction() == rbac.RBAC_DENY && len(authz(s).GetRules().GetPolicies()) == 0
	})
}

// A client agent hands on what it reads from servers, and shows over TLS the certificate that it has from them. Its
// own default policy is not what counts for connections.
func TestAProxyOfAClientAgentIsToldOfEachChange(t *testing.T) {
	cfgs, clients := meshAgents(t, func(c *Config) {
		c.Ports.GRPC, c.Ports.GRPCTLS, c.TLS.GRPC.UseAutoCert = freePort(t), freePort(t), true
		c.ACL.DefaultPolicy = "allow"
	})
	m := dialMesh(t, cfgs[1], nil)
	m.register()
	token := m.token()
	r := m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: token.SecretID})
	m.sees(r, "the configuration", func() {}, func(s xdsreader.State) bool {
		return configured(s) && authz(s).GetRules().GetAction() == rbac.RBAC_ALLOW && len(authz(s).GetRules().GetPolicies()) == 0
	})
	m.sees(r, "an instance", func() { m.instance("10.0.0.1", api.HealthPassing) }, located("10.0.0.1 HEALTHY"))
	m.sees(r, "an intention", func() {
		_, err := m.client.Connect().IntentionUpsert(&api.Intention{SourceName: "shop", DestinationName: "web", Action: api.IntentionActionAllow}, nil)
		m.must(err)
	}, func(s xdsreader.State) bool { return strings.Contains(authz(s).String(), "/svc/(?i:shop)$") })

	roots, _, err := clients[1].Agent().ConnectCARoots(nil)
	m.must(err)
	secure, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", cfgs[1].Ports.GRPCTLS),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: rootsOf(t, roots), ServerName: "localhost"})))
	m.must(err)
	t.Cleanup(func() { _ = secure.Close() })
	over, err := xdsreader.Open(m.ctx, secure, xdsreader.Proxy{ID: "web-sidecar-proxy", Token: token.SecretID})
	m.must(err)
	m.sees(over, "the same over TLS", func() {}, configured)

	_, err = m.client.ACL().TokenDelete(token.AccessorID, nil)
	m.must(err)
	m.endsWith(r, codes.Unauthenticated, "unauthenticated: ACL not found")
	m.endsWith(over, codes.Unauthenticated, "unauthenticated: ACL not found")
}

func TestSelfSaysWhereProxiesAreServed(t *testing.T) {
	m := startMesh(t)
	self, err := m.client.Agent().Self()
	m.must(err)
	ports, _ := self["xDS"]["Ports"].(map[string]any)
	if plain, _ := ports["Plaintext"].(float64); plain <= 0 || ports["TLS"] != -1.0 || self["xDS"]["Port"] != plain {
		t.Errorf("xDS: %v", self["xDS"])
	}
}

func TestAStreamIsInTheAuditTrail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	m := startMesh(t, func(c *Config) {
		c.Audit = Audit{Enabled: true, Sinks: []AuditSink{{Name: "file", Type: "file", Format: "json", Path: path, DeliveryGuarantee: Enforced}}}
	})
	m.register()
	weak, _, err := m.client.ACL().TokenCreate(&api.ACLToken{}, nil)
	m.must(err)
	m.endsWith(m.read(xdsreader.Proxy{ID: "web-sidecar-proxy", Token: weak.SecretID}), codes.PermissionDenied, "service:write")
	trail, err := os.ReadFile(path)
	m.must(err)
	var events []string
	for line := range strings.Lines(string(trail)) {
		if strings.Contains(line, `"action":"xds.stream"`) {
			events = append(events, line)
		}
	}
	if len(events) != 2 || strings.Contains(string(trail), weak.SecretID) {
		t.Fatalf("events of the stream: %v", events)
	}
	if !strings.Contains(events[1], `"proxy_id":"web-sidecar-proxy"`) {
		t.Errorf("the event does not say whose stream it was: %s", events[1])
	}
	for i, want := range []string{`"stage":"OperationStart"`, `"status":"403"`} {
		if !strings.Contains(events[i], want) || !strings.Contains(events[i], weak.AccessorID) {
			t.Errorf("event %d lacks %s: %s", i, want, events[i])
		}
	}
}
