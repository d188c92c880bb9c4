package state

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

func tokenAt(t *acl.Token) (tenancy.Scope, string) { return t.Scope, t.AccessorID }

var (
	tokenAccessors = store.Unique("accessor", func(t *acl.Token, add func(tenancy.Scope, string)) {
		add(store.Global, t.AccessorID)
	})
	tokenSecrets = store.Unique("secret", func(t *acl.Token, add func(tenancy.Scope, string)) {
		add(store.Global, t.SecretID.Reveal())
	})
	tokenExpiries = store.Unique("expiry", func(t *acl.Token, add func(tenancy.Scope, string)) {
		if t.ExpirationTime != nil {
			add(store.Global, expiryKey(*t.ExpirationTime)+t.AccessorID)
		}
	})
	tokensByPolicy = store.Many("policy", func(t *acl.Token, add func(tenancy.Scope, string)) {
		for _, l := range t.Policies {
			add(t.Scope, l.ID)
		}
	})
	tokensByRole = store.Many("role", func(t *acl.Token, add func(tenancy.Scope, string)) {
		for _, l := range t.Roles {
			add(t.Scope, l.ID)
		}
	})
	tokensByService = store.Many("service", func(t *acl.Token, add func(tenancy.Scope, string)) {
		for _, id := range t.ServiceIdentities {
			add(t.Scope, id.ServiceName)
		}
	})
	tokensByAuthMethod = store.Many("auth-method", func(t *acl.Token, add func(tenancy.Scope, string)) {
		if t.AuthMethod != "" {
			add(methodScope(t), fold(t.AuthMethod))
		}
	})

	tokens = &resource[acl.Token]{
		name: TableTokens,
		at:   tokenAt,
		rows: store.NewTable("tokens", tokenAt, tokenAccessors, tokenSecrets, tokenExpiries,
			tokensByPolicy, tokensByRole, tokensByService, tokensByAuthMethod),
		indexes: func(t *acl.Token) (*uint64, *uint64) { return &t.CreateIndex, &t.ModifyIndex },
	}
)

// methodScope is where the auth method of a login's token lives.
func methodScope(t *acl.Token) tenancy.Scope {
	s := t.Scope
	if t.AuthMethodNamespace != "" {
		s.Namespace = t.AuthMethodNamespace
	}
	return s
}

// expiryKey sorts as the time does, for every time after 1970.
func expiryKey(at time.Time) string {
	seconds := binary.BigEndian.AppendUint64(nil, uint64(max(0, at.Unix())))
	return string(binary.BigEndian.AppendUint32(seconds, uint32(at.Nanosecond())))
}

// Token returns the token with an accessor in s.
func (tx *Tx) Token(ws memdb.WatchSet, s tenancy.Scope, accessor string) (*acl.Token, error) {
	return tokens.rows.Get(tx.db, ws, s, accessor)
}

// TokenByAccessor returns the token with an accessor, in any scope.
func (tx *Tx) TokenByAccessor(ws memdb.WatchSet, accessor string) (*acl.Token, error) {
	return tokens.rows.One(tx.db, ws, tokenAccessors, store.Global, accessor)
}

// TokenBySecret returns the token with a secret, in any scope. It may have expired.
func (tx *Tx) TokenBySecret(ws memdb.WatchSet, secret logging.Secret) (*acl.Token, error) {
	return tokens.rows.One(tx.db, ws, tokenSecrets, store.Global, secret.Reveal())
}

// TokenFilter selects tokens by at most one of the first four fields; none
// selects all.
type TokenFilter struct {
	PolicyID    string
	RoleID      string
	ServiceName string // of a service identity
	AuthMethod  string // name, in any case

	AuthMethodNamespace string // where AuthMethod lives; empty is the namespace that is listed
}

// Tokens returns the tokens of s that f selects, expired ones included, sorted
// by SecretID. s may be the wildcard namespace.
func (tx *Tx) Tokens(ws memdb.WatchSet, s tenancy.Scope, f TokenFilter) ([]*acl.Token, error) {
	rows, err := tx.tokens(ws, s, f)
	if err != nil {
		return nil, err
	}
	return sortBy(rows, func(t *acl.Token) (string, tenancy.Scope) { return t.SecretID.Reveal(), t.Scope }), nil
}

