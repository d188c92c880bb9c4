package configentry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/tenancy"
)

// Mesh is what counts for the mesh of a partition.
type Mesh struct {
	TransparentProxy                 MeshTransparentProxy
	AllowEnablingPermissiveMutualTLS bool         `json:",omitempty"`
	ValidateClusters                 bool         `json:",omitempty"`
	TLS                              *MeshTLS     `json:",omitempty"`
	HTTP                             *MeshHTTP    `json:",omitempty"`
	Peering                          *MeshPeering `json:",omitempty"`
}

// MeshTransparentProxy is what transparent proxies may reach.
type MeshTransparentProxy struct {
	MeshDestinationsOnly bool `json:",omitempty"`
}

// MeshTLS are bounds on TLS, by direction as a proxy sees it.
type MeshTLS struct {
	Incoming *DirectionalTLS `json:",omitempty"`
	Outgoing *DirectionalTLS `json:",omitempty"`
}

// DirectionalTLS are bounds on TLS.
type DirectionalTLS struct {
	TLSMinVersion string   `json:",omitempty"` // TLS_AUTO or TLSv1_0 to TLSv1_3
	TLSMaxVersion string   `json:",omitempty"`
	CipherSuites  []string `json:",omitempty"` // by their names at IANA, or of OpenSSL
}

// MeshHTTP is how proxies treat HTTP.
type MeshHTTP struct {
	SanitizeXForwardedClientCert bool             `json:",omitempty"`
	Incoming                     *DirectionalHTTP `json:",omitempty"`
}

// DirectionalHTTP is how they treat it in one direction.
type DirectionalHTTP struct {
	RequestNormalization *RequestNormalization `json:",omitempty"`
}

// RequestNormalization is what is done to a request's path and headers before intentions decide.
type RequestNormalization struct {
	InsecureDisablePathNormalization bool   `json:",omitempty"`
	MergeSlashes                     bool   `json:",omitempty"`
	PathWithEscapedSlashesAction     string `json:",omitempty"`
	HeadersWithUnderscoresAction     string `json:",omitempty"`
}

// MeshPeering is how peers reach each other's servers.
type MeshPeering struct {
	PeerThroughMeshGateways bool `json:",omitempty"`
}

// tlsVersions are in rising order, but for the first.
var tlsVersions = []string{"TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"}

func (m *Mesh) normalize(e *Entry) {
	if e.Name == "" {
		e.Name = MeshName
	}
}

