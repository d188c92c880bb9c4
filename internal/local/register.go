package local

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Registration is a service to be registered over the API.
type Registration struct {
	Service       ServiceDefinition // its Scope is complete
	Token         logging.Secret    // that it is synced with; "" is none
	ReplaceChecks bool              // checks that the service has and the definition lacks go away
}

// Register adds a service, or replaces the one with its id, with its checks and
// its sidecar. It needs service:write on the service, on the one that is replaced, and on
// what a proxy stands in for. It is kept when Register returns; the catalog has it a moment later, mostly
// before Register returns.
func (s *State) Register(who acl.Caller, r Registration) error {
	if r.Service.Name == "" {
		return invalid("Missing service name")
	}
	list, err := s.take(who, r)
	if err != nil {
		return err
	}
	s.awaitSync(func() bool {
		return slices.ContainsFunc(list, func(p *planned) bool {
			return p.service.dirty() && s.services[p.service.key()] == p.service
		})
	})
	return nil
}

// take is Register without the wait for the catalog. It returns what was registered.
func (s *State) take(who acl.Caller, r Registration) ([]*planned, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	list, err := s.plan(&r.Service, r.Token, fromAPI)
	if denied := s.mayRegister(who, &r.Service); denied != nil {
		return nil, denied // before what is wrong with it
	}
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if err := s.mayReplace(who, p); err != nil {
			return nil, err
		}
	}
	for _, p := range list {
		if err := s.saveService(p.service); err != nil {
			return nil, err
		}
		for _, c := range p.checks {
			if err := s.saveCheck(c); err != nil {
				return nil, err
			}
		}
	}
	var gone []key
	for _, p := range list {
		gone = append(gone, s.put(p, r.ReplaceChecks)...)
	}
	return list, s.forgetChecks(gone)
}

// mayRegister asks for what the definition itself names.
func (s *State) mayRegister(who acl.Caller, d *ServiceDefinition) error {
	names := []string{d.Name}
	if d.Kind == catalog.KindConnectProxy && d.Proxy != nil && d.Proxy.DestinationServiceName != "" {
		names = append(names, d.Proxy.DestinationServiceName)
	}
	for _, name := range names {
		if err := who.Require(d.Scope, acl.ServiceWrite, name); err != nil {
			return err
		}
	}
	if d.Connect != nil && d.Connect.SidecarService != nil {
		side := *d.Connect.SidecarService
		if side.Name == "" {
			side.Name = d.Name + sidecarSuffix
		}
		side.Scope, side.Connect, side.Kind = d.Scope, nil, catalog.KindConnectProxy
		return s.mayRegister(who, &side)
	}
	return nil
}

