package daemon

import (
	"cmp"
	"net"
	"runtime"
	"strconv"

	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/version"
)

// stats are the sections of consul info that depend on the agent's role.
type stats func() map[string]map[string]string

// self is what /v1/agent/self answers.
func (b *base) self(role stats) httpapi.Self {
	cfg := b.current.Load()
	return httpapi.Self{
		Config: httpapi.SelfConfig{
			Datacenter:        cfg.Datacenter,
			PrimaryDatacenter: cfg.PrimaryDatacenter,
			NodeName:          b.cfg.NodeName,
			NodeID:            b.nodeID,
			Partition:         b.cfg.Partition,
			Server:            b.cfg.Server,
			Version:           version.Consul,
			BuildDate:         version.BuildDate,
		},
		DebugConfig: debugConfig(cfg),
		Member:      httpapi.AgentMember(b.gossip.Self()),
		Stats:       b.stats(cfg, role()),
		Meta:        nodeMeta(cfg),
		XDS:         b.xds(),
	}
}

// stats are the sections that consul info prints, with those of the role.
func (b *base) stats(cfg *Config, sections map[string]map[string]string) map[string]map[string]string {
	services, checks, ttls, monitors := b.local.Counts()
	sections["agent"] = map[string]string{
		"services": strconv.Itoa(services), "checks": strconv.Itoa(checks),
		"check_ttls": strconv.Itoa(ttls), "check_monitors": strconv.Itoa(monitors),
	}
	sections["build"] = map[string]string{"version": version.Consul, "revision": "", "prerelease": "", "version_metadata": ""}
	sections["serf_lan"] = b.gossip.Stats()
	sections["runtime"] = map[string]string{
		"arch": runtime.GOARCH, "os": runtime.GOOS, "version": runtime.Version(),
		"cpu_count":  strconv.Itoa(runtime.NumCPU()),
		"goroutines": strconv.Itoa(runtime.NumGoroutine()),
		"max_procs":  strconv.Itoa(runtime.GOMAXPROCS(0)),
	}
	sections["audit"] = b.auditStats()
	sections["consul"]["acl"] = "disabled"
	if cfg.ACL.Enabled {
		sections["consul"]["acl"] = "enabled"
	}
	return sections
}

// debugConfig is the part of the configuration that tools read from
// DebugConfig. Tokens are shown as "hidden" where they are set.
func debugConfig(cfg *Config) map[string]any {
	tokens := cfg.ACL.Tokens
	return map[string]any{
		"ACLsEnabled":            cfg.ACL.Enabled,
		"ACLDefaultPolicy":       cfg.ACL.DefaultPolicy,
		"ACLDownPolicy":          cfg.ACL.DownPolicy,
		"ACLEnableKeyListPolicy": cfg.ACL.EnableKeyListPolicy,
		"ACLTokens": map[string]string{
			"ACLInitialManagementToken": hidden(tokens.InitialManagement), "ACLDefaultToken": hidden(tokens.Default),
			"ACLAgentToken": hidden(tokens.Agent), "ACLAgentRecoveryToken": hidden(tokens.AgentRecovery),
			"ACLReplicationToken":            hidden(tokens.Replication),
			"ACLConfigFileRegistrationToken": hidden(tokens.ConfigFileServiceRegistration), "DNSToken": hidden(tokens.DNS),
		},
		"AdvertiseAddrLAN":     cfg.AdvertiseAddr,
		"BindAddr":             cfg.BindAddr,
		"Bootstrap":            cfg.Bootstrap,
		"BootstrapExpect":      cfg.BootstrapExpect,
		"ClientAddrs":          cfg.ClientAddrs,
		"DataDir":              cfg.DataDir,
		"Datacenter":           cfg.Datacenter,
		"DevMode":              cfg.Dev,
		"EncryptKey":           hidden(cfg.Encrypt),
		"HTTPPort":             cfg.Ports.HTTP,
		"HTTPSPort":            cfg.Ports.HTTPS,
		"LeaveOnTerm":          cfg.LeaveOnTerminate,
		"NodeName":             cfg.NodeName,
		"PrimaryDatacenter":    cfg.PrimaryDatacenter,
		"SerfAdvertiseAddrLAN": serfAddr(cfg.AdvertiseAddr, cfg.Ports.SerfLAN),
		"SerfBindAddrLAN":      serfAddr(cmp.Or(cfg.SerfLANAddr, cfg.BindAddr), cfg.Ports.SerfLAN),
		"ServerMode":           cfg.Server,
		"ServerPort":           cfg.Ports.Server,
	}
}

func serfAddr(ip string, port int) string { return "tcp://" + net.JoinHostPort(ip, strconv.Itoa(port)) }

func hidden(s logging.Secret) string {
	if s == "" {
		return ""
	}
	return "hidden"
}
