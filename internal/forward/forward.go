// Package forward passes a request on to the server that can answer it: a
// client agent passes on all that it does not serve itself, a follower what only the
// leader may answer. The request that travels is the API's own, over the server
// port, so that there is no second protocol.
//
// The agent that a request came to first is the one that tries again. What may be
// sent twice is sent again after any failure; a write only if it was certainly not
// applied: because no byte of it was sent, or because the server says so.
package forward

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	maxHops     = 4               // client agent, server, leader, and a leader that has just changed
	defaultHold = 7 * time.Second // spec: agent.md, performance.rpc_hold_timeout
	firstRetry  = 5 * time.Millisecond
	lastRetry   = 200 * time.Millisecond
)

// ErrNoServers is the answer of a client agent that knows no server. Clients
// match its text.
var ErrNoServers = errs.New(errs.Unavailable, "No known Consul servers")

// Client sends a request to the server port at an address. Its errors wrap
// peer.ErrNotSent where the server has not acted on the request.
type Client interface {
	Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error)
}

// Forwarder passes requests on. Client and one of Leader and Servers have to be
// set. It is safe for concurrent use.
type Forwarder struct {
	Client Client

	// Leader is how a server finds the leader: self if it is this server, else
	// its address, "" if there is none. nil on a client agent.
	Leader func() (addr string, self bool)
	// Servers returns the addresses of the servers that a client agent may
	// use. It stays with one of them for minutes, as long as that answers.
	Servers func() []string

	Hold time.Duration // for how long a request waits for a leader or a server; 0 is 7 seconds

	choice choice
}

// Forward answers r from the server that can, and reports whether it did, or
// has failed to with an error that the caller has to answer with: errs.Unavailable
// where a retry may help, or body's own. Otherwise this agent is the one that can.
// With onLeader only the leader can. What is safe changes nothing, so that it may be sent any
// number of times. body reads r's body within its bounds; it is called at most once. Without body, r's own is
// sent on as it comes in: then nothing is sent again once it has begun.
func (f *Forwarder) Forward(w http.ResponseWriter, r *http.Request, onLeader, safe bool, body func() ([]byte, error)) (done bool, err error) {
	if f.Here(onLeader) {
		return false, nil
	}
	t, err := f.newTravel(r, safe, body)
	if err != nil {
		return true, err
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if f.Here(onLeader) { // by now this server leads
			return false, nil
		}
		res, err := t.send(r.Context())
		if err == nil && (t.begun() || !t.again(res)) {
			return true, t.deliver(w, res)
		}
		if err != nil && !t.mayRetry(err) {
			return true, err
		}
		if !t.rest(r.Context(), wait) {
			if err != nil {
				return true, err
			}
			return true, t.deliver(w, res)
		}
		if res != nil {
			_ = res.Body.Close()
		}
	}
}

// Here reports whether this agent is the one to answer what any server may, or with onLeader only
// the leader.
func (f *Forwarder) Here(onLeader bool) bool {
	if f.Leader == nil {
		return false
	}
	if !onLeader {
		return true
	}
	_, self := f.Leader()
	return self
}

// travel is a request on its way.
type travel struct {
	*Forwarder
	template *http.Request
	safe     bool
	first    bool // this agent is the one that it came to first
	until    time.Time
	failed   map[string]bool // servers that did not answer since the last round
	through  *through        // the body that is sent on as it comes in; nil if it was read before
}

// newTravel prepares r to be sent.
func (f *Forwarder) newTravel(r *http.Request, safe bool, body func() ([]byte, error)) (*travel, error) {
	n, err := hops(r.Header)
	if err != nil {
		return nil, err
	}
	if n >= maxHops {
		return nil, raftnode.ErrNoLeader // everybody takes somebody else for the leader
	}
	t := &travel{Forwarder: f, safe: safe, first: n == 0}
	if body == nil {
		t.through = &through{Reader: r.Body}
		t.template = outgoing(r, n, nil)
		t.template.Body, t.template.ContentLength = t.through, r.ContentLength
		return t, nil
	}
	content, err := body()
	if err != nil {
		return nil, err
	}
	t.template = outgoing(r, n, content)
	return t, nil
}

// through is a body on its way from the caller to a server.
type through struct {
	io.Reader
	begun atomic.Bool
}

// Read implements io.Reader.
func (b *through) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.Reader.Read(p)
}

// Close implements io.Closer. The caller's body is closed by who answers the caller.
func (b *through) Close() error { return nil }

// begun reports whether a body that cannot be sent twice was begun.
func (t *travel) begun() bool { return t.through != nil && t.through.begun.Load() }

// send sends the request once.
func (t *travel) send(ctx context.Context) (*http.Response, error) {
	addr, err := t.target()
	if err != nil {
		return nil, err
	}
	req := t.template.Clone(ctx)
	if req.GetBody != nil {
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	res, err := t.Client.Do(ctx, addr, req)
	if err == nil {
		err = receive(res)
	}
	if time.Since(began) > t.hold() { // it was answering for longer than it may be held
		t.until = time.Time{}
	}
	if err != nil || t.again(res) {
		t.choice.leave(addr)
		if t.failed == nil {
			t.failed = map[string]bool{}
		}
		t.failed[addr] = true
	}
	if err != nil {
		return nil, errs.Errorf(errs.Unavailable, "pass the request on to %s: %w", addr, err)
	}
	return res, nil
}

// target returns where to send the request.
func (t *travel) target() (string, error) {
	if t.Leader != nil {
		addr, _ := t.Leader()
		if addr == "" {
			return "", raftnode.ErrNoLeader
		}
		return addr, nil
	}
	servers := t.Servers()
	if len(servers) == 0 {
		return "", ErrNoServers
	}
	if len(t.failed) >= len(servers) {
		clear(t.failed)
	}
	return t.choice.pick(servers, t.failed), nil
}

// deliver answers the caller with res. What concerns servers ends with the
// agent that the request came to first.
func (t *travel) deliver(w http.ResponseWriter, res *http.Response) error {
	if t.first {
		res.Header.Del(peer.NotAppliedHeader)
	}
	return deliver(w, res)
}

// again reports whether res is not an answer but a request to try again.
func (t *travel) again(res *http.Response) bool { return res.Header.Get(peer.NotAppliedHeader) != "" }

// mayRetry reports whether the request may be sent again after err.
func (t *travel) mayRetry(err error) bool {
	if t.begun() {
		return false
	}
	return t.safe || errors.Is(err, peer.ErrNotSent) || errors.Is(err, raftnode.ErrNoLeader) || errors.Is(err, ErrNoServers)
}

// rest waits before the next attempt and reports whether there shall be one.
// Servers that have not been tried are tried at once.
func (t *travel) rest(ctx context.Context, wait time.Duration) bool {
	now := time.Now()
	if t.until.IsZero() {
		t.until = now.Add(t.hold())
	}
	if !t.first || !now.Before(t.until) || ctx.Err() != nil {
		return false
	}
	if t.Leader == nil && len(t.failed) > 0 && len(t.failed) < len(t.Servers()) {
		return true
	}
	return sleep.For(ctx, min(wait/2+rand.N(wait), t.until.Sub(now)))
}

func (f *Forwarder) hold() time.Duration {
	if f.Hold > 0 {
		return f.Hold
	}
	return defaultHold
}
