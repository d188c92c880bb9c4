package local

import (
	"cmp"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Checks that stand for maintenance (spec: agent.md section 16.4).
const (
	maintenanceType    = "maintenance"
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:" // and the service's ID
)

// MaintainNode puts the node into maintenance, or takes it out. It needs node:write.
func (s *State) MaintainNode(who acl.Caller, enable bool, reason string, token logging.Secret) error {
	root := s.cfg.scope(tenancy.DefaultName)
	if err := who.Require(root, acl.NodeWrite, s.cfg.NodeName); err != nil {
		return err
	}
	return s.maintain(enable, &checkItem{token: token, check: catalog.Check{
		CheckID: nodeMaintenance, Name: "Node Maintenance Mode", ServiceTags: []string{}, Scope: root,
		Notes: cmp.Or(reason, "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."),
	}})
}

// MaintainService does so with one service. It returns errs.NotFound if there is
// none, and needs service:write on it.
func (s *State) MaintainService(who acl.Caller, in tenancy.Scope, id string, enable bool, reason string, token logging.Secret) error {
	i, err := s.writable(who, in, id)
	if err != nil {
		return err
	}
	return s.maintain(enable, &checkItem{token: token, check: catalog.Check{
		CheckID: serviceMaintenance + id, Name: "Service Maintenance Mode",
		ServiceID: id, ServiceName: i.Service.Service, ServiceTags: i.Tags, Scope: i.Scope,
		Notes: cmp.Or(reason, "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."),
	}})
}

// maintain adds a check that stands for maintenance, or removes it.
func (s *State) maintain(enable bool, c *checkItem) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	k := c.key()
	s.mu.Lock()
	old := s.checks[k]
	s.mu.Unlock()
	if enable == (old != nil) {
		return nil
	}
	if !enable {
		s.mu.Lock()
		s.dropCheck(k, old)
		s.tell()
		s.mu.Unlock()
		return s.forgetChecks([]key{k})
	}
	c.complete(&s.cfg)
	if err := s.saveCheck(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putCheck(c)
	s.tell()
	return nil
}

// complete fills what all checks for maintenance have in common.
func (c *checkItem) complete(cfg *Config) {
	c.check.Node, c.check.Status, c.check.Type = cfg.NodeName, catalog.Critical, maintenanceType
	c.source = fromAPI
	c.def = check.Definition{CheckID: c.check.CheckID, Name: c.check.Name, Notes: c.check.Notes, ServiceID: c.check.ServiceID}
}
