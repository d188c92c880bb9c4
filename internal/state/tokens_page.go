package state

import (
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/tenancy"
)

// TokensAfter returns at most limit of the tokens of s that f selects and keep
// wants, from behind a place in their list: "" is its beginning. next is the place
// to go on from, "" if no other token would follow. Within a namespace they are ordered by
// accessor; a place stays what it is while tokens come and go, and names nothing but a
// token that was returned.
func (tx *Tx) TokensAfter(ws memdb.WatchSet, s tenancy.Scope, f TokenFilter, after string, limit int, keep func(*acl.Token) bool) (rows []*acl.Token, next string, err error) {
	all, err := tx.tokensFrom(ws, s, f, after)
	if err != nil {
		return nil, "", err
	}
	last := ""
	for place, t := range all {
		if !keep(t) {
			continue
		}
		if len(rows) == limit {
			return rows, last, nil
		}
		rows, last = append(rows, t), place
	}
	return rows, "", nil
}

// tokensFrom yields tokens with their places.
func (tx *Tx) tokensFrom(ws memdb.WatchSet, s tenancy.Scope, f TokenFilter, after string) (iter.Seq2[string, *acl.Token], error) {
	ix, value := f.index()
	if ix == nil {
		return tokens.rows.ListFrom(tx.db, ws, s, after)
	}
	scopes, err := tx.indexScopes(ws, s, f)
	if err != nil {
		return nil, err
	}
	namespace, order, _ := strings.Cut(after, "/")
	var parts []iter.Seq2[string, *acl.Token]
	for _, at := range scopes {
		from := ""
		switch {
		case at.Namespace < namespace:
			continue
		case at.Namespace == namespace:
			from = order
		}
		part, err := tokens.rows.ByFrom(tx.db, ws, ix, at, value, from)
		if err != nil {
			return nil, err
		}
		parts = append(parts, func(yield func(string, *acl.Token) bool) {
			for order, t := range part {
				if (s.Namespace == tenancy.Wildcard || t.Scope == s) && !yield(at.Namespace+"/"+order, t) {
					return
				}
			}
		})
	}
	return chain(parts), nil
}

// chain yields what the parts yield, one after the other.
func chain[R any](parts []iter.Seq2[string, R]) iter.Seq2[string, R] {
	return func(yield func(string, R) bool) {
		for _, part := range parts {
			for place, row := range part {
				if !yield(place, row) {
					return
				}
			}
		}
	}
}
