package httpapi

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/event"
	"github.com/lictor/lictor/internal/tenancy"
)

var eventRoutes = []route{
	{http.MethodPut, "/v1/event/fire/{event...}", Local, "event:write", "event.fire", (*API).eventFire, localRead | noNamespace | eventBody},
	{http.MethodGet, "/v1/event/list", Local, "event:read", "event.list", (*API).eventList, localRead | noNamespace},
}

var (
	errMayNotFire   = errs.New(errs.Denied, "Permission denied")
	errNoEventsHere = errs.New(errs.Invalid, "User events are of the default partition, which this agent is not in")
)

// eventFire handles PUT /v1/event/fire/:name. The body is the payload.
func (a *API) eventFire(r *request) (any, error) {
	name := r.PathValue("event")
	if !r.caller.Allowed(tenancy.Default, acl.EventWrite, name) {
		return nil, errMayNotFire
	}
	if a.Events == nil {
		return nil, errNoEventsHere
	}
	payload, err := r.readBody()
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		payload = nil
	}
	e, err := event.New(event.Event{
		Name: name, Payload: payload,
		NodeFilter: r.query.Get("node"), ServiceFilter: r.query.Get("service"), TagFilter: r.query.Get("tag"),
	})
	if err != nil {
		return nil, err
	}
	return e, a.Events.Fire(e)
}

// eventList handles GET /v1/event/list: what this agent has heard of. A caller that names the index of an
// answer waits for another one.
func (a *API) eventList(r *request) (any, error) {
	wanted := event.Filter{
		Name: r.query.Get("name"), Node: r.query.Get("node"), Service: r.query.Get("service"), Tag: r.query.Get("tag"),
	}
	wait := min(orDefault(r.read.MaxWait, hashWait), maxHashWait)
	ctx, cancel := context.WithTimeout(r.Context(), wait+rand.N(wait/waitJitter+1))
	defer cancel()
	for {
		list, changed := a.events(r, wanted)
		index := uint64(1)
		if len(list) > 0 {
			index = list[len(list)-1].Index()
		}
		r.header.Set("X-Consul-Index", strconv.FormatUint(index, 10))
		if r.read.MinIndex == 0 || r.read.MinIndex != index || ctx.Err() != nil {
			return list, r.Context().Err()
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

// events returns the events that are wanted and that the caller may read, and a channel that is closed
// with the next one.
func (a *API) events(r *request, wanted event.Filter) ([]event.Event, <-chan struct{}) {
	list := []event.Event{}
	if a.Events == nil {
		return list, nil
	}
	all, changed := a.Events.List()
	for i := range all {
		if wanted.Match(&all[i]) && r.caller.Allowed(tenancy.Default, acl.EventRead, all[i].Name) {
			list = append(list, all[i])
		}
	}
	return list, changed
}
