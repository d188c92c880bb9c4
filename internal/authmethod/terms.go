package authmethod

import (
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// lifetimeFactor is how many times MaxTokenTTL a token may live where the
// method does not say.
const lifetimeFactor = 24

const maxLeaseMetaKey = 256 // bytes

// Terms are conditions of a method's logins that are the same for every type.
// They stand in the method's Config, beside what its type needs.
type Terms struct {
	// SingleUseTokens makes a bearer token good for one login, on any server
	// and with any method.
	SingleUseTokens bool
	// LeaseMetaKey is the key of the login's Meta whose value names what the
	// token is for, such as a task. Empty is none.
	LeaseMetaKey string
	// MaxTokenLifetime is how long a token may live however often it is
	// renewed. 0 only if the method's tokens have no end.
	MaxTokenLifetime time.Duration
}

// termsConfig is the form of Terms in a Config.
type termsConfig struct {
	SingleUseTokens  bool
	LeaseMetaKey     string
	MaxTokenLifetime string // a duration
}

var termKeys = []string{"SingleUseTokens", "LeaseMetaKey", "MaxTokenLifetime"}

// Terms returns the terms in m's Config. It returns errs.Invalid for terms that
// cannot be meant.
func (m *Method) Terms() (Terms, error) {
	own, _ := m.splitConfig()
	var c termsConfig
	if err := DecodeConfig(own, &c); err != nil {
		return Terms{}, err
	}
	t := Terms{SingleUseTokens: c.SingleUseTokens, LeaseMetaKey: c.LeaseMetaKey}
	if len(t.LeaseMetaKey) > maxLeaseMetaKey {
		return t, errs.Errorf(errs.Invalid, "LeaseMetaKey is longer than %d bytes", maxLeaseMetaKey)
	}
	if c.MaxTokenLifetime == "" {
		t.MaxTokenLifetime = lifetimeFactor * m.MaxTokenTTL
		return t, nil
	}
	var err error
	if t.MaxTokenLifetime, err = time.ParseDuration(c.MaxTokenLifetime); err != nil {
		return t, errs.Errorf(errs.Invalid, "MaxTokenLifetime is invalid: %w", err)
	}
	switch {
	case m.MaxTokenTTL == 0:
		return t, errs.New(errs.Invalid, "Must set MaxTokenTTL to use MaxTokenLifetime")
	case t.MaxTokenLifetime < m.MaxTokenTTL:
		return t, errs.Errorf(errs.Invalid, "MaxTokenLifetime %s cannot be less than MaxTokenTTL %s", t.MaxTokenLifetime, m.MaxTokenTTL)
	}
	return t, nil
}

// splitConfig returns the keys of m's Config that are terms, and those that its
// type has to know.
func (m *Method) splitConfig() (terms, rest map[string]any) {
	terms, rest = map[string]any{}, make(map[string]any, len(m.Config))
	for key, value := range m.Config {
		into := rest
		for _, term := range termKeys {
			if strings.EqualFold(key, term) {
				into = terms
			}
		}
		into[key] = value
	}
	return terms, rest
}

// open returns the verifier of m, which is of type typ.
func open(m *Method, typ Type) (Verifier, error) {
	if _, err := m.Terms(); err != nil {
		return nil, err
	}
	_, rest := m.splitConfig()
	return typ.Open(rest)
}
