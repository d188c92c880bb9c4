package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
	"github.com/lictor/lictor/internal/sleep"
)

// Forward passes a request on to the server that can answer it (see
// forward.Forwarder).
type Forward interface {
	// Here reports whether this agent answers, so that nothing has to be prepared for Forward.
	Here(onLeader bool) bool
	// Forward reports whether the request was answered elsewhere, or could not be,
	// with an error; if not, this agent answers. onLeader: only the leader may; safe: it
	// may be sent any number of times. It reads the body with body; if that is
	// nil, it sends the body on as it comes in.
	Forward(w http.ResponseWriter, r *http.Request, onLeader, safe bool, body func() ([]byte, error)) (done bool, err error)
}

const (
	leaderHold = 7 * time.Second // spec: agent.md, performance.rpc_hold_timeout
	leaderWait = 10 * time.Millisecond
)

// respond answers a request of row here, or lets somebody else; done says that it is
// not this agent's. What only the leader may answer, and this server began to answer when it ceased to
// lead, has changed nothing and goes to the next leader.
func (a *API) respond(w http.ResponseWriter, req *http.Request, row *route) (r *request, answer any, done bool, err error) {
	if a.peer || a.Forward == nil || row.served != OnLeader || row.options&longBody != 0 {
		return a.respondOnce(w, req, row)
	}
	body := &keptBody{ReadCloser: req.Body}
	req = req.WithContext(req.Context())
	req.Body = body
	for until := time.Now().Add(orDefault(a.Config.LeaderHold, leaderHold)); ; {
		r, answer, done, err = a.respondOnce(w, req, row)
		if done || !errors.Is(err, raftnode.ErrNoLeader) || time.Now().After(until) || req.Context().Err() != nil {
			return r, answer, done, err
		}
		body.rewind()
		sleep.For(req.Context(), leaderWait)
	}
}

func (a *API) respondOnce(w http.ResponseWriter, req *http.Request, row *route) (r *request, answer any, done bool, err error) {
	req, done, err = a.pass(w, req, row)
	if !done {
		r, answer, err = a.answer(w, req, row)
	}
	return r, answer, done, err
}

// keptBody is a body that can be read again. Whoever reads it bounds it.
type keptBody struct {
	io.ReadCloser
	read []byte // so far
	at   int    // in read
}

func (b *keptBody) Read(p []byte) (int, error) {
	if b.at < len(b.read) {
		n := copy(p, b.read[b.at:])
		b.at += n
		return n, nil
	}
	n, err := b.ReadCloser.Read(p)
	b.read = append(b.read, p[:n]...)
	b.at = len(b.read)
	return n, err
}

func (b *keptBody) rewind() { b.at = 0 }

// safe reports whether a request of the route changes nothing: what any server
// may answer cannot, because only the leader writes.
func (r *route) safe() bool { return r.method == http.MethodGet || r.served == OnServer }

// pass lets somebody else answer where this agent does not serve the route. It
// returns the request to answer if it is this agent's after all; done says that it is not.
func (a *API) pass(w http.ResponseWriter, req *http.Request, row *route) (_ *http.Request, done bool, err error) {
	if a.Forward == nil || row.served == Local || a.Forward.Here(row.served == OnLeader) {
		return req, false, nil
	}
	out := a.sourced(a.named(a.withOwnToken(req, row), row))
	if row.options&longBody != 0 {
		done, err = a.Forward.Forward(w, out, row.served == OnLeader, row.safe(), nil)
		return req, done, err
	}
	done, err = a.Forward.Forward(w, out, row.served == OnLeader, row.safe(), func() ([]byte, error) {
		data, err := a.bodyOf(out, row).readBody()
		req = withBody(req, data)
		return data, err
	})
	return req, done, err
}

// withOwnToken adds this agent's default token to a request without one: the
// agent that passes a request on speaks for its caller.
func (a *API) withOwnToken(req *http.Request, row *route) *http.Request {
	own := a.defaultToken(row)
	if own == "" || requestToken(req, req.URL.Query()) != "" {
		return req
	}
	out := *req
	out.Header = req.Header.Clone()
	out.Header.Set("X-Consul-Token", own.Reveal())
	return &out
}

// agentHeader names the agent that a client has asked, on its way to the one that answers. It is
// no proof of anything.
const agentHeader = "X-Lictor-Agent"

// named says in a request which agent was asked, for routes where that makes a difference.
func (a *API) named(req *http.Request, row *route) *http.Request {
	if a.peer || row.options&fromNode == 0 {
		return req
	}
	out := *req
	out.Header = req.Header.Clone()
	out.Header.Set(agentHeader, a.NodeName)
	return &out
}

// sourced says in a request that a server passes on what it is counted under.
func (a *API) sourced(req *http.Request) *http.Request {
	if !a.Server {
		return req
	}
	out := *req
	out.Header = req.Header.Clone()
	out.Header.Set(peer.SourceHeader, a.source(req))
	return &out
}

// askedNode returns the name of the agent that a client has asked.
func (a *API) askedNode(r *request) string {
	if !a.peer {
		return a.NodeName
	}
	return first(r.Header.Get(agentHeader), a.NodeName)
}

// withBody returns req with a body that was read before.
func withBody(req *http.Request, data []byte) *http.Request {
	if len(data) == 0 {
		return req
	}
	out := *req
	out.Body = io.NopCloser(bytes.NewReader(data))
	return &out
}

// markNotApplied tells another agent that its request may be sent again: it
// has changed nothing, and an error may be gone then or elsewhere.
func (a *API) markNotApplied(h http.Header, row *route, req *http.Request, err error) {
	if !a.peer {
		return
	}
	cut := row.safe() && (errs.KindOf(err) == errs.Unavailable || req.Context().Err() != nil)
	if cut || errors.Is(err, raftnode.ErrNoLeader) || errors.Is(err, peer.ErrNotSent) {
		h.Set(peer.NotAppliedHeader, "true")
	}
}
