package daemon

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/hostinfo"
	"github.com/lictor/lictor/internal/leader"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/telemetry"
	"github.com/lictor/lictor/internal/version"
)

// begun are the counters that are there before they count anything, so that a rate of them can be watched.
var begun = []string{
	"rpc.rate_limit.exceeded", "rpc.request_error", "http.bodies_refused", "audit.written", "audit.lost",
	"client.rpc", "client.rpc.failed", "client.rpc.exceeded",
}

// openMetrics makes what this agent and its libraries report go to one place.
func (b *base) openMetrics() error {
	cfg := telemetry.Config{
		Prefix: b.cfg.Telemetry.Prefix, Filter: b.cfg.Telemetry.filter(), Retention: b.cfg.Telemetry.PrometheusRetention,
	}
	if !b.cfg.Telemetry.DisableHostname {
		var err error
		if cfg.Hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	b.metrics = telemetry.New(cfg)
	for _, name := range begun {
		b.metrics.CountTo(name, 0)
	}
	return b.metrics.FromLibraries()
}

// filter returns what prefix_filter and filter_default say. Without a rule everything is kept.
func (t Telemetry) filter() telemetry.Filter {
	return telemetry.Filter{Rules: t.PrefixFilter, DropOthers: !t.FilterDefault && len(t.PrefixFilter) > 0}
}

// observe sets the gauges of every agent.
func (b *base) observe() {
	m := b.metrics
	m.Gauge("version", 1, telemetry.Label{Name: "version", Value: version.Consul}, telemetry.Label{Name: "pre_release", Value: ""})
	cert, root := b.tls.Expiry()
	b.expiry("agent.tls.cert.expiry", cert)
	b.expiry("agent.tls.ca.expiry", root)
	if b.audit != nil {
		counts := b.audit.Stats()
		m.CountTo("audit.written", float64(counts.Written))
		m.CountTo("audit.lost", float64(counts.Lost))
	}
	if b.cfg.Telemetry.HostMetrics {
		b.observeHost()
	}
	if b.gossip == nil { // not yet
		return
	}
	dc := telemetry.Label{Name: "datacenter", Value: b.cfg.Datacenter}
	servers := len(b.gossip.Servers())
	m.Gauge("members.servers", float64(servers), dc)
	m.Gauge("members.clients", float64(b.gossip.Size()-servers), dc)
}

// observeHost sets the gauges of the machine. What it does not tell is left out.
func (b *base) observeHost() {
	m := b.metrics
	host := hostinfo.Collect(b.cfg.DataDir)
	if mem := host.Memory; mem.Total > 0 {
		m.Gauge("host.memory.total", float64(mem.Total))
		m.Gauge("host.memory.available", float64(mem.Available))
		m.Gauge("host.memory.used", float64(mem.Used))
		m.Gauge("host.memory.used_percent", mem.UsedPercent)
	}
	if disk, at := host.Disk, (telemetry.Label{Name: "path", Value: host.Disk.Path}); disk.Total > 0 {
		m.Gauge("host.disk.size", float64(disk.Total), at)
		m.Gauge("host.disk.used", float64(disk.Used), at)
		m.Gauge("host.disk.available", float64(disk.Free), at)
		m.Gauge("host.disk.used_percent", disk.UsedPercent, at)
		if disk.InodesTotal > 0 {
			m.Gauge("host.disk.inodes_percent", float64(disk.InodesUsed)/float64(disk.InodesTotal)*100, at)
		}
	}
	if host.Host.Uptime > 0 {
		m.Gauge("host.uptime", float64(host.Host.Uptime))
	}
}

// expiry sets a gauge to the seconds until end.
func (b *base) expiry(name string, end time.Time) {
	if !end.IsZero() {
		b.metrics.Gauge(name, time.Until(end).Seconds())
	}
}

// observeResolver tells what a client agent knows of tokens.
func (c *client) observeResolver() {
	s := c.resolver.Stats()
	c.metrics.CountTo("acl.token.cache_hit", float64(s.Hits))
	c.metrics.CountTo("acl.token.cache_miss", float64(s.Misses))
	c.metrics.CountTo("acl.changes.received", float64(s.Changes))
	c.metrics.Gauge("acl.token.cached", float64(s.Cached))
	c.metrics.Gauge("acl.changes.live", truth(s.Live))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// observeServer sets the gauges of a server.
func (s *server) observeServer(backend *endpoint.Backend, pilot *leader.Autopilot) {
	m := s.metrics
	m.Gauge("server.isLeader", truth(s.raft.IsLeader()))
	m.Gauge("rpc.queries_blocking", float64(backend.Blocking()))
	hits, misses := backend.Resolver.Stats()
	m.CountTo("acl.token.cache_hit", float64(hits))
	m.CountTo("acl.token.cache_miss", float64(misses))
	noted, told := s.changes.Stats()
	m.CountTo("acl.changes.noted", float64(noted))
	m.CountTo("acl.changes.told", float64(told))
	if state, ok := pilot.State(); ok {
		m.Gauge("autopilot.healthy", truth(state.Healthy()))
		m.Gauge("autopilot.failure_tolerance", float64(state.FailureTolerance()))
	}
	s.observeState()
}

// observeState counts what is stored.
func (s *server) observeState() {
	tx := s.store.Read()
	dc := telemetry.Label{Name: "datacenter", Value: s.cfg.Datacenter}
	if root, err := tx.ActiveCARoot(nil); err == nil && root != nil {
		if block, _ := pem.Decode([]byte(root.RootCert)); block != nil {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				s.expiry("mesh.active-root-ca.expiry", cert.NotAfter)
				s.expiry("mesh.active-signing-ca.expiry", cert.NotAfter)
			}
		}
	}
	s.metrics.Gauge("state.kv_entries", float64(tx.Pairs()), dc)
	s.observeEntries(tx, dc)
	usage, err := tx.Usage()
	if err != nil {
		return
	}
	sum := catalog.Usage{}
	mesh := map[string]int{}
	for _, kind := range catalog.MeshKinds() {
		mesh[kind] = 0
	}
	for _, u := range usage {
		sum.Nodes, sum.Services, sum.Instances, sum.Billable = sum.Nodes+u.Nodes, sum.Services+u.Services, sum.Instances+u.Instances, sum.Billable+u.Billable
		for kind, n := range u.Connect {
			mesh[kind] += n
		}
	}
	s.metrics.Gauge("state.nodes", float64(sum.Nodes), dc)
	s.metrics.Gauge("state.services", float64(sum.Services), dc)
	s.metrics.Gauge("state.service_instances", float64(sum.Instances), dc)
	s.metrics.Gauge("state.billable_service_instances", float64(sum.Billable), dc)
	for kind, n := range mesh {
		s.metrics.Gauge("state.connect_instances", float64(n), dc, telemetry.Label{Name: "kind", Value: kind})
	}
}

// observeEntries counts config entries by kind.
func (s *server) observeEntries(tx *state.Tx, dc telemetry.Label) {
	rows, err := tx.Rows(state.TableConfigEntries)
	if err != nil {
		return
	}
	count := map[configentry.Kind]int{}
	for _, kind := range configentry.Kinds() {
		count[kind] = 0
	}
	for row := range rows {
		count[row.(*configentry.Entry).Kind]++
	}
	for kind, n := range count {
		s.metrics.Gauge("state.config_entries", float64(n), dc, telemetry.Label{Name: "kind", Value: string(kind)})
	}
}
