package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/uuid"
)

// maxErrorText is how many bytes of a failing answer an event shows.
const maxErrorText = 1024

// audited writes both events of the trail around every request of mux, which next
// answers. It is outermost, so that nothing is answered without it.
func (a *API) audited(mux *http.ServeMux, next http.Handler) http.Handler {
	if a.Audit == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		row, escaped := rowOf(mux, r), cleanEscaped(r)
		if !a.recorded(row, r, escaped) {
			r.Header.Del(peer.RequestIDHeader)
			next.ServeHTTP(w, r)
			return
		}
		a.record(w, r, row, escaped, next)
	})
}

// record answers one request between its events.
func (a *API) record(w http.ResponseWriter, r *http.Request, row *route, escaped string, next http.Handler) {
	asked := a.requestID(r)
	token := requestToken(r, r.URL.Query())
	scrub := scrubber{hash: a.Audit.Hash, token: token}
	about := a.describe(r, row, escaped, scrub)
	if token == "" && row != nil {
		token = a.defaultToken(row)
	}
	rec, err := a.Audit.Begin(about, audit.Who(r.Context(), a.Resolver, token))
	if rec == nil && err == nil {
		next.ServeHTTP(w, r)
		return
	}
	body := newAuditBody(r, row, a.Audit)
	aw := &auditWriter{ResponseWriter: w, rec: rec, scrub: scrub, body: body, hold: rec.Enforced(), strip: !a.peer || !asked}
	if row != nil && row.namesToken() {
		aw.endpoint = scrub.text(r.URL.Path)
	}
	defer aw.finish()
	if err != nil {
		a.commonHeaders(w.Header())
		a.fail(aw, r, err)
		aw.ended = true
		return
	}
	next.ServeHTTP(aw, body.request(r))
	aw.ended = true
}

// requestID gives r an ID that goes with it to other agents, and reports whether one of them
// has given it.
func (a *API) requestID(r *http.Request) bool {
	if a.peer && peer.From(r).Kind != peer.Nobody && uuid.Valid(r.Header.Get(peer.RequestIDHeader)) {
		return true
	}
	r.Header.Set(peer.RequestIDHeader, uuid.New())
	return false
}

// rowOf returns the row that answers r, nil where none does.
func rowOf(mux *http.ServeMux, r *http.Request) *route {
	h, _ := mux.Handler(r)
	rows, ok := h.(*rowsHandler)
	if !ok {
		return nil
	}
	i := slices.IndexFunc(rows.rows, func(row *route) bool { return row.method == r.Method })
	if i < 0 {
		return nil
	}
	return rows.rows[i]
}

