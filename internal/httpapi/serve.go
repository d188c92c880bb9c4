package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/uuid"
)

// errUndecided keeps back an answer that nobody asked a permission for.
var errUndecided = errs.New(errs.Internal, "the answer was made without a decision about the caller")

// statusError is an error of this edge alone: its status is no matter of kind.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// serve answers a request of row.
func (a *API) serve(w http.ResponseWriter, req *http.Request, row *route) {
	begun, outcome := time.Now(), "ok"
	defer func() { a.measure(row, begun, outcome) }()
	if err := a.admit(req, row); err != nil {
		outcome = errs.KindOf(err).String()
		a.fail(w, req, err)
		return
	}
	req, done := a.meter(req, row)
	defer done()
	if row.options&longBody != 0 {
		req = patient(req)
	}
	r, answer, passed, err := a.respond(w, req, row)
	if passed {
		outcome = "forwarded"
	}
	if passed && err == nil {
		return
	}
	if err != nil {
		outcome = errs.KindOf(err).String()
		a.markNotApplied(w.Header(), row, req, err)
		a.fail(w, req, err)
		return
	}
	a.succeed(w, r, answer)
}

// admit decides by who is connected whether there is a request at all.
func (a *API) admit(req *http.Request, row *route) error {
	if !row.admits(req) {
		return errNotPeer
	}
	if row.method != http.MethodGet && !a.mayWrite(req) {
		return errWritesRestricted
	}
	return a.withinRates(req, row)
}

// answer calls the handler of row, and sets the headers of a read.
func (a *API) answer(w http.ResponseWriter, req *http.Request, row *route) (*request, any, error) {
	r, err := a.newRequest(req, row)
	if err != nil {
		return nil, nil, err
	}
	r.header = w.Header()
	answer, err := row.handle(a, r)
	if r.meta != nil {
		readHeaders(w.Header(), *r.meta)
	} else if r.filtered {
		w.Header().Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
	if row.needsDecision() && !r.asked.Load() && tells(answer, err) {
		return nil, nil, fmt.Errorf("%w: %s %s", errUndecided, row.method, row.path)
	}
	return r, answer, err
}

// tells reports whether an answer says something about the state, so that it
// needs a decision: the errors that depend on what exists, and every success
// but a list or a map that was filtered to nothing.
func tells(answer any, err error) bool {
	if err != nil {
		kind := errs.KindOf(err)
		return kind == errs.NotFound || kind == errs.Conflict
	}
	list := reflect.ValueOf(answer)
	return list.Kind() != reflect.Slice && list.Kind() != reflect.Map || list.Len() > 0
}

var errWritesRestricted = &statusError{http.StatusForbidden, "Access is restricted by allow_write_http_from"}

// mayWrite decides by the address of the connection alone: headers that name
// another one are written by whoever likes to.
func (a *API) mayWrite(req *http.Request) bool {
	if len(a.Config.AllowWriteHTTPFrom) == 0 {
		return true
	}
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return false
	}
	for _, network := range a.Config.AllowWriteHTTPFrom {
		if network.Contains(peer.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// status maps an error to its HTTP status and to the text for the caller.
// Only an error without a kind, or of kind errs.Internal, keeps its text to itself.
func status(err error) (code int, text string) {
	var own *statusError
	if errors.As(err, &own) {
		return own.code, own.text
	}
	text = err.Error()
	switch errs.KindOf(err) {
	case errs.Invalid:
		return http.StatusBadRequest, text
	case errs.Unauthorized:
		return http.StatusUnauthorized, text
	case errs.Denied:
		return http.StatusForbidden, text
	case errs.NotFound:
		return http.StatusNotFound, text
	case errs.Conflict:
		return http.StatusConflict, text
	case errs.Throttled:
		return http.StatusTooManyRequests, text
	case errs.Unavailable:
		if errors.Is(err, raftnode.ErrNoLeader) { // clients retry on 500 with this text
			return http.StatusInternalServerError, text
		}
		return http.StatusServiceUnavailable, text
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable, "timed out"
	}
	return http.StatusInternalServerError, ""
}

// fail answers with an error. What is our fault or an outage is logged.
func (a *API) fail(w http.ResponseWriter, req *http.Request, err error) {
	code, text := status(err)
	if cut := req.Context().Err(); cut != nil && (errors.Is(err, cut) || errs.KindOf(err) == errs.Unavailable) {
		writeText(w, http.StatusServiceUnavailable, "request cancelled") // to nobody, if the caller is gone
		return
	}
	detail := err
	if code == http.StatusInternalServerError && text == "" {
		id := newErrorID()
		text = "Internal error, logged with id " + id
		detail = fmt.Errorf("%s: %w", id, err)
	}
	if code >= http.StatusInternalServerError {
		level := slog.LevelError
		if strings.HasPrefix(req.URL.Path, "/internal/") && errs.KindOf(err) == errs.Unavailable {
			level = slog.LevelDebug // every election causes some, and whoever asked asks again
		}
		a.Log.Log(req.Context(), level, "Request error", "method", req.Method, "url", redactURL(req.URL), "from", req.RemoteAddr, "error", detail)
	}
	if code == http.StatusTooManyRequests {
		retryAfter(w.Header(), err)
	}
	if (code == http.StatusRequestEntityTooLarge || isCut(req)) && req.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest is not waited for
	}
	writeText(w, code, text)
}

// newErrorID returns what joins an answer to a line in the log.
func newErrorID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// redactURL returns a request's path and query without the values of what may be a secret.
func redactURL(u *url.URL) string {
	path := redactPath(u.EscapedPath())
	if u.RawQuery == "" {
		return path
	}
	parts := strings.FieldsFunc(u.RawQuery, func(c rune) bool { return c == '&' || c == ';' })
	for i, part := range parts {
		key, _, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(key)
		if err != nil || strings.Contains(strings.ToLower(name), "token") || strings.Contains(strings.ToLower(name), "secret") {
			parts[i] = key + "=" + logging.Hidden
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

// redactPath hides the parts of an ACL route's path in whose place a secret may have been
// typed: what stands for a token, and all that looks like the UUIDs that secrets are.
func redactPath(path string) string {
	parts := strings.Split(path, "/")
	names := make([]string, len(parts))
	for i, part := range parts {
		names[i], _ = url.PathUnescape(part)
	}
	if len(parts) < 4 || names[2] != "acl" {
		return path
	}
	for i := 4; i < len(parts); i++ {
		words := names[i] == "self" || names[i] == "renew" || names[i] == "clone"
		if uuid.Valid(names[i]) || names[3] == "token" && !words {
			parts[i] = logging.Hidden
		}
	}
	return strings.Join(parts, "/")
}

// recoverPanic answers 500 for a handler that panicked, and logs where. Only
// the connection's end, which net/http asks for by a panic, goes on.
func (a *API) recoverPanic(w http.ResponseWriter, req *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	a.fail(w, req, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
}
