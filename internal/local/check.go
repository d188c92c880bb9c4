package local

import (
	"cmp"
	"errors"
	"reflect"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// RegisterCheck adds a check of the node, or of the service that it names, or
// replaces the one with its id, whose status it keeps. It needs node:write or service:write, also
// on what the replaced one belongs to. A service that does not exist is errs.NotFound.
func (s *State) RegisterCheck(who acl.Caller, d check.Definition, in tenancy.Scope, token logging.Secret) error {
	c, err := s.takeCheck(who, d, in, token)
	if err != nil {
		return err
	}
	s.awaitSync(func() bool { return c.dirty() && s.checks[c.key()] == c })
	return nil
}

// takeCheck is RegisterCheck without the wait for the catalog. It returns what was registered.
func (s *State) takeCheck(who acl.Caller, d check.Definition, in tenancy.Scope, token logging.Secret) (*checkItem, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	c, err := s.planCheck(d, in, token, fromAPI)
	if errs.KindOf(err) != errs.NotFound { // of a service that nobody can have a permission for
		for _, owner := range s.ownersOf(d, in) {
			if denied := s.mayCheck(who, &owner, acl.Write); denied != nil {
				return nil, denied
			}
		}
	} else {
		who.Allowed(in, acl.ServiceWrite, d.ServiceID)
	}
	if err != nil {
		return nil, err
	}
	if err := s.saveCheck(c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putCheck(c)
	s.expose()
	s.tell()
	return c, nil
}

// ownersOf returns what a definition's check would belong to, and the check that it replaces.
func (s *State) ownersOf(d check.Definition, in tenancy.Scope) []catalog.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := catalog.Check{ServiceID: d.ServiceID, Scope: in}
	if i := s.services[key{in.Namespace, d.ServiceID}]; i != nil {
		owner.ServiceName = i.Service.Service
	}
	owners := []catalog.Check{owner}
	if d.ServiceID == "" {
		in = in.PartitionRoot()
	}
	if old := s.checks[key{in.Namespace, cmp.Or(d.CheckID, d.Name)}]; old != nil {
		owners = append(owners, old.check)
	}
	return owners
}

// planCheck validates a definition that was registered by itself.
func (s *State) planCheck(d check.Definition, in tenancy.Scope, token logging.Secret, from source) (*checkItem, error) {
	if in.Partition != s.cfg.partition() {
		return nil, invalid("request targets partition %q which does not match agent partition %q", in.Partition, s.cfg.partition())
	}
	d.CheckID = cmp.Or(d.CheckID, d.Name)
	if err := d.Validate(); err != nil {
		return nil, err
	}
	var owner *catalog.Service
	if d.ServiceID != "" {
		s.mu.Lock()
		i := s.services[key{in.Namespace, d.ServiceID}]
		s.mu.Unlock()
		if i == nil {
			return nil, errs.Errorf(errs.NotFound, "ServiceID %q does not exist", d.ServiceID)
		}
		owner = i.Service
		token = logging.Secret(cmp.Or(string(token), string(i.token)))
	}
	c, err := s.newCheck(d, owner, token, from)
	if err != nil {
		return nil, err
	}
	c.check.Interval, c.check.Timeout = shown(d.Interval, "0s"), shown(d.Timeout, "0s")
	return c, nil
}

// shown is how a check shows a duration; none is shown as otherwise.
func shown(d time.Duration, otherwise string) string {
	if d == 0 {
		return otherwise
	}
	return d.String()
}

// newCheck returns the check of a valid definition with its runner. owner is nil for
// a check of the node. Where the same check is there already its status stays.
func (s *State) newCheck(d check.Definition, owner *catalog.Service, token logging.Secret, from source) (*checkItem, error) {
	c := &checkItem{def: d, token: token, source: from, check: catalog.Check{
		Node: s.cfg.NodeName, CheckID: d.CheckID, Name: d.Name, Notes: d.Notes, Status: cmp.Or(d.Status, catalog.Critical),
		ServiceTags: []string{}, Type: d.Type(), Scope: s.cfg.scope(tenancy.DefaultName),
	}}
	if owner != nil {
		c.check.ServiceID, c.check.ServiceName, c.check.ServiceTags, c.check.Scope = owner.ID, owner.Service, owner.Tags, owner.Scope
	}
	s.mu.Lock()
	old := s.checks[c.key()]
	if old != nil && old.runner != nil {
		c.check.Status, c.check.Output = old.check.Status, old.check.Output
	}
	s.mu.Unlock()
	c.noteSince(s.cfg.now())
	var err error
	if c.runner, err = s.newRunner(c, d); err == nil && old == nil {
		s.restoreStatus(c)
	}
	return c, err
}

// newRunner returns what runs d for c, from c's status on.
func (s *State) newRunner(c *checkItem, d check.Definition) (check.Runner, error) {
	o := s.cfg.Check
	o.Log = s.cfg.Log
	o.Notify = func(r check.Status) { s.note(c, r) }
	o.Alias = s.aliased(c)
	o.Scripts = s.cfg.RemoteScripts || c.source == fromFile && s.cfg.LocalScripts
	d.Status = c.check.Status
	return check.New(d, o)
}

// noteSince keeps when the check became critical.
func (c *checkItem) noteSince(now time.Time) {
	if c.check.Status != catalog.Critical {
		c.since = time.Time{}
	} else if c.since.IsZero() {
		c.since = now
	}
}

// putCheck takes a check over. One that is defined as before goes on as it is. s.mu is held.
func (s *State) putCheck(c *checkItem) {
	k := c.key()
	delete(s.removedChecks, k)
	old := s.checks[k]
	if old == nil {
		c.change()
		s.checks[k] = c
		s.start(c)
		return
	}
	if reflect.DeepEqual(old.def, c.def) && old.check.ServiceID == c.check.ServiceID && (old.runner == nil) == (c.runner == nil) {
		old.source = c.source
		if !old.token.Equal(c.token) || old.check.ServiceName != c.check.ServiceName || !reflect.DeepEqual(old.check.ServiceTags, c.check.ServiceTags) {
			old.token, old.check.ServiceName, old.check.ServiceTags = c.token, c.check.ServiceName, c.check.ServiceTags
			old.change()
		}
		return
	}
	old.end()
	c.version = old.version
	c.change()
	s.checks[k] = c
	s.start(c)
}

// note takes the result of a check over. News of the output alone may wait, so
// that a text that is never twice the same is not written to the catalog each time.
func (s *State) note(c *checkItem, r check.Status) {
	if s.cfg.DiscardOutput {
		r.Output = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks[c.key()] != c || c.check.Status == r.Status && c.check.Output == r.Output {
		return // it was replaced, or this is nothing new
	}
	onlyOutput := c.check.Status == r.Status
	c.check.Status, c.check.Output = r.Status, r.Output
	c.noteSince(s.cfg.now())
	if onlyOutput && s.cfg.CheckUpdates > 0 {
		if c.late == nil {
			c.late = time.AfterFunc(spread(s.cfg.CheckUpdates), func() { s.noteLate(c) })
		}
		s.tellReaders()
		return
	}
	c.changeNow()
	s.tell()
}

// changeNow is change with whatever news had to wait.
func (c *checkItem) changeNow() {
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
	c.change()
}

// noteLate lets news of an output go that have waited.
func (s *State) noteLate(c *checkItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks[c.key()] == c && c.late != nil {
		c.changeNow()
		s.tell()
	}
}

// DeregisterCheck removes a check. It returns errs.NotFound if there is none,
// and needs node:write or service:write.
func (s *State) DeregisterCheck(who acl.Caller, in tenancy.Scope, id string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	c, err := s.writableCheck(who, in, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.dropCheck(c.key(), c)
	s.tell()
	s.mu.Unlock()
	return s.forgetChecks([]key{c.key()})
}

// writableCheck returns a check that who may change.
func (s *State) writableCheck(who acl.Caller, in tenancy.Scope, id string) (*checkItem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.checks[key{in.Namespace, id}]
	if c == nil {
		who.Allowed(in, acl.ServiceWrite, id)
		return nil, errs.Errorf(errs.NotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
	}
	return c, s.mayCheck(who, &c.check, acl.Write)
}

// Report sets the status of a TTL check, and keeps it beyond a restart. It needs
// what DeregisterCheck does.
func (s *State) Report(who acl.Caller, in tenancy.Scope, id string, r check.Status) error {
	c, err := s.writableCheck(who, in, id)
	if err != nil {
		return err
	}
	ttl, ok := c.runner.(*check.TTL)
	if !ok {
		return invalid("CheckID %q does not have associated TTL", id)
	}
	if err := ttl.Set(r.Status, r.Output); err != nil {
		return err
	}
	return s.saveStatus(c, ttl.Expires())
}

// reap removes the services that were critical for longer than their checks allow.
func (s *State) reap() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	now := s.cfg.now()
	due := map[key]string{}
	s.mu.Lock()
	for k, c := range s.checks {
		after := c.def.DeregisterCriticalServiceAfter
		if after > 0 && c.check.ServiceID != "" && !c.since.IsZero() && now.Sub(c.since) > max(after, minReap) {
			due[key{k.namespace, c.check.ServiceID}] = k.id
		}
	}
	s.mu.Unlock()
	var err error
	for k, by := range due {
		s.cfg.Log.Info("a service was critical for too long and is deregistered", logging.Service, k.id, "check", by)
		err = errors.Join(err, s.remove(k))
	}
	return err
}
