package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/lictor/lictor/internal/agent"
	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
)

// client is an agent in client mode: it serves what is its own and passes
// everything else on to servers.
type client struct {
	*base
	bare     *peer.Client       // presents no certificate; only with auto_encrypt
	auto     *agent.AutoEncrypt // nil without auto_encrypt
	roots    *agent.Roots
	mesh     *clientMesh
	resolver *agent.Resolver
	open     chan struct{} // closed from the start: its listeners are all that it needs
}

// newClient opens what a client agent needs. With auto_encrypt it first obtains
// its certificate, for which it waits as long as it takes, or until a signal.
func newClient(ctx context.Context, cfg Config, opts Options) (*client, error) {
	if err := checkPolicies(cfg.ACL); err != nil {
		return nil, fmt.Errorf("Failed to start Consul client: %w", err)
	}
	b, err := newBase(cfg, opts)
	if err != nil {
		return nil, err
	}
	c := &client{base: b, open: make(chan struct{})}
	close(c.open)
	if err := c.start(ctx); err != nil {
		c.drain()
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *client) start(ctx context.Context) error {
	servers := agent.Servers{Client: c.peers, Addrs: c.serverAddrs}
	c.roots = &agent.Roots{Servers: servers, Log: c.log}
	c.resolver = &agent.Resolver{
		Servers:            servers,
		Enabled:            c.cfg.ACL.Enabled,
		DefaultPolicyAllow: c.cfg.ACL.DefaultPolicy == "allow",
		DownPolicy:         c.cfg.ACL.DownPolicy,
		NodeName:           c.cfg.NodeName,
		Partition:          c.cfg.Partition,
		Log:                c.log,
		Hold:               c.cfg.RPCHold,
		Recovery:           func() logging.Secret { return c.tokens.Get(httpapi.TokenRecovery) },
		TokenTTL:           c.cfg.ACL.TokenTTL,
		PolicyTTL:          c.cfg.ACL.PolicyTTL,
		RoleTTL:            c.cfg.ACL.RoleTTL,
	}
	c.metrics.OnRead(c.observeResolver)
	if err := c.obtainCertificate(ctx); err != nil {
		return err
	}
	c.mesh = newClientMesh(c, servers)
	if err := c.openGossip(); err != nil {
		return err
	}
	if err := c.openLocal(); err != nil {
		return err
	}
	api := &httpapi.API{
		Local:      c.local,
		Events:     c.events,
		Resolver:   c.resolver,
		CARoots:    c.roots,
		Mesh:       c.mesh,
		Datacenter: c.cfg.Datacenter,
		NodeName:   c.cfg.NodeName,
		Partition:  c.cfg.Partition,
		UIEnabled:  c.cfg.UIEnabled,
		Debug:      c.cfg.EnableDebug,
		Log:        logging.Named(c.log, "http"),
		Agent:      c.agentAPI(),
		Gossip:     c.gossip,
		Config:     c.httpConfig(),
		Audit:      c.audit,
		Limits:     c.limits,
		Forward:    &forward.Forwarder{Client: c.peers, Servers: c.serverAddrs, Hold: c.cfg.RPCHold},
	}
	c.own.handler = api.OwnHandler()
	if err := c.openGRPC(api, c.resolver, c.resolver.Changed); err != nil {
		return err
	}
	return c.openListeners(api.Handler())
}

// agentAPI is what the routes about this agent are answered from.
func (c *client) agentAPI() httpapi.Agent {
	a := c.agent(c.stats)
	a.Ready = func() bool { return len(c.serverAddrs()) > 0 }
	return a
}

// obtainCertificate obtains the certificate of auto_encrypt. A signal ends it.
func (c *client) obtainCertificate(ctx context.Context) error {
	if !c.cfg.AutoEncrypt.TLS {
		return nil
	}
	rpc, err := rpcTLS(c.cfg)
	if err != nil {
		return err
	}
	bare, err := peer.NewTLS(rpc)
	if err != nil {
		return err
	}
	c.bare = peer.NewClient(bare)
	c.reloaded = func(next Config) error { // or no renewal would reach servers of another CA
		rpc, err := rpcTLS(next)
		if err != nil {
			return err
		}
		return bare.Update(rpc)
	}
	c.auto = &agent.AutoEncrypt{
		Client:     c.bare,
		RetryJoin:  c.cfg.RetryJoin,
		ServerPort: c.cfg.Ports.Server,
		Discover:   c.clouds.Addrs,
		Servers:    c.serverAddrs,
		NodeName:   c.cfg.NodeName,
		Datacenter: c.cfg.Datacenter,
		Partition:  c.cfg.Partition,
		DNSSAN:     c.cfg.AutoEncrypt.DNSSAN,
		Token:      c.agentToken,
		Use:        c.useCertificate,
		Roots:      c.roots,
		Log:        logging.Named(c.log, "auto_config"),
	}
	for _, text := range c.cfg.AutoEncrypt.IPSAN {
		ip := net.ParseIP(text)
		if ip == nil {
			return fmt.Errorf("auto_encrypt.ip_san: %q is not an IP address", text)
		}
		c.auto.IPSAN = append(c.auto.IPSAN, ip)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	obtained := make(chan error, 1)
	go func() { obtained <- c.auto.Obtain(ctx) }()
	select {
	case err := <-obtained:
		return err
	case sig := <-c.opts.Signals:
		c.log.Info("Caught", slog.String("signal", signalName(sig)))
		cancel()
		return <-obtained
	}
}

// useCertificate takes over what auto_encrypt has obtained, for requests to
// servers and, where no other is configured, for HTTPS.
func (c *client) useCertificate(o agent.Obtained) error {
	c.nameWanted.Store(o.VerifyServerHostname)
	rpc, err := rpcTLS(*c.current.Load())
	if err != nil {
		return err
	}
	rpc.VerifyServerHostname = rpc.VerifyServerHostname || o.VerifyServerHostname
	if err := errors.Join(c.tls.Update(rpc), c.tls.SetMesh(o.ManualRoots, &o.Pair)); err != nil {
		return err
	}
	if c.cfg.Ports.HTTPS > 0 && c.cfg.TLS.HTTPS.CertFile == "" {
		if err := c.https.use(o.Pair, c.cfg.TLS.HTTPS); err != nil {
			return err
		}
	}
	if own := c.cfg.TLS.GRPC; c.cfg.Ports.GRPCTLS > 0 && own.UseAutoCert && own.CertFile == "" {
		return c.grpcTLS.use(o.Pair, own)
	}
	return nil
}

// serverAddrs returns the server ports of the servers that answer.
func (c *client) serverAddrs() []string {
	if c.gossip == nil {
		return nil // before it has a certificate
	}
	var addrs []string
	for _, m := range c.gossip.Servers() {
		if m.ServerAddr != "" {
			addrs = append(addrs, m.ServerAddr)
		}
	}
	return addrs
}

func (c *client) tasks() []task {
	tasks := []task{
		{"gossip", c.gossip.Run},
		{"members", c.watchServers},
		{"local", c.local.Run},
		{"join", c.join},
		{"tokens", c.resolver.Run},
		{"mesh roots", c.roots.Run},
		{"leafs", c.mesh.leafs.Run},
	}
	if c.auto != nil {
		tasks = append(tasks, task{"certificate", c.auto.Run})
	}
	return tasks
}

// watchServers compares what is registered here with the catalog when a server comes.
func (c *client) watchServers(ctx context.Context) error {
	for {
		select {
		case e := <-c.gossip.Events():
			if e.Type == gossip.Join && e.Member.Server {
				c.local.Compare()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *client) ready() <-chan struct{} { return c.open }

func (c *client) leaveCluster() error {
	logging.Named(c.log, "client").Info("client starting leave")
	return c.gossip.Leave()
}

// handOn has nothing to do: no other agent depends on this one.
func (c *client) handOn() {}

func (c *client) close() error {
	var err error
	if c.gossip != nil {
		err = c.gossip.Close()
	}
	if c.bare != nil {
		c.bare.Close()
	}
	c.peers.Close()
	c.closeAudit()
	logging.Named(c.log, "client").Info("consul client down")
	return err
}

// stats are what consul info prints of a client agent under consul.
func (c *client) stats() map[string]map[string]string {
	return map[string]map[string]string{
		"consul": {"server": "false", "known_servers": fmt.Sprint(len(c.serverAddrs()))},
	}
}
