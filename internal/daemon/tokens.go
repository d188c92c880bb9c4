package daemon

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/logging"
)

// tokenFile keeps the agent's tokens in its data directory, as a JSON object
// by kind, for the owner's eyes alone (spec: acl.md section 9).
type tokenFile struct{ path string }

// Save replaces the file.
func (f tokenFile) Save(tokens map[string]logging.Secret) error {
	content, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	return atomicfile.Write(f.path, 0o600, true, bytes.NewReader(content))
}

// load returns what is kept; nothing if there is no file.
func (f tokenFile) load() (map[string]logging.Secret, error) {
	content, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tokens map[string]logging.Secret
	if err := json.Unmarshal(content, &tokens); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return tokens, nil
}

// agentTokens returns the tokens the agent starts with: what was kept wins
// over the configuration.
func agentTokens(cfg Config) (*httpapi.AgentTokens, error) {
	configured := cfg.ACL.Tokens.byKind()
	if !cfg.ACL.TokenPersistence || cfg.DataDir == "" {
		return httpapi.NewAgentTokens(configured, nil, nil), nil
	}
	file := tokenFile{path: filepath.Join(cfg.DataDir, "acl-tokens.json")}
	kept, err := file.load()
	if err != nil {
		return nil, err
	}
	return httpapi.NewAgentTokens(configured, kept, file), nil
}

// byKind returns the tokens under the names that the API has for them.
func (t ACLTokens) byKind() map[string]logging.Secret {
	return map[string]logging.Secret{
		httpapi.TokenDefault:      t.Default,
		httpapi.TokenAgent:        t.Agent,
		httpapi.TokenRecovery:     t.AgentRecovery,
		httpapi.TokenReplication:  t.Replication,
		httpapi.TokenRegistration: t.ConfigFileServiceRegistration,
		httpapi.TokenDNS:          t.DNS,
	}
}

// agentToken is what the agent uses for its own work.
func (b *base) agentToken() logging.Secret {
	return cmp.Or(b.tokens.Get(httpapi.TokenAgent), b.tokens.Get(httpapi.TokenDefault))
}

// applyTokens takes over the tokens that a reload has changed.
func (b *base) applyTokens(old, next map[string]logging.Secret) {
	for kind, secret := range next {
		if !old[kind].Equal(secret) {
			b.tokens.Configure(kind, secret)
		}
	}
}
