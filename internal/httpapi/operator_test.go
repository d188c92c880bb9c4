package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/raftnode"
)

// threeServers are servers that replicate; s1 leads.
type threeServers struct {
	mu      sync.Mutex
	servers []raftnode.Server
	leader  string
	sick    string // the ID of a server that does not answer
}

func newThreeServers() *threeServers {
	p := &threeServers{leader: "s1"}
	for _, id := range []string{"s1", "s2", "s3"} {
		p.servers = append(p.servers, raftnode.Server{ID: id, Address: serverAddress(id), Voter: true})
	}
	return p
}

func serverAddress(id string) string { return "10.0.0." + id[1:] + ":8300" }

func (p *threeServers) Configuration() ([]raftnode.Server, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.servers), 7
}

func (p *threeServers) Leader() (addr, id string) { return serverAddress(p.leader), p.leader }

func (p *threeServers) RemoveServer(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = slices.DeleteFunc(p.servers, func(s raftnode.Server) bool { return s.ID == id })
	return nil
}

func (p *threeServers) TransferLeadership(_ context.Context, id string) error {
	if len(p.servers) < 2 {
		return errs.New(errs.Invalid, "cannot find peer")
	}
	p.leader = "s2"
	if id != "" {
		p.leader = id
	}
	return nil
}

func (p *threeServers) Members() []autopilot.Member {
	var members []autopilot.Member
	for _, id := range []string{"s1", "s2", "s3"} {
		members = append(members, autopilot.Member{ID: id, Name: "node-" + id, Address: serverAddress(id), Version: "1.2.3", Status: autopilot.Alive})
	}
	return members[:2] // gossip has not heard of s3
}

func (p *threeServers) asker() *autopilot.Asker {
	return &autopilot.Asker{
		Self:  "s1",
		Local: func() autopilot.Stats { return autopilot.Stats{ID: "s1", LastTerm: 2, LastIndex: 40} },
		Remote: func(_ context.Context, addr string) (autopilot.Stats, error) {
			id := "s" + strings.TrimSuffix(strings.TrimPrefix(addr, "10.0.0."), ":8300")
			if id == p.sick {
				return autopilot.Stats{}, errs.New(errs.Unavailable, "connection refused")
			}
			return autopilot.Stats{ID: id, LastTerm: 2, LastIndex: 39, LastContact: 20 * time.Millisecond}, nil
		},
	}
}

// look is what a leader finds.
func (p *threeServers) look() (autopilot.State, bool) {
	var peers []autopilot.Peer
	for _, s := range p.servers {
		if s.ID != "s3" { // dead servers are another test's
			peers = append(peers, autopilot.Peer(s))
		}
	}
	members := p.Members()
	return autopilot.Default().Judge(autopilot.View{
		Now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Leader: p.leader, Peers: peers, Members: members,
		Stats: p.asker().Ask(context.Background(), members),
	}, autopilot.State{}), true
}

// operate gives an API the operations of operators, on servers of its own.
func operate(a *API, b *endpoint.Backend) *threeServers {
	p := newThreeServers()
	a.RaftServers = &endpoint.RaftServers{Backend: b, Peers: p, Members: p.Members, Asker: p.asker()}
	a.Autopilots = &endpoint.Autopilots{Backend: b, Look: p.look}
	return p
}

