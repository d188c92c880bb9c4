package catalog

import "github.com/lictor/lictor/internal/tenancy"

// ServiceName is a name that has instances. It is unique in its namespace in any case,
// and spelled as its first instance spelled it.
type ServiceName struct {
	Name string
	Kind Kind     // of the instance that was registered last
	Tags []string // of all instances, sorted
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// VirtualTag is the tagged address of an instance in the mesh that has its service's virtual IP.
const VirtualTag = "consul-virtual"

// VirtualIP is the address in 240.0.0.0/4 that stands for a service of the mesh, wherever its
// instances are. No two services of a datacenter have the same.
type VirtualIP struct {
	Name    string // of the service, in lower case
	Address string // dotted
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// ConnectName returns the name of the service that s takes mesh traffic for: a
// sidecar's destination, or its own name if it is native; else "".
func (s *Service) ConnectName() string {
	switch {
	case s.Kind == KindConnectProxy:
		return s.Proxy.DestinationServiceName
	case s.Connect.Native:
		return s.Service
	}
	return ""
}
