package local

import (
	"cmp"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// grpcHealthPath is what a check of gRPC asks for (the gRPC health checking protocol).
const grpcHealthPath = "/grpc.health.v1.Health/Check"

// exposure is how a check reaches its service through the sidecar.
type exposure struct {
	proxy string           // host of the proxy; "" is not at all
	port  int              // that the proxy takes it on
	path  string           // that is asked for
	local int              // port of the service
	def   check.Definition // with the proxy in the service's place
}

// expose leads the checks of services whose sidecar has Expose.Checks through that sidecar, each at a port of its
// own, and all others directly. s.mu is held.
func (s *State) expose() {
	proxies := map[key]string{}
	for _, i := range s.services {
		if s.exposes(i.Service) {
			k, at := key{i.Namespace, i.Proxy.DestinationServiceID}, cmp.Or(i.Address, "127.0.0.1")
			if other := proxies[k]; other == "" || at < other { // always the same one of several
				proxies[k] = at
			}
		}
	}
	for k, c := range s.checks {
		proxy := proxies[key{k.namespace, c.check.ServiceID}]
		if c.exposed.proxy == proxy || c.runner == nil || c.check.ServiceID == "" {
			continue
		}
		if err := s.lead(k, c, proxy); err != nil {
			s.cfg.Log.Warn("a check cannot be led through the proxy", slog.String("check", k.id), slog.Any(logging.Err, err))
		}
	}
}

// exposes reports whether a proxy exposes the checks of its service. Whoever has registered it may write the service
// that it names, which has to be the one of the ID. s.mu is held.
func (s *State) exposes(i *catalog.Service) bool {
	if i.Kind != catalog.KindConnectProxy || !i.Proxy.Expose.Checks {
		return false
	}
	to := s.services[key{i.Namespace, i.Proxy.DestinationServiceID}]
	return to != nil && to.Service.Service == i.Proxy.DestinationServiceName
}

// lead makes a check go through a proxy, or with "" directly again. A check of another kind than HTTP and gRPC
// without TLS stays as it is.
func (s *State) lead(k key, c *checkItem, proxy string) error {
	to := exposure{def: c.def}
	if proxy != "" {
		var ok bool
		if to, ok = through(c.def, proxy); !ok {
			return nil
		}
		if to.port = s.exposedPort(); to.port == 0 {
			p := s.cfg.exposePorts()
			return invalid("unable to allocate a port for an exposed check: none left in range [%d, %d]", p.Min, p.Max)
		}
		to.def = to.at(to.port)
	}
	next := &checkItem{def: c.def, check: c.check, token: c.token, source: c.source, since: c.since, version: c.version, exposed: to}
	next.check.ExposedPort = to.port
	var err error
	if next.runner, err = s.newRunner(next, to.def); err != nil {
		return err
	}
	c.end()
	next.change()
	s.checks[k] = next
	s.start(next)
	return nil
}

// through returns how a check of a service is reached by its proxy, but for the port.
func through(d check.Definition, proxy string) (exposure, bool) {
	to := exposure{proxy: proxy, def: d}
	switch {
	case d.HTTP != "":
		u, err := url.Parse(d.HTTP)
		if err != nil || u.Scheme != "http" {
			return to, false
		}
		to.path, to.local = cmp.Or(u.Path, "/"), 80
		if text := u.Port(); text != "" {
			to.local, err = strconv.Atoi(text)
		}
		return to, err == nil
	case d.GRPC != "" && !d.GRPCUseTLS:
		host, _, _ := strings.Cut(d.GRPC, "/")
		_, text, err := net.SplitHostPort(host)
		if err != nil {
			return to, false
		}
		to.path = grpcHealthPath
		to.local, err = strconv.Atoi(text)
		return to, err == nil
	}
	return to, false
}

// at returns the check's definition with the proxy's port in it.
func (e exposure) at(port int) check.Definition {
	d, host := e.def, net.JoinHostPort(e.proxy, strconv.Itoa(port))
	if d.HTTP != "" {
		u, err := url.Parse(d.HTTP)
		if err != nil {
			return d // through has read it
		}
		u.Host = host
		d.HTTP = u.String()
		return d
	}
	_, service, named := strings.Cut(d.GRPC, "/")
	if d.GRPC = host; named {
		d.GRPC += "/" + service
	}
	return d
}

// exposedPort returns the lowest port of the range that nothing has, 0 if there is none. s.mu is held.
func (s *State) exposedPort() int {
	taken := map[int]bool{}
	for _, i := range s.services {
		taken[i.Port] = true
		for _, p := range i.Proxy.Expose.Paths {
			taken[p.ListenerPort] = true
		}
	}
	for _, c := range s.checks {
		taken[c.exposed.port] = true
	}
	ports := s.cfg.exposePorts()
	for port := max(ports.Min, 1); port <= ports.Max; port++ {
		if !taken[port] {
			return port
		}
	}
	return 0
}

// ExposedPaths returns what the proxy with an id has to expose for the checks of its service, by port. Their
// protocol is http or http2.
func (s *State) ExposedPaths(in tenancy.Scope, id string) []catalog.ExposePath {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.services[key{in.Namespace, id}]
	if i == nil || !s.exposes(i.Service) {
		return nil
	}
	var paths []catalog.ExposePath
	for k, c := range s.checks {
		if c.exposed.port == 0 || k.namespace != i.Namespace || c.check.ServiceID != i.Proxy.DestinationServiceID {
			continue
		}
		protocol := "http"
		if c.def.HTTP == "" {
			protocol = "http2"
		}
		paths = append(paths, catalog.ExposePath{
			ListenerPort: c.exposed.port, Path: c.exposed.path, LocalPathPort: c.exposed.local, Protocol: protocol, ParsedFromCheck: true,
		})
	}
	slices.SortFunc(paths, func(a, b catalog.ExposePath) int { return cmp.Compare(a.ListenerPort, b.ListenerPort) })
	return paths
}
