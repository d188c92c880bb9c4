package endpoint

import (
	"context"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// How many refused logins a server remembers of each kind, and for how long.
const (
	keptRefusals = 256
	refusalLife  = time.Hour
)

// RefusedLogin is the error of a login that was refused. It wraps the reason,
// whose text it has.
type RefusedLogin struct {
	ID     string // to look up how it came to it
	reason error
}

func (e *RefusedLogin) Error() string { return e.reason.Error() }

// Unwrap returns the reason.
func (e *RefusedLogin) Unwrap() error { return e.reason }

// Refusal is a login that was refused, step by step.
type Refusal struct {
	ID   string
	Time time.Time
	LoginSteps
}

// refusals remembers the last refused logins of one server. Those that proved
// who they are and those that did not have room of their own, so that nobody
// without an identity can push the others out. The zero value is empty.
type refusals struct {
	mu    sync.Mutex
	kept  [2][keptRefusals]*Refusal
	count [2]int
}

// add remembers a refusal and returns the error for the caller.
func (r *refusals) add(now time.Time, steps *LoginSteps, reason error) error {
	steps.refuse(reason)
	refusal := &Refusal{ID: uuid.New(), Time: now.UTC(), LoginSteps: *steps}
	kind := 0
	if steps.Identity != nil {
		kind = 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[kind][r.count[kind]%keptRefusals] = refusal
	r.count[kind]++
	return &RefusedLogin{ID: refusal.ID, reason: reason}
}

// find returns the refusal with id, or nil.
func (r *refusals) find(now time.Time, id string) *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range r.kept {
		for _, refusal := range kept {
			if refusal != nil && refusal.ID == id && now.Sub(refusal.Time) < refusalLife {
				return refusal
			}
		}
	}
	return nil
}

// Refused returns a login that this server has refused in the last hour. It needs
// acl:read where the auth method lives; without it nobody learns whether
// there was such a login. One that this server does not remember is errs.NotFound.
func (e *Logins) Refused(_ context.Context, who acl.Caller, s tenancy.Scope, id string) (*Refusal, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	refusal := e.refused.find(e.now(), id)
	if refusal != nil && who.Allowed(refusal.Scope, acl.ACLRead, "") {
		return refusal, nil
	}
	if err := e.allow(who, s, acl.ACLRead); err != nil {
		return nil, err
	}
	return nil, errs.New(errs.NotFound, "no refused login with this ID is remembered")
}
