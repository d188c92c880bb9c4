package ca

import (
	"net/url"
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// AgentID is who a client agent is (mesh.md section 1.1).
type AgentID struct {
	TrustDomain string
	Partition   string // "" and "default" are the same
	Datacenter  string
	Node        string
}

// URI returns the identity as a SPIFFE ID. Its parts have to be free of slashes.
func (id AgentID) URI() *url.URL {
	return spiffe(id.TrustDomain, id.Partition, "/agent/client/dc/"+id.Datacenter+"/id/"+id.Node)
}

// ParseAgentID reads what URI returns. It returns errs.Invalid for any other URI.
func ParseAgentID(u *url.URL) (AgentID, error) {
	partition, parts := spiffeParts(u)
	if len(parts) != 6 {
		return AgentID{}, errNoAgent
	}
	id := AgentID{TrustDomain: u.Host, Partition: partition, Datacenter: parts[3], Node: parts[5]}
	if id.Datacenter == "" || id.Node == "" || id.URI().String() != u.String() {
		return AgentID{}, errNoAgent
	}
	return id, nil
}

// ServiceID is who a service is (mesh.md section 1.1): the name in its leaf certificate.
type ServiceID struct {
	TrustDomain string
	Datacenter  string
	Service     string
	tenancy.Scope
}

// URI returns the identity as a SPIFFE ID.
func (id ServiceID) URI() *url.URL {
	return spiffe(id.TrustDomain, id.Partition, "/ns/"+id.Namespace+"/dc/"+id.Datacenter+"/svc/"+id.Service)
}

// ParseServiceID reads what URI returns. It returns errs.Invalid for any other URI, and for one
// whose parts Check refuses.
func ParseServiceID(u *url.URL) (ServiceID, error) {
	partition, parts := spiffeParts(u)
	if len(parts) != 6 {
		return ServiceID{}, errNoService
	}
	scope, err := tenancy.Parse(partition, parts[1])
	if err != nil {
		return ServiceID{}, errNoService
	}
	id := ServiceID{TrustDomain: u.Host, Datacenter: parts[3], Service: parts[5], Scope: scope}
	if id.Check() != nil || id.URI().String() != u.String() {
		return ServiceID{}, errNoService
	}
	return id, nil
}

// Check returns errs.Invalid unless the parts can stand in a SPIFFE ID: letters, digits, dots,
// hyphens and underscores, as the SPIFFE standard allows them in a path.
func (id ServiceID) Check() error {
	for _, part := range []string{id.Service, id.Datacenter} {
		if !isSegment(part) {
			return errs.Errorf(errs.Invalid, "Invalid service name or datacenter for a certificate: %q", part)
		}
	}
	return nil
}

var (
	errNoAgent   = errs.New(errs.Invalid, "not the URI of a client agent")
	errNoService = errs.New(errs.Invalid, "not the URI of a service")
)

// spiffe returns a SPIFFE ID; the default partition is not named in one.
func spiffe(trustDomain, partition, path string) *url.URL {
	if partition != "" && partition != tenancy.DefaultName {
		path = "/ap/" + partition + path
	}
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: path}
}

// spiffeParts returns the partition that a SPIFFE ID names, and the parts of its path after
// that; no parts if it is no SPIFFE ID.
func spiffeParts(u *url.URL) (partition string, parts []string) {
	if u.Scheme != "spiffe" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", nil
	}
	parts = strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if len(parts) > 2 && parts[0] == "ap" {
		return parts[1], parts[2:]
	}
	return "", parts
}
