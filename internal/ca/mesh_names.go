package ca

import (
	"regexp"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// maxSANs bounds the further names, and the further addresses, of an agent's
// certificate.
const maxSANs = 32

var (
	// pathSegment is what may stand in a SPIFFE ID as a name: nothing that a
	// parser reads as more than one segment.
	pathSegment = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,253}$`)

	dnsName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
)

func isSegment(part string) bool {
	return pathSegment.MatchString(part) && strings.Trim(part, ".") != ""
}

// Check returns errs.Invalid unless a client agent may have these names. A
// name that servers are known by, in the cluster's DNS domain, is not for
// agents, and neither is a wildcard that would cover one.
func (n AgentNames) Check(domain string) error {
	for _, part := range []string{n.ID.Node, n.ID.Datacenter} {
		if !isSegment(part) {
			return errs.Errorf(errs.Invalid, "Invalid node name or datacenter for a certificate: %q", part)
		}
	}
	if len(n.DNS) > maxSANs || len(n.IPs) > maxSANs {
		return errs.Errorf(errs.Invalid, "Too many names for a certificate, at most %d of each kind", maxSANs)
	}
	for _, name := range n.DNS {
		if len(name) > 253 || !dnsName.MatchString(name) {
			return errs.Errorf(errs.Invalid, "Invalid DNS name for a certificate: %q", name)
		}
		if serverName(name, domain) {
			return errs.Errorf(errs.Invalid, "DNS name %q is reserved for servers", name)
		}
	}
	for _, ip := range n.IPs {
		if ip.To16() == nil || ip.IsUnspecified() {
			return errs.Errorf(errs.Invalid, "Invalid IP address for a certificate: %q", ip)
		}
	}
	return nil
}

// serverName reports whether a name may be a server's: server.<dc>.<domain>,
// <node>.server.<dc>.<domain> or, between clusters, below the trust domain, which ends in consul.
func serverName(name, domain string) bool {
	labels := strings.Split(strings.ToLower(name), ".")
	if !slices.Contains(labels, "server") {
		return false
	}
	lower := "." + strings.ToLower(name)
	return strings.HasSuffix(lower, "."+strings.ToLower(domain)) || strings.HasSuffix(lower, ".consul")
}
