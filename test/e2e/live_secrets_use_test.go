package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/uuid"
)

// newSecret makes a secret of a kind.
func (v vault) newSecret(kind string) string {
	secret := uuid.New()
	v.add(kind, secret)
	return secret
}

// addKey adds a private key in both forms that PEM has for it: of each a line that holds part of its number.
func (v vault) addKey(t *testing.T, kind, text string) {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no private key")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key = parsed.(*ecdsa.PrivateKey)
	}
	first, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	second, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	line := func(der []byte, n int) string {
		return strings.Split(string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})), "\n")[n]
	}
	v.add(kind, line(first, 1), line(second, 2))
}

// secretsOfFiles is configuration with a secret wherever one can stand.
func (v vault) secretsOfFiles() string {
	kind := "configuration's token"
	return fmt.Sprintf(`
acl {
  enable_token_persistence = true
  tokens {
    agent_recovery = %q
    replication = %q
    config_file_service_registration = %q
    dns = %q
  }
}
service {
  name = "of-a-file"
  port = 1
  token = %q
  check {
    id = "of-a-file"
    http = "http://127.0.0.1:1/"
    interval = "1s"
    header = { Authorization = [%q] }
  }
}
`, v.newSecret(kind), v.newSecret(kind), v.newSecret(kind), v.newSecret(kind), v.newSecret(kind), v.newSecret("header of a configured check"))
}

// newPrivateKey makes a key for the mesh CA.
func newPrivateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// useSecretsOfOperators does what operators do with secrets: a CA of their own, leafs, keys, snapshots, intentions.
func (b *besieged) useSecretsOfOperators(v vault, client *api.Client, created string) {
	t := b.t
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	key := newPrivateKey(t)
	v.addKey(t, "mesh CA's key", key)
	_, err := client.Connect().CASetConfig(&api.CAConfig{Provider: "consul", Config: map[string]any{"PrivateKey": key}}, nil)
	must("CA", err)
	leaf, _, err := client.Agent().ConnectCALeaf("s", nil)
	must("leaf", err)
	v.addKey(t, "leaf's key", leaf.PrivateKeyPEM)
	_, _, _, err = client.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "txn", Value: []byte(v.newSecret("key's value"))}}}, nil)
	must("transaction", err)
	_, _, err = client.ConfigEntries().Set(&api.ServiceIntentionsConfigEntry{
		Kind: api.ServiceIntentions, Name: "b", Meta: map[string]string{"note": v.newSecret("intention's meta")},
		Sources: []*api.SourceIntention{{Name: "a", Action: api.IntentionActionAllow}},
	}, nil)
	must("intention", err)
	_, _, err = client.ACL().AuthMethodCreate(&api.ACLAuthMethod{Name: "other", Type: "aws-iam", Config: map[string]any{
		"BoundIAMPrincipalARNs": []string{"arn:aws:iam::123456789012:role/x"}, "ServerIDHeaderValue": v.newSecret("auth method's config"),
	}}, nil)
	must("auth method", err)
	second := newGossipKey()
	v.add("gossip key", second)
	must("keyring", client.Operator().KeyringInstall(second, nil))
	must("check", client.Agent().CheckRegister(&api.AgentCheckRegistration{ID: "h", Name: "h", AgentServiceCheck: api.AgentServiceCheck{
		HTTP: "http://127.0.0.1:1/", Interval: "1s", Header: map[string][]string{"Authorization": {v.newSecret("check's header")}},
	}}))
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/operator/audit-hash", fmt.Sprintf(`{"Input":%q}`, v.newSecret("hashed text"))},
		{http.MethodPut, "/v1/event/fire/deploy", fmt.Sprintf(`{"Name":%q}`, v.newSecret("event's payload"))},
		{http.MethodPut, "/v1/kv/json", fmt.Sprintf(`{"Name":%q}`, v.newSecret("key's value"))},
		{http.MethodGet, "/v1/kv/a?token=" + created, ""},
		{http.MethodPut, "/v1/kv/" + b.files.management, "its own token as a key"},
	} {
		b.say(r.method, r.path, r.body, created)
	}
	snapshot, _, err := client.Snapshot().Save(nil)
	must("snapshot", err)
	defer snapshot.Close()
	must("restore", client.Snapshot().Restore(nil, snapshot))
	// A restore replaces what was agreed on; the agent answers again once it has a leader.
	must("after the restore", every(20*time.Millisecond, func(context.Context) error {
		_, _, err := client.KV().Get("a", &api.QueryOptions{RequireConsistent: true})
		return err
	}))
}