// mayReplace asks for what is there already under the ids of p.
func (s *State) mayReplace(who acl.Caller, p *planned) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.services[p.service.key()]; old != nil {
		if err := who.Require(old.Scope, acl.ServiceWrite, old.Service.Service); err != nil {
			return err
		}
	}
	for _, c := range p.checks {
		if old := s.checks[c.key()]; old != nil {
			if err := s.mayCheck(who, &old.check, acl.Write); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *serviceItem) key() key { return key{i.Namespace, i.ID} }
func (c *checkItem) key() key   { return key{c.check.Namespace, c.check.CheckID} }

// planned is a service ready to be registered, with its checks.
type planned struct {
	service *serviceItem
	checks  []*checkItem
}

// plan validates a definition and returns what it registers: the service, and its
// sidecar if it has one. s.turn is held.
func (s *State) plan(d *ServiceDefinition, token logging.Secret, from source) ([]*planned, error) {
	i := d.instance(d.Scope)
	side, err := d.sidecarOf(i)
	if err != nil {
		return nil, err
	}
	first, err := s.planOne(d, i, token, from)
	if err != nil || side == nil {
		return []*planned{first}, err
	}
	if side.Port == 0 {
		if side.Port, err = s.sidecarPort(key{side.Namespace, side.ID}, i.Port); err != nil {
			return nil, err
		}
	}
	side.addSidecarChecks(i)
	second, err := s.planOne(side, side.instance(side.Scope), token, from)
	if err != nil {
		return nil, err
	}
	second.service.parent = i.ID
	return []*planned{first, second}, nil
}

func (s *State) planOne(d *ServiceDefinition, i *catalog.Service, token logging.Secret, from source) (*planned, error) {
	if i.Partition != s.cfg.partition() {
		return nil, invalid("request targets partition %q which does not match agent partition %q", i.Partition, s.cfg.partition())
	}
	defs, err := d.checksOf(i)
	if err != nil {
		return nil, err
	}
	if err := validate(i); err != nil {
		return nil, err
	}
	p := &planned{service: &serviceItem{Service: i, token: token, source: from}}
	for _, def := range defs {
		c, err := s.newCheck(def, i, token, from)
		if err != nil {
			return nil, err
		}
		c.check.Interval, c.check.Timeout = shown(def.Interval, ""), shown(def.Timeout, "")
		p.checks = append(p.checks, c)
	}
	return p, nil
}

// sidecarPort returns the port that the sidecar has already, or else the lowest
// of the range that no service of this agent has. other is about to be taken.
func (s *State) sidecarPort(k key, other int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ports := s.cfg.sidecarPorts()
	taken := map[int]bool{other: true}
	for _, i := range s.services {
		if i.key() != k {
			taken[i.Port] = true
		} else if i.Port >= ports.Min && i.Port <= ports.Max && i.Port != other {
			return i.Port, nil
		}
	}
	for port := max(ports.Min, 1); port <= ports.Max; port++ {
		if !taken[port] {
			return port, nil
		}
	}
	return 0, invalid("unable to allocate port for sidecar proxy: none left in range [%d, %d]", ports.Min, ports.Max)
}

// put takes a planned service over, and returns the checks that are not the service's any more.
func (s *State) put(p *planned, replaceChecks bool) (gone []key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := p.service.key()
	old := s.services[k]
	switch {
	case old == nil:
		p.service.change()
	case sameService(old.Service, p.service.Service) && old.token.Equal(p.service.token):
		p.service.version = old.version
	default:
		p.service.version = old.version
		p.service.change()
	}
	s.services[k] = p.service
	delete(s.removedServices, k)
	kept := map[key]bool{}
	for _, c := range p.checks {
		s.putCheck(c)
		kept[c.key()] = true
	}
	for ck, c := range s.checks {
		if ck.namespace != k.namespace || c.check.ServiceID != k.id || kept[ck] || c.check.Type == maintenanceType {
			continue
		}
		if replaceChecks {
			s.dropCheck(ck, c)
			gone = append(gone, ck)
			continue
		}
		s.follow(c, p.service.Service)
	}
	s.expose()
	s.tell()
	return gone
}

// follow gives a check the name and tags of its service. s.mu is held.
func (s *State) follow(c *checkItem, i *catalog.Service) {
	if c.check.ServiceName == i.Service && reflect.DeepEqual(c.check.ServiceTags, i.Tags) {
		return
	}
	c.check.ServiceName, c.check.ServiceTags = i.Service, i.Tags
	c.change()
}

// Deregister removes a service with its checks, and the sidecar that it was
// registered with. It returns errs.NotFound if there is none, and needs service:write on it.
func (s *State) Deregister(who acl.Caller, in tenancy.Scope, id string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if _, err := s.writable(who, in, id); err != nil {
		return err
	}
	return s.remove(key{in.Namespace, id})
}

// writable returns a service that who may change.
func (s *State) writable(who acl.Caller, in tenancy.Scope, id string) (*serviceItem, error) {
	s.mu.Lock()
	i := s.services[key{in.Namespace, id}]
	s.mu.Unlock()
	if i == nil {
		who.Allowed(in, acl.ServiceWrite, id)
		return nil, errs.Errorf(errs.NotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
	}
	return i, who.Require(i.Scope, acl.ServiceWrite, i.Service.Service)
}

// remove removes a service with what belongs to it. s.turn is held.
func (s *State) remove(k key) error {
	s.mu.Lock()
	var services, checks []key
	for other, i := range s.services {
		if other != k && (i.parent != k.id || other.namespace != k.namespace) {
			continue
		}
		delete(s.services, other)
		s.removedServices[other] = removed{token: i.token, source: i.source}
		services = append(services, other)
	}
	for ck, c := range s.checks {
		for _, gone := range services {
			if ck.namespace == gone.namespace && c.check.ServiceID == gone.id {
				s.dropCheck(ck, c)
				checks = append(checks, ck)
			}
		}
	}
	s.expose()
	s.tell()
	s.mu.Unlock()
	err := s.forgetChecks(checks)
	for _, gone := range services {
		err = errors.Join(err, s.forgetService(gone))
	}
	return err
}

// dropCheck takes a check out. s.mu is held.
func (s *State) dropCheck(k key, c *checkItem) {
	c.end()
	delete(s.checks, k)
	s.removedChecks[k] = removed{token: c.token, source: c.source, serviceID: c.check.ServiceID}
}

// Load replaces what configuration files have defined before. What is wrong is
// returned; the rest counts. Definitions have complete scopes or none.
func (s *State) Load(services []ServiceDefinition, checks []check.Definition) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	var wrong error
	keptServices, keptChecks := map[key]bool{}, map[key]bool{}
	for _, d := range services {
		if err := s.loadService(d, keptServices, keptChecks); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("Failed to register service %q: %w", d.Name, err))
		}
	}
	for _, d := range checks {
		if err := s.loadCheck(d, keptChecks); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("Failed to register check %q: %w", d.Name, err))
		}
	}
	s.unload(keptServices, keptChecks)
	return wrong
}

