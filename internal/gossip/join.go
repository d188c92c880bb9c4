package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

// errRetriesExhausted ends an agent that was told how often to try.
var errRetriesExhausted = errors.New("agent: max join LAN retry exhausted, exiting")

// Join contacts every address and returns how many answered. An address is an
// IP address or a DNS name, of which every address is tried, with or without a
// port; without one it is this agent's own (agent.md section 11). It fails with
// Errors if nobody answered, also for a member of another datacenter or with another key.
func (g *Gossip) Join(ctx context.Context, addrs []string) (int, error) {
	targets, failures := g.resolve(ctx, addrs)
	self, joined := 0, 0
	for _, to := range targets {
		if g.own(to) {
			self++
			continue
		}
		if err := g.contact(ctx, to); err != nil {
			failures = append(failures, fmt.Sprintf("Failed to join %s: %v", to, err))
			continue
		}
		joined++
	}
	if joined > 0 {
		if err := g.KeepKeyring(); err != nil {
			g.log.Error("the keyring cannot be kept", slog.Any(logging.Err, err))
		}
		return joined, nil
	}
	if len(failures) > 0 {
		return 0, failures
	}
	return self, nil
}

// contact exchanges members with the agent at to. It returns when ctx ends; what
// it began then ends by itself, at serf's own time-out.
func (g *Gossip) contact(ctx context.Context, to netip.AddrPort) error {
	done := make(chan error, 1)
	go func() {
		g.joining <- struct{}{}
		_, err := g.serf.Join([]string{to.String()}, true)
		<-g.joining
		done <- err
	}()
	select {
	case err := <-done:
		return joinCause(err, to)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// joinCause strips what serf says around the reason that it could not join.
func joinCause(err error, to netip.AddrPort) error {
	if err == nil {
		return nil
	}
	var several *multierror.Error
	if errors.As(err, &several) && len(several.Errors) > 0 {
		err = several.Errors[0]
	}
	text := strings.TrimPrefix(err.Error(), "failed to join "+to.String()+": ")
	lower := strings.ToLower(text)
	if strings.Contains(lower, "encrypt") || strings.Contains(lower, "decrypt") {
		text += " (its gossip key is not one of this agent's)"
	}
	return errors.New(text)
}

// resolve turns addresses into what can be dialled, each once, in order.
func (g *Gossip) resolve(ctx context.Context, addrs []string) ([]netip.AddrPort, Errors) {
	var targets []netip.AddrPort
	var failures Errors
	seen := map[netip.AddrPort]bool{}
	for _, addr := range addrs {
		found, err := g.resolveOne(ctx, addr)
		if err != nil {
			failures = append(failures, fmt.Sprintf("Failed to resolve %s: %v", addr, err))
		}
		for _, to := range found {
			if !seen[to] {
				seen[to] = true
				targets = append(targets, to)
			}
		}
	}
	return targets, failures
}

func (g *Gossip) resolveOne(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, port, err := splitAddr(addr, g.joinPort())
	if err != nil {
		return nil, err
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		look := g.cfg.LookupIP
		if look == nil {
			look = lookUpIP
		}
		if ips, err = look(ctx, host); err != nil {
			return nil, err
		}
	}
	targets := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		targets[i] = netip.AddrPortFrom(ip.Unmap(), port)
	}
	return targets, nil
}

// splitAddr reads "host", "host:port", an IPv6 address, and one in brackets
// with or without a port.
func splitAddr(addr string, port uint16) (string, uint16, error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")); err == nil {
		return ip.String(), port, nil
	}
	if !strings.Contains(addr, ":") {
		if addr == "" {
			return "", 0, errors.New("empty address")
		}
		return addr, port, nil
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("invalid address %q", addr)
	}
	return host, uint16(n), nil
}

// RetryJoin joins through addrs, the entries of retry_join, every interval until
// it works once. It returns nil then and when ctx ends, and an error after limit
// failures; 0 is no limit.
func (g *Gossip) RetryJoin(ctx context.Context, addrs []string, interval time.Duration, limit int) error {
	if len(addrs) == 0 {
		return nil
	}
	cluster := slog.String("cluster", "LAN")
	g.log.Info("Joining cluster...", cluster)
	for failures := 0; ; {
		n, err := g.joinOnce(ctx, addrs)
		if err == nil {
			g.log.Info("Join cluster completed. Synced with initial agents", cluster, slog.Int("num_agents", n))
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if failures++; limit > 0 && failures > limit {
			return errRetriesExhausted
		}
		g.log.Warn("Join cluster failed, will retry", cluster, slog.String("retry_interval", interval.String()), slog.Any(logging.Err, err))
		if !sleep.For(ctx, interval) {
			return nil
		}
	}
}

// joinOnce asks for the addresses again each time: they may have changed.
func (g *Gossip) joinOnce(ctx context.Context, entries []string) (int, error) {
	addrs := g.discover(ctx, entries)
	if len(addrs) == 0 {
		return 0, errors.New("No servers to join")
	}
	g.log.Info("(LAN) joining", slog.Any("lan_addresses", addrs))
	n, err := g.Join(ctx, addrs)
	if err != nil {
		g.log.Warn("(LAN) couldn't join", slog.Int("number_of_nodes", n), slog.Any(logging.Err, err))
		return n, err
	}
	g.log.Info("(LAN) joined", slog.Int("number_of_nodes", n))
	return n, nil
}

// discover replaces the entries that name a provider by what it finds.
func (g *Gossip) discover(ctx context.Context, entries []string) []string {
	var addrs []string
	for _, entry := range entries {
		_, rest, ok := strings.Cut(entry, "provider=")
		if !ok {
			addrs = append(addrs, entry)
			continue
		}
		name, _, _ := strings.Cut(rest, " ")
		var found []string
		var err error
		if g.cfg.Discover != nil {
			found, err = g.cfg.Discover(ctx, entry)
		} else {
			err = fmt.Errorf("discover: unknown provider %s", name)
		}
		if err != nil { // an entry may hold secrets
			g.log.Error("Cannot discover address", slog.String("cluster", "LAN"), slog.String("address", "provider="+name), slog.Any(logging.Err, err))
		}
		addrs = append(addrs, found...)
	}
	return addrs
}
