package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/envoy"
)

// defaultGRPC is where an agent that says nothing about xDS is asked.
const defaultGRPC = 8502

// agentAddress finds where Envoy gets its configuration from: as the flags or the
// environment say, or else on this machine, at the port that the agent names.
func (f *envoyFlags) agentAddress(env *Env, client *api.Client) (envoy.Agent, error) {
	var a envoy.Agent
	addr := cmp.Or(f.grpcAddr, env.Getenv(api.GRPCAddrEnvName))
	if addr == "" {
		port, secure, err := xdsPort(client)
		if err != nil {
			return a, complain("Error looking up xDS port: %w", err)
		}
		addr = joinPort("127.0.0.1", port)
		if secure {
			addr = "https://" + addr
		}
	}
	switch scheme, rest, _ := strings.Cut(addr, "://"); {
	case strings.EqualFold(scheme, "unix") && rest != "":
		a.Socket = rest
	case strings.EqualFold(scheme, "https") && rest != "":
		a.TLS, addr = true, rest
	case strings.EqualFold(scheme, "http") && rest != "":
		addr = rest
	}
	var err error
	if a.Socket == "" {
		if a.Addr, err = resolveAddress(addr); err != nil {
			return a, complain("Invalid Consul agent gRPC address: %w", err)
		}
	}
	if a.TLS {
		a.CAPEM, err = readCAs(
			cmp.Or(f.grpcCA, env.Getenv(api.GRPCCAFileEnvName), f.caFile, env.Getenv(api.HTTPCAFile)),
			cmp.Or(f.grpcCAPath, env.Getenv(api.GRPCCAPathEnvName), f.caPath, env.Getenv(api.HTTPCAPath)))
	}
	return a, err
}

// xdsPort asks the agent for its port, that with TLS if it has both. A proxy's token need not
// be allowed to ask.
func xdsPort(client *api.Client) (port int, secure bool, err error) {
	self, err := client.Agent().Self()
	if isDenied(err) {
		return defaultGRPC, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	number := func(v any) int { n, _ := v.(float64); return int(n) }
	xds := self["xDS"]
	ports, _ := xds["Ports"].(map[string]any)
	switch secure, plain := number(ports["TLS"]), number(ports["Plaintext"]); {
	case secure > 0:
		return secure, true, nil
	case plain > 0:
		return plain, false, nil
	}
	if port = number(xds["Port"]); port > 0 {
		return port, false, nil
	}
	return defaultGRPC, false, nil
}

// resolveAddress turns host:port into an IP address and a port; a host without an address
// of IPv4 has one of IPv6.
func resolveAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := parsePort(port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	found, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("Failed to resolve address %s: %w", host, err)
	}
	ip, ok := netip.AddrFromSlice(found.IP)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("no address in %q", s)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), nil
}

func isDenied(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusForbidden
}

func parsePort(s string) (int, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("invalid port: %q", s)
	}
	return int(port), nil
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// readCAs returns the certificates of a file, or of the files in a directory; "" for none.
func readCAs(file, dir string) (string, error) {
	files := []string{file}
	if file == "" {
		if dir == "" {
			return "", nil
		}
		var err error
		if files, err = filepath.Glob(filepath.Join(dir, "*")); err != nil {
			return "", err
		}
	}
	var all strings.Builder
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return "", complain("Error loading CA File: %w", err)
		}
		all.WriteString(strings.TrimSpace(string(text)) + "\n")
	}
	if all.Len() == 0 {
		return "", complain("Error loading CA Path: no certificate in %s", dir)
	}
	return all.String(), nil
}
