package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/telemetry"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Bounds on what a login may carry, before anybody has proven anything.
const (
	maxBearer    = 64 << 10 // bytes
	maxMetaPairs = 64
	maxMetaBytes = 8 << 10 // of all keys and values
	maxLeaseKey  = 1024    // bytes
)

// loginTimeout bounds the write of a login's token, and of its removal.
const loginTimeout = 30 * time.Second

// Logins are the operations that make and end the tokens of auth methods
// (authmethods.md sections 6.3, 7 and 9). They need no permission: what a login
// proves is one, and everybody may end their own token.
type Logins struct {
	*Backend
	Verifiers *Verifiers
	Metrics   *telemetry.Metrics // may be nil

	// How many logins come from a source and to an auth method; nil is no limit.
	SourceRate, MethodRate *limit.Rate

	refused refusals
}

// LoginRequest is the body of a login. Scope is the auth method's.
type LoginRequest struct {
	tenancy.Scope
	AuthMethod  string
	BearerToken logging.Secret
	Meta        map[string]string // becomes part of the token's description
	// IdempotencyKey names what the token is for, such as a task: a later login of the
	// same identity with the same key gets the same accessor with a new secret.
	IdempotencyKey string
	// Proven is told who the bearer token proves to log in, also where that is refused; may be nil.
	Proven func(principal string) `json:"-"`
	Source string                 `json:"-"` // where it comes from (see limit.SourceOf)
}

// Login verifies the bearer token with the auth method and returns a new token
// with everything that the method's binding rules give to who made it. It returns
// errs.Denied if the method does not exist or no rule gives anything, errs.Invalid
// for a name that cannot exist, and what the verifier returns, each as a RefusedLogin. A login
// that fails leaves no token, also when ctx ends in the middle of it.
func (e *Logins) Login(ctx context.Context, req LoginRequest) (*acl.Token, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	if err := e.SourceRate.Allow(req.Source, "too many logins from this address: try again later"); err != nil {
		return nil, err
	}
	begun := time.Now()
	p, err := e.plan(limit.WithSource(ctx, req.Source), req, nil)
	var t *acl.Token
	if err == nil {
		t, err = e.issue(ctx, p)
	}
	e.measure(p, begun, err)
	if early := (*limit.Refused)(nil); err == nil || errors.As(err, &early) {
		return t, err
	}
	return nil, e.refused.add(e.now(), &p.steps, err)
}

// measure notes what became of a login. Names that callers make up are not told apart.
func (e *Logins) measure(p *loginPlan, begun time.Time, err error) {
	method, outcome := "unknown", "ok"
	if p.method != nil {
		method = p.method.Name
	}
	if err != nil {
		outcome = errs.KindOf(err).String()
	}
	e.Metrics.Since("acl.authmethod.login", begun,
		telemetry.Label{Name: "method", Value: method}, telemetry.Label{Name: "outcome", Value: outcome})
}

// loginPlan is what becomes of a login before anything is stored.
type loginPlan struct {
	method *authmethod.Method
	terms  authmethod.Terms
	id     authmethod.Identity
	token  acl.Token
	lease  bool // token takes the place of one for the same task
	steps  LoginSteps
}

