package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// The values of acl.down_policy: what decides while no server can be asked.
const (
	DownAllow       = "allow"
	DownDeny        = "deny"
	DownExtendCache = "extend-cache" // what was known before, however old
	DownAsyncCache  = "async-cache"  // the same; nobody waits for a server who has something to go on
)

// downAccessor is who a caller seems to be whom no server can be asked about
// (acl.md section 15).
const downAccessor = "primary-dc-down"

const (
	defaultTTL  = 30 * time.Second
	defaultHold = 7 * time.Second
	maxCached   = 4096 // callers
	maxAsking   = 64   // questions at a time

	// quiet is how long servers that did not answer are not asked about
	// somebody whom the agent can decide about itself.
	quiet = 250 * time.Millisecond
	// patience is how long async-cache waits for news that it knows of.
	patience = 250 * time.Millisecond
	// attempts bounds how often an answer is asked for again because
	// something changed meanwhile.
	attempts = 3
)

// Resolver turns the secrets of requests to this agent's own endpoints into
// callers, by asking servers. What it remembers it drops or verifies again as
// soon as a server tells of a change, so that a revoked token stops working at
// once; while no server tells, it verifies at each request. It never remembers that a token was
// not found. Set the fields before the first use; the zero value works for those without a
// word about nil.
type Resolver struct {
	Servers            Servers
	Enabled            bool   // false: everybody may do everything
	DefaultPolicyAllow bool   // what decides where no rule does
	DownPolicy         string // "" is DownExtendCache
	NodeName           string // of this agent
	Partition          string // of this agent; "" is default
	Log                *slog.Logger
	Recovery           func() logging.Secret // this agent's recovery token; nil or "" is none
	Now                func() time.Time      // nil is time.Now

	// How long a caller is not verified again; 0 is 30 s. The shortest of them counts,
	// because an answer has everything in it.
	TokenTTL, PolicyTTL, RoleTTL time.Duration
	// Hold is how long a caller whom the agent knows nothing about waits for
	// a server before the down policy decides; 0 is 7 s.
	Hold time.Duration

	once   sync.Once
	asking chan struct{} // holds one for each question under way

	mu      sync.Mutex // guards what follows
	known   map[secretKey]*known
	flights map[secretKey]*flight
	live    bool          // a server tells of changes
	changed chan struct{} // closed at the next change; nil before anybody waits
	failed  time.Time     // when no server answered last; zero after an answer
	since   time.Time     // of the first failure after an answer
	stats   ResolverStats
}

// ResolverStats says how a Resolver has done so far.
type ResolverStats struct {
	Hits, Misses uint64 // callers who were known, and who had to be asked about
	Changes      uint64 // that servers have told of
	Cached       int    // callers who are known
	Live         bool   // a server tells of changes
}

// Stats returns how the resolver has done so far.
func (r *Resolver) Stats() ResolverStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Cached, s.Live = len(r.known), r.live
	return s
}

// secretKey stands for a secret, so that the secrets of callers are no keys of a map.
type secretKey [sha256.Size]byte

// known is what the agent remembers of a caller. It is replaced, never
// changed, except for stale.
type known struct {
	caller   acl.Caller
	verified time.Time
	stale    bool // something changed that may concern it
}

func (r *Resolver) init() {
	r.once.Do(func() {
		r.asking = make(chan struct{}, maxAsking)
		r.known = map[secretKey]*known{}
		r.flights = map[secretKey]*flight{}
	})
}

// ACLs says whether ACLs are on, and whether the default policy is to allow.
func (r *Resolver) ACLs() (enabled, defaultAllow bool) { return r.Enabled, r.DefaultPolicyAllow }

// Resolve returns who presents secret; "" is the anonymous token. It returns
// acl.ErrNotFound, or an error that wraps it, for a secret that servers do not
// know. While no server can be asked the down policy decides.
func (r *Resolver) Resolve(ctx context.Context, secret logging.Secret) (acl.Caller, error) {
	if !r.Enabled {
		return acl.Caller{Authorizer: acl.AllowAll()}, nil
	}
	if r.Recovery != nil && secret != "" {
		if own := r.Recovery(); own != "" && own.Equal(secret) {
			return endpoint.RecoveryCaller(r.NodeName, cmp.Or(r.Partition, tenancy.DefaultName), r.DefaultPolicyAllow)
		}
	}
	if secret == "" {
		secret = acl.AnonymousSecret
	}
	r.init()
	key := secretKey(sha256.Sum256([]byte(secret)))
	old, need := r.look(key)
	switch {
	case need == nothing:
		return old.caller, nil
	case old == nil || r.down() == DownDeny || r.down() == DownAllow:
		return r.resolveNew(ctx, key, secret)
	}
	return r.resolveAgain(ctx, key, secret, old, need)
}