func (s *State) loadService(d ServiceDefinition, services, checks map[key]bool) error {
	var err error
	if d.Scope, err = tenancy.Parse(orElse(d.Partition, s.cfg.partition()), d.Namespace); err != nil {
		return err
	}
	list, err := s.plan(&d, d.Token, fromFile)
	if err != nil {
		return err
	}
	for _, p := range list {
		services[p.service.key()] = true
		for _, c := range p.checks {
			checks[c.key()] = true
		}
		if err := s.forgetChecks(s.put(p, false)); err != nil {
			return err
		}
		if err := s.forgetService(p.service.key()); err != nil { // a file wins over the API
			return err
		}
	}
	return nil
}

func (s *State) loadCheck(d check.Definition, checks map[key]bool) error {
	in, err := tenancy.Parse(orElse(d.Partition, s.cfg.partition()), d.Namespace)
	if err != nil {
		return err
	}
	c, err := s.planCheck(d, in, d.Token, fromFile)
	if err != nil {
		return err
	}
	checks[c.key()] = true
	s.mu.Lock()
	s.putCheck(c)
	s.expose()
	s.tell()
	s.mu.Unlock()
	return s.forgetChecks([]key{c.key()})
}

// unload removes what files define no longer.
func (s *State) unload(services, checks map[key]bool) {
	s.mu.Lock()
	var gone []key
	for k, i := range s.services {
		if i.source == fromFile && !services[k] {
			gone = append(gone, k)
		}
	}
	for k, c := range s.checks {
		if c.source == fromFile && !checks[k] {
			s.dropCheck(k, c)
		}
	}
	s.expose()
	s.tell()
	s.mu.Unlock()
	for _, k := range gone {
		if err := s.remove(k); err != nil {
			s.cfg.Log.Error("what was removed from the configuration is still in the data directory", logging.Service, k.id, slog.Any(logging.Err, err))
		}
	}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
