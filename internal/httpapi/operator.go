package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/errs"
)

var operatorRoutes = []route{
	{http.MethodGet, "/v1/operator/raft/configuration", OnServer, "operator:read", "operator.raft.configuration", (*API).raftConfiguration, 0},
	{http.MethodDelete, "/v1/operator/raft/peer", OnLeader, "operator:write", "operator.raft.remove_peer", (*API).raftRemovePeer, 0},
	{http.MethodPost, "/v1/operator/raft/transfer-leader", OnLeader, "operator:write", "operator.raft.transfer_leader", (*API).raftTransferLeader, 0},
	{http.MethodGet, "/v1/operator/autopilot/configuration", OnServer, "operator:read", "operator.autopilot.read", (*API).autopilotRead, 0},
	{http.MethodPut, "/v1/operator/autopilot/configuration", OnLeader, "operator:write", "operator.autopilot.set", (*API).autopilotSet, 0},
	{http.MethodGet, "/v1/operator/autopilot/health", OnLeader, "operator:read", "operator.autopilot.health", (*API).autopilotHealth, 0},
	{http.MethodGet, "/v1/operator/autopilot/state", OnLeader, "operator:read", "operator.autopilot.state", (*API).autopilotState, 0},
}

// raftConfiguration handles GET /v1/operator/raft/configuration.
func (a *API) raftConfiguration(r *request) (any, error) {
	return r.answer(a.RaftServers.Configuration(r.Context(), r.caller, r.read))
}

// raftRemovePeer handles DELETE /v1/operator/raft/peer.
func (a *API) raftRemovePeer(r *request) (any, error) {
	return empty{}, a.RaftServers.Remove(r.Context(), r.caller, r.query.Get("id"), r.query.Get("address"))
}

// raftTransferLeader handles POST /v1/operator/raft/transfer-leader.
func (a *API) raftTransferLeader(r *request) (any, error) {
	return struct{ Success bool }{true}, a.RaftServers.Transfer(r.Context(), r.caller, r.query.Get("id"))
}

// autopilotRead handles GET /v1/operator/autopilot/configuration.
func (a *API) autopilotRead(r *request) (any, error) {
	return r.answer(a.Autopilots.Read(r.Context(), r.caller, r.read))
}

// autopilotSet handles PUT /v1/operator/autopilot/configuration. What the body
// leaves out becomes the default.
func (a *API) autopilotSet(r *request) (any, error) {
	config := autopilot.Default()
	if err := r.decode("Error parsing autopilot config", &config); err != nil {
		return nil, err
	}
	var cas *uint64
	if text := r.query.Get("cas"); text != "" {
		index, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, errs.Errorf(errs.Invalid, "Error parsing cas value: %w", err)
		}
		cas = &index
	}
	return a.Autopilots.Set(r.Context(), r.caller, config, cas)
}

// autopilotHealth handles GET /v1/operator/autopilot/health. It answers 429 where a server is ill, so that a
// load balancer's check needs no JSON.
func (a *API) autopilotHealth(r *request) (any, error) {
	health, err := a.Autopilots.Health(r.caller)
	if err != nil || health.Healthy {
		return health, err
	}
	body, err := json.Marshal(health)
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) {
		writeDocument(w, http.StatusTooManyRequests, document{"application/json", string(body)})
	}), nil
}

// autopilotState handles GET /v1/operator/autopilot/state.
func (a *API) autopilotState(r *request) (any, error) { return a.Autopilots.State(r.caller) }
