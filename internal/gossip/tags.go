package gossip

import (
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/version"
)

// Tags are what an agent says about itself to the members of its cluster
// (agent.md section 16.2). NodeID, Datacenter, Partition and Server are those of Config,
// when they are in one. Every member can claim anything: a gossip key is no identity.
type Tags struct {
	NodeID     string
	Datacenter string
	Partition  string
	Segment    string
	Server     bool
	Build      string // empty is this release

	// Of a server:
	ACLs        bool
	Bootstrap   bool // it may elect itself
	Expect      int  // how many servers it waits for; 0 is none
	UseTLS      bool // its server port speaks TLS
	ServerPort  int
	GRPCPort    int // below 1 is none, as for the ports below
	GRPCTLSPort int
	WANJoinPort int

	// ReconnectTimeout of a client agent is how long the others keep it once
	// it has failed; 0 leaves it to them.
	ReconnectTimeout time.Duration
}

const (
	roleServer = "consul"
	roleClient = "node"
)

// tags completes the tags of a Config.
func (c *Config) tags() Tags {
	t := c.Tags
	t.NodeID, t.Datacenter, t.Partition, t.Server = c.NodeID, c.Datacenter, c.Partition, c.Server
	return t
}

// encode returns the tags as members send them.
func (t Tags) encode() map[string]string {
	m := map[string]string{
		"id": t.NodeID, "dc": t.Datacenter, "ap": orDefault(t.Partition), "segment": t.Segment,
		"build": t.Build, "role": roleClient,
		"vsn": "2", "vsn_min": "2", "vsn_max": "3",
	}
	if t.Build == "" {
		m["build"] = version.Consul + ":"
	}
	if !t.Server {
		if t.ReconnectTimeout > 0 {
			m["rc_tm"] = t.ReconnectTimeout.String()
		}
		return m
	}
	m["role"], m["raft_vsn"], m["ft_fs"], m["ft_si"], m["acls"] = roleServer, "3", "1", "1", "0"
	for key, set := range map[string]bool{"acls": t.ACLs, "bootstrap": t.Bootstrap, "use_tls": t.UseTLS} {
		if set {
			m[key] = "1"
		}
	}
	for key, n := range map[string]int{
		"port": t.ServerPort, "expect": t.Expect,
		"grpc_port": t.GRPCPort, "grpc_tls_port": t.GRPCTLSPort, "wan_join_port": t.WANJoinPort,
	} {
		if n > 0 {
			m[key] = strconv.Itoa(n)
		}
	}
	return m
}

// parseTags reads what another member sent. What makes no sense is left out.
func parseTags(m map[string]string) Tags {
	duration, _ := time.ParseDuration(m["rc_tm"])
	return Tags{
		NodeID: m["id"], Datacenter: m["dc"], Partition: orDefault(m["ap"]), Segment: m["segment"],
		Server: m["role"] == roleServer, Build: m["build"],
		ACLs: m["acls"] == "1", Bootstrap: m["bootstrap"] == "1", UseTLS: m["use_tls"] == "1",
		Expect:     parseCount(m["expect"]),
		ServerPort: parsePort(m["port"]), GRPCPort: parsePort(m["grpc_port"]),
		GRPCTLSPort: parsePort(m["grpc_tls_port"]), WANJoinPort: parsePort(m["wan_join_port"]),
		ReconnectTimeout: max(0, duration),
	}
}

// parsePort returns 0 for what is no port.
func parsePort(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// maxExpect bounds how many servers a member can claim to wait for.
const maxExpect = 1000

func parseCount(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxExpect {
		return 0
	}
	return n
}

func orDefault(partition string) string {
	if partition == "" {
		return tenancy.DefaultName
	}
	return partition
}
