package local

import (
	"cmp"
	"slices"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Services returns the services of a scope that who may read, by namespace and
// id. The namespace may be tenancy.Wildcard.
func (s *State) Services(who acl.Caller, in tenancy.Scope) []catalog.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []catalog.Service{}
	for _, i := range s.services {
		if within(in, i.Scope) && who.Allowed(i.Scope, acl.ServiceRead, i.Service.Service) {
			list = append(list, *i.Service)
		}
	}
	slices.SortFunc(list, func(a, b catalog.Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Offers calls has with the name and the tags of each service, until one is true, and reports whether one was.
func (s *State) Offers(has func(name string, tags []string) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.services {
		if has(i.Service.Service, i.Tags) {
			return true
		}
	}
	return false
}

// Service returns one service. It returns errs.NotFound if there is none, as
// whoever may ask at all may know, and needs service:read on it.
func (s *State) Service(who acl.Caller, in tenancy.Scope, id string) (catalog.Service, error) {
	s.mu.Lock()
	i := s.services[key{in.Namespace, id}]
	s.mu.Unlock()
	if i == nil {
		who.Allowed(in, acl.ServiceRead, id)
		return catalog.Service{}, errs.Errorf(errs.NotFound, "unknown service ID: %s", id)
	}
	if err := who.Require(i.Scope, acl.ServiceRead, i.Service.Service); err != nil {
		return catalog.Service{}, err
	}
	return *i.Service, nil
}

// Checks returns the checks of a scope that who may read, by namespace and id,
// with those of the node where the scope has the default namespace. The namespace may be
// tenancy.Wildcard.
func (s *State) Checks(who acl.Caller, in tenancy.Scope) []catalog.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []catalog.Check{}
	for _, c := range s.checks {
		if within(in, c.check.Scope) && s.mayCheck(who, &c.check, acl.Read) == nil {
			list = append(list, c.check)
		}
	}
	sortChecks(list)
	return list
}

func sortChecks(list []catalog.Check) {
	slices.SortFunc(list, func(a, b catalog.Check) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.CheckID, b.CheckID))
	})
}

func within(in, s tenancy.Scope) bool {
	return in.Namespace == tenancy.Wildcard || in.Namespace == s.Namespace
}

// mayCheck asks for access to a check: to its service, or to the node.
func (s *State) mayCheck(who acl.Caller, c *catalog.Check, access acl.Access) error {
	if c.ServiceID == "" {
		return who.Require(c.Scope.PartitionRoot(), acl.Permission{Resource: acl.Node, Access: access}, s.cfg.NodeName)
	}
	return who.Require(c.Scope, acl.Permission{Resource: acl.Service, Access: access}, c.ServiceName)
}

// Health is a service with the checks that count for it: its own and the node's.
type Health struct {
	Status  string // the worst: catalog.Maintenance, Critical, Warning or Passing
	Service catalog.Service
	Checks  []catalog.Check
}

// HealthOf returns the health of one service. It returns errs.NotFound if there
// is none, and needs service:read on it.
func (s *State) HealthOf(who acl.Caller, in tenancy.Scope, id string) (Health, error) {
	i, err := s.Service(who, in, id)
	if err != nil {
		return Health{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health(i), nil
}

// HealthByName returns the health of every instance of a service on this agent, and the
// worst of them; none is errs.NotFound. It needs service:read.
func (s *State) HealthByName(who acl.Caller, in tenancy.Scope, name string) ([]Health, string, error) {
	if err := who.Require(in, acl.ServiceRead, name); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Health
	for _, i := range s.services {
		if i.Service.Service == name && i.Namespace == in.Namespace {
			list = append(list, s.health(*i.Service))
		}
	}
	if len(list) == 0 {
		return nil, "", errs.Errorf(errs.NotFound, "ServiceName %s Not Found", name)
	}
	slices.SortFunc(list, func(a, b Health) int { return cmp.Compare(a.Service.ID, b.Service.ID) })
	worst := slices.MaxFunc(list, func(a, b Health) int { return cmp.Compare(badness(a.Status), badness(b.Status)) })
	return list, worst.Status, nil
}

// health adds up the checks of a service. s.mu is held.
func (s *State) health(i catalog.Service) Health {
	h := Health{Status: catalog.Passing, Service: i, Checks: []catalog.Check{}}
	for _, c := range s.checks {
		ofNode := c.check.ServiceID == ""
		if !ofNode && (c.check.ServiceID != i.ID || c.check.Namespace != i.Namespace) {
			continue
		}
		h.Checks = append(h.Checks, c.check)
		status := c.check.Status
		if c.check.Type == maintenanceType {
			status = catalog.Maintenance
		}
		if badness(status) > badness(h.Status) {
			h.Status = status
		}
	}
	sortChecks(h.Checks)
	return h
}

// badness orders statuses from the best.
func badness(status string) int {
	return slices.Index([]string{catalog.Passing, catalog.Warning, catalog.Critical, catalog.Maintenance}, status)
}