// cleanEscaped returns the path that a request means, still escaped.
func cleanEscaped(r *http.Request) string {
	escaped := r.URL.EscapedPath()
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// recorded reports whether a request has events: all but those for pages of the UI, and the questions
// of agents among themselves that change nothing and show no secret.
func (a *API) recorded(row *route, r *http.Request, escaped string) bool {
	if row != nil {
		return row.options&fromAgent == 0 || !row.admits(r)
	}
	page := escaped == "/" || escaped == "/ui" || strings.HasPrefix(escaped, "/ui/")
	return a.peer || !page || r.Method != http.MethodGet && r.Method != http.MethodHead
}

// describe returns what events say about r.
func (a *API) describe(r *http.Request, row *route, escaped string, scrub scrubber) *audit.Request {
	endpoint, err := url.PathUnescape(escaped)
	if err != nil {
		endpoint = escaped
	}
	about := &audit.Request{
		ID: r.Header.Get(peer.RequestIDHeader), Method: r.Method, Endpoint: endpoint, RemoteAddr: r.RemoteAddr,
		UserAgent: scrub.text(r.UserAgent()), Host: scrub.text(r.Host),
		Query: scrub.query(r.URL.RawQuery), Headers: scrub.headers(r.Header),
	}
	if row != nil {
		about.Action = row.operation
	}
	if row == nil || row.namesToken() {
		about.Endpoint = scrub.path(endpoint)
	}
	about.Endpoint = scrub.text(about.Endpoint)
	if a.peer && r.Header.Get(peer.HopsHeader) != "" {
		if by := peer.From(r); by.Kind != peer.Nobody {
			about.ForwardedBy = first(by.Node, by.Kind.String())
		}
	}
	return about
}

// namesToken reports whether the path of a route holds the accessor of a token, in whose place
// somebody may write its secret. Once the operation has succeeded it is known to be none.
func (r *route) namesToken() bool { return strings.Contains(r.path, "{accessor}") }

// noteLogin tells the agents that have passed a login on, and this one's own events, who it
// has proven to be.
func noteLogin(r *request, l audit.Login) {
	if l.Principal == "" || r.Request.Header.Get(peer.RequestIDHeader) == "" {
		return
	}
	if text, err := json.Marshal(l); err == nil {
		r.header.Set(peer.LoginHeader, string(text))
	}
}

// auditWriter learns how a request is answered. With hold nothing of the answer leaves before its event is
// written; else the event comes when the answer has ended.
type auditWriter struct {
	http.ResponseWriter
	rec   *audit.Record
	scrub scrubber
	body  *auditBody
	hold  bool
	strip bool // what servers tell agents goes no further

	endpoint string // in clear, where only success shows that it holds no secret

	status   int
	sent     bool // the header has left
	ended    bool // the handler has returned
	complete bool // the event was written, or could not be
	withheld bool // it could not: the answer is another one
	text     []byte
	login    *audit.Login
}

// Unwrap lets http.ResponseController find deadlines.
func (w *auditWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *auditWriter) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	if text := w.Header().Get(peer.LoginHeader); text != "" {
		w.login = &audit.Login{}
		if json.Unmarshal([]byte(text), w.login) != nil {
			w.login = nil
		}
		if w.strip {
			w.Header().Del(peer.LoginHeader)
		}
	}
	if !w.hold {
		w.sent = true
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements io.Writer.
func (w *auditWriter) Write(p []byte) (int, error) {
	w.begin()
	if w.status >= http.StatusBadRequest && w.Header().Get("Content-Encoding") == "" {
		w.text = append(w.text, p[:min(len(p), maxErrorText-len(w.text))]...)
	}
	w.release()
	if w.withheld {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *auditWriter) FlushError() error {
	w.begin()
	w.release()
	if w.withheld {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *auditWriter) Flush() { _ = w.FlushError() }

func (w *auditWriter) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

// release lets an answer that was held go once its event is written. In its place
// goes an error where that is not possible.
func (w *auditWriter) release() {
	if w.sent {
		return
	}
	w.sent = true
	if err := w.conclude(); err == nil {
		w.ResponseWriter.WriteHeader(w.status)
		return
	}
	w.withheld = true
	clear(w.Header())
	writeText(w.ResponseWriter, http.StatusServiceUnavailable,
		"The answer is withheld because its audit event cannot be written; the operation may have been carried out")
}

// conclude writes the second event, once.
func (w *auditWriter) conclude() error {
	if w.complete {
		return nil
	}
	w.complete = true
	result := audit.Result{
		Status: w.status, Error: w.scrub.text(strings.ToValidUTF8(string(w.text), "\uFFFD")),
		Body: w.body.describe(w.scrub), Login: w.login,
	}
	if w.status == http.StatusOK {
		result.Endpoint = w.endpoint
	}
	return w.rec.Complete(result)
}

// finish is called when the handler has returned, or panics.
func (w *auditWriter) finish() {
	if !w.ended {
		w.text = []byte("the connection was ended in the middle of the answer")
		_ = w.conclude()
		return
	}
	w.begin()
	w.release()
	_ = w.conclude() // of an answer that was not held: no enforced sink waits for it
}
