package endpoint

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// renewalGain is the part of a token's TTL that a renewal has to add to be
// worth a write: whoever asks again before that keeps what they have.
const renewalGain = 10

// leaseKey returns what the login's token is for; "" is nothing in particular.
func (req *LoginRequest) leaseKey(terms authmethod.Terms) string {
	if req.IdempotencyKey != "" || terms.LeaseMetaKey == "" {
		return req.IdempotencyKey
	}
	return req.Meta[terms.LeaseMetaKey]
}

// leaseAccessor returns the accessor of the token that one identity of a
// method has for one key. It follows from them, so that nothing has to be stored. A method that
// is made anew under its name has other ones.
func leaseAccessor(m *authmethod.Method, id authmethod.Identity, key string) string {
	data := binary.BigEndian.AppendUint64([]byte("lictor lease"), m.CreateIndex)
	for _, part := range []string{m.Partition, m.Namespace, strings.ToLower(m.Name), id.Account, id.UniqueID, key} {
		data = append(binary.AppendUvarint(data, uint64(len(part))), part...)
	}
	return uuid.Of(data)
}

// Renew gives the caller's own token, which a login made, another MaxTokenTTL of its
// auth method from now, up to the method's MaxTokenLifetime from its login. A
// renewal that would add little changes nothing. It needs no permission. It
// returns errs.Denied for a token that no login made and for one at the
// end of its lifetime, and acl.ErrNotFound for one that is gone.
func (e *Tokens) Renew(ctx context.Context, who acl.Caller) (*acl.Token, error) {
	if !e.Resolver.Enabled {
		return nil, acl.ErrDisabled
	}
	if who.Token == nil || who.Token.AuthMethod == "" {
		return nil, errs.New(errs.Denied, "Permission denied: token wasn't created via login")
	}
	return unchanged(func() (*acl.Token, error) { return e.renew(ctx, who.Token) })
}

func (e *Tokens) renew(ctx context.Context, own *acl.Token) (*acl.Token, error) {
	tx := e.Store.Read()
	t, err := tx.TokenBySecret(nil, own.SecretID)
	if err != nil {
		return nil, err
	}
	now := e.now().UTC()
	if t == nil || t.Expired(now) {
		return nil, acl.ErrNotFound
	}
	end, err := renewedEnd(tx, t, now)
	if err != nil {
		return nil, err
	}
	if end.Equal(*t.ExpirationTime) {
		return showToken(tx, t)
	}
	cmd := fsm.TokenRenew{Scope: t.Scope, AccessorID: t.AccessorID, IfIndex: t.ModifyIndex, ExpirationTime: end, Now: now}
	if _, err := e.Raft.Propose(ctx, cmd); err != nil {
		return nil, err
	}
	tx = e.Store.Read()
	if t, err = tx.TokenBySecret(nil, own.SecretID); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, acl.ErrNotFound
	}
	return showToken(tx, t)
}

// renewedEnd returns when the life of t ends if it is renewed now: the end it
// has, if a renewal is not worth it yet.
func renewedEnd(tx *state.Tx, t *acl.Token, now time.Time) (end time.Time, err error) {
	m, err := tx.AuthMethod(nil, methodScope(t), t.AuthMethod)
	if err != nil {
		return end, err
	}
	if m == nil {
		return end, acl.ErrNotFound
	}
	if t.ExpirationTime == nil || m.MaxTokenTTL == 0 {
		return end, errs.Errorf(errs.Invalid, "there is nothing to renew: tokens of auth method %q have no end", m.Name)
	}
	terms, err := m.Terms()
	if err != nil {
		return end, err
	}
	last := t.CreateTime.Add(terms.MaxTokenLifetime)
	end = now.Add(m.MaxTokenTTL)
	if end.After(last) {
		end = last
	}
	switch gain := end.Sub(*t.ExpirationTime); {
	case !last.After(*t.ExpirationTime):
		return end, errs.Errorf(errs.Denied, "Permission denied: the token cannot be renewed beyond %s from its login: log in again", terms.MaxTokenLifetime)
	case gain < m.MaxTokenTTL/renewalGain && !end.Equal(last):
		return *t.ExpirationTime, nil
	}
	return end, nil
}

// methodScope is where the auth method of a login's token lives.
func methodScope(t *acl.Token) tenancy.Scope {
	return tenancy.Scope{Partition: t.Partition, Namespace: t.AuthMethodNamespace}
}
