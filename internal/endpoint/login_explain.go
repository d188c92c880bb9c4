package endpoint

import (
	"context"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
)

// LoginExplain is the body of a dry run: a login, or one whose identity is given
// by hand in place of a bearer token, as attributes by name (entity_name,
// entity_tags.team).
type LoginExplain struct {
	LoginRequest
	Identity map[string]string
}

// Explain says step by step what would become of a login, and makes nothing. A
// bearer token is verified as a login does it; it is not used up. It needs acl:write
// where the auth method lives. What is wrong with the login itself is part of the
// answer, as its Reason; what is wrong with the question is errs.Invalid.
func (e *Logins) Explain(ctx context.Context, who acl.Caller, req LoginExplain) (*LoginSteps, error) {
	if err := e.allow(who, req.Scope, acl.ACLWrite); err != nil {
		return nil, err
	}
	if (req.BearerToken == "") == (req.Identity == nil) {
		return nil, errs.New(errs.Invalid, "either BearerToken or Identity is needed")
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	var byHand func(authmethod.Verifier) (authmethod.Identity, error)
	if req.Identity != nil {
		byHand = func(v authmethod.Verifier) (authmethod.Identity, error) {
			return authmethod.IdentityOf(v.Example(), req.Identity)
		}
	}
	p, err := e.plan(ctx, req.LoginRequest, byHand)
	if err == nil && p.terms.SingleUseTokens && p.steps.Identity.ProofUsedBy != "" {
		err = fsm.ErrProofUsed
	}
	switch {
	case err == nil:
		p.steps.allow(p.token)
	case errs.KindOf(err) == errs.Internal || ctx.Err() != nil:
		return nil, err
	default:
		p.steps.refuse(err)
	}
	return &p.steps, nil
}
