package httpapi

import (
	"maps"
	"sync"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// The kinds of tokens that an agent has of its own (acl.md section 9). They are
// the keys of acl-tokens.json too.
const (
	TokenDefault      = "default"        // of requests that carry none
	TokenAgent        = "agent"          // of the agent's own operations
	TokenRecovery     = "agent_recovery" // works on this agent without any server
	TokenReplication  = "replication"
	TokenRegistration = "config_file_service_registration" // of services from configuration files
	TokenDNS          = "dns"
)

// tokenKinds are the names that a path may say, older ones included.
var tokenKinds = map[string]string{
	TokenDefault: TokenDefault, "acl_token": TokenDefault,
	TokenAgent: TokenAgent, "acl_agent_token": TokenAgent,
	TokenRecovery: TokenRecovery, "agent_master": TokenRecovery, "acl_agent_master_token": TokenRecovery,
	TokenReplication: TokenReplication, "acl_replication_token": TokenReplication,
	TokenRegistration: TokenRegistration,
	TokenDNS:          TokenDNS,
}

// TokenFile keeps an agent's tokens beyond its life: those that were set, not those of its configuration. Save replaces what is kept.
type TokenFile interface {
	Save(tokens map[string]logging.Secret) error
}

// AgentTokens are an agent's own tokens by kind. They are safe for concurrent use.
type AgentTokens struct {
	// Changed, if it is not nil, is called after a token was set. Set it before the first Set.
	Changed func()

	file TokenFile

	mu     sync.RWMutex
	tokens map[string]logging.Secret // guarded by mu, as the next; no empty values
	kept   map[string]logging.Secret // in file
}

// NewAgentTokens returns the tokens that an agent starts with: those of its configuration, and in their place those that
// file kept. What is set later is kept in file; nil keeps nothing.
func NewAgentTokens(configured, kept map[string]logging.Secret, file TokenFile) *AgentTokens {
	t := &AgentTokens{file: file, tokens: map[string]logging.Secret{}, kept: map[string]logging.Secret{}}
	maps.Copy(t.tokens, configured)
	maps.Copy(t.tokens, kept)
	maps.Copy(t.kept, kept)
	empty := func(_ string, s logging.Secret) bool { return s == "" }
	maps.DeleteFunc(t.tokens, empty)
	maps.DeleteFunc(t.kept, empty)
	return t
}

// Get returns the token of a kind, "" if there is none.
func (t *AgentTokens) Get(kind string) logging.Secret {
	if t == nil {
		return ""
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.tokens[kind]
}

// Set sets the token of a kind, or with "" removes it. It counts from the
// next request on. If it cannot be kept nothing changes.
func (t *AgentTokens) Set(kind string, secret logging.Secret) error {
	if err := t.set(kind, secret); err != nil {
		return err
	}
	if t.Changed != nil {
		t.Changed()
	}
	return nil
}

func (t *AgentTokens) set(kind string, secret logging.Secret) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		kept := with(t.kept, kind, secret)
		if err := t.file.Save(kept); err != nil {
			return err
		}
		t.kept = kept
	}
	t.tokens = with(t.tokens, kind, secret)
	return nil
}

// Configure takes over a token from a configuration that has changed, unless one that was set is kept in its place.
func (t *AgentTokens) Configure(kind string, secret logging.Secret) {
	t.mu.Lock()
	if _, kept := t.kept[kind]; !kept {
		t.tokens = with(t.tokens, kind, secret)
	}
	t.mu.Unlock()
	if t.Changed != nil {
		t.Changed()
	}
}

// with returns tokens with that of a kind replaced, or with "" removed.
func with(tokens map[string]logging.Secret, kind string, secret logging.Secret) map[string]logging.Secret {
	changed := maps.Clone(tokens)
	changed[kind] = secret
	if secret == "" {
		delete(changed, kind)
	}
	return changed
}

// agentTokenSet handles PUT /v1/agent/token/:kind.
func (a *API) agentTokenSet(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentWrite); err != nil {
		return nil, err
	}
	kind, known := tokenKinds[r.PathValue("kind")]
	if !known || a.Agent.Tokens == nil {
		return nil, errs.Errorf(errs.NotFound, "Token %q is unknown", r.PathValue("kind"))
	}
	var body struct{ Token logging.Secret }
	if err := r.decode("Request decode failed", &body); err != nil {
		return nil, err
	}
	return empty{}, a.Agent.Tokens.Set(kind, body.Token)
}
