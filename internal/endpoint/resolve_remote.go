package endpoint

import (
	"time"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// ResolveRequest is the body of POST /internal/acl/resolve: a client agent asks
// who presents a secret to one of its own endpoints. "" is the anonymous token.
type ResolveRequest struct {
	Secret logging.Secret
}

// ResolveAnswer says who a secret belongs to and everything that they may do.
// The answer to a secret that no token has is status 403 with the text of
// acl.ErrNotFound; any other status means that the server does not know.
type ResolveAnswer struct {
	AccessorID     string
	Description    string     `json:",omitempty"`
	CreateTime     *time.Time `json:",omitempty"`
	Scope          tenancy.Scope
	ExpirationTime *time.Time `json:",omitempty"`

	Grants        []ResolvedGrant // of the token's policies, roles and identities
	DefaultGrants []ResolvedGrant // of its namespace: they count where Grants say nothing

	// Index is that of the last change of tokens and rights in the state that
	// the answer was read from. No change at or below it is missing in the answer.
	Index uint64
}

// ResolvedGrant is the rules of one policy, or what an identity amounts to, as
// text, and the scope that they live in.
type ResolvedGrant struct {
	PolicyID string
	Rules    string
	Scope    tenancy.Scope
}

// The kinds of Change.
const (
	ChangeToken = "token" // the token with Accessor changed, or with Gone has ended
	ChangeAll   = "all"   // rights of any token may have changed: a policy, a role, a namespace, or a restored snapshot
	ChangeAlive = "alive" // nothing changed; this server is up to date
)

// Change is a line of GET /internal/acl/changes, a stream of JSON values
// separated by newlines that does not end by itself. The first line is a
// ChangeAll: what was known before it has to be verified again. A new token is
// no change, because nobody remembers that it was not there.
type Change struct {
	Kind     string
	Accessor string `json:",omitempty"`
	Gone     bool   `json:",omitempty"` // deleted, logged out or expired
	Index    uint64 // of the state that the change is in
}

const (
	// ChangeBeat is the time after which a server sends ChangeAlive if it
	// has sent nothing else. A server that has not heard from the leader for as long
	// sends nothing: it would not know of a revocation.
	ChangeBeat = 250 * time.Millisecond

	// ChangeSilence is the time without a line after which a stream is lost.
	ChangeSilence = 3 * ChangeBeat
)
