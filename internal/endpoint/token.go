package endpoint

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
	"github.com/lictor/lictor/internal/wire"
)

// minTokenTTL is the shortest life that a token may be given.
const minTokenTTL = time.Minute

// errNoToken is the answer about a token that does not exist: clients expect
// a denial, not a 404 (acl.md section 4.3).
var errNoToken = errs.Errorf(errs.Denied, "token does not exist: %w", acl.ErrNotFound)

// Tokens are the operations on tokens (acl.md section 4).
type Tokens struct{ *Backend }

// TokenWrite is the body of what creates, updates or clones a token. What the
// server decides (times, hash, indexes) is accepted and ignored.
type TokenWrite struct {
	acl.Token
	ExpirationTTL wire.OptionalDuration
	Name          string // which newer clients can send; tokens have none
}

// TokenRead asks for one token.
type TokenRead struct {
	tenancy.Scope
	AccessorID string
	Expanded   bool // with everything that the token's links mean
	Read
}

// TokenReadResult is a token and, where it was asked for, its expansion.
type TokenReadResult struct {
	acl.Token
	*Expansion
}

// TokenList asks for the tokens of a namespace, or with "*" of all namespaces
// of a partition, at most one filter set.
type TokenList struct {
	tenancy.Scope
	Policy, Role        string // IDs
	ServiceName         string // of a service identity
	AuthMethod          string // whose logins made the tokens
	AuthMethodNamespace string // of AuthMethod; "" is any
	Page
	Read
}

// Create makes a token and returns it with its secret. It needs acl:write in
// the token's scope. What is wrong with req is errs.Invalid (acl.md section 4.2).
func (e *Tokens) Create(ctx context.Context, who acl.Caller, req TokenWrite) (*acl.Token, error) {
	if err := e.allow(who, req.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	if err := tx.CheckScope(req.Scope); err != nil {
		return nil, err
	}
	t := req.Token
	t.CreateTime = e.now().UTC()
	if err := e.checkNew(tx, &t); err != nil {
		return nil, err
	}
	if err := setExpiration(&t, time.Duration(req.ExpirationTTL)); err != nil {
		return nil, err
	}
	return e.save(ctx, who, tx, fsm.TokenSet{Token: t, Create: true})
}

// checkNew checks what only a new token may say, and fills in its IDs.
func (e *Tokens) checkNew(tx *state.Tx, t *acl.Token) error {
	if t.AuthMethod != "" || t.AuthMethodNamespace != "" {
		return errs.New(errs.Invalid, "AuthMethod field is disallowed outside of login")
	}
	if t.AccessorID == "" {
		t.AccessorID = uuid.New()
	}
	if t.SecretID == "" {
		t.SecretID = logging.Secret(uuid.New())
	}
	t.AccessorID = strings.ToLower(t.AccessorID)
	if err := checkTokenID(tx, "AccessorID", t.AccessorID); err != nil {
		return err
	}
	return checkTokenID(tx, "SecretID", t.SecretID.Reveal())
}

// checkTokenID checks a given AccessorID or SecretID, which may equal neither
// kind of ID of any other token.
func checkTokenID(tx *state.Tx, field, id string) error {
	if err := acl.ValidateTokenID(field, id); err != nil {
		return err
	}
	byAccessor, err := tx.TokenByAccessor(nil, id)
	if err != nil {
		return err
	}
	bySecret, err := tx.TokenBySecret(nil, logging.Secret(id))
	if err != nil {
		return err
	}
	if byAccessor != nil || bySecret != nil {
		return errs.Errorf(errs.Invalid, "Invalid Token: %s is already in use", field)
	}
	return nil
}

// setExpiration sets the time at which a new token's life ends.
func setExpiration(t *acl.Token, ttl time.Duration) error {
	if t.ExpirationTime != nil && t.ExpirationTime.IsZero() {
		t.ExpirationTime = nil
	}
	switch {
	case ttl < 0:
		return errs.Errorf(errs.Invalid, "Token Expiration TTL '%s' should be > 0", ttl)
	case ttl > 0 && t.ExpirationTime != nil:
		return errs.New(errs.Invalid, "Token Expiration TTL and Expiration Time cannot both be set")
	case ttl > 0:
		end := t.CreateTime.Add(ttl)
		t.ExpirationTime = &end
	case t.ExpirationTime == nil:
		return nil
	}
	end := t.ExpirationTime.UTC()
	t.ExpirationTime = &end
	left := end.Sub(t.CreateTime)
	switch {
	case left < 0:
		return errs.New(errs.Invalid, "ExpirationTime cannot be before CreateTime")
	case left < minTokenTTL:
		return errs.Errorf(errs.Invalid, "ExpirationTime cannot be less than %s in the future (was %s)", minTokenTTL, left.Round(time.Second))
	}
	return nil
}

// save resolves what the token of cmd, that who writes, links to, stores it
// and returns it as it was stored.
func (e *Tokens) save(ctx context.Context, who acl.Caller, tx *state.Tx, cmd fsm.TokenSet) (*acl.Token, error) {
	t := &cmd.Token
	policies, err := policyLinks(tx, who, t.Scope, t.Policies, "No such ACL policy with ID %q")
	if err != nil {
		return nil, err
	}
	roles, err := roleLinks(tx, t.Scope, t.Roles)
	if err != nil {
		return nil, err
	}
	if err := t.CheckIdentities(); err != nil {
		return nil, err
	}
	t.Policies, t.Roles = idsOnly(policies), idsOnly(roles)
	t.SetHash()
	if _, err := e.Raft.Propose(ctx, cmd); err != nil {
		return nil, err
	}
	return showStored(e.Store.Read(), t.Scope, t.AccessorID)
}

// showStored is showToken for the token with an accessor. It is errNoToken if there is none.
func showStored(tx *state.Tx, s tenancy.Scope, accessor string) (*acl.Token, error) {
	stored, err := tx.Token(nil, s, accessor)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, errNoToken
	}
	return showToken(tx, stored)
}

