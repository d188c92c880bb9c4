package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/ca"
)

// Management is the secret of the cluster's management token.
const Management = "5c1f0b4e-9a3d-4c55-8f0e-1d2c3b4a5968"

const certLife = time.Hour

// Config says what cluster to make.
type Config struct {
	Dir     string // for everybody's files
	Binary  string // the built consul
	Servers int
	Clients int // client agents, which get their certificates by auto_encrypt

	// RaftMultiplier is how patient servers are with each other, as performance.raft_multiplier has it. 0 is the
	// default, with which a machine that stands still for a moment costs the leader its office.
	RaftMultiplier int
}

// Cluster is servers and client agents that know each other's addresses and
// share a CA and a gossip key.
type Cluster struct {
	Net       *Network
	Servers   []*Agent
	Clients   []*Agent
	CA        *ca.AgentCA
	GossipKey string // base64

	addrs      *block
	news       *news
	multiplier int
}

// New writes everybody's files. Nobody runs yet but the network.
func New(cfg Config) (*Cluster, error) {
	addrs, err := takeBlock(mathrand.N(15000))
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Net: newNetwork(), GossipKey: NewGossipKey(), addrs: addrs, news: &news{next: make(chan struct{})}, multiplier: max(1, cfg.RaftMultiplier),
	}
	if c.CA, err = NewCA(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	for i := range cfg.Servers {
		c.Servers = append(c.Servers, c.agent(cfg, fmt.Sprintf("srv%d", i+1), 10+i, true))
	}
	for i := range cfg.Clients {
		c.Clients = append(c.Clients, c.agent(cfg, fmt.Sprintf("task%d", i+1), 50+i, false))
	}
	for _, a := range c.agents() {
		if err := c.prepare(a); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *Cluster) agents() []*Agent {
	return append(c.Servers[:len(c.Servers):len(c.Servers)], c.Clients...)
}

func (c *Cluster) agent(cfg Config, name string, at int, server bool) *Agent {
	a := &Agent{
		Name: name, Dir: filepath.Join(cfg.Dir, name), Server: server,
		bind: c.addrs.addr(at), advertise: c.addrs.addr(100 + at), news: c.news,
	}
	a.HTTP = net.JoinHostPort(a.bind, strconv.Itoa(httpPort))
	if !server {
		a.GRPC = net.JoinHostPort(a.bind, strconv.Itoa(grpcPort))
	}
	a.Use(cfg.Binary)
	return a
}

// prepare writes the files of one agent and connects it with the network.
func (c *Cluster) prepare(a *Agent) error {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return err
	}
	if err := a.Trust(c.CA); err != nil {
		return err
	}
	config := c.clientConfig(a)
	if a.Server {
		config = c.serverConfig(a)
		if err := a.Certify(c.CA); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(a.Dir, "agent.hcl"), []byte(config), 0o600); err != nil {
		return err
	}
	return c.Net.add(&host{
		name: a.Name, bind: netip.MustParseAddr(a.bind), advertise: netip.MustParseAddr(a.advertise), server: a.Server, pid: a.pid,
	})
}

func (c *Cluster) commonConfig(a *Agent) string {
	grpc := grpcPort
	if a.Server {
		grpc = -1
	}
	var join []string
	for _, s := range c.Servers {
		join = append(join, strconv.Quote(s.advertise))
	}
	return fmt.Sprintf(`
node_name = %q
data_dir = %q
bind_addr = %q
advertise_addr = %q
client_addr = %q
retry_join = [%s]
retry_interval = "1s"
encrypt = %q
limits { http_max_conns_per_client = 4096 }
ports { grpc = %d grpc_tls = -1 serf_wan = -1 dns = -1 }
`, a.Name, filepath.Join(a.Dir, "data"), a.bind, a.advertise, a.bind, strings.Join(join, ", "), c.GossipKey, grpc)
}

