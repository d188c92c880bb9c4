package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Host is what an agent asks of its machine. The zero value asks the real one.
type Host struct {
	Name  func() (string, error)
	Addrs func() ([]Addr, error) // of interfaces that are up; that of the default route first
}

// Addr is an address of a network interface.
type Addr struct {
	Interface string
	IP        netip.Addr
}

func (h Host) name() (string, error) {
	if h.Name != nil {
		return h.Name()
	}
	return os.Hostname()
}

func (h Host) addrs() ([]Addr, error) {
	if h.Addrs != nil {
		return h.Addrs()
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var all []Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				all = append(all, Addr{i.Name, p.Addr()})
			}
		}
	}
	if first, ok := defaultSource(); ok {
		slices.SortStableFunc(all, func(a, b Addr) int {
			switch {
			case a.IP == first && b.IP != first:
				return -1
			case b.IP == first && a.IP != first:
				return 1
			}
			return 0
		})
	}
	return all, nil
}

// defaultSource is the address that the system would send from to the outside. Connecting
// a UDP socket sends nothing.
func defaultSource() (netip.Addr, bool) {
	c, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return a.AddrPort().Addr().Unmap(), true
}

var sharedAddressSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// privateIPs are the private addresses that are not of a loopback interface, of both
// families.
func (h Host) privateIPs() ([]netip.Addr, error) {
	all, err := h.addrs()
	if err != nil {
		return nil, err
	}
	var private []netip.Addr
	for _, a := range all {
		if a.IP.IsPrivate() || sharedAddressSpace.Contains(a.IP) {
			private = append(private, a.IP)
		}
	}
	return private, nil
}

// onlyPrivateIPv4 is what an agent advertises that binds every address.
func (h Host) onlyPrivateIPv4() (string, error) {
	private, err := h.privateIPs()
	if err != nil {
		return "", err
	}
	private = slices.DeleteFunc(private, func(a netip.Addr) bool { return !a.Is4() })
	switch len(private) {
	case 0:
		return "", errors.New("No private IPv4 address found. Please configure one with 'bind' and/or 'advertise'.")
	case 1:
		return private[0].String(), nil
	}
	return "", errors.New("Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise'.")
}

var (
	template    = regexp.MustCompile(`\{\{[^{}]*\}\}`)
	interfaceIP = regexp.MustCompile(`^GetInterfaceIP\s+"([^"]+)"$`)
)

// expand replaces the templates in s. Of the template language only GetPrivateIP and
// GetInterfaceIP "name" are known.
func (h Host) expand(s string) (string, error) {
	if !strings.Contains(s, "{{") {
		return s, nil
	}
	var failed error
	out := template.ReplaceAllStringFunc(s, func(t string) string {
		ip, err := h.evaluate(strings.TrimSpace(t[2 : len(t)-2]))
		if err != nil && failed == nil {
			failed = err
		}
		return ip
	})
	if failed == nil && (strings.Contains(out, "{{") || strings.Contains(out, "}}")) {
		failed = errors.New("unbalanced braces")
	}
	if failed != nil {
		return "", fmt.Errorf("cannot expand address template %q: %w", s, failed)
	}
	return out, nil
}

func (h Host) evaluate(expr string) (string, error) {
	var found []netip.Addr
	if expr == "GetPrivateIP" {
		private, err := h.privateIPs()
		if err != nil {
			return "", err
		}
		found = private
	} else if m := interfaceIP.FindStringSubmatch(expr); m != nil {
		all, err := h.addrs()
		if err != nil {
			return "", err
		}
		for _, a := range all {
			if a.Interface == m[1] {
				found = append(found, a.IP)
			}
		}
	} else {
		return "", errors.New(`only GetPrivateIP and GetInterfaceIP "name" are supported`)
	}
	for _, ip := range found { // IPv4 first, as others expect
		if ip.Is4() {
			return ip.String(), nil
		}
	}
	if len(found) > 0 {
		return found[0].String(), nil
	}
	return "", errors.New("no such address")
}

// address says how a setting's text becomes addresses.
type address uint8

const (
	noAddress address = iota
	oneIP             // an IP address or template
	listenIP          // several, separated by spaces
	listenAny         // the same, or unix:///path
	joinEntry         // a list of anything, with templates
)

// resolve expands the value of a setting.
func (h Host) resolve(a address, v any) (any, error) {
	switch a {
	case oneIP:
		return h.ip(v.(string))
	case listenIP, listenAny:
		return h.listeners(v.(string), a == listenAny)
	case joinEntry:
		out := make([]string, len(v.([]string)))
		for i, s := range v.([]string) {
			var err error
			if out[i], err = h.expand(s); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func (h Host) ip(s string) (string, error) {
	out, err := h.expand(s)
	if err != nil || out == "" {
		return "", err
	}
	ip, err := netip.ParseAddr(strings.TrimSpace(out))
	if err != nil {
		return "", fmt.Errorf("invalid ip address: %s", out)
	}
	return ip.String(), nil
}

func (h Host) listeners(s string, sockets bool) ([]string, error) {
	out, err := h.expand(s)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, a := range strings.Fields(out) {
		if path, ok := strings.CutPrefix(a, "unix://"); ok && sockets && path != "" {
			all = append(all, a)
			continue
		}
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("invalid ip address: %s", a)
		}
		all = append(all, ip.String())
	}
	return all, nil
}
