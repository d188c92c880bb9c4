package fsm

import (
	"fmt"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// ErrProofUsed is what a login with a bearer token that was used before gets, where its
// method demands that each is used once.
var ErrProofUsed = errs.New(errs.Denied, "Permission denied: bearer token was used before")

// Login creates the token of a login and remembers its proof, unless the auth
// method is gone: no login outlives its method.
type Login struct {
	Token       acl.Token
	Method      tenancy.Scope // where Token.AuthMethod lives
	MethodIndex uint64        // CreateIndex of the method that verified the login
	// Lease says that Token takes the place of an earlier login's token with
	// its accessor, whose secret no longer works then.
	Lease bool

	Proof     string // as authmethod.Identity has it; "" is none
	ProofEnds time.Time
	SingleUse bool // refuse a Proof that any login has used
}

// Apply implements Command. It returns ErrProofUsed, errs.Invalid with the texts of acl.md
// section 4.2, and an error that wraps acl.ErrNotFound if the method is gone.
func (c Login) Apply(tx *state.Tx) error {
	m, err := tx.AuthMethod(nil, c.Method, c.Token.AuthMethod)
	if err != nil {
		return err
	}
	if m == nil || m.CreateIndex != c.MethodIndex {
		return fmt.Errorf("%w: auth method %q not found", acl.ErrNotFound, c.Token.AuthMethod)
	}
	used, err := tx.LoginProof(nil, c.Proof)
	if err != nil {
		return err
	}
	if used != nil && c.SingleUse {
		return ErrProofUsed
	}
	old, err := c.replaced(tx)
	if err != nil {
		return err
	}
	if err := c.put(tx, old); err != nil {
		return err
	}
	if c.Proof == "" || used != nil {
		return nil
	}
	return tx.PutLoginProof(authmethod.UsedProof{Proof: c.Proof, Ends: c.ProofEnds, AccessorID: c.Token.AccessorID})
}

// replaced returns the token that a lease has already, in whatever namespace the
// earlier login put it, or nil.
func (c Login) replaced(tx *state.Tx) (*acl.Token, error) {
	old, err := tx.TokenByAccessor(nil, c.Token.AccessorID)
	if err != nil || old == nil {
		return nil, err
	}
	if !c.Lease || !strings.EqualFold(old.AuthMethod, c.Token.AuthMethod) || old.AuthMethodNamespace != c.Token.AuthMethodNamespace ||
		old.Partition != c.Token.Partition {
		return nil, errAccessorInUse
	}
	return old, nil
}

// put stores the token in place of old, which may be nil.
func (c Login) put(tx *state.Tx, old *acl.Token) error {
	if old == nil {
		return putToken(tx, c.Token, nil)
	}
	used, err := taken(tx, c.Token.SecretID.Reveal())
	if err != nil {
		return err
	}
	if used {
		return errSecretInUse
	}
	if err := tx.CheckScope(c.Token.Scope); err != nil {
		return err
	}
	if err := checkLinks(tx, &c.Token); err != nil {
		return err
	}
	if old.Scope != c.Token.Scope {
		if err := tx.DeleteToken(old.Scope, old.AccessorID); err != nil {
			return err
		}
	}
	return tx.PutToken(c.Token)
}

// LoginUndo removes the token of a login that nobody was given: the one with
// SecretID, not one that has taken its place since.
type LoginUndo struct{ SecretID logging.Secret }

// Apply implements Command.
func (c LoginUndo) Apply(tx *state.Tx) error {
	t, err := tx.TokenBySecret(nil, c.SecretID)
	if err != nil || t == nil {
		return err
	}
	return tx.DeleteToken(t.Scope, t.AccessorID)
}

// LoginProofsReap forgets those of Proofs that were worthless at Now.
type LoginProofsReap struct {
	Proofs []string
	Now    time.Time
}

// Apply implements Command.
func (c LoginProofsReap) Apply(tx *state.Tx) error {
	for _, proof := range c.Proofs {
		used, err := tx.LoginProof(nil, proof)
		if err != nil {
			return err
		}
		if used == nil || used.Ends.After(c.Now) {
			continue
		}
		if err := tx.DeleteLoginProof(proof); err != nil {
			return err
		}
	}
	return nil
}

// TokenRenew moves the end of a token's life, if it still lives at Now and has
// not changed since IfIndex.
type TokenRenew struct {
	Scope          tenancy.Scope
	AccessorID     string
	IfIndex        uint64
	ExpirationTime time.Time
	Now            time.Time
}

// Apply implements Command. It returns ErrChanged, or acl.ErrNotFound if the token's
// life is over.
func (c TokenRenew) Apply(tx *state.Tx) error {
	t, err := tx.Token(nil, c.Scope, c.AccessorID)
	if err != nil {
		return err
	}
	switch {
	case t == nil || t.Expired(c.Now):
		return acl.ErrNotFound
	case t.ModifyIndex != c.IfIndex:
		return ErrChanged
	}
	renewed := *t
	renewed.ExpirationTime = &c.ExpirationTime
	return tx.PutToken(renewed)
}