func TestClientRaft(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).Operator()
	config, err := c.RaftGetConfiguration(nil)
	check(t, err)
	got, err := json.Marshal(config)
	check(t, err)
	const want = `{"Servers":[` +
		`{"ID":"s1","Node":"node-s1","Address":"10.0.0.1:8300","Leader":true,"ProtocolVersion":"3","Voter":true,"LastIndex":40},` +
		`{"ID":"s2","Node":"node-s2","Address":"10.0.0.2:8300","Leader":false,"ProtocolVersion":"3","Voter":true,"LastIndex":39},` +
		`{"ID":"s3","Node":"(unknown)","Address":"10.0.0.3:8300","Leader":false,"ProtocolVersion":"3","Voter":true,"LastIndex":0}],"Index":7}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	refused(t, c.RaftRemovePeerByID("nobody", nil), `400 (id "nobody" was not found in the Raft configuration)`)
	refused(t, c.RaftRemovePeerByAddress("1.2.3.4:5", nil), `400 (address "1.2.3.4:5" was not found in the Raft configuration)`)
	check(t, c.RaftRemovePeerByID("s3", nil))
	_, err = c.RaftLeaderTransfer("nobody", nil)
	refused(t, err, "400 (Could not find address for server id nobody)")
	answer, err := c.RaftLeaderTransfer("s2", nil)
	check(t, err)
	if !answer.Success {
		t.Error("no success")
	}
	config, err = c.RaftGetConfiguration(&api.QueryOptions{AllowStale: true})
	check(t, err)
	if len(config.Servers) != 2 || config.Servers[0].Leader || !config.Servers[1].Leader {
		t.Errorf("%+v", config.Servers)
	}
	check(t, c.RaftRemovePeerByAddress("10.0.0.2:8300", nil))
	_, err = c.RaftLeaderTransfer("", nil)
	refused(t, err, "400 (cannot find peer)")
}

func TestRaftPeerHasToBeNamedOnce(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string]string{
		"":                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove",
		"?id=a&address=":  `id "a" was not found in the Raft configuration`,
		"?id=a&address=b": "Must specify only one of ?id or ?address",
	} {
		rec := w.call("DELETE", "/v1/operator/raft/peer"+query, "", asManagement)
		if rec.Code != 400 || rec.Body.String() != want {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestClientAutopilotConfiguration(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).Operator()
	config, err := c.AutopilotGetConfiguration(nil)
	check(t, err)
	if !config.CleanupDeadServers || config.LastContactThreshold.Duration() != 200*time.Millisecond || config.MaxTrailingLogs != 250 || config.ModifyIndex != 0 {
		t.Errorf("%+v", config)
	}
	config.MinQuorum = 3
	done, err := c.AutopilotCASConfiguration(config, nil)
	check(t, err)
	again, err := c.AutopilotCASConfiguration(config, nil)
	check(t, err)
	if !done || again {
		t.Errorf("compared %t, %t", done, again)
	}
	if config, err = c.AutopilotGetConfiguration(nil); err != nil || config.MinQuorum != 3 || config.ModifyIndex == 0 {
		t.Errorf("%+v, %v", config, err)
	}
	config.UpgradeVersionTag, config.MinQuorum = "build", 0
	check(t, c.AutopilotSetConfiguration(config, nil))
	if config, err = c.AutopilotGetConfiguration(nil); err != nil || config.UpgradeVersionTag != "build" {
		t.Errorf("%+v, %v", config, err)
	}
	config.LastContactThreshold = api.NewReadableDuration(0)
	refused(t, c.AutopilotSetConfiguration(config, nil), "400 (Invalid autopilot configuration: LastContactThreshold must be greater than 0")
}

func TestAutopilotConfigurationBodies(t *testing.T) {
	const path = "/v1/operator/autopilot/configuration"
	w := newWorld(t)
	for _, c := range []struct {
		name, query, body string
		code              int
		text              string
	}{
		{"missing keys become the defaults", "", `{"MaxTrailingLogs":10}`, 200, "true"},
		{"keys in other capitals", "", `{"minquorum":1}`, 200, "true"},
		{"a stale index", "?cas=1", `{}`, 200, "false"},
		{"no index", "?cas=abc", `{}`, 400, "Error parsing cas value: strconv.ParseUint: parsing \"abc\": invalid syntax"},
		{"an unknown key", "", `{"Bogus":1}`, 400, `Error parsing autopilot config: json: unknown field "Bogus"`},
		{"a key twice", "", `{"MinQuorum":1,"minQuorum":2}`, 400, `Error parsing autopilot config: json: duplicate key "minQuorum"`},
		{"no body", "", "", 400, "Error parsing autopilot config: EOF"},
	} {
		rec := w.call("PUT", path+c.query, c.body, asManagement)
		if rec.Code != c.code || rec.Body.String() != c.text {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
	rec := w.call("GET", path, "", asManagement)
	if !strings.HasPrefix(rec.Body.String(), `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":1,`) ||
		rec.Header().Get("X-Consul-Index") == "" {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
}

func TestEveryFieldOfAnAutopilotConfigurationIsKnown(t *testing.T) {
	body, err := json.Marshal(api.NewAutopilotConfiguration())
	check(t, err)
	check(t, decodeJSON("refused", body, new(autopilot.Config)))
}

func TestClientAutopilotHealthAndState(t *testing.T) {
	w := newWorld(t)
	c := w.client(management).Operator()
	health, err := c.AutopilotServerHealth(nil)
	check(t, err)
	got, err := json.Marshal(health)
	check(t, err)
	const want = `{"Healthy":true,"FailureTolerance":0,"Servers":[` +
		`{"ID":"s1","Name":"node-s1","Address":"10.0.0.1:8300","SerfStatus":"alive","Version":"1.2.3","Leader":true,"LastContact":"0s",` +
		`"LastTerm":2,"LastIndex":40,"Healthy":true,"Voter":true,"StableSince":"2026-03-04T12:00:00Z"},` +
		`{"ID":"s2","Name":"node-s2","Address":"10.0.0.2:8300","SerfStatus":"alive","Version":"1.2.3","Leader":false,"LastContact":"20ms",` +
		`"LastTerm":2,"LastIndex":39,"Healthy":true,"Voter":true,"StableSince":"2026-03-04T12:00:00Z"}]}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	state, err := c.AutopilotState(nil)
	check(t, err)
	s2 := state.Servers["s2"]
	if !state.Healthy || state.Leader != "s1" || !slices.Equal(state.Voters, []string{"s1", "s2"}) || len(state.Servers) != 2 ||
		s2.Status != api.AutopilotServerVoter || s2.NodeStatus != "alive" || s2.NodeType != api.AutopilotTypeVoter ||
		s2.Meta["consul-version"] != "1.2.3" || s2.LastContact.Duration() != 20*time.Millisecond {
		t.Errorf("%+v", state)
	}
}

func TestAutopilotHealthIsTheStatus(t *testing.T) {
	w := newWorld(t)
	w.servers.sick = "s2"
	rec := w.call("GET", "/v1/operator/autopilot/health", "", asManagement)
	if rec.Code != 429 || !strings.HasPrefix(rec.Body.String(), `{"Healthy":false,`) || rec.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	health, err := w.client(management).Operator().AutopilotServerHealth(nil)
	if err != nil || health.Healthy {
		t.Errorf("the client: %+v, %v", health, err)
	}
	w.api.Autopilots.Look = func() (autopilot.State, bool) { return autopilot.State{}, false }
	for _, path := range []string{"health", "state"} {
		if rec := w.call("GET", "/v1/operator/autopilot/"+path, "", asManagement); rec.Code != 503 {
			t.Errorf("%s before the first look: %d %s", path, rec.Code, rec.Body)
		}
	}
}
