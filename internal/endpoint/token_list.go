package endpoint

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// List returns tokens sorted by secret, without the expired ones, or with
// req.Page a part of them by accessor. It needs acl:read; secrets are "<hidden>" where
// the caller lacks acl:write.
func (e *Tokens) List(ctx context.Context, who acl.Caller, req TokenList) ([]acl.Token, Meta, error) {
	if err := e.allowList(who, req.Scope); err != nil {
		return nil, Meta{}, err
	}
	filter, err := req.filter()
	if err != nil {
		return nil, Meta{}, err
	}
	var out []acl.Token
	var filtered bool
	var next string
	meta, err := e.Block(ctx, who, req.Read, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := e.allowList(who, req.Scope); err != nil {
			return 0, err
		}
		var rows []*acl.Token
		if req.Page != (Page{}) {
			rows, next, filtered, err = e.page(tx, ws, who, req, filter)
		} else if rows, err = tx.Tokens(ws, req.Scope, filter); err == nil {
			rows, filtered = readable(who, rows, func(t *acl.Token) tenancy.Scope { return t.Scope })
		}
		if err != nil {
			return 0, err
		}
		out, err = e.entries(tx, who, rows)
		return tx.LastIndex(state.TableTokens), err
	})
	meta.FilteredByACLs, meta.NextPage = filtered, next
	return out, meta, err
}

// filter checks that at most one filter is set and returns it.
func (req TokenList) filter() (state.TokenFilter, error) {
	f := state.TokenFilter{
		ServiceName: req.ServiceName, AuthMethod: req.AuthMethod, AuthMethodNamespace: req.AuthMethodNamespace,
	}
	set := 0
	for _, v := range []string{req.Policy, req.Role, req.ServiceName, req.AuthMethod} {
		if v != "" {
			set++
		}
	}
	if set > 1 {
		return f, errs.New(errs.Invalid, "can only filter by one of policy, role, serviceName, or methodName at a time")
	}
	var err error
	if req.Policy != "" {
		f.PolicyID, err = lookupID("token", req.Policy)
	}
	if req.Role != "" {
		f.RoleID, err = lookupID("token", req.Role)
	}
	return f, err
}

// entries shows rows to who.
func (e *Tokens) entries(tx *state.Tx, who acl.Caller, rows []*acl.Token) ([]acl.Token, error) {
	now := e.now()
	out := make([]acl.Token, 0, len(rows))
	for _, row := range rows {
		if row.Expired(now) {
			continue
		}
		t, err := showToken(tx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, redacted(who, *t))
	}
	return out, nil
}

// redacted returns t as who may see it: without the secret unless they could
// change the token.
func redacted(who acl.Caller, t acl.Token) acl.Token {
	if !who.Allowed(t.Scope, acl.ACLWrite, "") {
		t.SecretID = logging.Hidden
	}
	return t
}