func (tx *Tx) tokens(ws memdb.WatchSet, s tenancy.Scope, f TokenFilter) ([]*acl.Token, error) {
	ix, value := f.index()
	if ix == nil {
		return tokens.rows.List(tx.db, ws, s)
	}
	scopes, err := tx.indexScopes(ws, s, f)
	if err != nil {
		return nil, err
	}
	var rows []*acl.Token
	for _, at := range scopes {
		found, err := tokens.rows.By(tx.db, ws, ix, at, value)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if s.Namespace == tenancy.Wildcard || t.Scope == s {
				rows = append(rows, t)
			}
		}
	}
	return rows, nil
}

// index returns the index that serves f, and the value to look for; nil if f selects all.
func (f TokenFilter) index() (*store.Index[acl.Token], string) {
	switch {
	case f.PolicyID != "":
		return tokensByPolicy, f.PolicyID
	case f.RoleID != "":
		return tokensByRole, f.RoleID
	case f.ServiceName != "":
		return tokensByService, f.ServiceName
	case f.AuthMethod != "":
		return tokensByAuthMethod, fold(f.AuthMethod)
	}
	return nil, ""
}

// indexScopes returns the scopes, by namespace, in which an index keeps tokens of s.
func (tx *Tx) indexScopes(ws memdb.WatchSet, s tenancy.Scope, f TokenFilter) ([]tenancy.Scope, error) {
	if f.AuthMethod != "" && f.AuthMethodNamespace != "" {
		s.Namespace = f.AuthMethodNamespace
	}
	if s.Namespace != tenancy.Wildcard {
		return []tenancy.Scope{s}, nil
	}
	names, err := tx.Namespaces(ws, s.Partition)
	if err != nil {
		return nil, err
	}
	var scopes []tenancy.Scope
	for _, n := range names {
		scopes = append(scopes, n.Scope())
	}
	slices.SortFunc(scopes, func(a, b tenancy.Scope) int { return strings.Compare(a.Namespace, b.Namespace) })
	return scopes, nil
}

// TokensExpiring returns at most limit tokens whose life ends at or before a time,
// those that end first in front.
func (tx *Tx) TokensExpiring(before time.Time, limit int) ([]*acl.Token, error) {
	return tokens.rows.Through(tx.db, tokenExpiries, store.Global, expiryKey(before), limit)
}

// PutToken creates or replaces the token at its scope and accessor. Accessor
// and secret have to be free: it returns store.ErrTaken, with nothing changed, if they are not.
func (tx *Tx) PutToken(t acl.Token) error {
	if err := tx.compact(&t); err != nil {
		return err
	}
	return tokens.put(tx, t)
}

// DeleteToken removes a token, if it exists.
func (tx *Tx) DeleteToken(s tenancy.Scope, accessor string) error {
	return tokens.remove(tx, s, accessor)
}

// compact drops the names of t's links and lets t share the memory of what many
// tokens have in common: a server may hold millions.
func (tx *Tx) compact(t *acl.Token) error {
	n, err := tx.Namespace(nil, t.Partition, t.Namespace)
	if err != nil {
		return err
	}
	if n != nil {
		t.Scope = n.Scope()
	}
	if t.AuthMethod != "" {
		m, err := tx.AuthMethod(nil, methodScope(t), t.AuthMethod)
		if err != nil {
			return err
		}
		if m != nil && m.Name == t.AuthMethod {
			t.AuthMethod = m.Name
		}
		if m != nil && m.Namespace == t.AuthMethodNamespace {
			t.AuthMethodNamespace = m.Namespace
		}
	}
	t.Policies, err = storedLinks(t.Policies, func(id string) (string, error) {
		p, err := tx.LinkedPolicy(nil, t.Scope, id)
		if p == nil {
			return id, err
		}
		return p.ID, err
	})
	if err != nil {
		return err
	}
	t.Roles, err = storedLinks(t.Roles, func(id string) (string, error) {
		r, err := tx.Role(nil, t.Scope, id)
		if r == nil {
			return id, err
		}
		return r.ID, err
	})
	return err
}

// storedLinks returns links without their names, in memory of their own.
func storedLinks(links []acl.Link, shared func(id string) (string, error)) ([]acl.Link, error) {
	if len(links) == 0 {
		return nil, nil
	}
	out := make([]acl.Link, len(links))
	for i, l := range links {
		id, err := shared(l.ID)
		if err != nil {
			return nil, err
		}
		out[i].ID = id
	}
	return out, nil
}
