package endpoint

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/telemetry"
	"github.com/lictor/lictor/internal/tenancy"
)

// Sizes of the resolver's caches. A token's entry is some hundred bytes; an
// authorizer is a few kilobytes and shared by all tokens with the same rights.
const (
	cachedTokens      = 32768
	cachedAuthorizers = 4096
	cachedRules       = 4096
)

var errNotBootstrapped = errs.Errorf(errs.Denied,
	"ACL system must be bootstrapped before making any requests that require authorization: %w", acl.ErrNotFound)

// Resolver turns a secret into a caller: the token, and an authorizer compiled
// from everything that the token is linked to. What it remembers is keyed by
// content, so that nothing has to be invalidated and no change is ever missed.
// Set the fields before the first use.
type Resolver struct {
	Store              Reader
	Now                func() time.Time      // nil is time.Now
	Enabled            bool                  // false: everybody may do everything
	DefaultPolicyAllow bool                  // what decides where no rule does
	DownPolicy         string                // only shown, in expanded tokens
	Datacenter         string                // policies limited to others are left out
	NodeName           string                // of this agent
	Recovery           func() logging.Secret // this agent's recovery token; nil or "" is none

	// CatchUp returns once Store holds every token that was issued before the
	// call (see Consistency); errs.Unavailable if it cannot. It is called before a secret is
	// refused, so that no token that was issued ever is. nil: Store always does.
	CatchUp func(ctx context.Context) error
	// Applied returns an index up to which Store holds everything. nil: what
	// the tables know of themselves.
	Applied func() uint64
	Metrics *telemetry.Metrics // may be nil

	once        sync.Once
	tokens      *generations[logging.Secret, resolved]
	authorizers *generations[contentKey, *acl.Authorizer]
	rules       *generations[rulesKey, *acl.Rules]

	hits, misses atomic.Uint64 // of tokens; see Stats
}

// Stats returns how often a token was resolved from memory, and how often from the tables.
func (r *Resolver) Stats() (hits, misses uint64) { return r.hits.Load(), r.misses.Load() }

// resolved is a caller and what it was made from: it holds as long as the
// token's row is the same and no table with rights in it has changed, which is certain in the moment
// in which it was seen.
type resolved struct {
	caller acl.Caller
	rights uint64
	moment uint64 // state.Tx.Moment
}

// is reports whether r was seen in tx, and lives.
func (r *resolved) is(tx *state.Tx, now time.Time) bool {
	return r.moment != 0 && r.moment == tx.Moment() && !r.caller.Token.Expired(now)
}

func (r *Resolver) init() {
	r.once.Do(func() {
		r.tokens = newGenerations[logging.Secret, resolved](cachedTokens)
		r.authorizers = newGenerations[contentKey, *acl.Authorizer](cachedAuthorizers)
		r.rules = newGenerations[rulesKey, *acl.Rules](cachedRules)
	})
}

// ACLs says whether ACLs are on, and whether the default policy is to allow.
func (r *Resolver) ACLs() (enabled, defaultAllow bool) { return r.Enabled, r.DefaultPolicyAllow }

// Resolve returns who presents secret; "" is the anonymous token. It returns
// acl.ErrNotFound, or an error that wraps it, for a secret that no token has
// or whose token's life is over, and errs.Unavailable if this server cannot know.
func (r *Resolver) Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error) {
	if !r.Enabled {
		return acl.Caller{Authorizer: acl.AllowAll()}, nil
	}
	if secret == "" {
		return r.resolve(r.Store.Latest(), nil, acl.AnonymousSecret)
	}
	if r.Recovery != nil {
		if own := r.Recovery(); own != "" && own.Equal(secret) {
			return RecoveryCaller(r.NodeName, tenancy.DefaultName, r.DefaultPolicyAllow)
		}
	}
	who, err := r.resolve(r.Store.Latest(), nil, secret)
	if r.CatchUp == nil || !errors.Is(err, acl.ErrNotFound) {
		return who, err
	}
	begun, outcome := time.Now(), "unavailable"
	defer func() {
		r.Metrics.Since("acl.token.catch_up", begun, telemetry.Label{Name: "outcome", Value: outcome})
	}()
	if err := r.CatchUp(ctx); err != nil {
		return acl.Caller{}, err
	}
	who, err = r.resolve(r.Store.Latest(), nil, secret)
	outcome = "unknown"
	if err == nil {
		outcome = "found"
	}
	return who, err
}

