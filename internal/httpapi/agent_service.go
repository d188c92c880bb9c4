package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	checks "github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/filter"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/tenancy"
)

var agentServiceRoutes = []route{
	{http.MethodGet, "/v1/agent/services", Local, "service:read", "agent.services", (*API).agentServices, localNamespace | anyNamespace | localRead},
	{http.MethodGet, "/v1/agent/service/{agent_service...}", Local, "service:read", "agent.service", (*API).agentService, localNamespace | localRead},
	{http.MethodPut, "/v1/agent/service/register", Local, "service:write", "agent.service.register", (*API).agentServiceRegister, localNamespace},
	{http.MethodPut, "/v1/agent/service/deregister/{agent_service...}", Local, "service:write", "agent.service.deregister", (*API).agentServiceDeregister, localNamespace},
	{http.MethodPut, "/v1/agent/service/maintenance/{agent_service...}", Local, "service:write", "agent.service.maintenance", (*API).agentServiceMaintenance, localNamespace},
	{http.MethodPut, "/v1/agent/maintenance", Local, "node:write", "agent.maintenance", (*API).agentMaintenance, 0},
}

// agentService is a service as its agent shows it (agent.md section 16.3).
type agentService struct {
	Kind              catalog.Kind `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	SocketPath        string                            `json:",omitempty"`
	TaggedAddresses   map[string]catalog.ServiceAddress `json:",omitempty"`
	Weights           catalog.Weights
	EnableTagOverride bool
	Proxy             *catalog.Proxy    `json:",omitempty"` // of proxies and gateways
	Connect           *catalog.Connect  `json:",omitempty"` // of native services
	Locality          *catalog.Locality `json:",omitempty"`
	Namespace         string            `json:",omitempty"` // "" is default
	Partition         string            `json:",omitempty"` // "" is default
	Datacenter        string
	ContentHash       string `json:",omitempty"`
}

func (a *API) newAgentService(i *catalog.Service) *agentService {
	out := &agentService{
		Kind: i.Kind, ID: i.ID, Service: i.Service, Tags: i.Tags, Meta: i.Meta, Port: i.Port, Address: i.Address,
		SocketPath: i.SocketPath, TaggedAddresses: i.TaggedAddresses, Weights: i.Weights, EnableTagOverride: i.EnableTagOverride,
		Locality: i.Locality, Namespace: unlessDefault(i.Namespace), Partition: unlessDefault(i.Partition), Datacenter: a.Datacenter,
	}
	if i.Kind != catalog.KindTypical {
		out.Proxy = &i.Proxy
	}
	if i.Connect.Native {
		out.Connect = &i.Connect
	}
	return out
}

// agentServices handles GET /v1/agent/services.
func (a *API) agentServices(r *request) (any, error) {
	expression, err := filter.Parse(r.query.Get("filter"), catalog.Service{})
	if err != nil {
		return nil, err
	}
	return a.onHash(r, func() (any, error) {
		out := map[string]*agentService{}
		for _, i := range a.Local.Services(r.caller, r.scope) {
			if expression.Match(i) {
				out[localName(r, i.Scope, i.ID)] = a.newAgentService(&i)
			}
		}
		return out, nil
	})
}

// localName is the name of something in a map of things on this agent: its id, with
// the namespace in front where a map is of all namespaces.
func localName(r *request, s tenancy.Scope, id string) string {
	if r.scope.Namespace == tenancy.Wildcard && s.Namespace != tenancy.DefaultName {
		return s.Namespace + "/" + id
	}
	return id
}

// agentService handles GET /v1/agent/service/:service_id.
func (a *API) agentService(r *request) (any, error) {
	return a.onHash(r, func() (any, error) {
		i, err := a.Local.Service(r.caller, r.scope, r.PathValue("agent_service"))
		if err != nil {
			return nil, err
		}
		out := a.newAgentService(&i)
		out.ContentHash, err = contentHash(out)
		return out, err
	})
}

// agentServiceRegister handles PUT /v1/agent/service/register. The request's token, and
// none that the body may name, is what the service is synced with.
func (a *API) agentServiceRegister(r *request) (any, error) {
	var body local.ServiceDefinition
	if err := r.decodeAnyCase(decodeFailed, &body); err != nil {
		return nil, err
	}
	if err := r.localScope(&body.Scope); err != nil {
		return nil, err
	}
	replace := false
	if text := r.query.Get("replace-existing-checks"); text != "" {
		var err error
		if replace, err = strconv.ParseBool(text); err != nil {
			return nil, errs.New(errs.Invalid, "Invalid value for replace-existing-checks")
		}
	}
	err := a.Local.Register(r.caller, local.Registration{Service: body, Token: r.ownToken(), ReplaceChecks: replace})
	return empty{}, refusedCheck(err)
}

// refusedCheck lets the caller read why a check cannot be run here.
func refusedCheck(err error) error {
	if errors.Is(err, checks.ErrNotImplemented) {
		return &statusError{http.StatusInternalServerError, checks.ErrNotImplemented.Error()}
	}
	return err
}

// agentServiceDeregister handles PUT /v1/agent/service/deregister/:service_id.
func (a *API) agentServiceDeregister(r *request) (any, error) {
	return empty{}, a.Local.Deregister(r.caller, r.scope, r.PathValue("agent_service"))
}

// agentServiceMaintenance handles PUT /v1/agent/service/maintenance/:service_id.
func (a *API) agentServiceMaintenance(r *request) (any, error) {
	enable, err := r.enable()
	if err != nil {
		return nil, err
	}
	return empty{}, a.Local.MaintainService(r.caller, r.scope, r.PathValue("agent_service"), enable, r.query.Get("reason"), r.ownToken())
}

// agentMaintenance handles PUT /v1/agent/maintenance.
func (a *API) agentMaintenance(r *request) (any, error) {
	enable, err := r.enable()
	if err != nil {
		return nil, err
	}
	return empty{}, a.Local.MaintainNode(r.caller, enable, r.query.Get("reason"), r.ownToken())
}

// enable reads whether maintenance begins or ends.
func (r *request) enable() (bool, error) {
	text := r.query.Get("enable")
	if text == "" {
		return false, errs.New(errs.Invalid, "Missing value for enable")
	}
	enable, err := strconv.ParseBool(text)
	if err != nil {
		return false, errs.Errorf(errs.Invalid, "Invalid value for enable: %q", text)
	}
	return enable, nil
}

// localScope completes the scope that a body says of something on this agent.
func (r *request) localScope(where *tenancy.Scope) error {
	where.Partition = first(where.Partition, r.scope.Partition)
	return r.bodyScope(where)
}

// Waits for another hash of an answer, as of a blocking query (catalog.md section 1.2).
const (
	hashWait    = 5 * time.Minute
	maxHashWait = 10 * time.Minute
	waitJitter  = 16 // up to wait/16 is added
)

// onHash answers with read's value and its hash, once that is not the one that the
// request names, or its wait is over. Whoever waits is looked up again before
// the answer: a permission may have ended meanwhile.
func (a *API) onHash(r *request, read func() (any, error)) (any, error) {
	known := r.query.Get("hash")
	wait := min(orDefault(r.read.MaxWait, hashWait), maxHashWait)
	ctx, cancel := context.WithTimeout(r.Context(), wait+rand.N(wait/waitJitter+1))
	defer cancel()
	for {
		changed := a.Local.Changed()
		value, err := read()
		if err != nil {
			return nil, err
		}
		hash, err := contentHash(value)
		if err != nil {
			return nil, err
		}
		r.header.Set("X-Consul-ContentHash", hash)
		if known == "" || hash != known || ctx.Err() != nil {
			return value, r.Context().Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		if err := a.lookUpAgain(r); err != nil {
			return nil, err
		}
	}
}

// lookUpAgain looks up the caller of a request that has waited.
func (a *API) lookUpAgain(r *request) error {
	again, err := a.Resolver.Resolve(r.Context(), r.token)
	if err != nil {
		return err
	}
	again.Asked = &r.asked
	r.caller = again
	return nil
}

// contentHash returns what tells one answer from another.
func contentHash(v any) (string, error) {
	if s, ok := v.(*agentService); ok && s.ContentHash != "" {
		return s.ContentHash, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := fnv.New64a()
	_, _ = sum.Write(text)
	return fmt.Sprintf("%016x", sum.Sum64()), nil
}
