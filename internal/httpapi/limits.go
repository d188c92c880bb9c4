package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/limit"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/telemetry"
)

// Bounds on the bodies of callers that have not said who they are, of all ports of an agent. A body that
// comes in slowly takes a place, but no more memory than has come.
const (
	bodyBytes          = 64 << 20
	bodyBytesPerSource = 32 << 20
	bodies             = 4096
	bodiesPerSource    = 512
)

// longText is the bytes of a body from which it is understood in turns: that takes processor time,
// a part of which is left to the requests that are short.
const longText = 1 << 10

// RequestLimits are what an agent counts the requests to all of its ports with.
type RequestLimits struct {
	bytes, places limit.Places
	texts         limit.Queue
	rates         atomic.Pointer[Rates]
}

// Rates are how many requests an agent answers. nil is no limit, for each of them.
type Rates struct {
	Permissive  bool        // what is above a rate is counted and logged, and served
	Read, Write *limit.Rate // of everybody, on a server
	SourceRead  *limit.Rate // of each source, on a server
	SourceWrite *limit.Rate
	Forwarded   *limit.Rate // of what a client agent passes on
}

// NewRequestLimits returns limits with rates.
func NewRequestLimits(rates Rates) *RequestLimits {
	l := &RequestLimits{
		bytes:  limit.Places{PerSource: bodyBytesPerSource, Total: bodyBytes},
		places: limit.Places{PerSource: bodiesPerSource, Total: bodies},
		texts:  limit.Queue{What: "long requests are being read", Slots: max(1, runtime.GOMAXPROCS(0)/2), Waiting: bodies},
	}
	l.SetRates(rates)
	return l
}

// SetRates replaces the rates.
func (l *RequestLimits) SetRates(rates Rates) { l.rates.Store(&rates) }

// source returns what a request is counted under. Other servers say what they have counted it
// under; nobody else is asked.
func (a *API) source(r *http.Request) string {
	if a.peer && peer.From(r).Kind == peer.Server {
		if said := r.Header.Get(peer.SourceHeader); said != "" {
			return said
		}
	}
	return limit.SourceOf(r.RemoteAddr)
}

const (
	tooManyRequests = "rate limit exceeded: try again later"
	tooManyBodies   = "too many requests are being read: try again later"
)

// withinRates counts a request of row. What an agent answers about itself, and what agents
// ask of each other, has no rate.
func (a *API) withinRates(req *http.Request, row *route) error {
	if a.Limits == nil || row.served == Local {
		return nil
	}
	rates := a.Limits.rates.Load()
	if !a.Server {
		return a.refusal(rates.Forwarded.Allow("", tooManyRequests), "client", row, req)
	}
	total, each := rates.Write, rates.SourceWrite
	if row.safe() {
		total, each = rates.Read, rates.SourceRead
	}
	var err error
	if each.Bounds() {
		err = a.refusal(each.Allow(a.source(req), tooManyRequests), "source", row, req)
	}
	if err == nil {
		err = a.refusal(total.Allow("", tooManyRequests), "global", row, req)
	}
	return err
}

// refusal counts err, if there is one, and lets the request go on where limits are permissive.
func (a *API) refusal(err error, kind string, row *route, req *http.Request) error {
	if err == nil {
		return nil
	}
	mode := "enforcing"
	if a.Limits.rates.Load().Permissive && kind != "client" {
		mode = "permissive"
		a.Log.Debug("a rate limit is exceeded", "limit_type", kind, "operation", row.operation, "from", req.RemoteAddr)
		err = nil
	}
	if kind == "client" {
		a.Agent.Metrics.Count("client.rpc.exceeded", 1)
	}
	a.Agent.Metrics.Count("rpc.rate_limit.exceeded", 1, telemetry.Label{Name: "limit_type", Value: kind},
		telemetry.Label{Name: "op", Value: row.operation}, telemetry.Label{Name: "mode", Value: mode})
	return err
}

// meteredBody counts what of a body is in memory, until its sender is known.
type meteredBody struct {
	io.ReadCloser
	api    *API
	source string
	known  bool // the sender is: nothing more is counted
	begun  bool
	cut    bool // the rest was refused
	bytes  int64
}

// Read implements io.Reader. It returns a *limit.Refused where too much is being read.
func (b *meteredBody) Read(p []byte) (int, error) {
	if b.known {
		return b.ReadCloser.Read(p)
	}
	l := b.api.Limits
	if !b.begun && !l.places.Take(b.source, 1) {
		return 0, b.refuse()
	}
	b.begun = true
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !l.bytes.Take(b.source, int64(n)) {
		return 0, b.refuse()
	}
	b.bytes += int64(n)
	return n, err
}

func (b *meteredBody) refuse() error {
	b.cut = true
	b.api.Agent.Metrics.Count("http.bodies_refused", 1)
	return limit.Later(tooManyBodies)
}

// done gives everything back.
func (b *meteredBody) done() {
	if b.begun {
		b.api.Limits.places.Give(b.source, 1)
		b.api.Limits.bytes.Give(b.source, b.bytes)
	}
}

type meterKey struct{}

// meter has the body of a request counted until done is called, or senderKnown. A long body is
// not kept in memory, and who passes requests on has counted them.
func (a *API) meter(req *http.Request, row *route) (_ *http.Request, done func()) {
	if a.Limits == nil || req.Body == nil || req.Body == http.NoBody || row.options&longBody != 0 ||
		a.peer && peer.From(req).Kind != peer.Nobody {
		return req, func() {}
	}
	b := &meteredBody{ReadCloser: req.Body, api: a, source: a.source(req)}
	req = req.WithContext(context.WithValue(req.Context(), meterKey{}, b))
	req.Body = b
	return req, b.done
}

// senderKnown ends the count of a body whose sender has a token.
func senderKnown(r *request) {
	if b, ok := r.Context().Value(meterKey{}).(*meteredBody); ok && r.caller.Token != nil && !r.caller.Anonymous() {
		b.known = true
	}
}

// turn waits until a body of n bytes may be understood, and returns what ends that. Only long ones
// wait, of senders that are not known yet.
func (r *request) turn(n int) (leave func(), err error) {
	b, ok := r.Context().Value(meterKey{}).(*meteredBody)
	if !ok || b.known || n < longText {
		return func() {}, nil
	}
	return b.api.Limits.texts.Enter(r.Context(), b.source, "")
}

// isCut reports whether the rest of a request's body was refused.
func isCut(req *http.Request) bool {
	b, ok := req.Context().Value(meterKey{}).(*meteredBody)
	return ok && b.cut
}

// retryAfter says when a request that was throttled may come again.
func retryAfter(h http.Header, err error) {
	var refused *limit.Refused
	if !errors.As(err, &refused) {
		if errs.KindOf(err) != errs.Throttled {
			return
		}
		refused = limit.Later("")
	}
	h.Set("Retry-After", strconv.Itoa(refused.RetryAfter()))
}