// seek makes sure that the token with secret is in Store if there is one.
func (r *Resolver) seek(ctx context.Context, secret logging.Secret) error {
	if r.CatchUp == nil || secret == "" {
		return nil
	}
	t, err := r.token(r.Store.Latest(), nil, secret)
	if err != nil || t != nil && !t.Expired(r.now()) {
		return err
	}
	return r.CatchUp(ctx)
}

// again returns the caller as they are in tx, and adds to ws what changes when
// they do. Callers without a token of their own stay what they are.
func (r *Resolver) again(tx *state.Tx, ws memdb.WatchSet, who acl.Caller) (acl.Caller, error) {
	if who.Token == nil {
		return who, nil
	}
	now, err := r.resolve(tx, ws, who.Token.SecretID)
	now.Asked = who.Asked
	return now, err
}

func (r *Resolver) resolve(tx *state.Tx, ws memdb.WatchSet, secret logging.Secret) (acl.Caller, error) {
	r.init()
	c, known := r.tokens.get(secret)
	if known && ws == nil && c.is(tx, r.now()) {
		r.hits.Add(1)
		return c.caller, nil
	}
	t, err := r.token(tx, ws, secret)
	if err != nil {
		return acl.Caller{}, err
	}
	if t == nil || t.Expired(r.now()) {
		return r.unknown(tx, secret)
	}
	rights := tx.LastIndex(rightsTables...)
	if known && c.caller.Token == t && c.rights == rights {
		r.hits.Add(1)
		if c.moment = tx.Moment(); c.moment != 0 {
			r.tokens.put(t.SecretID, c)
		}
		return c.caller, nil
	}
	r.misses.Add(1)
	if gone, err := inDeleted(tx, t); err != nil || gone {
		if err != nil {
			return acl.Caller{}, err
		}
		return r.unknown(tx, secret)
	}
	a, err := r.authorizer(tx, t)
	if err != nil {
		return acl.Caller{}, err
	}
	c = resolved{
		caller: acl.Caller{AccessorID: t.AccessorID, Token: t, Authorizer: a},
		rights: rights, moment: tx.Moment(),
	}
	r.tokens.put(t.SecretID, c)
	return c.caller, nil
}

// token returns the token with secret in tx, or nil; it may have expired. One
// that was resolved before is found by its accessor, which costs less.
func (r *Resolver) token(tx *state.Tx, ws memdb.WatchSet, secret logging.Secret) (*acl.Token, error) {
	r.init()
	if c, ok := r.tokens.get(secret); ok {
		t, err := tx.Token(ws, c.caller.Token.Scope, c.caller.Token.AccessorID)
		if err != nil || t != nil && t.SecretID.Equal(secret) {
			return t, err
		}
	}
	return tx.TokenBySecret(ws, secret)
}

// inDeleted reports whether t's namespace is marked for deletion: t is as good as removed.
func inDeleted(tx *state.Tx, t *acl.Token) (bool, error) {
	n, err := tx.Namespace(nil, t.Partition, t.Namespace)
	return n != nil && n.DeletedAt != nil, err
}

// unknown answers for a secret that no token has. The anonymous token is
// special only until the leader has made it.
func (r *Resolver) unknown(tx *state.Tx, secret logging.Secret) (acl.Caller, error) {
	if secret == acl.AnonymousSecret {
		return acl.Caller{
			AccessorID: acl.AnonymousAccessor,
			Authorizer: acl.Compile(nil, nil, acl.Defaults{Allow: r.DefaultPolicyAllow}),
		}, nil
	}
	if _, done := tx.Bootstrap(); !done {
		return acl.Caller{}, errNotBootstrapped
	}
	return acl.Caller{}, acl.ErrNotFound
}

// RecoveryCaller is the caller with the recovery token of the agent on node, which is in
// partition (acl.md section 9). defaultAllow is the default policy.
func RecoveryCaller(node, partition string, defaultAllow bool) (acl.Caller, error) {
	rules, err := acl.AgentRecoveryRules(node)
	if err != nil {
		return acl.Caller{}, err
	}
	own := []acl.Grant{{Rules: rules, Scope: tenancy.Scope{Partition: partition, Namespace: tenancy.DefaultName}}}
	return acl.Caller{
		AccessorID: "agent-recovery:" + node,
		Authorizer: acl.Compile(own, nil, acl.Defaults{Allow: defaultAllow}),
	}, nil
}

func (r *Resolver) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
