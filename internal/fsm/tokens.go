package fsm

import (
	"fmt"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ErrChanged is what a command with IfIndex returns if the row is not at that index any more.
var ErrChanged = errs.New(errs.Conflict, "it has changed since it was read")

var (
	errAccessorInUse = errs.New(errs.Invalid, "Invalid Token: AccessorID is already in use")
	errSecretInUse   = errs.New(errs.Invalid, "Invalid Token: SecretID is already in use")
	errSecretChanged = errs.New(errs.Invalid, "Changing a token's SecretID is not permitted")
)

// TokenSet creates or replaces a token. With IfIndex > 0 it does so only if the
// stored token still has that ModifyIndex, and with Create only if there is none.
type TokenSet struct {
	Token   acl.Token
	IfIndex uint64
	Create  bool
}

// Apply implements Command. It returns errs.Invalid with the texts of acl.md section 4.2.
func (c TokenSet) Apply(tx *state.Tx) error {
	old, err := tx.Token(nil, c.Token.Scope, c.Token.AccessorID)
	if err != nil {
		return err
	}
	if c.IfIndex > 0 && (old == nil || old.ModifyIndex != c.IfIndex) {
		return ErrChanged
	}
	if c.Create && old != nil {
		return errAccessorInUse
	}
	if old != nil && !old.SecretID.Equal(c.Token.SecretID) {
		return errSecretChanged
	}
	return putToken(tx, c.Token, old)
}

// TokenDelete removes a token, if it exists.
type TokenDelete struct {
	Scope      tenancy.Scope
	AccessorID string
}

// Apply implements Command.
func (c TokenDelete) Apply(tx *state.Tx) error { return tx.DeleteToken(c.Scope, c.AccessorID) }

// TokenLogin creates the token of a login, unless its auth method is gone: no
// login outlives its method. MethodIndex is the CreateIndex of the method that verified
// the login, so that a new method of the same name does not count; 0 is any.
type TokenLogin struct {
	Token       acl.Token
	Method      tenancy.Scope // where Token.AuthMethod lives
	MethodIndex uint64
}

// Apply implements Command.
func (c TokenLogin) Apply(tx *state.Tx) error {
	m, err := tx.AuthMethod(nil, c.Method, c.Token.AuthMethod)
	if err != nil {
		return err
	}
	if m == nil || (c.MethodIndex > 0 && m.CreateIndex != c.MethodIndex) {
		return fmt.Errorf("%w: auth method %q not found", acl.ErrNotFound, c.Token.AuthMethod)
	}
	old, err := tx.Token(nil, c.Token.Scope, c.Token.AccessorID)
	if err != nil {
		return err
	}
	if old != nil {
		return errAccessorInUse
	}
	return putToken(tx, c.Token, nil)
}

// TokenRef names a token.
type TokenRef struct {
	Scope      tenancy.Scope
	AccessorID string
}

// TokensReap removes those of Tokens whose life was over at Now.
type TokensReap struct {
	Tokens []TokenRef
	Now    time.Time
}

// Apply implements Command.
func (c TokensReap) Apply(tx *state.Tx) error {
	for _, ref := range c.Tokens {
		t, err := tx.Token(nil, ref.Scope, ref.AccessorID)
		if err != nil {
			return err
		}
		if t == nil || !t.Expired(c.Now) {
			continue
		}
		if err := tx.DeleteToken(ref.Scope, ref.AccessorID); err != nil {
			return err
		}
	}
	return nil
}

// putToken checks and stores t, which replaces old unless that is nil.
func putToken(tx *state.Tx, t acl.Token, old *acl.Token) error {
	if err := tx.CheckScope(t.Scope); err != nil {
		return err
	}
	if old == nil {
		if err := checkFree(tx, &t); err != nil {
			return err
		}
	}
	if err := checkLinks(tx, &t); err != nil {
		return err
	}
	return tx.PutToken(t)
}

// checkFree refuses an accessor or a secret that is any other token's accessor or secret.
func checkFree(tx *state.Tx, t *acl.Token) error {
	for _, id := range []struct {
		value string
		inUse error
	}{{t.AccessorID, errAccessorInUse}, {t.SecretID.Reveal(), errSecretInUse}} {
		used, err := taken(tx, id.value)
		if err != nil {
			return err
		}
		if used {
			return id.inUse
		}
	}
	return nil
}

// taken reports whether id is any token's accessor or secret.
func taken(tx *state.Tx, id string) (bool, error) {
	a, err := tx.TokenByAccessor(nil, id)
	if err != nil || a != nil {
		return a != nil, err
	}
	s, err := tx.TokenBySecret(nil, logging.Secret(id))
	return s != nil, err
}

// checkLinks refuses links to policies and roles that do not exist.
func checkLinks(tx *state.Tx, t *acl.Token) error {
	for _, l := range t.Policies {
		p, err := tx.LinkedPolicy(nil, t.Scope, l.ID)
		if err != nil {
			return err
		}
		if p == nil {
			return errs.Errorf(errs.Invalid, "No such ACL policy with ID %q", l.ID)
		}
	}
	for _, l := range t.Roles {
		r, err := tx.Role(nil, t.Scope, l.ID)
		if err != nil {
			return err
		}
		if r == nil {
			return errs.Errorf(errs.Invalid, "No such ACL role with ID %q", l.ID)
		}
	}
	return nil
}
