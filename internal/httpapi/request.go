package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/event"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Bounds on a body. A login's holds a bearer token of at most 64 KiB, whose
// quotes and backslashes JSON escapes.
const (
	maxBody      = 64 << 10
	maxLoginBody = 128 << 10
	maxValueBody = 512 << 10
	bodyTimeout  = 10 * time.Second // from the header to the body's last byte
)

// request is what a handler is given: the HTTP request, who makes it, and
// what its query and headers say.
type request struct {
	*http.Request
	query       url.Values
	token       logging.Secret // as sent, or the agent's own; empty is none
	caller      acl.Caller     // of routes that need a token
	scope       tenancy.Scope
	read        endpoint.Read  // of a GET
	header      http.Header    // of the answer, for what only its route knows
	meta        *endpoint.Meta // set by reads; becomes headers
	filtered    bool           // a list without an index has less in it than there is
	asked       atomic.Bool    // whether somebody asked what the caller may do
	maxBody     int64
	named       tenancy.Scope // as query and headers say, query first; parts may be empty
	inQuery     tenancy.Scope // as the query alone says
	bodySetting string        // what configures maxBody, "" for nothing
	otherDC     bool          // the query names another datacenter, on a route with option primary
}

// newRequest reads what the wrapper needs from req and resolves the caller. Its
// errors are of any kind.
func (a *API) newRequest(req *http.Request, row *route) (*request, error) {
	r := a.bodyOf(req, row)
	if enabled, _ := a.Resolver.ACLs(); !enabled && row.needsACLs() {
		return r, acl.ErrDisabled
	}
	if text := row.missingPart(req); text != "" {
		return r, errs.New(errs.Invalid, text)
	}
	var err error
	if r.query, err = url.ParseQuery(req.URL.RawQuery); err != nil {
		return r, errs.New(errs.Invalid, "Invalid query string")
	}
	if err := r.readOptions(a, row); err != nil {
		return r, err
	}
	r.token = requestToken(req, r.query)
	if r.token == "" {
		r.token = a.defaultToken(row)
	}
	if row.needsToken() {
		if r.caller, err = a.Resolver.Resolve(req.Context(), r.token); err != nil {
			return r, err
		}
		r.caller.Asked = &r.asked
		senderKnown(r)
	}
	return r, r.setScope(a, row)
}

// maxBody returns how many bytes a body of the route may have, unless configured.
func (r *route) maxBody() int64 {
	switch {
	case r.options&bigBody != 0:
		return maxLoginBody
	case r.options&eventBody != 0:
		return event.MaxPayload
	case r.options&(kvBody|txnBody|entryBody) != 0:
		return maxValueBody
	}
	return maxBody
}

// bodyOf returns the request as far as its body is concerned.
func (a *API) bodyOf(req *http.Request, row *route) *request {
	r := &request{Request: req, maxBody: row.maxBody()}
	most := int64(0)
	switch {
	case row.options&kvBody != 0:
		r.bodySetting, most = "limits.kv_max_value_size", a.Config.KVMaxValueSize
	case row.options&txnBody != 0:
		r.bodySetting, most = "limits.txn_max_req_len", a.Config.TxnMaxReqLen
	}
	if most > 0 {
		r.maxBody = most
	}
	return r
}

// defaultToken returns this agent's own token for requests of row that come
// without one. It is not for those that other agents have passed on.
func (a *API) defaultToken(row *route) logging.Secret {
	if a.peer || row.options&noDefaultToken != 0 {
		return ""
	}
	return a.Agent.Tokens.Get(TokenDefault)
}

// ownToken returns the token that the request itself carries, "" for none.
func (r *request) ownToken() logging.Secret { return requestToken(r.Request, r.query) }