// plan makes the token of a login, whose identity byHand gives, or if that is nil, the
// bearer token proves. The plan is never nil and holds the steps up to an error.
func (e *Logins) plan(ctx context.Context, req LoginRequest, byHand func(authmethod.Verifier) (authmethod.Identity, error)) (*loginPlan, error) {
	p := &loginPlan{steps: LoginSteps{AuthMethod: req.AuthMethod, Scope: req.Scope}}
	if err := req.check(); err != nil {
		return p, err
	}
	m, err := authMethodOf(e.Store.Read(), req)
	if err != nil {
		p.steps.Change = "there has to be an auth method of this name in this namespace"
		return p, err
	}
	p.method, p.steps.AuthMethod, p.steps.Type = m, m.Name, m.Type
	if byHand == nil {
		if err := e.MethodRate.Allow(m.Partition+"/"+m.Namespace+"/"+m.Name, "too many logins with this auth method: try again later"); err != nil {
			return p, err
		}
	}
	verifier, err := e.Verifiers.Of(m)
	if err != nil {
		return p, err
	}
	if p.terms, err = m.Terms(); err != nil {
		return p, err
	}
	if byHand != nil {
		p.id, err = byHand(verifier)
	} else {
		p.id, err = verifier.Verify(ctx, req.BearerToken)
	}
	if err != nil {
		return p, err
	}
	if req.Proven != nil {
		req.Proven(p.id.Principal)
	}
	tx := e.Store.Read()
	if err := p.steps.prove(tx, p.id); err != nil {
		return p, err
	}
	now, err := authMethodOf(tx, req)
	if err != nil {
		return p, err
	}
	if now.ModifyIndex != m.ModifyIndex {
		return p, errs.Errorf(errs.Unavailable, "auth method %q was changed during the login", m.Name)
	}
	if err := e.bind(tx, p); err != nil {
		return p, err
	}
	p.token.Description = describe(req.Meta)
	p.token.SetHash()
	if byHand == nil {
		err = p.checkTerms(req)
	}
	return p, err
}

// checkTerms applies the terms that need a proven identity: single use, and the lease.
func (p *loginPlan) checkTerms(req LoginRequest) error {
	if p.terms.SingleUseTokens && p.id.Proof == "" {
		return errs.Errorf(errs.Denied, "Permission denied: auth method %q demands bearer tokens that are used once, and its type cannot tell them apart", p.method.Name)
	}
	key := req.leaseKey(p.terms)
	if key == "" {
		return nil
	}
	if p.id.UniqueID == "" {
		return errs.Errorf(errs.Invalid, "auth method %q cannot lease tokens: its identities have no unique ID", p.method.Name)
	}
	p.lease, p.token.AccessorID = true, leaseAccessor(p.method, p.id, key)
	return nil
}

// check bounds what the request carries.
func (req *LoginRequest) check() error {
	if len(req.BearerToken) > maxBearer {
		return errs.Errorf(errs.Invalid, "BearerToken is longer than %d bytes", maxBearer)
	}
	if len(req.IdempotencyKey) > maxLeaseKey {
		return errs.Errorf(errs.Invalid, "IdempotencyKey is longer than %d bytes", maxLeaseKey)
	}
	if len(req.Meta) > maxMetaPairs {
		return errs.Errorf(errs.Invalid, "Meta has more than %d pairs", maxMetaPairs)
	}
	size := 0
	for k, v := range req.Meta {
		size += len(k) + len(v)
	}
	if size > maxMetaBytes {
		return errs.Errorf(errs.Invalid, "Meta is longer than %d bytes", maxMetaBytes)
	}
	return nil
}

func authMethodOf(tx *state.Tx, req LoginRequest) (*authmethod.Method, error) {
	m, err := tx.AuthMethod(nil, req.Scope, req.AuthMethod)
	if err == nil && m == nil {
		err = errs.Errorf(errs.Denied, "%w: auth method %q not found", acl.ErrNotFound, req.AuthMethod)
	}
	return m, err
}

// bind makes the token of the plan's identity, without a description.
func (e *Logins) bind(tx *state.Tx, p *loginPlan) error {
	m := p.method
	t := acl.Token{
		AccessorID:          uuid.New(),
		SecretID:            logging.Secret(uuid.New()),
		Local:               m.Local(),
		AuthMethod:          m.Name,
		AuthMethodNamespace: m.Namespace,
		CreateTime:          e.now().UTC(),
		Scope:               m.Scope,
	}
	if m.MaxTokenTTL > 0 {
		end := t.CreateTime.Add(m.MaxTokenTTL)
		t.ExpirationTime = &end
	}
	var err error
	if t.Namespace, err = p.steps.chooseNamespace(m, p.id); err != nil {
		return err
	}
	if err := tx.CheckScope(t.Scope); err != nil {
		p.steps.Change = fmt.Sprintf("namespace %q has to be made", t.Namespace)
		return err
	}
	rules, err := tx.BindingRules(nil, m.Scope, m.Name)
	if err != nil {
		return err
	}
	bound, err := p.steps.bind(tx, rules, p.id, t.Scope)
	if err != nil {
		return err
	}
	if err := e.link(tx, &t, bound); err != nil {
		p.steps.empty(t.Scope)
		return err
	}
	p.token = t
	return p.token.CheckIdentities()
}

