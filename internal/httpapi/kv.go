package httpapi

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

var kvRoutes = []route{
	{http.MethodGet, "/v1/kv/{key...}", OnServer, "key:read", "kv.read", (*API).kvGet, anyNamespace},
	{http.MethodPut, "/v1/kv/{key...}", OnLeader, "key:write", "kv.write", (*API).kvPut, kvBody},
	{http.MethodDelete, "/v1/kv/{key...}", OnLeader, "key:write", "kv.delete", (*API).kvDelete, 0},
}

var (
	errNoKey       = errs.New(errs.Invalid, "Missing key name")
	errUnprintable = &statusError{http.StatusBadRequest, ""}
	errEmpty       = &statusError{http.StatusNotFound, ""}
)

// key returns the key that the path names; it may be empty. A slash in it means nothing
// here, neither do dots: what a client has escaped is part of the key.
func (r *request) key() (string, error) {
	key := r.PathValue("key")
	for i := 0; i < len(key); {
		c, size := utf8.DecodeRuneInString(key[i:])
		if !unicode.IsPrint(c) || c == utf8.RuneError && size == 1 {
			return "", errUnprintable
		}
		i += size
	}
	return key, nil
}

// kvGet handles GET /v1/kv/:key.
func (a *API) kvGet(r *request) (any, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	req := endpoint.KVRead{Scope: r.scope, Key: key, Read: r.read}
	switch {
	case r.query.Has("keys"):
		return a.kvKeys(r, req)
	case r.query.Has("recurse"):
		list, meta, err := a.KVs.List(r.Context(), r.caller, req)
		if err != nil {
			return nil, err
		}
		return r.found(pairList(list), meta.Meta, len(list) > 0)
	case key == "":
		return nil, errNoKey
	case r.scope.Namespace == tenancy.Wildcard:
		return nil, errs.Errorf(errs.Invalid, "Invalid namespace %q: wildcard is not allowed", tenancy.Wildcard)
	}
	p, meta, err := a.KVs.Get(r.Context(), r.caller, req)
	if err != nil {
		return nil, err
	}
	if p != nil && r.query.Has("raw") {
		r.header.Set("Content-Security-Policy", "sandbox")
		return r.found(document{"text/plain", string(p.Value)}, meta, true)
	}
	return r.found(pairList{p}, meta, p != nil)
}

// kvKeys handles GET /v1/kv/:key?keys. A list that is empty because of what the caller may not
// read is no error.
func (a *API) kvKeys(r *request, req endpoint.KVRead) (any, error) {
	keys, meta, err := a.KVs.Keys(r.Context(), r.caller, req, r.query.Get("separator"))
	if err != nil {
		return nil, err
	}
	return r.found(keys, meta.Meta, len(keys) > 0 || meta.Hidden)
}

// found is answer for what may be missing: 404 then, with the headers that a client needs
// to wait for it.
func (r *request) found(v any, m endpoint.Meta, found bool) (any, error) {
	r.meta = &m
	if !found {
		return nil, errEmpty
	}
	return v, nil
}

// kvPut handles PUT /v1/kv/:key.
func (a *API) kvPut(r *request) (any, error) {
	op, err := r.kvOp("acquire", "release", "cas")
	if err != nil {
		return nil, err
	}
	op.Verb = kv.Set
	switch {
	case op.Pair.Key == "":
		return nil, errNoKey
	case r.query.Has("cas"):
		op.Verb = kv.CAS
	case r.query.Has("acquire"):
		op.Verb, op.Pair.Session = kv.Lock, r.query.Get("acquire")
	case r.query.Has("release"):
		op.Verb, op.Pair.Session = kv.Unlock, r.query.Get("release")
	}
	if op.Pair.Value, err = r.readBody(); err != nil {
		return nil, err
	}
	return a.KVs.Write(r.Context(), r.caller, op)
}

// kvDelete handles DELETE /v1/kv/:key.
func (a *API) kvDelete(r *request) (any, error) {
	op, err := r.kvOp("recurse", "cas")
	if err != nil {
		return nil, err
	}
	op.Verb = kv.Delete
	switch {
	case r.query.Has("recurse"):
		op.Verb = kv.DeleteTree
	case op.Pair.Key == "":
		return nil, errNoKey
	case r.query.Has("cas"):
		op.Verb = kv.DeleteCAS
	}
	return a.KVs.Write(r.Context(), r.caller, op)
}

// kvOp reads what path and query say of an operation; at most one of the exclusive
// parameters may be there.
func (r *request) kvOp(exclusive ...string) (op fsm.KVOp, err error) {
	op.Pair.Scope = r.scope
	if op.Pair.Key, err = r.key(); err != nil {
		return op, err
	}
	n := 0
	for _, name := range exclusive {
		if r.query.Has(name) {
			n++
		}
	}
	if n > 1 {
		return op, errs.Errorf(errs.Invalid, "Conflicting flags: %s", r.URL.RawQuery)
	}
	for name, to := range map[string]*uint64{"cas": &op.Index, "flags": &op.Pair.Flags} {
		if !r.query.Has(name) {
			continue
		}
		if *to, err = strconv.ParseUint(r.query.Get(name), 10, 64); err != nil {
			return op, errs.Errorf(errs.Invalid, "%w", err)
		}
	}
	return op, nil
}

// pairList is a list of pairs as clients see it.
type pairList []*kv.Pair

func (list pairList) appendJSON(b []byte) ([]byte, error) {
	return appendList(b, list, func(b []byte, p *kv.Pair) ([]byte, error) { return appendPair(b, p), nil })
}

// appendPair appends a pair. An empty value is null.
func appendPair(b []byte, p *kv.Pair) []byte {
	b = strconv.AppendUint(append(b, `{"LockIndex":`...), p.LockIndex, 10)
	b = appendString(append(b, `,"Key":`...), p.Key)
	b = strconv.AppendUint(append(b, `,"Flags":`...), p.Flags, 10)
	b = append(b, `,"Value":`...)
	if len(p.Value) == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, p.Value)
		b = append(b, '"')
	}
	if p.Session != "" {
		b = appendString(append(b, `,"Session":`...), p.Session)
	}
	return appendIndexes(b, p.Scope, p.CreateIndex, p.ModifyIndex)
}