func (c *Cluster) serverConfig(a *Agent) string {
	return c.commonConfig(a) + fmt.Sprintf(`
server = true
bootstrap_expect = %d
performance { raft_multiplier = %d }
tls {
  defaults {
    ca_file = "ca.pem"
    cert_file = "cert.pem"
    key_file = "key.pem"
    verify_outgoing = true
  }
  internal_rpc {
    verify_incoming = true
    verify_server_hostname = true
  }
}
auto_encrypt { allow_tls = true }
acl {
  enabled = true
  default_policy = "deny"
  tokens { initial_management = %q }
}
`, len(c.Servers), c.multiplier, Management)
}

func (c *Cluster) clientConfig(a *Agent) string {
	return c.commonConfig(a) + fmt.Sprintf(`
leave_on_terminate = true
tls {
  defaults {
    ca_file = "ca.pem"
    verify_outgoing = true
  }
}
auto_encrypt {
  tls = true
  ip_san = [%q]
}
acl {
  enabled = true
  default_policy = "deny"
  down_policy = "async-cache"
  tokens { agent = %q }
}
`, a.bind, Management)
}

// Start starts everybody and returns once all serve.
func (c *Cluster) Start() error {
	for _, a := range c.Servers {
		if err := a.Launch(); err != nil {
			return err
		}
	}
	for _, a := range c.Servers {
		if err := a.Await("Consul agent running!", 1); err != nil {
			return fmt.Errorf("%w:\n%s", err, a.Log())
		}
	}
	for _, a := range c.Clients {
		if err := a.Start(); err != nil {
			return fmt.Errorf("%w:\n%s", err, a.Log())
		}
	}
	return nil
}

// Elections is how often each server has become the leader.
type Elections map[*Agent]int

// leads is what a server prints when it has become the leader.
const leads = "cluster leadership acquired"

// Elections returns the elections so far, for AwaitLeader.
func (c *Cluster) Elections() Elections {
	e := Elections{}
	for _, a := range c.Servers {
		e[a] = a.count(leads, true)
	}
	return e
}

// AwaitLeader returns the first server that has become the leader since, other
// than one (nil for none).
func (c *Cluster) AwaitLeader(since Elections, except *Agent) (*Agent, error) {
	var leader *Agent
	err := c.news.await("a new leader", func() (bool, error) {
		for a, times := range c.Elections() {
			if a != except && times > since[a] {
				leader = a
			}
		}
		return leader != nil, nil
	})
	return leader, err
}

// Close kills everybody who still runs.
func (c *Cluster) Close() {
	for _, a := range c.agents() {
		a.Kill()
	}
	_ = c.close()
}

func (c *Cluster) close() error {
	c.Net.Close()
	return c.addrs.lock.Close()
}

// NewCA makes another CA for agents.
func NewCA() (*ca.AgentCA, error) { return ca.NewAgentCA(time.Now(), certLife) }

// NewGossipKey makes another gossip key.
func NewGossipKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// Trust makes a the bundle of CAs that a trusts, from its next reload on.
func (a *Agent) Trust(cas ...*ca.AgentCA) error {
	var bundle []byte
	for _, authority := range cas {
		bundle = append(bundle, authority.Cert...)
	}
	return a.replace("ca.pem", bundle)
}

// Certify gives a server a certificate of a CA, from its next reload on.
func (a *Agent) Certify(authority *ca.AgentCA) error {
	names := ca.ServerNames{Datacenter: "dc1", Domain: "consul", IPs: []net.IP{net.ParseIP(a.bind), net.ParseIP(a.advertise)}}
	pair, err := authority.Server(names, time.Now(), certLife)
	if err != nil {
		return err
	}
	return errors.Join(a.replace("cert.pem", pair.Cert), a.replace("key.pem", []byte(pair.Key.Reveal())))
}

// replace replaces a file at once.
func (a *Agent) replace(name string, content []byte) error {
	path := filepath.Join(a.Dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
