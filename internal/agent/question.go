package agent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

const (
	// questionTime is the life of a question to the servers. It is not that
	// of the request which began it: others wait for the same answer.
	questionTime = 6 * time.Second

	// maxNoted bounds the changes kept for a question; more count as one
	// change of everything.
	maxNoted = 256
)

// verdict is what a question brought. The zero verdict is no answer at all.
type verdict struct {
	caller   acl.Caller
	err      error // acl.ErrNotFound, or why the answer could not be used
	answered bool
	outdated bool // a change was told meanwhile that the answer does not have
}

func (v verdict) unknown() bool { return !v.answered }

// flight is a question under way; all who ask about the same secret share it.
type flight struct {
	done    chan struct{}
	verdict verdict           // set before done is closed
	changes []endpoint.Change // told since; guarded by Resolver.mu
}

// verified asks servers, again if something changed while one answered. A
// question that somebody began earlier may have been answered before the token was
// made: to that, "not found" is no answer.
func (r *Resolver) verified(ctx context.Context, key secretKey, secret logging.Secret) verdict {
	var v verdict
	for n := range attempts {
		var joined bool
		v, joined = r.ask(ctx, key, secret)
		tooEarly := n == 0 && joined && errors.Is(v.err, acl.ErrNotFound)
		if !v.outdated && !tooEarly {
			break
		}
	}
	return v
}

// ask waits for the answer to a question about secret; joined says that it was
// under way already.
func (r *Resolver) ask(ctx context.Context, key secretKey, secret logging.Secret) (v verdict, joined bool) {
	r.mu.Lock()
	f, joined := r.flights[key]
	if !joined {
		f = &flight{done: make(chan struct{})}
		r.flights[key] = f
		go r.fly(f, key, secret)
	}
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.verdict, joined
	case <-ctx.Done():
		return verdict{}, joined
	}
}

// fly asks the question of f and ends within questionTime.
func (r *Resolver) fly(f *flight, key secretKey, secret logging.Secret) {
	ctx, cancel := context.WithTimeout(context.Background(), questionTime)
	defer cancel()
	var answer endpoint.ResolveAnswer
	var err error
	select {
	case r.asking <- struct{}{}:
		err = r.Servers.ask(ctx, http.MethodPost, "/internal/acl/resolve", endpoint.ResolveRequest{Secret: secret}, &answer)
		<-r.asking
	case <-ctx.Done():
		err = errNoServers
	}
	v := verdict{answered: true}
	if err == nil {
		v.caller, v.err = r.callerOf(secret, &answer)
	} else if v.err = notFound(err); v.err == nil {
		v = verdict{}
		r.Log.Debug("no server could say who a token belongs to", "error", err)
	}
	r.mu.Lock()
	r.settle(f, key, &answer, &v)
	r.mu.Unlock()
	f.verdict = v
	close(f.done)
}

// settle ends f with v, as far as v holds after what was told meanwhile. r.mu is held.
func (r *Resolver) settle(f *flight, key secretKey, answer *endpoint.ResolveAnswer, v *verdict) {
	delete(r.flights, key)
	now := r.now()
	if !v.answered {
		r.failed = now
		if r.since.IsZero() {
			r.since = now
		}
		return
	}
	r.failed, r.since = time.Time{}, time.Time{}
	if v.err == nil {
		v.outdated = f.outdated(answer, v)
	}
	if v.err != nil {
		delete(r.known, key)
		return
	}
	if _, had := r.known[key]; !had && len(r.known) >= maxCached {
		for other := range r.known { // any will do: they are found again
			delete(r.known, other)
			break
		}
	}
	r.known[key] = &known{caller: v.caller, verified: now, stale: v.outdated}
}

// outdated reports whether something changed after the state that the answer was
// read from. The end of the token makes the verdict "not found".
func (f *flight) outdated(a *endpoint.ResolveAnswer, v *verdict) bool {
	outdated := false
	for _, c := range f.changes {
		switch {
		case c.Index <= a.Index:
		case c.Kind != endpoint.ChangeToken:
			outdated = true
		case c.Accessor != a.AccessorID:
		case c.Gone:
			*v = verdict{answered: true, err: acl.ErrNotFound}
			return false
		default:
			outdated = true
		}
	}
	return outdated
}

// note keeps a change for the answer that f waits for.
func (f *flight) note(c endpoint.Change) {
	if len(f.changes) >= maxNoted {
		f.changes = append(f.changes[:0], endpoint.Change{Kind: endpoint.ChangeAll, Index: c.Index})
	}
	f.changes = append(f.changes, c)
}

// notFound returns the error for a server's word that no token has the secret,
// with its text, and nil for any other error.
func notFound(err error) error {
	var no *refusal
	if !errors.As(err, &no) || no.status != http.StatusForbidden {
		return nil
	}
	before, found := strings.CutSuffix(no.text, acl.ErrNotFound.Error())
	switch {
	case !found:
		return nil
	case before == "":
		return acl.ErrNotFound
	}
	return errs.Errorf(errs.Denied, "%s%w", before, acl.ErrNotFound)
}
