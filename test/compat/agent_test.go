package compat

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestAgent(t *testing.T) {
	w := newWorld(t, management)
	c := w.client(management, "", "")
	self, err := c.Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"Datacenter": "dc1", "PrimaryDatacenter": "dc1", "NodeName": "srv1", "Server": true,
	} {
		if got := self["Config"][key]; got != want {
			t.Errorf("Config.%s is %v, want %v", key, got, want)
		}
	}
	if self["Member"]["Name"] != "srv1" || self["Member"]["Status"] != 1.0 || self["DebugConfig"]["ACLsEnabled"] != true {
		t.Errorf("self %s", text(self))
	}
	if name, err := c.Agent().NodeName(); err != nil || name != "srv1" {
		t.Errorf("node name %q, %v", name, err)
	}
	version, err := c.Agent().Version()
	if err != nil || version["HumanVersion"] == "" {
		t.Errorf("version %v, %v", version, err)
	}
	leader, err := c.Status().Leader()
	if err != nil {
		t.Fatal(err)
	}
	peers, err := c.Status().Peers()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "peers", peers, []string{leader})
	datacenters, err := c.Catalog().Datacenters()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "datacenters", datacenters, []string{"dc1"})
	_, err = w.client("", "", "").Agent().Self()
	refused(t, err, 403, `Permission denied: anonymous token lacks permission 'agent:read' on "srv1"`)
}

func TestTokensOfTheAgent(t *testing.T) {
	w := newWorld(t, management)
	c := w.client(management, "", "")
	token := must(c.ACL().TokenCreate(&api.ACLToken{Description: "for everybody"}, nil))(t)
	for name, set := range map[string]func(string, *api.WriteOptions) (*api.WriteMeta, error){
		"default": c.Agent().UpdateDefaultACLToken, "agent": c.Agent().UpdateAgentACLToken,
		"replication":                      c.Agent().UpdateReplicationACLToken,
		"config_file_service_registration": c.Agent().UpdateConfigFileRegistrationToken, "dns": c.Agent().UpdateDNSToken,
	} {
		if _, err := set(token.SecretID, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const recovery = "2c3f6f0e-0a51-4c55-8f0e-1d2c3b4a5968"
	if _, err := c.Agent().UpdateAgentRecoveryACLToken(recovery, nil); err != nil {
		t.Error(err)
	}
	if _, err := w.client(recovery, "", "").Agent().Self(); err != nil {
		t.Errorf("with the recovery token: %v", err)
	}
	nobody := w.client("", "", "")
	self := must(nobody.ACL().TokenReadSelf(nil))(t)
	same(t, "who sends no token", self.AccessorID, token.AccessorID)
	_, err := nobody.Agent().UpdateDefaultACLToken("", nil)
	refused(t, err, 403, "lacks permission 'agent:write' on \"srv1\"")
}

// TestBlockingQuery waits for a change as watchers do.
func TestBlockingQuery(t *testing.T) {
	c := newWorld(t, management).client(management, "", "").ACL()
	before, meta, err := c.PolicyList(nil)
	if err != nil {
		t.Fatal(err)
	}
	if meta.LastIndex == 0 || !meta.KnownLeader || meta.DefaultACLPolicy != "deny" || meta.QueryBackend != api.QueryBackendBlockingQuery {
		t.Errorf("meta %s", text(meta))
	}
	type answer struct {
		policies []*api.ACLPolicyListEntry
		index    uint64
		err      error
	}
	answers := make(chan answer, 1)
	go func() {
		policies, m, err := c.PolicyList(&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		if err != nil {
			m = &api.QueryMeta{}
		}
		answers <- answer{policies, m.LastIndex, err}
	}()
	made := must(c.PolicyCreate(&api.ACLPolicy{Name: "new"}, nil))(t)
	select {
	case got := <-answers:
		if got.err != nil || got.index < made.CreateIndex || len(got.policies) != len(before)+1 {
			t.Errorf("woke up with %d policies at index %d: %v", len(got.policies), got.index, got.err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing woke the query up")
	}
}
