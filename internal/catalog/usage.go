package catalog

import "github.com/lictor/lictor/internal/tenancy"

// ConnectNative is the key of native instances in Usage.Connect.
const ConnectNative = "connect-native"

// consulService is the service that servers register of themselves.
const consulService = "consul"

// Usage is how much there is in a namespace.
type Usage struct {
	tenancy.Scope
	Nodes     int // of the partition, counted in its default namespace
	Services  int // names
	Instances int
	Connect   map[string]int // instances in the mesh, by kind or ConnectNative
	Billable  int            // instances of applications: neither proxies, gateways nor the servers
}

// MeshKinds are the kinds that Connect counts.
func MeshKinds() []string {
	return []string{
		ConnectNative, string(KindConnectProxy), string(KindMeshGateway),
		string(KindIngressGateway), string(KindTerminatingGateway), string(KindAPIGateway),
	}
}

// Count adds by, which is 1 or -1, to what s counts as.
func (u *Usage) Count(s *Service, by int) {
	u.Instances += by
	if s.Kind == KindTypical && s.Service != consulService {
		u.Billable += by
	}
	if s.Connect.Native {
		u.countConnect(ConnectNative, by)
	}
	if s.Kind != KindTypical {
		u.countConnect(string(s.Kind), by)
	}
}

// countConnect leaves the map that it finds as it is: an older Usage may have it too.
func (u *Usage) countConnect(kind string, by int) {
	next := make(map[string]int, len(u.Connect)+1)
	for k, n := range u.Connect {
		next[k] = n
	}
	if next[kind] += by; next[kind] == 0 {
		delete(next, kind)
	}
	u.Connect = next
}

// IsZero reports whether there is nothing.
func (u *Usage) IsZero() bool { return u.Nodes == 0 && u.Services == 0 && u.Instances == 0 }
