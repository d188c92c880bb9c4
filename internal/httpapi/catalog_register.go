package httpapi

import (
	"cmp"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/wire"
)

const decodeFailed = "Request decode failed"

// registration is the body of PUT /v1/catalog/register (catalog.md section 2.1).
// Names of scopes may stand on the whole and on its parts.
type registration struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	NodeMeta        map[string]string
	Locality        *catalog.Locality
	Service         *registeredService
	Check           *registeredCheck
	Checks          []registeredCheck
	SkipNodeUpdate  bool
	WriteRequest    writeRequest
	tenancy.Scope
}

// writeRequest is what clients of old send with a body. It does not count: the token of a request is that of
// its header or query.
type writeRequest struct{ Token logging.Secret }

// registeredService is an instance as clients send it: also with what they have
// read, which is ignored.
type registeredService struct {
	catalog.Service
	ContentHash string
	Datacenter  string
	PeerName    string
}

// registeredCheck is a check as clients send it.
type registeredCheck struct {
	catalog.Check
	Definition registeredDefinition
	PeerName   string
}

// registeredDefinition has durations as text or as nanoseconds.
type registeredDefinition struct {
	catalog.CheckDefinition
	Interval, IntervalDuration                                             wire.OptionalDuration
	Timeout, TimeoutDuration                                               wire.OptionalDuration
	DeregisterCriticalServiceAfter, DeregisterCriticalServiceAfterDuration wire.OptionalDuration
	SessionName                                                            string // what clients know it for is not part of this API
}

// catalogRegister handles PUT /v1/catalog/register.
func (a *API) catalogRegister(r *request) (any, error) {
	var body registration
	if err := r.decode(decodeFailed, &body); err != nil {
		return nil, err
	}
	if err := a.isHere(body.Datacenter); err != nil {
		return nil, err
	}
	checks := body.Checks
	if body.Check != nil {
		checks = append(checks, *body.Check)
	}
	parts := []tenancy.Scope{}
	if s := body.Service; s != nil {
		parts = append(parts, s.Scope)
	}
	for i := range checks {
		parts = append(parts, checks[i].Scope)
	}
	for _, p := range parts {
		if differ(p.Namespace, body.Namespace) || differ(p.Partition, body.Partition) {
			return nil, errMismatch
		}
		body.Scope = tenancy.Scope{Namespace: first(body.Namespace, p.Namespace), Partition: first(body.Partition, p.Partition)}
	}
	if err := r.bodyScope(&body.Scope); err != nil {
		return nil, err
	}
	return true, a.Catalog.Register(r.Context(), r.caller, body.registration(checks))
}

// registration returns what the body asks for.
func (b *registration) registration(checks []registeredCheck) endpoint.Registration {
	out := endpoint.Registration{
		Scope: b.Scope, SkipNodeUpdate: b.SkipNodeUpdate,
		Node: catalog.Node{
			ID: b.ID, Node: b.Node, Address: b.Address, TaggedAddresses: b.TaggedAddresses, Meta: b.NodeMeta, Locality: b.Locality,
		},
	}
	if s := b.Service; s != nil {
		out.Service = &s.Service
		s.CreateIndex, s.ModifyIndex = 0, 0
	}
	for _, sent := range checks {
		out.Checks = append(out.Checks, sent.check())
	}
	return out
}

// check returns the check with its type and without the indexes that a client has read.
func (sent *registeredCheck) check() catalog.Check {
	c, d := sent.Check, sent.Definition
	c.Definition = d.CheckDefinition
	c.Definition.Interval = time.Duration(cmp.Or(d.Interval, d.IntervalDuration))
	c.Definition.Timeout = time.Duration(cmp.Or(d.Timeout, d.TimeoutDuration))
	c.Definition.DeregisterCriticalServiceAfter = time.Duration(cmp.Or(d.DeregisterCriticalServiceAfter, d.DeregisterCriticalServiceAfterDuration))
	if c.Type == "" {
		c.Type = c.Definition.Type()
	}
	c.CreateIndex, c.ModifyIndex = 0, 0
	return c
}

// isHere refuses what is meant for another datacenter.
func (a *API) isHere(datacenter string) error {
	if datacenter != "" && !strings.EqualFold(datacenter, a.Datacenter) {
		return errNoPath
	}
	return nil
}

// deregistration is the body of PUT /v1/catalog/deregister.
type deregistration struct {
	Node, Address, Datacenter, ServiceID, CheckID string
	WriteRequest                                  writeRequest
	tenancy.Scope
}

// catalogDeregister handles PUT /v1/catalog/deregister.
func (a *API) catalogDeregister(r *request) (any, error) {
	var body deregistration
	if err := r.decodeScoped(decodeFailed, &body, &body.Scope); err != nil {
		return nil, err
	}
	if err := a.isHere(body.Datacenter); err != nil {
		return nil, err
	}
	return true, a.Catalog.Deregister(r.Context(), r.caller, endpoint.Deregistration{
		Scope: body.Scope, Node: body.Node, ServiceID: body.ServiceID, CheckID: body.CheckID,
	})
}
