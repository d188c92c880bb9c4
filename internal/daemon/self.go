package daemon

import (
	"runtime"
	"strconv"

	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/version"
)

// self is what /v1/agent/self answers.
func (s *server) self() httpapi.Self {
	cfg := s.current.Load()
	return httpapi.Self{
		Config: httpapi.SelfConfig{
			Datacenter:        cfg.Datacenter,
			PrimaryDatacenter: cfg.PrimaryDatacenter,
			NodeName:          s.cfg.NodeName,
			NodeID:            s.nodeID,
			Server:            true,
			Version:           version.Consul,
			BuildDate:         version.BuildDate,
		},
		DebugConfig: debugConfig(cfg),
		Member:      httpapi.AgentMember(s.gossip.Self()),
		Stats:       s.stats(cfg),
		Meta:        map[string]string{"consul-network-segment": "", "consul-version": version.Consul},
	}
}

// stats are the sections that consul info prints.
func (s *server) stats(cfg *Config) map[string]map[string]string {
	acl := "disabled"
	if cfg.ACL.Enabled {
		acl = "enabled"
	}
	leader, _ := s.raft.Leader()
	return map[string]map[string]string{
		"agent": {"checks": "0", "services": "0", "check_monitors": "0", "check_ttls": "0"},
		"build": {"version": version.Consul, "revision": "", "prerelease": "", "version_metadata": ""},
		"consul": {
			"acl": acl, "server": "true", "bootstrap": strconv.FormatBool(s.cfg.Bootstrap),
			"known_datacenters": "1", "leader": strconv.FormatBool(s.raft.IsLeader()), "leader_addr": leader,
		},
		"raft":     s.raft.Stats(),
		"serf_lan": s.gossip.Stats(),
		"runtime": {
			"arch": runtime.GOARCH, "os": runtime.GOOS, "version": runtime.Version(),
			"cpu_count":  strconv.Itoa(runtime.NumCPU()),
			"goroutines": strconv.Itoa(runtime.NumGoroutine()),
			"max_procs":  strconv.Itoa(runtime.GOMAXPROCS(0)),
		},
	}
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
		"AdvertiseAddrLAN":  cfg.AdvertiseAddr,
		"BindAddr":          cfg.BindAddr,
		"Bootstrap":         cfg.Bootstrap,
		"BootstrapExpect":   cfg.BootstrapExpect,
		"ClientAddrs":       cfg.ClientAddrs,
		"DataDir":           cfg.DataDir,
		"Datacenter":        cfg.Datacenter,
		"DevMode":           cfg.Dev,
		"EncryptKey":        hidden(cfg.Encrypt),
		"HTTPPort":          cfg.Ports.HTTP,
		"HTTPSPort":         cfg.Ports.HTTPS,
		"LeaveOnTerm":       cfg.LeaveOnTerminate,
		"NodeName":          cfg.NodeName,
		"PrimaryDatacenter": cfg.PrimaryDatacenter,
		"ServerMode":        cfg.Server,
		"ServerPort":        cfg.Ports.Server,
	}
}

func hidden(s logging.Secret) string {
	if s == "" {
		return ""
	}
	return "hidden"
}
