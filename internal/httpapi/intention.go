package httpapi

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

var intentionRoutes = []route{
	{http.MethodGet, "/v1/connect/intentions", OnServer, "intention:read", "intention.list", (*API).intentionList, anyNamespace},
	{http.MethodPost, "/v1/connect/intentions", OnLeader, "intention:write", "intention.create", (*API).intentionCreate, 0},
	{http.MethodGet, "/v1/connect/intentions/exact", OnServer, "intention:read", "intention.read", (*API).intentionGet, 0},
	{http.MethodPut, "/v1/connect/intentions/exact", OnLeader, "intention:write", "intention.write", (*API).intentionPut, 0},
	{http.MethodDelete, "/v1/connect/intentions/exact", OnLeader, "intention:write", "intention.delete", (*API).intentionDelete, 0},
	{http.MethodGet, "/v1/connect/intentions/match", OnServer, "intention:read", "intention.match", (*API).intentionMatch, 0},
	{http.MethodGet, "/v1/connect/intentions/check", OnServer, "service:read", "intention.check", (*API).intentionCheck, 0},
	{http.MethodGet, "/v1/connect/intentions/{intention}", OnServer, "intention:read", "intention.read", (*API).intentionByID, 0},
	{http.MethodPut, "/v1/connect/intentions/{intention}", OnLeader, "intention:write", "intention.update", (*API).intentionUpdate, 0},
	{http.MethodDelete, "/v1/connect/intentions/{intention}", OnLeader, "intention:write", "intention.delete", (*API).intentionDeleteByID, 0},
}

// maxNames is how many services may be matched at once.
const maxNames = 100

var errNoIntention = errs.New(errs.NotFound, "Intention not found")

// intentionBody is an intention as clients send it. What is read-only, or has no meaning any more, is
// known and left aside.
type intentionBody struct {
	ID                                                   string
	Description                                          string
	SourceNS, SourceName, SourcePartition, SourcePeer    string
	SourceSamenessGroup                                  string
	DestinationNS, DestinationName, DestinationPartition string
	SourceType                                           string
	Action                                               configentry.Action
	Permissions                                          []configentry.Permission
	DefaultAddr                                          string
	DefaultPort                                          int
	Meta                                                 map[string]string
	Precedence                                           int
	CreatedAt, UpdatedAt                                 time.Time
	Hash                                                 []byte
	CreateIndex, ModifyIndex                             uint64
}

// decodeIntention reads the body.
func (r *request) decodeIntention() (intentionBody, error) {
	var b intentionBody
	if err := r.decodeAnyCase("Failed to decode request body", &b); err != nil {
		return b, err
	}
	if b.SourceType != "" && b.SourceType != configentry.SourceConsul {
		return b, errs.Errorf(errs.Invalid, "unsupported SourceType: %q", b.SourceType)
	}
	return b, nil
}

// source returns what the body says about the callers at an end.
func (b *intentionBody) source(at configentry.Service) configentry.Source {
	return configentry.Source{
		Name: at.Name, Namespace: at.Namespace, Partition: at.Partition, Peer: at.Peer, SamenessGroup: b.SourceSamenessGroup,
		Action: b.Action, Permissions: b.Permissions, Description: b.Description, Type: configentry.SourceConsul,
	}
}

// ends returns the services that the body names; where it does not say, they are where the request is.
func (r *request) ends(b *intentionBody) (source, destination configentry.Service, err error) {
	if source, err = r.end(b.SourcePartition, b.SourceNS, b.SourceName); err != nil {
		return source, destination, err
	}
	if source.Peer = b.SourcePeer; source.Peer != "" {
		if b.SourcePartition != "" {
			return source, destination, errs.New(errs.Invalid, "SourcePeer and SourcePartition cannot both be set")
		}
		source.Partition = ""
	}
	destination, err = r.end(b.DestinationPartition, b.DestinationNS, b.DestinationName)
	return source, destination, err
}

// end returns a service whose scope may be incomplete. A namespace means nothing in another partition.
func (r *request) end(partition, namespace, name string) (configentry.Service, error) {
	s := tenancy.Scope{Partition: cmp.Or(partition, r.scope.Partition), Namespace: namespace}
	if namespace == "" && strings.EqualFold(s.Partition, r.scope.Partition) {
		s.Namespace = r.scope.Namespace
	}
	scope, err := tenancy.ParseWildcard(s.Partition, s.Namespace)
	return configentry.Service{Name: name, Scope: scope}, err
}

// param returns the service that a query parameter names: name, namespace/name or
// partition/namespace/name.
func (r *request) param(parameter, text string) (configentry.Service, error) {
	if text == "" {
		return configentry.Service{}, errs.Errorf(errs.Invalid, "required query parameter '%s' not set", parameter)
	}
	switch parts := strings.Split(text, "/"); len(parts) {
	case 1:
		return r.end("", "", parts[0])
	case 2:
		return r.end("", parts[0], parts[1])
	case 3:
		return r.end(parts[0], parts[1], parts[2])
	}
	return configentry.Service{}, errs.Errorf(errs.Invalid, "'%s' is invalid: it can contain at most two '/'", parameter)
}

// exact returns the two ends that the query names.
func (r *request) exact() (source, destination configentry.Service, err error) {
	if source, err = r.param("source", r.query.Get("source")); err != nil {
		return source, destination, err
	}
	destination, err = r.param("destination", r.query.Get("destination"))
	return source, destination, err
}