// requestToken returns the token that a request carries, "" for none
// (acl.md section 14).
func requestToken(req *http.Request, query url.Values) logging.Secret {
	if token := query.Get("token"); token != "" {
		return logging.Secret(token)
	}
	if token := req.Header.Get("X-Consul-Token"); token != "" {
		return logging.Secret(token)
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return logging.Secret(strings.TrimSpace(token))
}

// readOptions reads the datacenter and how a read wants to be answered
// (catalog.md sections 1.2 and 1.3).
func (r *request) readOptions(a *API, row *route) error {
	if row.served == Local && row.options&localRead == 0 {
		return nil
	}
	if dc := r.query.Get("dc"); dc != "" && dc != a.Datacenter {
		if row.options&primary == 0 {
			return errNoPath
		}
		r.otherDC = true
	}
	if row.method != http.MethodGet {
		return nil
	}
	r.read.Stale, r.read.Consistent = r.query.Has("stale"), r.query.Has("consistent")
	if r.read.Consistent {
		for _, other := range []string{"stale", "cached"} {
			if r.query.Has(other) {
				return errs.Errorf(errs.Invalid, "Cannot specify ?%s with ?consistent, conflicting semantics.", other)
			}
		}
	}
	if index := r.query.Get("index"); index != "" {
		n, err := strconv.ParseUint(index, 10, 64)
		if err != nil {
			return errs.New(errs.Invalid, "Invalid index")
		}
		r.read.MinIndex = n
	}
	if wait := r.query.Get("wait"); wait != "" {
		d, err := time.ParseDuration(wait)
		if err != nil || d < 0 {
			return errs.New(errs.Invalid, "Invalid wait time")
		}
		r.read.MaxWait = d
	}
	if most := r.query.Get("max_stale"); most != "" {
		d, err := time.ParseDuration(most)
		if err != nil || d < 0 {
			return errs.New(errs.Invalid, "Invalid max_stale")
		}
		r.read.MaxStale = d
	}
	return nil
}

// setScope finds where the request wants to be: query over header over the
// token's own scope over default (tenancy.md section 4).
func (r *request) setScope(a *API, row *route) error {
	var err error
	if r.inQuery, err = queryScope(r.query); err != nil {
		return err
	}
	r.named = tenancy.Scope{
		Namespace: first(r.inQuery.Namespace, r.Header.Get("X-Consul-Namespace")),
		Partition: first(r.inQuery.Partition, r.Header.Get("X-Consul-Partition")),
	}
	if !row.namespaced() {
		r.inQuery.Namespace, r.named.Namespace = "", ""
	}
	if row.served == Local && (row.options&anyPartition == 0 || !a.Server) {
		return a.setLocalScope(r, row)
	}
	parse := tenancy.Parse
	if row.options&anyNamespace != 0 {
		parse = tenancy.ParseWildcard
	}
	where := r.inherit(r.named)
	r.scope, err = parse(where.Partition, where.Namespace)
	return err
}

// setLocalScope is setScope for what an agent serves itself: it lives in one partition.
func (a *API) setLocalScope(r *request, row *route) error {
	own := first(a.Partition, tenancy.DefaultName)
	if p := r.named.Partition; p != "" && !strings.EqualFold(p, own) {
		return errs.Errorf(errs.Invalid, "request targets partition %q which does not match agent partition %q", p, own)
	}
	r.scope = tenancy.Scope{Namespace: tenancy.DefaultName, Partition: own}
	if row.options&localNamespace == 0 {
		return nil
	}
	parse := tenancy.Parse
	if row.options&anyNamespace != 0 {
		parse = tenancy.ParseWildcard
	}
	var err error
	r.scope, err = parse(own, r.inherit(tenancy.Scope{Namespace: r.named.Namespace, Partition: own}).Namespace)
	return err
}

// queryScope returns what the query says; both spellings of a parameter may
// be there if they agree.
func queryScope(query url.Values) (tenancy.Scope, error) {
	one := func(keys ...string) (string, bool) {
		value := ""
		for _, key := range keys {
			for _, v := range query[key] {
				if value != "" && v != "" && !strings.EqualFold(v, value) {
					return "", false
				}
				value = first(value, v)
			}
		}
		return value, true
	}
	namespace, ok1 := one("ns", "namespace")
	partition, ok2 := one("partition", "ap")
	if !ok1 || !ok2 {
		return tenancy.Scope{}, errMismatch
	}
	return tenancy.Scope{Namespace: namespace, Partition: partition}, nil
}

// inherit fills what s leaves open from the scope of the caller's token. A
// token's namespace means nothing in another partition.
func (r *request) inherit(s tenancy.Scope) tenancy.Scope {
	t := r.caller.Token
	if t == nil || s.Partition != "" && !strings.EqualFold(s.Partition, t.Partition) {
		return s
	}
	return tenancy.Scope{Namespace: first(s.Namespace, t.Namespace), Partition: t.Partition}
}

// decode reads the body, one JSON value, into v; what begins its errors'
// texts. It returns errs.Invalid, or errBodyTooLarge.
func (r *request) decode(what string, v any) error {
	data, err := r.readBody()
	if err != nil {
		return err
	}
	leave, err := r.turn(len(data))
	if err != nil {
		return err
	}
	defer leave()
	return decodeJSON(what, data, v)
}

// decodeScoped is decode for a body that may say its scope, in *where, which
// is part of v and becomes complete.
func (r *request) decodeScoped(what string, v any, where *tenancy.Scope) error {
	if err := r.decode(what, v); err != nil {
		return err
	}
	return r.bodyScope(where)
}

// bodyScope completes what a body says about its scope. The body wins over
// headers, and may not contradict the query (tenancy.md section 4).
func (r *request) bodyScope(where *tenancy.Scope) error { return r.bodyScopeBy(tenancy.Parse, where) }

// bodyScopeBy is bodyScope where parse says which names are allowed.
func (r *request) bodyScopeBy(parse func(partition, namespace string) (tenancy.Scope, error), where *tenancy.Scope) error {
	if differ(where.Namespace, r.inQuery.Namespace) || differ(where.Partition, r.inQuery.Partition) {
		return errMismatch
	}
	open := r.inherit(tenancy.Scope{
		Namespace: first(where.Namespace, r.named.Namespace),
		Partition: first(where.Partition, r.named.Partition),
	})
	var err error
	*where, err = parse(open.Partition, open.Namespace)
	return err
}

// readBody returns the body, read to its end within its bounds.
func (r *request) readBody() ([]byte, error) {
	if r.ContentLength > r.maxBody {
		return nil, r.errTooLarge()
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, r.maxBody+1))
	if refused := (*limit.Refused)(nil); errors.As(err, &refused) {
		return nil, err
	}
	if err != nil {
		return nil, errs.New(errs.Invalid, "Failed to read request body")
	}
	if int64(len(data)) > r.maxBody {
		return nil, r.errTooLarge()
	}
	return data, nil
}

