package fsm

import (
	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
)

// ACLBootstrap creates the first management token, once. ResetIndex allows it
// again if it is the index of the last time (acl.md section 8); 0 is no reset.
type ACLBootstrap struct {
	Token      acl.Token
	ResetIndex uint64
}

// Apply implements Command.
func (c ACLBootstrap) Apply(tx *state.Tx) error {
	index, done := tx.Bootstrap()
	switch {
	case !done || c.ResetIndex == index:
	case c.ResetIndex == 0:
		return errs.Errorf(errs.Denied, "Permission denied: ACL bootstrap no longer allowed (reset index: %d)", index)
	default:
		return errs.Errorf(errs.Invalid, "Invalid bootstrap reset index (specified %d, reset index: %d)", c.ResetIndex, index)
	}
	if err := (TokenSet{Token: c.Token, Create: true}).Apply(tx); err != nil {
		return err
	}
	return tx.SetBootstrapped()
}

// ACLInit makes what has to exist before ACLs are of use, as far as it is
// missing: built-in policies, whose rules it also renews, and tokens, by their secret.
// With Bootstrapped it also ends the bootstrap, as a configured management token does.
type ACLInit struct {
	Policies     []acl.Policy
	Tokens       []acl.Token
	Bootstrapped bool
}

// Apply implements Command. Applying it again changes nothing.
func (c ACLInit) Apply(tx *state.Tx) error {
	for _, p := range c.Policies {
		if err := initPolicy(tx, p); err != nil {
			return err
		}
	}
	for _, t := range c.Tokens {
		old, err := tx.TokenBySecret(nil, t.SecretID)
		if err != nil {
			return err
		}
		if old != nil {
			continue
		}
		if err := (TokenSet{Token: t, Create: true}).Apply(tx); err != nil {
			return err
		}
	}
	if _, done := tx.Bootstrap(); c.Bootstrapped && !done {
		return tx.SetBootstrapped()
	}
	return nil
}

// initPolicy makes a built-in policy, or renews its rules. A name and a description that an
// operator gave it stay.
func initPolicy(tx *state.Tx, p acl.Policy) error {
	old, err := tx.Policy(nil, p.Scope, p.ID)
	if err != nil {
		return err
	}
	if old != nil {
		if old.Rules == p.Rules {
			return nil
		}
		rules, hash := p.Rules, p.Hash
		p = *old
		p.Rules, p.Hash = rules, hash
	}
	return PolicySet{Policy: p}.Apply(tx)
}
