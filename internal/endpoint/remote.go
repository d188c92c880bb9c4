package endpoint

import (
	"context"
	"fmt"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Describe answers a client agent that asks who presents a secret. Errors are
// those of Resolve. The anonymous token, while there is none, has no grants.
//
// It always catches up first: the agent was told of a change by another server, perhaps,
// and remembers the answer until it is told of the next.
func (r *Resolver) Describe(ctx context.Context, req ResolveRequest) (*ResolveAnswer, error) {
	if !r.Enabled {
		return nil, acl.ErrDisabled
	}
	secret := req.Secret
	if secret == "" {
		secret = acl.AnonymousSecret
	}
	if r.CatchUp != nil {
		if err := r.CatchUp(ctx); err != nil {
			return nil, err
		}
	}
	answer, err := r.describe(secret)
	if err != nil || answer != nil {
		return answer, err
	}
	applied := r.applied()
	who, err := r.unknown(r.Store.Read(), secret)
	if err != nil {
		return nil, err
	}
	return &ResolveAnswer{AccessorID: who.AccessorID, Scope: tenancy.Default, Index: applied}, nil
}

// describe answers from Store as it is; nil if there is no such token.
func (r *Resolver) describe(secret logging.Secret) (*ResolveAnswer, error) {
	applied := r.applied() // at least this is in what is read next
	tx := r.Store.Read()
	t, err := r.token(tx, nil, secret)
	if err != nil || t == nil || t.Expired(r.now()) {
		return nil, err
	}
	if gone, err := inDeleted(tx, t); err != nil || gone {
		return nil, err
	}
	all, err := r.gather(tx, t, true)
	if err != nil {
		return nil, err
	}
	answer := &ResolveAnswer{
		AccessorID: t.AccessorID, Description: t.Description, CreateTime: &t.CreateTime, Scope: t.Scope, ExpirationTime: t.ExpirationTime,
		Index: max(applied, tx.LastWrite()),
	}
	if answer.Grants, err = resolvedGrants(all.own); err != nil {
		return nil, err
	}
	answer.DefaultGrants, err = resolvedGrants(all.defaults)
	return answer, err
}

func (r *Resolver) applied() uint64 {
	if r.Applied == nil {
		return 0
	}
	return r.Applied()
}

func resolvedGrants(sources []source) ([]ResolvedGrant, error) {
	grants := make([]ResolvedGrant, 0, len(sources))
	for _, s := range sources {
		p, err := s.policy()
		if err != nil {
			return nil, fmt.Errorf("%s: %v", s.name, err)
		}
		grants = append(grants, ResolvedGrant{PolicyID: p.ID, Rules: p.Rules, Scope: s.scope})
	}
	return grants, nil
}
