package local

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// consulID is the instance of the service consul on a server; the leader registers it.
const consulID = "consul"

// picture is what the catalog has of this node, as far as somebody may read it.
type picture struct {
	node     *catalog.Node
	services map[key]*catalog.Service
	checks   map[key]*catalog.Check
}

// compare finds out what the catalog lacks, what it has otherwise, and what it
// has too much. What the agent's own token may not read is read with the tokens of what is registered: an
// item that cannot be seen would be written again and again.
func (s *State) compare(ctx context.Context) error {
	seen := &picture{services: map[key]*catalog.Service{}, checks: map[key]*catalog.Check{}}
	var asked []logging.Secret
	for token, more := s.agentToken(), true; more; token, more = s.nextToken(asked, seen) {
		if err := s.look(ctx, token, seen); err != nil {
			return err
		}
		asked = append(asked, token)
	}
	s.judge(seen)
	return nil
}

// nextToken returns the token of an item that nobody has seen and that was not asked with.
func (s *State) nextToken(asked []logging.Secret, seen *picture) (logging.Secret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := func(own logging.Secret, from source) (logging.Secret, bool) {
		token := s.tokensOf(own, from)[0]
		return token, !slices.ContainsFunc(asked, token.Equal)
	}
	for k, i := range s.services {
		if token, ok := fresh(i.token, i.source); ok && seen.services[k] == nil {
			return token, true
		}
	}
	for k, c := range s.checks {
		if token, ok := fresh(c.token, c.source); ok && seen.checks[k] == nil {
			return token, true
		}
	}
	return "", false
}

// look adds to seen what a token may read of this node. A refusal is as good as nothing to see.
func (s *State) look(ctx context.Context, token logging.Secret, seen *picture) error {
	var services struct {
		Node     *catalog.Node
		Services []*catalog.Service
	}
	var checks []*catalog.Check
	no, err := send(ctx, []logging.Secret{token}, func(ctx context.Context, token string) error {
		q := (&api.QueryOptions{Namespace: tenancy.Wildcard, Partition: s.cfg.partition(), Token: token}).WithContext(ctx)
		_, err := s.cfg.Client.Raw().Query("/v1/catalog/node-services/"+s.cfg.NodeName, &services, q)
		if err == nil {
			_, err = s.cfg.Client.Raw().Query("/v1/health/node/"+s.cfg.NodeName, &checks, q)
		}
		return err
	})
	if err != nil {
		return err
	}
	if no != nil {
		s.cfg.Log.Warn("the catalog of this node cannot be read: blocked by ACLs", "reason", no.text)
		return nil
	}
	if services.Node != nil {
		seen.node = services.Node
	}
	for _, i := range services.Services {
		i.Scope = s.cfg.scope(cmp.Or(i.Namespace, tenancy.DefaultName))
		seen.services[key{i.Namespace, i.ID}] = i
	}
	for _, c := range checks {
		c.Scope = s.cfg.scope(cmp.Or(c.Namespace, tenancy.DefaultName))
		seen.checks[key{c.Namespace, c.CheckID}] = c
	}
	return nil
}

// judge marks what is to be written.
func (s *State) judge(seen *picture) {
	own := s.cfg.Node()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodeSeen = seen.node != nil
	s.nodeSynced = seen.node != nil && sameNode(seen.node, &own)
	for k, i := range s.services {
		i.judge(seen.services[k])
	}
	for k, c := range s.checks {
		c.judge(seen.checks[k])
	}
	for k := range seen.services {
		_, gone := s.removedServices[k]
		if s.services[k] == nil && !gone && !s.isConsul(k) {
			s.removedServices[k] = removed{}
		}
	}
	for k, c := range seen.checks {
		_, gone := s.removedChecks[k]
		ofNode := c.ServiceID == ""
		if s.checks[k] != nil || gone || ofNode && k.id == catalog.SerfHealth {
			continue
		}
		if ofNode || s.services[key{k.namespace, c.ServiceID}] != nil { // the others go with their service
			s.removedChecks[k] = removed{serviceID: c.ServiceID}
		}
	}
}

func (s *State) isConsul(k key) bool {
	return s.cfg.Server && k == key{tenancy.DefaultName, consulID}
}

func (i *serviceItem) judge(there *catalog.Service) {
	if there == nil {
		i.lack()
		return
	}
	if i.EnableTagOverride && !slices.Equal(i.Tags, there.Tags) { // others may change them
		next := *i.Service
		next.Tags = append([]string{}, there.Tags...)
		i.Service = &next
	}
	i.settle(sameService(i.Service, there))
}

func (c *checkItem) judge(there *catalog.Check) {
	if there == nil {
		c.lack()
		return
	}
	sameOutput := c.check.Output == there.Output || c.late != nil
	c.settle(sameOutput && c.check.Status == there.Status && c.check.Name == there.Name && c.check.Notes == there.Notes &&
		c.check.ServiceID == there.ServiceID && c.check.Type == there.Type &&
		c.check.Interval == there.Interval && c.check.Timeout == there.Timeout)
}

// settle says whether the catalog has the item as it is.
func (v *version) settle(same bool) {
	v.synced = v.now
	if !same {
		v.lack()
	}
}

// lack says that the catalog does not have the item as it is.
func (v *version) lack() {
	v.now = max(v.now, 1)
	v.synced = 0
}

func sameNode(a, b *catalog.Node) bool {
	return a.ID == b.ID && a.Node == b.Node && a.Address == b.Address &&
		maps.Equal(a.TaggedAddresses, b.TaggedAddresses) && maps.Equal(a.Meta, b.Meta)
}

// sameService compares what the agent says about a service; the rest is the catalog's.
func sameService(a, b *catalog.Service) bool { return bytes.Equal(essence(a), essence(b)) }

func essence(i *catalog.Service) []byte {
	own := *i
	own.CreateIndex, own.ModifyIndex = 0, 0
	own.Tags = append([]string{}, own.Tags...)
	own.Meta = map[string]string{}
	maps.Copy(own.Meta, i.Meta)
	own.TaggedAddresses = maps.Clone(own.TaggedAddresses)
	delete(own.TaggedAddresses, catalog.VirtualTag)
	text, err := json.Marshal(&own)
	if err != nil {
		panic(err) // it came from JSON
	}
	return text
}
