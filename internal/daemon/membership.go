package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lictor/lictor/internal/discover"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/version"
)

// openGossip begins to gossip: from then on others see this agent.
func (b *base) openGossip() error {
	cfg := b.cfg
	var err error
	b.gossip, err = gossip.Open(gossip.Config{
		NodeName:   cfg.NodeName,
		NodeID:     b.nodeID,
		Datacenter: cfg.Datacenter,
		Partition:  cfg.Partition,
		Server:     cfg.Server,
		Tags: gossip.Tags{
			Build:            version.Consul + ":",
			ACLs:             cfg.ACL.Enabled,
			Bootstrap:        cfg.Bootstrap,
			Expect:           cfg.BootstrapExpect,
			UseTLS:           b.tls.Enabled(),
			ServerPort:       cfg.Ports.Server,
			GRPCPort:         cfg.Ports.GRPC,
			GRPCTLSPort:      cfg.Ports.GRPCTLS,
			ReconnectTimeout: cfg.AdvertiseReconn,
		},
		BindAddr:         cmp.Or(cfg.SerfLANAddr, cfg.BindAddr),
		AdvertiseAddr:    cfg.AdvertiseAddr,
		Port:             cfg.Ports.SerfLAN,
		DataDir:          cfg.DataDir,
		Key:              cfg.Encrypt,
		VerifyIncoming:   cfg.EncryptVerifyIn,
		VerifyOutgoing:   cfg.EncryptVerifyOut,
		DisableKeyring:   cfg.DisableKeyring,
		RejoinAfterLeave: cfg.RejoinAfterLeave,
		Allowed:          prefixes(cfg.SerfLANAllowed),
		Discover:         b.clouds.Addrs,
		Heard:            b.userEvents(),
		ReconnectTimeout: cfg.ReconnectTimeout,
		Fast:             cfg.Dev,
		Pace:             cfg.GossipLAN,
		Log:              b.log,
	})
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// join joins through the entries of retry_join, until it works once or the
// attempts are used up, which ends the agent.
func (b *base) join(ctx context.Context) error {
	if len(b.cfg.RetryJoin) == 0 {
		return nil
	}
	b.log.Info("Retry join is supported for the following discovery methods",
		slog.String("cluster", "LAN"), slog.String("discovery_methods", strings.Join(discover.Providers(), " ")))
	return b.gossip.RetryJoin(ctx, b.cfg.RetryJoin, b.cfg.RetryInterval, b.cfg.RetryMax)
}