func (m *Mesh) check(e *Entry, wrong *problems) {
	if e.Name != MeshName {
		wrong.add("invalid name (%q), only %q is supported", e.Name, MeshName)
	}
	if m.TLS != nil {
		m.TLS.Incoming.check("TLS.Incoming", wrong)
		m.TLS.Outgoing.check("TLS.Outgoing", wrong)
	}
	if m.HTTP != nil && m.HTTP.Incoming != nil && m.HTTP.Incoming.RequestNormalization != nil {
		n := m.HTTP.Incoming.RequestNormalization
		const at = "HTTP.Incoming.RequestNormalization."
		wrong.among(at+"PathWithEscapedSlashesAction", n.PathWithEscapedSlashesAction,
			"", "IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
		wrong.among(at+"HeadersWithUnderscoresAction", n.HeadersWithUnderscoresAction, "", "ALLOW", "REJECT_REQUEST", "DROP_HEADER")
	}
}

func (d *DirectionalTLS) check(at string, wrong *problems) {
	if d == nil {
		return
	}
	least, most := slices.Index(tlsVersions, d.TLSMinVersion), slices.Index(tlsVersions, d.TLSMaxVersion)
	if d.TLSMinVersion != "" && least < 0 {
		wrong.add("invalid %s.TLSMinVersion: %q", at, d.TLSMinVersion)
	}
	if d.TLSMaxVersion != "" && most < 0 {
		wrong.add("invalid %s.TLSMaxVersion: %q", at, d.TLSMaxVersion)
	}
	if least > 0 && most > 0 && least > most {
		wrong.add("%s: TLSMinVersion %s is above TLSMaxVersion %s", at, d.TLSMinVersion, d.TLSMaxVersion)
	}
	d.checkSuites(at, wrong)
}

// ExportedServices are the services of a partition that others may use. The entry's name is the
// partition's.
type ExportedServices struct {
	Services []ExportedService `json:",omitempty"`
}

// ExportedService is one of them, or with the name "*" all of a namespace.
type ExportedService struct {
	Name      string
	Namespace string     `json:",omitempty"` // "*" is all
	Consumers []Consumer `json:",omitempty"`
}

// Consumer is who may use a service: exactly one field is set.
type Consumer struct {
	Partition     string `json:",omitempty"`
	Peer          string `json:",omitempty"`
	SamenessGroup string `json:",omitempty"`
}

func (x *ExportedServices) normalize(e *Entry) {
	e.Name = strings.ToLower(e.Name)
	for i := range x.Services {
		s := &x.Services[i]
		s.Namespace = strings.ToLower(s.Namespace)
		if s.Namespace == "" {
			s.Namespace = tenancy.DefaultName
		}
		for j := range s.Consumers {
			s.Consumers[j].Partition = strings.ToLower(s.Consumers[j].Partition)
		}
	}
}

func (x *ExportedServices) check(e *Entry, wrong *problems) {
	if e.Name == "" {
		wrong.add("Name is required")
	} else if e.Name != e.Partition {
		wrong.add("exported-services name must be the name of its partition, %q, not %q", e.Partition, e.Name)
	}
	for i, s := range x.Services {
		at := fmt.Sprintf("Services[%d]", i)
		if s.Name == "" {
			wrong.add("%s: service name cannot be empty", at)
		}
		if s.Namespace == tenancy.Wildcard && s.Name != tenancy.Wildcard {
			wrong.add("%s: all namespaces can only be exported with the name \"*\"", at)
		}
		if len(s.Consumers) == 0 {
			wrong.add("%s: must have at least one consumer", at)
		}
		for j, c := range s.Consumers {
			c.check(fmt.Sprintf("%s.Consumers[%d]", at, j), e.Partition, wrong)
		}
	}
}

func (c Consumer) check(at, own string, wrong *problems) {
	given := 0
	for _, name := range []string{c.Partition, c.Peer, c.SamenessGroup} {
		if name != "" {
			given++
		}
		if name == tenancy.Wildcard {
			wrong.add("%s: exporting to all partitions or peers (wildcard) is not supported", at)
		}
	}
	switch {
	case given != 1:
		wrong.add("%s: must define exactly one of Peer, Partition, or SamenessGroup", at)
	case c.Partition != "" && c.Partition == own:
		wrong.add("%s: a service cannot be exported to its own partition", at)
	}
}

// shown is x as clients see it: a namespace where it is not the default one.
func (x *ExportedServices) shown() ExportedServices {
	out := ExportedServices{Services: slices.Clone(x.Services)}
	for i := range out.Services {
		out.Services[i].Namespace = unlessDefault(out.Services[i].Namespace)
	}
	return out
}

// Exports reports whether x exports a service of s to a partition.
func (x *ExportedServices) Exports(s tenancy.Scope, service, to string) bool {
	for i := range x.Services {
		e := &x.Services[i]
		if e.covers(s, service) && slices.ContainsFunc(e.Consumers, func(c Consumer) bool { return c.Partition == to }) {
			return true
		}
	}
	return false
}

// covers reports whether e is about a service of s. "*" does not stand for the servers' own.
func (e *ExportedService) covers(s tenancy.Scope, service string) bool {
	if e.Namespace != tenancy.Wildcard && e.Namespace != s.Namespace {
		return false
	}
	if e.Name == tenancy.Wildcard {
		return !strings.EqualFold(service, "consul")
	}
	return strings.EqualFold(e.Name, service)
}

// Export is a service with who else may use it.
type Export struct {
	Service
	Consumers []Consumer // each once
}

// Resolve returns the services that x, of a partition, exports, by name: those that it names, and for
// its wildcards those of them that are known.
func (x *ExportedServices) Resolve(partition string, known []Service) []Export {
	var all []Export
	for i := range x.Services {
		e := &x.Services[i]
		if e.Name != tenancy.Wildcard {
			all = addExport(all, Service{Name: e.Name, Scope: tenancy.Scope{Partition: partition, Namespace: e.Namespace}}, e.Consumers)
			continue
		}
		for _, s := range known {
			if e.covers(s.Scope, s.Name) {
				all = addExport(all, s, e.Consumers)
			}
		}
	}
	slices.SortFunc(all, func(a, b Export) int { return a.compare(b.Service) })
	return all
}

func addExport(all []Export, s Service, to []Consumer) []Export {
	at := slices.IndexFunc(all, func(x Export) bool { return x.Scope == s.Scope && strings.EqualFold(x.Name, s.Name) })
	if at < 0 {
		at = len(all)
		all = append(all, Export{Service: s})
	}
	for _, c := range to {
		if !slices.Contains(all[at].Consumers, c) {
			all[at].Consumers = append(all[at].Consumers, c)
		}
	}
	return all
}
