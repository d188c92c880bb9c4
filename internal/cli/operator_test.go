package cli

import (
	"strings"
	"testing"
)

const (
	peersPlayed = `{"Servers":[` +
		`{"ID":"10b71f14","Node":"srv1","Address":"10.0.0.1:8300","Leader":false,"ProtocolVersion":"3","Voter":true,"LastIndex":40},` +
		`{"ID":"5e26a3af","Node":"srv-two","Address":"10.0.0.2:8300","Leader":true,"ProtocolVersion":"3","Voter":true,"LastIndex":47},` +
		`{"ID":"1fd52e5e","Node":"(unknown)","Address":"10.0.0.3:8300","Leader":false,"ProtocolVersion":"3","Voter":false,"LastIndex":48}],"Index":9}`
	autopilotPlayed = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s",` +
		`"RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"build","CreateIndex":4,"ModifyIndex":7}`
	statePlayed = `{"Healthy":true,"FailureTolerance":1,"OptimisticFailureTolerance":1,"Leader":"5e26a3af","Voters":["5e26a3af","10b71f14"],` +
		`"Servers":{"5e26a3af":{"ID":"5e26a3af","Name":"srv-two","Address":"10.0.0.2:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"0s",` +
		`"LastTerm":2,"LastIndex":47,"Healthy":true,"StableSince":"2026-03-04T12:00:00Z","Status":"leader","Meta":{"consul-network-segment":"","b":"2"},"NodeType":"voter"},` +
		`"10b71f14":{"ID":"10b71f14","Name":"srv1","Address":"10.0.0.1:8300","NodeStatus":"alive","Version":"1.2.3","LastContact":"91.651723ms",` +
		`"LastTerm":2,"LastIndex":40,"Healthy":true,"StableSince":"2026-03-04T12:00:00Z","Status":"voter","Meta":{},"NodeType":"voter"}}}`
)

func TestOperatorOutput(t *testing.T) {
	tests := []struct {
		golden, command string
		play            answers
	}{
		{"raft_list_peers", "operator raft list-peers", answers{"GET /v1/operator/raft/configuration": peersPlayed}},
		{"raft_list_peers", "operator raft list-peers -stale", answers{"GET /v1/operator/raft/configuration?stale=": peersPlayed}},
		{"raft_remove_peer", "operator raft remove-peer -id 1fd52e5e", answers{"DELETE /v1/operator/raft/peer?id=1fd52e5e": " "}},
		{"raft_remove_peer_address", "operator raft remove-peer -address 10.0.0.3:8300", answers{"DELETE /v1/operator/raft/peer?address=10.0.0.3%3A8300": " "}},
		{"raft_transfer_leader", "operator raft transfer-leader", answers{"POST /v1/operator/raft/transfer-leader": `{"Success":true}`}},
		{"raft_transfer_leader", "operator raft transfer-leader -id 10b7", answers{"POST /v1/operator/raft/transfer-leader?id=10b7": `{"Success":true}`}},
		{"autopilot_get_config", "operator autopilot get-config", answers{"GET /v1/operator/autopilot/configuration": autopilotPlayed}},
		{"autopilot_state", "operator autopilot state", answers{"GET /v1/operator/autopilot/state": statePlayed}},
		{"autopilot_state_json", "operator autopilot state -format json", answers{"GET /v1/operator/autopilot/state": statePlayed}},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" {
				t.Errorf("exit code %d, stderr %q", got.code, got.err)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

func TestAutopilotSetConfigKeepsWhatNoFlagSpeaksOf(t *testing.T) {
	const put = "PUT /v1/operator/autopilot/configuration?cas=7"
	tests := []struct{ flags, body string }{
		{"", `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"UpgradeVersionTag":"build"}`},
		{"-cleanup-dead-servers=false -last-contact-threshold 1s -max-trailing-logs 500 -min-quorum 3",
			`{"CleanupDeadServers":false,"LastContactThreshold":"1s","MaxTrailingLogs":500,"MinQuorum":3,"ServerStabilizationTime":"10s"}`},
		{"-server-stabilization-time 1m -redundancy-zone-tag zone -disable-upgrade-migration -upgrade-version-tag=",
			`{"CleanupDeadServers":true,"ServerStabilizationTime":"1m0s","RedundancyZoneTag":"zone","DisableUpgradeMigration":true,"UpgradeVersionTag":""}`},
	}
	for _, tc := range tests {
		api := newAPI(t, answers{"GET /v1/operator/autopilot/configuration": autopilotPlayed, put: "true"})
		got := api.run(t, append(strings.Fields("operator autopilot set-config"), strings.Fields(tc.flags)...)...)
		if got.code != 0 || got.out != "Configuration updated!\n" || got.err != "" {
			t.Errorf("%s: %+v", tc.flags, got)
		}
		api.body(t, put, tc.body)
	}
}

func TestOperatorComplaints(t *testing.T) {
	tests := []struct {
		name, command string
		play          answers
		err           string
	}{
		{"list denied", "operator raft list-peers", answers{"GET /v1/operator/raft/configuration": "403 no"},
			"Error getting peers: Failed to retrieve raft configuration: Unexpected response code: 403 (no)"},
		{"remove nobody", "operator raft remove-peer", nil, "Error removing peer: an address or id is required for the peer to remove"},
		{"remove two", "operator raft remove-peer -id a -address b", nil, "Error removing peer: cannot give both an address and an id"},
		{"remove one that is not there", "operator raft remove-peer -address x",
			answers{"DELETE /v1/operator/raft/peer?address=x": `400 address "x" was not found in the Raft configuration`},
			`Error removing peer: Unexpected response code: 400 (address "x" was not found in the Raft configuration)`},
		{"transfer to nobody", "operator raft transfer-leader", answers{"POST /v1/operator/raft/transfer-leader": "400 cannot find peer"},
			"Error transfering leadership: Failed to transfer leadership Unexpected response code: 400 (cannot find peer)"},
		{"no transfer", "operator raft transfer-leader", answers{"POST /v1/operator/raft/transfer-leader": `{"Success":false}`},
			"Error transfering leadership: the leader did not change"},
		{"get-config denied", "operator autopilot get-config", answers{"GET /v1/operator/autopilot/configuration": "403 no"},
			"Error querying Autopilot configuration: Unexpected response code: 403 (no)"},
		{"set-config lost a race", "operator autopilot set-config -min-quorum 3",
			answers{"GET /v1/operator/autopilot/configuration": autopilotPlayed, "PUT /v1/operator/autopilot/configuration?cas=7": "false"},
			"Configuration could not be atomically updated, please try again"},
		{"set-config refused", "operator autopilot set-config -last-contact-threshold -1s",
			answers{"GET /v1/operator/autopilot/configuration": autopilotPlayed, "PUT /v1/operator/autopilot/configuration?cas=7": "400 no"},
			"Error setting Autopilot configuration: Unexpected response code: 400 (no)"},
		{"state denied", "operator autopilot state", answers{"GET /v1/operator/autopilot/state": "403 no"},
			"Error querying Autopilot state: Unexpected response code: 403 (no)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 1 || got.out != "" || got.err != tc.err+"\n" {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", got.code, got.out, got.err)
			}
		})
	}
}