// link gives t what its login is bound to. Roles and policies are those of the
// token's namespace; what does not exist there is skipped. It returns
// errs.Denied if nothing is left.
func (e *Logins) link(tx *state.Tx, t *acl.Token, bound authmethod.Bindings) error {
	for _, name := range bound.Roles {
		r, err := tx.RoleByName(nil, t.Scope, name)
		if err != nil {
			return err
		}
		if r != nil {
			t.Roles = addLink(t.Roles, r.ID, r.Name)
		}
	}
	for _, name := range bound.Policies {
		p, err := tx.PolicyByName(nil, t.Scope, name)
		if err != nil {
			return err
		}
		if p != nil {
			t.Policies = addLink(t.Policies, p.ID, p.Name)
		}
	}
	for _, name := range bound.Services {
		t.ServiceIdentities = append(t.ServiceIdentities, acl.ServiceIdentity{ServiceName: name})
	}
	for _, name := range bound.Nodes {
		t.NodeIdentities = append(t.NodeIdentities, acl.NodeIdentity{NodeName: name, Datacenter: e.Resolver.Datacenter})
	}
	for _, b := range bound.TemplatedPolicies {
		t.TemplatedPolicies = append(t.TemplatedPolicies, templatedPolicy(b))
	}
	if len(t.Roles)+len(t.Policies)+len(t.ServiceIdentities)+len(t.NodeIdentities)+len(t.TemplatedPolicies) == 0 {
		return errs.New(errs.Denied, "Permission denied")
	}
	return nil
}

// describe is the description of a login's token.
func describe(meta map[string]string) string {
	const text = "token created via login"
	if len(meta) == 0 {
		return text
	}
	pairs, _ := json.Marshal(meta) // sorts the keys; strings cannot fail
	return text + ": " + string(pairs)
}

// issue stores the plan's token and returns it. Once proposed, a command cannot be
// taken back, so the write does not end with ctx; if ctx has ended by then, or nobody
// can tell whether the token was stored, it is removed.
func (e *Logins) issue(ctx context.Context, p *loginPlan) (*acl.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stored := p.token
	stored.Policies, stored.Roles = idsOnly(p.token.Policies), idsOnly(p.token.Roles)
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout)
	defer cancel()
	index, err := e.Raft.Propose(write, fsm.Login{
		Token: stored, Method: p.method.Scope, MethodIndex: p.method.CreateIndex, Lease: p.lease,
		Proof: p.id.Proof, ProofEnds: p.id.ProofEnds, SingleUse: p.terms.SingleUseTokens,
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.remove(ctx, p.token)
		return nil, err
	}
	p.token.CreateIndex, p.token.ModifyIndex = index, index
	return &p.token, nil
}

// remove makes sure that t does not exist, as far as this server can.
func (e *Logins) remove(ctx context.Context, t acl.Token) {
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout)
	defer cancel()
	_, _ = e.Raft.Propose(write, fsm.LoginUndo{SecretID: t.SecretID})
}

// Logout ends the token of who, whose secret is given. It returns
// errs.Unauthorized without a secret and errs.Denied for a token that no login made.
func (e *Logins) Logout(ctx context.Context, who acl.Caller, secret logging.Secret) error {
	if !e.Resolver.Enabled {
		return acl.ErrDisabled
	}
	if secret == "" {
		return errs.New(errs.Unauthorized, "Supplied token does not exist")
	}
	t := who.Token
	if t == nil || t.AuthMethod == "" {
		return errs.New(errs.Denied, "Permission denied: token wasn't created via login")
	}
	_, err := e.Raft.Propose(ctx, fsm.TokenDelete{Scope: t.Scope, AccessorID: t.AccessorID})
	return err
}
