package local

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/logging"
)

// Times of anti-entropy (spec: catalog.md section 5).
const (
	period     = time.Minute // between two comparisons in a small cluster
	smallest   = 128         // nodes of one; each doubling adds a period
	firstRetry = time.Second
	lastRetry  = 15 * time.Second
	askTime    = 30 * time.Second     // for a server to answer
	staggering = 5 * time.Millisecond // for each node, when all compare for the same reason
)

// keepInStep writes to the catalog what has changed as soon as it does, and
// compares everything now, from time to time, and when Compare says so.
func (s *State) keepInStep(ctx context.Context) error {
	reaping := time.NewTicker(reapEvery)
	defer reaping.Stop()
	whole, retry, patience := true, firstRetry, firstRetry
	var next time.Time // of a comparison
	for ctx.Err() == nil {
		dirty := s.dirty
		err := s.step(ctx, whole)
		s.tellStepped()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.cfg.Log.Warn("the catalog cannot be brought in step, trying again", slog.Any(logging.Err, err))
			next, dirty = time.Now().Add(spread(retry)), nil
			retry = min(2*retry, lastRetry)
		case whole:
			next, retry = time.Now().Add(spread(s.untilNext(&patience))), firstRetry
		}
		if whole = s.await(ctx, next, dirty, reaping.C); whole {
			drain(s.dirty)
		}
	}
	return nil
}

// await waits until there is something to do, and reports whether that is a comparison.
func (s *State) await(ctx context.Context, next time.Time, dirty <-chan struct{}, reaping <-chan time.Time) (whole bool) {
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-dirty:
			return false
		case <-timer.C:
			return true
		case <-s.whole:
			timer.Reset(rand.N(s.stagger()))
		case <-reaping:
			if err := s.reap(); err != nil {
				s.cfg.Log.Error("deregister critical services", slog.Any(logging.Err, err))
			}
		}
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// step writes what has changed, after a comparison if whole is set.
func (s *State) step(ctx context.Context, whole bool) error {
	if whole {
		if err := s.compare(ctx); err != nil {
			return err
		}
	}
	return s.push(ctx)
}

// untilNext is the time until the next comparison. While the catalog does not
// have the node, what was refused may be granted soon: it grows from patience on.
func (s *State) untilNext(patience *time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodeSeen {
		*patience = firstRetry
		return s.period()
	}
	d := min(*patience, s.period())
	*patience = 2 * d
	return d
}

// period is the time between two comparisons: a minute, and one more for each
// doubling of a cluster of 128 nodes.
func (s *State) period() time.Duration {
	return period * time.Duration(1+bits.Len(uint((s.members()-1)/smallest)))
}

func (s *State) stagger() time.Duration {
	return min(time.Duration(s.members())*staggering, lastRetry)
}

func (s *State) members() int {
	if s.cfg.Members == nil {
		return 1
	}
	return max(1, s.cfg.Members())
}

// spread returns d or up to a quarter more, so that agents do not act together.
func spread(d time.Duration) time.Duration { return d + rand.N(max(1, d/4)) }

// refusal is a server's word that a request will not be done.
type refusal struct {
	status int
	text   string
}

// send runs a request with one token after the other, as long as the one before
// belongs to nobody. It returns what the server refused with, nil if it did as
// asked, and an error where a retry may help.
func send(ctx context.Context, tokens []logging.Secret, request func(ctx context.Context, token string) error) (*refusal, error) {
	var no *refusal
	for _, token := range tokens {
		limited, cancel := context.WithTimeout(ctx, askTime)
		err := request(limited, orNone(token))
		cancel()
		var answer api.StatusError
		switch {
		case err == nil:
			return nil, nil
		case !errors.As(err, &answer):
			return nil, err
		case answer.Code >= http.StatusInternalServerError || answer.Code == http.StatusTooManyRequests:
			return nil, err
		}
		no = &refusal{answer.Code, answer.Body}
		if !no.unknownToken() {
			break
		}
	}
	return no, nil
}

// unknownToken reports whether the token of a request is nobody's.
func (r *refusal) unknownToken() bool {
	return r.status == http.StatusForbidden && strings.HasSuffix(strings.TrimSpace(r.text), acl.ErrNotFound.Error())
}

// syncGrace is how long a registration waits for the catalog, so that whoever registers
// and then asks a server finds it. No more than that: a catalog that cannot be written to is no reason to fail.
const syncGrace = 500 * time.Millisecond

// awaitSync returns once the catalog has what was registered, has refused it or cannot be
// reached, and not later than after s.grace. pending is asked with s.mu held.
func (s *State) awaitSync(pending func() bool) {
	late := time.NewTimer(s.grace)
	defer late.Stop()
	for range 2 { // a write that was under way may not have had it
		s.mu.Lock()
		stepped, wait := s.stepped, s.running && pending()
		s.mu.Unlock()
		if !wait {
			return
		}
		select {
		case <-stepped:
		case <-late.C:
			return
		}
	}
}

func (s *State) tellStepped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stepped)
	s.stepped = make(chan struct{})
}
