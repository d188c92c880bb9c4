package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const lookupTime = 5 * time.Second

// hosts returns the hosts of retry_join without their ports, which are those of gossip.
func (a *AutoEncrypt) hosts(ctx context.Context) []string {
	var hosts []string
	for _, entry := range a.RetryJoin {
		entries := []string{entry}
		if _, rest, ok := strings.Cut(entry, "provider="); ok {
			name, _, _ := strings.Cut(rest, " ")
			var err error
			if entries, err = a.discover(ctx, name, entry); err != nil { // an entry may hold secrets
				a.Log.Error("Cannot discover address", "address", "provider="+name, "error", err)
			}
		}
		for _, e := range entries {
			hosts = append(hosts, withoutPort(e))
		}
	}
	return hosts
}

func (a *AutoEncrypt) discover(ctx context.Context, name, entry string) ([]string, error) {
	if a.Discover == nil {
		return nil, fmt.Errorf("discover: unknown provider %s", name)
	}
	return a.Discover(ctx, entry)
}

// withoutPort returns the host of "host", "host:port", "::1", "[::1]" and "[::1]:port".
func withoutPort(entry string) string {
	if host, _, err := net.SplitHostPort(entry); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]")
}

// resolve returns the server ports at a host: all addresses of a DNS name.
func (a *AutoEncrypt) resolve(ctx context.Context, host string) []string {
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		look := a.Lookup
		if look == nil {
			look = func(ctx context.Context, name string) ([]netip.Addr, error) {
				return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			}
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		if ips, err = look(ctx, host); err != nil {
			a.Log.Error("AutoEncrypt.Sign RPC failed", "addr", host, "error", err)
		}
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(a.ServerPort))
	}
	return addrs
}