// say sends a request with the management token, and with another secret as a bearer's; whatever the answer is.
func (b *besieged) say(method, path, body, bearer string) {
	t := b.t
	t.Helper()
	req, err := http.NewRequest(method, "http://"+b.files.http+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if !strings.Contains(path, "token=") {
		req.Header.Set("X-Consul-Token", b.files.management)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

// TestAttack_LiveSecretsOnAClientAgent logs in, registers and reads leafs through a client agent that logs all there is to log, and
// searches what it and its server write.
func TestAttack_LiveSecretsOnAClientAgent(t *testing.T) {
	v := vault{}
	c := prepareCluster(t, 1, 1)
	task, server := c.agents[0], c.servers[0]
	server.configure(auditStanza)
	c.start(server)
	c.awaitLeader()
	own := c.agentToken(task)
	c.writeAgent(task, own, "")
	task.configure(auditStanza)
	more := task.file("more.hcl", `log_level = "TRACE"`+v.secretsOfFiles())
	v.add("gossip key", c.key)
	v.add("management token", c.management)
	v.add("configured agent's token", own)
	process, err := task.launch("-config-file", more)
	if err == nil {
		err = process.waitFor("Consul agent running!")
	}
	if err == nil {
		err = task.answers()
	}
	if err != nil {
		t.Fatal(err)
	}
	server.must(t, []string{"CONSUL_HTTP_TOKEN=" + c.management}, "acl", "auth-method", "create", "-type", "aws-iam", "-name", "m",
		"-config", `{"BoundIAMPrincipalArns": ["arn:aws:iam::123456789012:role/consul-ecs/*"], "EnableIAMEntityDetails": true}`)
	server.must(t, []string{"CONSUL_HTTP_TOKEN=" + c.management}, "acl", "binding-rule", "create", "-method", "m", "-bind-type", "service", "-bind-name", "${entity_name}")
	sink := filepath.Join(task.dir, "token")
	login := []string{"login", "-type", "aws-iam", "-method", "m", "-aws-region", region, "-aws-auto-bearer-token", "-aws-include-entity", "-token-sink-file", sink}
	task.must(t, append(c.roleOf(task, "consul-ecs/web"), c.env...), login...)
	text, err := os.ReadFile(sink)
	if err != nil {
		t.Fatal(err)
	}
	v.add("login's token", string(text))
	if err := os.Remove(sink); err != nil {
		t.Fatal(err)
	}
	client := task.api()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("service", client.Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{Name: "web", Port: 80}, api.ServiceRegisterOpts{Token: string(text)}))
	leaf, _, err := client.Agent().ConnectCALeaf("web", nil)
	must("leaf", err)
	v.addKey(t, "leaf's key", leaf.PrivateKeyPEM)
	v.add("a private key", "PRIVATE KEY-----")
	_, err = client.KV().Put(&api.KVPair{Key: "a", Value: []byte(v.newSecret("key's value"))}, nil)
	must("key", err)
	outputs := map[string][]byte{}
	for _, path := range []string{"/v1/agent/self", "/v1/agent/metrics", "/v1/agent/metrics?format=prometheus", "/v1/agent/services", "/v1/agent/checks", "/v1/agent/host"} {
		status, answer, err := task.ask(t.Context(), http.MethodGet, path, c.management, "")
		if err != nil || status != http.StatusOK {
			t.Fatal(path, status, err)
		}
		outputs[path] = []byte(answer)
	}
	for _, h := range []*host{task, server} {
		if _, err := h.running().signal("TERM"); err != nil {
			t.Fatal(err)
		}
		outputs["what "+h.name+" prints"] = []byte(h.running().log())
	}
	for where, text := range outputs {
		if kinds := v.holds(text); len(kinds) > 0 {
			t.Errorf("%s holds %v", where, kinds)
		}
	}
	seen := searchFiles(t, v, filepath.Join(task.dir, "data"), map[string][]string{
		"gossip key": {"serf/local.keyring"}, "login's token": {"services/*"},
	})
	if len(seen["gossip key"]) == 0 || len(seen["login's token"]) == 0 {
		t.Errorf("stored are %v: does the search work?", seen)
	}
	searchFiles(t, v, filepath.Join(server.dir, "data"), map[string][]string{
		"gossip key": {"serf/local.keyring"}, "login's token": inRaft, "management token": inRaft, "configured agent's token": inRaft,
		"key's value": inRaft, "a private key": inRaft,
	})
}
