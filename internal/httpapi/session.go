package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/wire"
)

var sessionRoutes = []route{
	{http.MethodPut, "/v1/session/create", OnLeader, "session:write", "session.create", (*API).sessionCreate, fromNode},
	{http.MethodPut, "/v1/session/destroy/{session}", OnLeader, "session:write", "session.destroy", (*API).sessionDestroy, 0},
	{http.MethodPut, "/v1/session/renew/{session}", OnLeader, "session:write", "session.renew", (*API).sessionRenew, 0},
	{http.MethodGet, "/v1/session/info/{session}", OnServer, "session:read", "session.read", (*API).sessionRead, 0},
	{http.MethodGet, "/v1/session/node/{node}", OnServer, "session:read", "session.list", (*API).sessionRead, anyNamespace},
	{http.MethodGet, "/v1/session/list", OnServer, "session:read", "session.list", (*API).sessionRead, anyNamespace},
}

// sessionBody is a session as clients send it, also with what they have read.
type sessionBody struct {
	ID            string
	Name          string
	Node          string
	LockDelay     *lockDelay
	Behavior      string
	TTL           string
	Checks        []string // the older name of NodeChecks
	NodeChecks    []string
	ServiceChecks []kv.ServiceCheck
	Datacenter    string
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// lockDelay is a duration as text, or a number: of seconds below 1000, else of nanoseconds
// (catalog.md section 7).
type lockDelay time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *lockDelay) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*wire.OptionalDuration)(d)); err != nil {
		return err
	}
	if data[0] != '"' && *d < 1000 {
		*d *= lockDelay(time.Second)
	}
	return nil
}

// session returns what the body asks for. Without any check it is that of gossip.
func (b *sessionBody) session(defaultNode string) kv.Session {
	s := kv.Session{
		Name: b.Name, Node: first(b.Node, defaultNode), LockDelay: kv.DefaultLockDelay, Behavior: b.Behavior, TTL: b.TTL,
		NodeChecks: slices.Concat(b.NodeChecks, b.Checks), ServiceChecks: b.ServiceChecks, Scope: b.Scope,
	}
	if b.LockDelay != nil {
		s.LockDelay = time.Duration(*b.LockDelay)
	}
	if b.NodeChecks == nil && b.Checks == nil {
		s.NodeChecks = []string{catalog.SerfHealth}
	}
	return s
}

// sessionCreate handles PUT /v1/session/create. The body may be missing.
func (a *API) sessionCreate(r *request) (any, error) {
	data, err := r.readBody()
	if err != nil {
		return nil, err
	}
	var body sessionBody
	if len(data) > 0 {
		if err := decodeJSON(decodeFailed, data, &body); err != nil {
			return nil, err
		}
	}
	if err := a.isHere(body.Datacenter); err != nil {
		return nil, err
	}
	if err := r.bodyScope(&body.Scope); err != nil {
		return nil, err
	}
	s, err := a.Sessions.Create(r.Context(), r.caller, body.session(a.askedNode(r)))
	if err != nil {
		return nil, err
	}
	return struct{ ID string }{s.ID}, nil
}

// sessionDestroy handles PUT /v1/session/destroy/:id.
func (a *API) sessionDestroy(r *request) (any, error) {
	return true, a.Sessions.Destroy(r.Context(), r.caller, r.scope, r.PathValue("session"))
}

// sessionRenew handles PUT /v1/session/renew/:id.
func (a *API) sessionRenew(r *request) (any, error) {
	s, err := a.Sessions.Renew(r.Context(), r.caller, r.scope, r.PathValue("session"))
	if err != nil {
		return nil, err
	}
	return newSessionList([]*kv.Session{s}), nil
}

// sessionRead handles GET /v1/session/info/:id, /v1/session/node/:node and /v1/session/list.
func (a *API) sessionRead(r *request) (any, error) {
	list, meta, err := a.Sessions.Read(r.Context(), r.caller, endpoint.SessionRead{
		Scope: r.scope, ID: r.PathValue("session"), Node: r.PathValue("node"), Read: r.read,
	})
	return r.answer(newSessionList(list), meta, err)
}

// sessionView is a session as clients see it.
type sessionView struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration // nanoseconds
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []kv.ServiceCheck
	Namespace     string `json:",omitempty"` // unless default, as the next
	Partition     string `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

func newSessionList(list []*kv.Session) []sessionView {
	out := make([]sessionView, len(list))
	for i, s := range list {
		out[i] = sessionView{
			ID: s.ID, Name: s.Name, Node: s.Node, LockDelay: s.LockDelay, Behavior: s.Behavior, TTL: s.TTL,
			NodeChecks: append([]string{}, s.NodeChecks...), ServiceChecks: s.ServiceChecks,
			Namespace: unlessDefault(s.Namespace), Partition: unlessDefault(s.Partition),
			CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
		}
	}
	return out
}
