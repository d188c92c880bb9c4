package httpapi

import (
	"net/http"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/telemetry"
)

// Agent is what the routes below /v1/agent, /v1/status and
// /v1/catalog/datacenters are answered from. Every function has to be set.
type Agent struct {
	Tokens  *AgentTokens // nil: this agent has none of its own
	Version Version
	Self    func() Self
	Reload  func() error  // reads the configuration again
	Leave   func() error  // leaves the cluster and returns before the process ends
	Leader  func() string // address of the leader's server port, "" if there is none
	Peers   func() []string
	Ready   func() bool        // reads can be answered now; nil: always
	Metrics *telemetry.Metrics // nil: none are kept
	DataDir string             // whose file system /v1/agent/host describes
}

// Version is the answer of /v1/agent/version.
type Version struct {
	SHA          string
	BuildDate    string // RFC 3339
	HumanVersion string
	FIPS         string
}

// Self is the answer of /v1/agent/self (agent.md section 16.1).
type Self struct {
	Config      SelfConfig
	DebugConfig map[string]any // what the agent runs with; secrets are "hidden"
	Coord       any            // network coordinate, nil without one
	Member      Member
	Stats       map[string]map[string]string
	Meta        map[string]string
	XDS         *XDS `json:"xDS,omitempty"`
}

// SelfConfig is the part of the configuration that tools read.
type SelfConfig struct {
	Datacenter        string
	PrimaryDatacenter string
	NodeName          string
	NodeID            string
	Partition         string `json:",omitempty"`
	Revision          string
	Server            bool
	Version           string
	BuildDate         string
}

// Member is how gossip sees the agent. Status 1 is alive.
type Member struct {
	Name        string
	Addr        string
	Port        uint16
	Tags        map[string]string
	Status      int
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// XDS says where proxies get their configuration; -1 is no port.
type XDS struct {
	SupportedProxies map[string][]string
	Port             int
	Ports            struct{ Plaintext, TLS int }
}

var agentRoutes = []route{
	{http.MethodGet, "/v1/agent/self", Local, "agent:read", "agent.self", (*API).agentSelf, 0},
	{http.MethodGet, "/v1/agent/version", Local, "none: says only which release answers", "agent.version", (*API).agentVersion, 0},
	{http.MethodGet, "/v1/agent/host", Local, "operator:read", "agent.host", (*API).agentHost, 0},
	{http.MethodGet, "/v1/agent/metrics", Local, "agent:read", "agent.metrics", (*API).agentMetrics, 0},
	{http.MethodGet, "/v1/agent/metrics/stream", Local, "agent:read", "agent.metrics.stream", (*API).agentMetricsStream, 0},
	{http.MethodGet, "/v1/agent/monitor", Local, "agent:read", "agent.monitor", (*API).agentMonitor, 0},
	{http.MethodPut, "/v1/agent/reload", Local, "agent:write", "agent.reload", (*API).agentReload, 0},
	{http.MethodPut, "/v1/agent/leave", Local, "agent:write", "agent.leave", (*API).agentLeave, 0},
	{http.MethodPut, "/v1/agent/token/{kind}", Local, "agent:write", "agent.token.set", (*API).agentTokenSet, 0},
}

// mayAgent asks for p on this agent.
func (a *API) mayAgent(r *request, p acl.Permission) error {
	return r.caller.Require(r.scope, p, a.NodeName)
}

// agentSelf handles GET /v1/agent/self.
func (a *API) agentSelf(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentRead); err != nil {
		return nil, err
	}
	return a.Agent.Self(), nil
}

// agentVersion handles GET /v1/agent/version.
func (a *API) agentVersion(*request) (any, error) { return a.Agent.Version, nil }

// agentReload handles PUT /v1/agent/reload. What is wrong with the new
// configuration is told: whoever may reload may read it.
func (a *API) agentReload(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentWrite); err != nil {
		return nil, err
	}
	if err := a.Agent.Reload(); err != nil {
		return nil, &statusError{http.StatusInternalServerError, err.Error()}
	}
	return empty{}, nil
}

// agentLeave handles PUT /v1/agent/leave.
func (a *API) agentLeave(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentWrite); err != nil {
		return nil, err
	}
	return empty{}, a.Agent.Leave()
}
