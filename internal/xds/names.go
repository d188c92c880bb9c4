package xds

import (
	"cmp"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
)

// Names that Envoy's statistics show.
const (
	localApp       = "local_app"
	publicListener = "public_listener"
)

// sni is the name of an upstream's cluster, and what the proxy asks for in TLS (mesh.md section 7).
func sni(s *proxycfg.Snapshot, u *proxycfg.Upstream) string {
	datacenter := cmp.Or(u.Datacenter, s.Datacenter)
	if u.Scope.Partition == tenancy.DefaultName {
		return strings.Join([]string{u.DestinationName, u.Scope.Namespace, datacenter, "internal", s.TrustDomain}, ".")
	}
	return strings.Join([]string{u.DestinationName, u.Scope.Namespace, u.Scope.Partition, datacenter, "internal-v1", s.TrustDomain}, ".")
}

// target is an upstream in the names of statistics and virtual hosts.
func target(s *proxycfg.Snapshot, u *proxycfg.Upstream) string {
	return strings.Join([]string{u.DestinationName, u.Scope.Namespace, u.Scope.Partition, cmp.Or(u.Datacenter, s.Datacenter)}, ".")
}

// identity is the URI in the certificate of an upstream's instances.
func identity(s *proxycfg.Snapshot, u *proxycfg.Upstream) string {
	id := ca.ServiceID{
		TrustDomain: s.TrustDomain, Datacenter: cmp.Or(u.Datacenter, s.Datacenter), Service: u.DestinationName, Scope: u.Scope,
	}
	return id.URI().String()
}

// listenerName names the listener of an upstream, with what is not in the default scope before it.
func listenerName(u *proxycfg.Upstream) string {
	service := configentry.Service{Name: u.DestinationName, Scope: u.Scope}.String()
	if u.LocalBindPort == 0 && u.LocalBindSocketPath != "" {
		return service + ":" + u.LocalBindSocketPath
	}
	return service + ":" + bind(u.LocalBindAddress, u.LocalBindPort)
}

func bind(address string, port int) string {
	return net.JoinHostPort(cmp.Or(address, "127.0.0.1"), strconv.Itoa(port))
}

// anySegment matches one part of a SPIFFE ID's path.
const anySegment = `[^/]+`

// servicePattern matches the URI in the certificate of any service of a trust domain.
func servicePattern(trustDomain string) string {
	return "^spiffe://" + regexp.QuoteMeta(trustDomain) + "(?:/ap/" + anySegment + ")?/ns/" + anySegment + "/dc/" + anySegment + "/svc/" + anySegment + "$"
}

// principalPattern matches the URI in the certificate of the callers that an intention is about, in
// any datacenter. Names of services are compared in any case, as everywhere: a service that is denied could
// otherwise have a certificate in another one.
func principalPattern(trustDomain string, who configentry.Service) string {
	partition := ""
	if who.Partition != "" && who.Partition != tenancy.DefaultName {
		partition = "/ap/" + regexp.QuoteMeta(who.Partition)
	}
	namespace, name := anySegment, anySegment
	if who.Namespace != tenancy.Wildcard {
		namespace = regexp.QuoteMeta(who.Namespace)
	}
	if who.Name != tenancy.Wildcard {
		name = "(?i:" + regexp.QuoteMeta(who.Name) + ")"
	}
	return "^spiffe://" + regexp.QuoteMeta(trustDomain) + partition + "/ns/" + namespace + "/dc/" + anySegment + "/svc/" + name + "$"
}
