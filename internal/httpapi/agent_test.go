package httpapi

import (
	"errors"
	"maps"
	"testing"

	"github.com/lictor/lictor/internal/logging"
)

// tokenFile keeps what was saved last, or fails.
type tokenFile struct {
	saved map[string]logging.Secret
	err   error
}

func (f *tokenFile) Save(tokens map[string]logging.Secret) error {
	if f.err != nil {
		return f.err
	}
	f.saved = maps.Clone(tokens)
	return nil
}

func TestAgentTokenSet(t *testing.T) {
	for _, c := range []struct {
		name, kind, body string
		code             int
		text             string
		saved            string // kind that was set to "new"
	}{
		{"the default token", "default", `{"Token":"new"}`, 200, "", TokenDefault},
		{"by its old name", "acl_token", `{"token":"new"}`, 200, "", TokenDefault},
		{"the recovery token by its old name", "agent_master", `{"Token":"new"}`, 200, "", TokenRecovery},
		{"the replication token by its old name", "acl_replication_token", `{"Token":"new"}`, 200, "", TokenReplication},
		{"an unknown kind", "bogus", `{"Token":"new"}`, 404, `Token "bogus" is unknown`, ""},
		{"one that cannot be set", "initial_management", `{"Token":"new"}`, 404, `Token "initial_management" is unknown`, ""},
		{"an unknown field", "agent", `{"Nope":"new"}`, 400, `Request decode failed: json: unknown field "Nope"`, ""},
		{"no body", "agent", ``, 400, "Request decode failed: EOF", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var file tokenFile
			w := newWorld(t, func(a *API) { a.Agent.Tokens = NewAgentTokens(nil, nil, &file) })
			rec := w.call("PUT", "/v1/agent/token/"+c.kind, c.body, asManagement)
			if rec.Code != c.code || rec.Body.String() != c.text {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if c.code == 200 && rec.Header().Get("Content-Type") != "" {
				t.Fatalf("headers %v", rec.Header())
			}
			if file.saved[c.saved] != "new" && c.saved != "" || c.saved == "" && file.saved != nil {
				t.Fatalf("saved %d", len(file.saved))
			}
		})
	}
}

func TestAgentTokensThatWereSetAreKept(t *testing.T) {
	var file tokenFile
	tokens := NewAgentTokens(map[string]logging.Secret{TokenAgent: "a", TokenDNS: "", TokenDefault: "d"}, map[string]logging.Secret{TokenReplication: "r", TokenAgent: "b"}, &file)
	check(t, tokens.Set(TokenRecovery, "s"))
	if want := map[string]logging.Secret{TokenReplication: "r", TokenAgent: "b", TokenRecovery: "s"}; !maps.Equal(file.saved, want) {
		t.Errorf("%d saved: the configuration's are among them", len(file.saved))
	}
	check(t, tokens.Set(TokenAgent, ""))
	if tokens.Get(TokenAgent) != "" || file.saved[TokenAgent] != "" {
		t.Error("an empty one does not clear it")
	}
	tokens.Configure(TokenDefault, "e")
	tokens.Configure(TokenReplication, "another")
	if tokens.Get(TokenDefault) != "e" || tokens.Get(TokenReplication) != "r" {
		t.Error("a changed configuration does not count, or counts above what was set")
	}
}

func TestAgentTokenThatCannotBeKeptIsNotSet(t *testing.T) {
	w := newWorld(t, func(a *API) {
		a.Agent.Tokens = NewAgentTokens(map[string]logging.Secret{TokenAgent: "old"}, nil, &tokenFile{err: errors.New("disk full")})
	})
	if rec := w.call("PUT", "/v1/agent/token/agent", `{"Token":"new"}`, asManagement); rec.Code != 500 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if w.api.Agent.Tokens.Get(TokenAgent) != "old" {
		t.Fatal("the token was set all the same")
	}
}

func TestReloadThatFailsSaysWhy(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Agent.Reload = func() error { return errors.New("a.hcl: invalid config key bogus") } })
	rec := w.call("PUT", "/v1/agent/reload", "", asManagement)
	if rec.Code != 500 || rec.Body.String() != "a.hcl: invalid config key bogus" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

func TestAgentPermissionIsOnThisNode(t *testing.T) {
	w := newWorld(t)
	other := w.token("other", `agent "n2" { policy = "write" }`)
	reader := w.token("reader", `agent "n1" { policy = "read" }`)
	writer := w.token("writer", `agent "n1" { policy = "write" }`)
	for _, c := range []struct {
		name, method, path, token string
		code                      int
	}{
		{"another node's token reads", "GET", "/v1/agent/self", other, 403},
		{"another node's token writes", "PUT", "/v1/agent/reload", other, 403},
		{"a reader reads", "GET", "/v1/agent/self", reader, 200},
		{"a reader writes", "PUT", "/v1/agent/leave", reader, 403},
		{"a writer writes", "PUT", "/v1/agent/leave", writer, 200},
	} {
		if rec := w.call(c.method, c.path, "", "X-Consul-Token: "+c.token); rec.Code != c.code {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}