// intentionList handles GET /v1/connect/intentions.
func (a *API) intentionList(r *request) (any, error) {
	list, meta, err := a.Intentions.List(r.Context(), r.caller, endpoint.IntentionList{Scope: r.scope, Filter: r.query.Get("filter"), Read: r.read})
	return r.answer(list, meta, err)
}

// intentionCreate handles POST /v1/connect/intentions.
func (a *API) intentionCreate(r *request) (any, error) {
	b, err := r.decodeIntention()
	if err != nil {
		return nil, err
	}
	if b.ID != "" {
		return nil, errs.New(errs.Invalid, "ID must be empty when creating a new intention")
	}
	from, to, err := r.ends(&b)
	if err != nil {
		return nil, err
	}
	s := b.source(from)
	s.LegacyMeta = b.Meta
	id, err := a.Intentions.Create(r.Context(), r.caller, to, s)
	return struct{ ID string }{id}, err
}

// intentionGet handles GET /v1/connect/intentions/exact.
func (a *API) intentionGet(r *request) (any, error) {
	from, to, err := r.exact()
	if err != nil {
		return nil, err
	}
	i, meta, err := a.Intentions.Get(r.Context(), r.caller, endpoint.IntentionRead{Source: from, Destination: to, Read: r.read})
	return r.intention(i, meta, err)
}

// intention answers with an intention, or that there is none.
func (r *request) intention(i *configentry.Intention, m endpoint.Meta, err error) (any, error) {
	if err == nil && i == nil {
		r.meta = &m
		return nil, errNoIntention
	}
	return r.answer(i, m, err)
}

// intentionPut handles PUT /v1/connect/intentions/exact. The query says which services it is about, whatever
// the body says.
func (a *API) intentionPut(r *request) (any, error) {
	from, to, err := r.exact()
	if err != nil {
		return nil, err
	}
	b, err := r.decodeIntention()
	if err != nil {
		return nil, err
	}
	switch {
	case len(b.Meta) > 0:
		return nil, errs.New(errs.Invalid, "Meta must not be specified")
	case b.SourcePeer != "":
		from.Peer, from.Partition = b.SourcePeer, ""
	}
	return true, a.Intentions.Put(r.Context(), r.caller, to, b.source(from))
}

// intentionDelete handles DELETE /v1/connect/intentions/exact.
func (a *API) intentionDelete(r *request) (any, error) {
	from, to, err := r.exact()
	if err != nil {
		return nil, err
	}
	return true, a.Intentions.Delete(r.Context(), r.caller, from, to)
}

// intentionMatch handles GET /v1/connect/intentions/match.
func (a *API) intentionMatch(r *request) (any, error) {
	req := endpoint.IntentionMatch{By: configentry.By(r.query.Get("by")), Read: r.read}
	names := r.query["name"]
	switch {
	case req.By == "":
		return nil, errs.New(errs.Invalid, "required query parameter 'by' not set")
	case req.By != configentry.BySource && req.By != configentry.ByDestination:
		return nil, errs.New(errs.Invalid, "'by' parameter must be one of 'source' or 'destination'")
	case len(names) == 0:
		return nil, errs.New(errs.Invalid, "required query parameter 'name' not set")
	case len(names) > maxNames:
		return nil, errs.Errorf(errs.Invalid, "more than %d names", maxNames)
	}
	for _, name := range names {
		s, err := r.param("name", name)
		if err != nil {
			return nil, err
		}
		req.Services = append(req.Services, s)
	}
	lists, meta, err := a.Intentions.Match(r.Context(), r.caller, req)
	r.header.Set("X-Consul-Default-Acl-Policy", string(a.defaultIntention())) // what counts where no intention does
	byName := map[string][]configentry.Intention{}
	for i := range lists {
		byName[names[i]] = lists[i]
	}
	return found(r, byName, meta, err)
}

// defaultIntention is what decides about a connection that no intention is about.
func (a *API) defaultIntention() configentry.Action {
	if a.Intentions.DefaultAllow() {
		return configentry.Allow
	}
	return configentry.Deny
}

// intentionCheck handles GET /v1/connect/intentions/check.
func (a *API) intentionCheck(r *request) (any, error) {
	from, to, err := r.exact()
	if err != nil {
		return nil, err
	}
	if kind := r.query.Get("source-type"); kind != "" && kind != configentry.SourceConsul {
		return nil, errs.Errorf(errs.Invalid, "unsupported SourceType: %q", kind)
	}
	d, meta, err := a.Intentions.Check(r.Context(), r.caller, endpoint.IntentionRead{Source: from, Destination: to, Read: r.read})
	return r.answer(struct{ Allowed bool }{d.Allowed}, meta, err)
}

// intentionByID handles GET /v1/connect/intentions/:id.
func (a *API) intentionByID(r *request) (any, error) {
	i, meta, err := a.Intentions.ByID(r.Context(), r.caller, r.PathValue("intention"), r.read)
	return r.intention(i, meta, err)
}

// intentionUpdate handles PUT /v1/connect/intentions/:id.
func (a *API) intentionUpdate(r *request) (any, error) {
	b, err := r.decodeIntention()
	if err != nil {
		return nil, err
	}
	from, to, err := r.ends(&b)
	if err != nil {
		return nil, err
	}
	s := b.source(from)
	s.LegacyMeta = b.Meta
	id := r.PathValue("intention")
	return struct{ ID string }{id}, a.Intentions.Update(r.Context(), r.caller, id, to, s)
}

// intentionDeleteByID handles DELETE /v1/connect/intentions/:id.
func (a *API) intentionDeleteByID(r *request) (any, error) {
	return true, a.Intentions.DeleteByID(r.Context(), r.caller, r.PathValue("intention"))
}