func (r *request) errTooLarge() error {
	text := fmt.Sprintf("Request body too large, max size: %d bytes", r.maxBody)
	if r.bodySetting != "" {
		text = fmt.Sprintf("Request body(%d bytes) too large, max size: %d bytes. See %s.", max(r.ContentLength, r.maxBody+1), r.maxBody, r.bodySetting)
	}
	return &statusError{http.StatusRequestEntityTooLarge, text}
}

var (
	errMismatch = errs.New(errs.Invalid, "Mismatched partition/namespace")
	errNoPath   = &statusError{http.StatusInternalServerError, "No path to datacenter"}
)

// differ reports whether both are there and name different things.
func differ(a, b string) bool { return a != "" && b != "" && !strings.EqualFold(a, b) }

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// limitBody gives the sender of a body until bodyTimeout to be done. The limit
// ends with the body: nothing else is read while a handler works.
func (a *API) limitBody(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(orDefault(a.bodyTimeout, bodyTimeout))); err != nil {
		return r
	}
	limited := *r // net/http looks at its own Body to decide whether to read a rest
	limited.Body = &timedBody{ReadCloser: r.Body, control: control}
	return &limited
}

// timedBody lifts the read deadline at the body's end, so that it does not end
// the connection under a handler that takes longer.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// stepTimeout is how long a long body may take for each part of it, and an answer after
// its end.
const (
	stepTimeout   = 30 * time.Second
	resultTimeout = 20 * time.Minute
)

// patient lets a request's body take as long as it needs, as long as it goes on.
func patient(req *http.Request) *http.Request {
	b, timed := req.Body.(*timedBody)
	if !timed {
		return req
	}
	out := *req
	out.Body = &patientBody{b}
	return &out
}

// patientBody moves the deadlines with each part that is read.
type patientBody struct{ *timedBody }

func (b *patientBody) Read(p []byte) (int, error) {
	now := time.Now()
	_ = b.control.SetReadDeadline(now.Add(stepTimeout))
	_ = b.control.SetWriteDeadline(now.Add(resultTimeout))
	return b.timedBody.Read(p)
}

// answer passes a read's answer on, and keeps what becomes its headers.
func (r *request) answer(v any, m endpoint.Meta, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	r.meta = &m
	return v, nil
}