// showToken returns a stored token with the names of its links.
func showToken(tx *state.Tx, stored *acl.Token) (*acl.Token, error) {
	if len(stored.Policies) == 0 && len(stored.Roles) == 0 {
		return stored, nil
	}
	t := *stored
	var err error
	if t.Policies, err = showPolicies(tx, t.Scope, t.Policies); err != nil {
		return nil, err
	}
	if t.Roles, err = showRoles(tx, t.Scope, t.Roles); err != nil {
		return nil, err
	}
	return &t, nil
}

// Read returns a token. It needs acl:read in the scope; whoever lacks
// acl:write sees "<hidden>" for the secret. An unknown token is errs.Denied.
func (e *Tokens) Read(ctx context.Context, who acl.Caller, req TokenRead) (*TokenReadResult, Meta, error) {
	if err := e.allow(who, req.Scope, acl.ACLRead); err != nil {
		return nil, Meta{}, err
	}
	id, err := lookupID("token", req.AccessorID)
	if err != nil {
		return nil, Meta{}, err
	}
	var out *TokenReadResult
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allow(who, req.Scope, acl.ACLRead); err != nil {
			return 0, err
		}
		t, err := tx.Token(ws, req.Scope, id)
		if err != nil {
			return 0, err
		}
		out, err = e.readResult(tx, who, t, req.Expanded)
		return tx.LastIndex(state.TableTokens), err
	})
	if err != nil {
		return nil, Meta{}, err
	}
	return out, meta, nil
}

// readResult shows stored, which may be nil, to who.
func (e *Tokens) readResult(tx *state.Tx, who acl.Caller, stored *acl.Token, expanded bool) (*TokenReadResult, error) {
	if stored == nil || stored.Expired(e.now()) {
		return nil, errNoToken
	}
	t, err := showToken(tx, stored)
	if err != nil {
		return nil, err
	}
	out := &TokenReadResult{Token: redacted(who, *t)}
	if expanded {
		out.Expansion, err = e.Resolver.expand(tx, stored)
	}
	return out, err
}

// Self returns the token that secret belongs to, with the secret. It needs no
// permission. An unknown or empty secret is errs.Denied.
func (e *Tokens) Self(ctx context.Context, secret logging.Secret, r Read) (*acl.Token, Meta, error) {
	if !e.Resolver.Enabled {
		return nil, Meta{}, acl.ErrDisabled
	}
	if err := e.Resolver.seek(ctx, secret); err != nil {
		return nil, Meta{}, err
	}
	var out *acl.Token
	meta, err := e.Block(ctx, acl.Caller{}, r, func(_ acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		t, err := e.Resolver.token(tx, ws, secret)
		if err != nil {
			return 0, err
		}
		if secret == "" || t == nil || t.Expired(e.now()) {
			return 0, errNoToken
		}
		out, err = showToken(tx, t)
		return tx.LastIndex(state.TableTokens), err
	})
	if err != nil {
		return nil, Meta{}, err
	}
	return out, meta, nil
}