// need is what has to be done about a known caller.
type need uint8

const (
	nothing need = iota
	refresh      // they were verified long ago
	verify       // something may have changed since
)

// look returns what is known and what has to be done about it. A token whose
// life is over is not known: only a server, whose clock counts, can say otherwise.
func (r *Resolver) look(key secretKey) (*known, need) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[key]
	r.stats.Misses++
	switch {
	case k == nil || k.caller.Token.Expired(now):
		return nil, verify
	case k.stale || !r.live:
		return k, verify
	case now.Sub(k.verified) >= r.ttl() || now.Before(k.verified):
		return k, refresh
	}
	r.stats.Misses--
	r.stats.Hits++
	return k, nothing
}

// resolveAgain verifies a known caller as far as the down policy waits for it.
func (r *Resolver) resolveAgain(ctx context.Context, key secretKey, secret logging.Secret, old *known, n need) (acl.Caller, error) {
	if r.isQuiet() {
		return old.caller, nil
	}
	wait := ctx
	if r.down() == DownAsyncCache {
		limit := patience
		if n == refresh {
			limit = 0
		}
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	got := r.verified(wait, key, secret)
	switch {
	case got.unknown() && ctx.Err() != nil:
		return acl.Caller{}, ctx.Err()
	case got.unknown():
		return old.caller, nil
	}
	return got.caller, got.err
}

// resolveNew asks about somebody whom nothing is known about, or whom the down policy lets
// decide nothing. Before that refuses them, servers have some time to answer: a leader may
// be being elected.
func (r *Resolver) resolveNew(ctx context.Context, key secretKey, secret logging.Secret) (acl.Caller, error) {
	hold, cancel := context.WithTimeout(ctx, r.hold())
	defer cancel()
	pause := backOff{first: 50 * time.Millisecond, last: time.Second}
	for {
		got := r.verified(ctx, key, secret)
		switch {
		case !got.unknown():
			return got.caller, got.err
		case ctx.Err() != nil:
			return acl.Caller{}, ctx.Err()
		case r.down() == DownAllow:
			return acl.Caller{AccessorID: downAccessor, Authorizer: acl.AllowAll()}, nil
		case r.downFor() >= r.hold() || !pause.wait(hold):
			if ctx.Err() != nil {
				return acl.Caller{}, ctx.Err()
			}
			return acl.Caller{AccessorID: downAccessor, Authorizer: acl.DenyAll()}, nil
		}
	}
}

// isQuiet reports whether servers have failed to answer so lately that they
// need not be asked now.
func (r *Resolver) isQuiet() bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.failed.IsZero() && !now.Before(r.failed) && now.Sub(r.failed) < quiet
}

// downFor returns how long no server has answered.
func (r *Resolver) downFor() time.Duration {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return 0
	}
	return now.Sub(r.since)
}

func (r *Resolver) down() string {
	if r.DownPolicy == "" {
		return DownExtendCache
	}
	return r.DownPolicy
}

func (r *Resolver) hold() time.Duration {
	if r.Hold > 0 {
		return r.Hold
	}
	return defaultHold
}

func (r *Resolver) ttl() time.Duration {
	ttl := time.Duration(0)
	for _, d := range []time.Duration{r.TokenTTL, r.PolicyTTL, r.RoleTTL} {
		if d > 0 && (ttl == 0 || d < ttl) {
			ttl = d
		}
	}
	if ttl == 0 {
		return defaultTTL
	}
	return ttl
}

func (r *Resolver) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// callerOf compiles a server's answer.
func (r *Resolver) callerOf(secret logging.Secret, a *endpoint.ResolveAnswer) (acl.Caller, error) {
	own, err := grants(a.Grants)
	if err != nil {
		return acl.Caller{}, err
	}
	defaults, err := grants(a.DefaultGrants)
	if err != nil {
		return acl.Caller{}, err
	}
	token := &acl.Token{
		AccessorID: a.AccessorID, SecretID: secret, ExpirationTime: a.ExpirationTime, Description: a.Description,
		Scope: tenancy.Scope{Partition: a.Scope.Partition, Namespace: a.Scope.Namespace},
	}
	if a.CreateTime != nil {
		token.CreateTime = *a.CreateTime
	}
	return acl.Caller{
		AccessorID: a.AccessorID,
		Token:      token,
		Authorizer: acl.Compile(own, defaults, acl.Defaults{Allow: r.DefaultPolicyAllow}),
	}, nil
}

func grants(in []endpoint.ResolvedGrant) ([]acl.Grant, error) {
	out := make([]acl.Grant, len(in))
	for i, g := range in {
		rules, err := acl.ParseRules(g.Rules)
		if err != nil {
			return nil, err
		}
		out[i] = acl.Grant{Rules: rules, Scope: g.Scope}
	}
	return out, nil
}
