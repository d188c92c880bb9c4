package local

import (
	"context"
	"errors"
	"maps"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/logging"
)

// registration is the body of PUT /v1/catalog/register.
type registration struct {
	ID              string `json:",omitempty"`
	Node            string
	Address         string            `json:",omitempty"`
	TaggedAddresses map[string]string `json:",omitempty"`
	NodeMeta        map[string]string `json:",omitempty"`
	Service         *catalog.Service  `json:",omitempty"`
	Checks          []catalog.Check   `json:",omitempty"`
	SkipNodeUpdate  bool
	Partition       string
}

// work is what the catalog is to be told, as copied at one moment.
type work struct {
	node           bool
	goneServices   map[key]removed
	goneChecks     map[key]removed
	services       []pushedService
	checks         []pushedCheck // that go without their service
	impliedRemoval []key         // checks that go with their service
}

type pushedService struct {
	item    *serviceItem
	service *catalog.Service
	version version
	checks  []pushedCheck
}

type pushedCheck struct {
	item    *checkItem
	check   catalog.Check
	version version
}

// push writes what the catalog does not have yet. What is refused counts as
// written until the next comparison. It goes on after a server's failure and returns it.
func (s *State) push(ctx context.Context) error {
	w := s.collect()
	if w.node {
		if err := s.pushNode(ctx); err != nil {
			return err // without a node nothing else can be registered
		}
	}
	var failed error
	try := func(err error) bool {
		var answer api.StatusError
		failed = errors.Join(failed, err)
		return err == nil || errors.As(err, &answer)
	}
	for k, r := range w.goneServices {
		if !try(s.pushRemoval(ctx, k, r, true)) {
			return failed
		}
	}
	s.forgetRemovals(w.impliedRemoval)
	for k, r := range w.goneChecks {
		if !try(s.pushRemoval(ctx, k, r, false)) {
			return failed
		}
	}
	for _, p := range w.services {
		if !try(s.pushService(ctx, p)) {
			return failed
		}
	}
	for _, p := range w.checks {
		if !try(s.pushCheck(ctx, p)) {
			return failed
		}
	}
	return failed
}

// collect copies what is to be written.
func (s *State) collect() *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &work{node: !s.nodeSynced, goneServices: maps.Clone(s.removedServices), goneChecks: map[key]removed{}}
	for k, r := range s.removedChecks {
		if _, gone := s.removedServices[key{k.namespace, r.serviceID}]; gone && r.serviceID != "" {
			w.impliedRemoval = append(w.impliedRemoval, k)
		} else {
			w.goneChecks[k] = r
		}
	}
	with := map[key]int{}
	for k, i := range s.services {
		if i.dirty() {
			with[k] = len(w.services)
			w.services = append(w.services, pushedService{item: i, service: i.Service, version: i.version})
		}
	}
	for k, c := range s.checks {
		if !c.dirty() {
			continue
		}
		p := pushedCheck{c, c.check, c.version}
		n, together := with[key{k.namespace, c.check.ServiceID}]
		if together && c.token.Equal(w.services[n].item.token) {
			w.services[n].checks = append(w.services[n].checks, p)
		} else {
			w.checks = append(w.checks, p)
		}
	}
	return w
}

func (s *State) pushNode(ctx context.Context) error {
	n := s.cfg.Node()
	err := s.register(ctx, []logging.Secret{s.agentToken()}, &registration{
		ID: n.ID, Node: n.Node, Address: n.Address, TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
	}, nodeNews(n.ID))
	if err == nil {
		s.mu.Lock()
		s.nodeSynced = true
		s.mu.Unlock()
	}
	return err
}

func (s *State) pushService(ctx context.Context, p pushedService) error {
	r := s.onNode()
	r.Service = p.service
	for _, c := range p.checks {
		r.Checks = append(r.Checks, c.check)
	}
	if err := s.register(ctx, s.tokensOf(p.item.token, p.item.source), r, serviceNews(p.service.ID, false)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[p.item.key()].pushed(p)
	for _, c := range p.checks {
		s.checks[c.item.key()].pushed(c)
	}
	return nil
}

// pushed notes that the catalog has what was copied. The item may be another by now, or gone.
func (i *serviceItem) pushed(p pushedService) {
	if i != nil && i.Service == p.service {
		i.synced = p.version.now
	}
}

func (c *checkItem) pushed(p pushedCheck) {
	if c == p.item {
		c.synced = p.version.now
	}
}

func (s *State) pushCheck(ctx context.Context, p pushedCheck) error {
	r := s.onNode()
	r.Checks = []catalog.Check{p.check}
	if err := s.register(ctx, s.tokensOf(p.item.token, p.item.source), r, checkNews(p.check.CheckID, false)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks[p.item.key()].pushed(p)
	return nil
}

// onNode returns a registration that leaves the node as it is.
func (s *State) onNode() *registration {
	n := s.cfg.Node()
	return &registration{ID: n.ID, Node: n.Node, Address: n.Address, SkipNodeUpdate: true}
}

// register sends r with one of the tokens.
func (s *State) register(ctx context.Context, tokens []logging.Secret, r *registration, n news) error {
	r.Partition = s.cfg.partition()
	namespace := ""
	switch {
	case r.Service != nil:
		namespace = r.Service.Namespace
	case len(r.Checks) > 0:
		namespace = r.Checks[0].Namespace
	}
	no, err := send(ctx, tokens, func(ctx context.Context, token string) error {
		_, err := s.cfg.Client.Raw().Write("/v1/catalog/register", r, nil, s.options(ctx, namespace, token))
		return err
	})
	s.said(n, no, err)
	return err
}

func (s *State) pushRemoval(ctx context.Context, k key, r removed, service bool) error {
	d := api.CatalogDeregistration{Node: s.cfg.NodeName, Namespace: k.namespace, Partition: s.cfg.partition()}
	n, from := checkNews(k.id, true), s.removedChecks
	if d.CheckID = k.id; service {
		d.CheckID, d.ServiceID = "", k.id
		n, from = serviceNews(k.id, true), s.removedServices
	}
	no, err := send(ctx, s.tokensOf(r.token, r.source), func(ctx context.Context, token string) error {
		_, err := s.cfg.Client.Raw().Write("/v1/catalog/deregister", d, nil, s.options(ctx, k.namespace, token))
		return err
	})
	s.said(n, no, err)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from[k] == r {
		delete(from, k)
	}
	return nil
}

func (s *State) forgetRemovals(checks []key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range checks {
		delete(s.removedChecks, k)
	}
}

func (s *State) options(ctx context.Context, namespace, token string) *api.WriteOptions {
	return (&api.WriteOptions{Namespace: namespace, Partition: s.cfg.partition(), Token: token}).WithContext(ctx)
}
