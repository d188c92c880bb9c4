package endpoint

import (
	"context"
	"encoding/json"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Bounds on what a login may carry, before anybody has proven anything.
const (
	maxBearer    = 64 << 10 // bytes
	maxMetaPairs = 64
	maxMetaBytes = 8 << 10 // of all keys and values
)

// loginTimeout bounds the write of a login's token, and of its removal.
const loginTimeout = 30 * time.Second

// Logins are the operations that make and end the tokens of auth methods
// (authmethods.md sections 6.3, 7 and 9). They need no permission: what a login
// proves is one, and everybody may end their own token.
type Logins struct {
	*Backend
	Verifiers *Verifiers
}

// LoginRequest is the body of a login. Scope is the auth method's.
type LoginRequest struct {
	tenancy.Scope
	AuthMethod  string
	BearerToken logging.Secret
	Meta        map[string]string // becomes part of the token's description
}

// Login verifies the bearer token with the auth method and returns a new token
// with everything that the method's binding rules give to who made it. It returns
// errs.Denied if the method does not exist or no rule gives anything, errs.Invalid
// for a name that cannot exist, and what the verifier returns. A login that fails
// leaves no token, also when ctx ends in the middle of it.
func (e *Logins) Login(ctx context.Context, req LoginRequest) (*acl.Token, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	m, err := authMethodOf(e.Store.Read(), req)
	if err != nil {
		return nil, err
	}
	verifier, err := e.Verifiers.Of(m)
	if err != nil {
		return nil, err
	}
	id, err := verifier.Verify(ctx, req.BearerToken)
	if err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	now, err := authMethodOf(tx, req)
	if err != nil {
		return nil, err
	}
	if now.ModifyIndex != m.ModifyIndex {
		return nil, errs.Errorf(errs.Unavailable, "auth method %q was changed during the login", m.Name)
	}
	t, err := e.token(tx, m, id)
	if err != nil {
		return nil, err
	}
	t.Description = describe(req.Meta)
	t.SetHash()
	return e.issue(ctx, m, t)
}

// check bounds what the request carries.
func (req *LoginRequest) check() error {
	if len(req.BearerToken) > maxBearer {
		return errs.Errorf(errs.Invalid, "BearerToken is longer than %d bytes", maxBearer)
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

// token makes the token of a login by id, without a description.
func (e *Logins) token(tx *state.Tx, m *authmethod.Method, id authmethod.Identity) (acl.Token, error) {
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
	if t.Namespace, err = authmethod.ChooseNamespace(m.NamespaceRules, id, m.Namespace); err != nil {
		return t, err
	}
	if err := tx.CheckScope(t.Scope); err != nil {
		return t, err
	}
	rows, err := tx.BindingRules(nil, m.Scope, m.Name)
	if err != nil {
		return t, err
	}
	rules := make([]authmethod.BindingRule, len(rows))
	for i, r := range rows {
		rules[i] = *r
	}
	bound, err := authmethod.Bind(rules, id)
	if err != nil {
		return t, err
	}
	if err := e.link(tx, &t, bound); err != nil {
		return t, err
	}
	return t, t.CheckIdentities()
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

// issue stores t and returns it. Once proposed, a command cannot be taken back, so
// the write does not end with ctx; if ctx has ended by then, or nobody can
// tell whether the token was stored, it is removed.
func (e *Logins) issue(ctx context.Context, m *authmethod.Method, t acl.Token) (*acl.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stored := t
	stored.Policies, stored.Roles = idsOnly(t.Policies), idsOnly(t.Roles)
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout)
	defer cancel()
	index, err := e.Raft.Propose(write, fsm.TokenLogin{Token: stored, Method: m.Scope, MethodIndex: m.CreateIndex})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.remove(ctx, t)
		return nil, err
	}
	t.CreateIndex, t.ModifyIndex = index, index
	return &t, nil
}

// remove makes sure that t does not exist, as far as this server can.
func (e *Logins) remove(ctx context.Context, t acl.Token) {
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout)
	defer cancel()
	_, _ = e.Raft.Propose(write, fsm.TokenDelete{Scope: t.Scope, AccessorID: t.AccessorID})
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
