package endpoint

import (
	"encoding/base64"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// Bounds on a page of a list.
const (
	defaultPage = 1000
	maxPage     = 10_000
	maxPlace    = 1024 // bytes
)

// Page asks for a part of a list. The zero value asks for all of it.
type Page struct {
	Limit int    // how many at most; 0 with After is 1000
	After string // Meta.NextPage of the part before
}

// check returns p with its defaults, and the place that it begins behind.
func (p Page) check() (limit int, after string, err error) {
	if limit = p.Limit; limit == 0 {
		limit = defaultPage
	}
	if limit < 0 || limit > maxPage {
		return 0, "", errs.Errorf(errs.Invalid, "Invalid limit: it has to be from 1 to %d", maxPage)
	}
	place, err := base64.RawURLEncoding.DecodeString(p.After)
	if err != nil || len(p.After) > maxPlace {
		return 0, "", errs.New(errs.Invalid, "Invalid after: it has to be what an answer said in X-Lictor-Next-Page")
	}
	return limit, string(place), nil
}

// pagePlace is the form of a place in a list that callers are given.
func pagePlace(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

// page is list for a part of it: the rows that who may read, in the order of
// their accessors, and where to go on.
func (e *Tokens) page(tx *state.Tx, ws memdb.WatchSet, who acl.Caller, req TokenList, f state.TokenFilter) (rows []*acl.Token, next string, filtered bool, err error) {
	limit, after, err := req.Page.check()
	if err != nil {
		return nil, "", false, err
	}
	now := e.now()
	may := map[tenancy.Scope]bool{}
	rows, next, err = tx.TokensAfter(ws, req.Scope, f, after, limit, func(t *acl.Token) bool {
		yes, asked := may[t.Scope]
		if !asked {
			yes = who.Allowed(t.Scope, acl.ACLRead, "")
			may[t.Scope] = yes
		}
		filtered = filtered || !yes
		return yes && !t.Expired(now)
	})
	return rows, pagePlace(next), filtered && !who.Anonymous(), err
}
