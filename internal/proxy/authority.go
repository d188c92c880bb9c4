package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
)

const (
	// decisionLife is how long the agent's decision counts where no change of the intentions
	// is heard of: what applies without an intention can change too.
	decisionLife = time.Minute

	// decisionWait is how long the agent's answer is waited for where it has decided before.
	decisionWait = time.Second

	maxDecisions = 4096 // that are remembered
	askers       = 8    // who ask about existing connections at a time
)

// authority decides who may connect to the service. The agent decides; its answer is remembered until
// the intentions about the service change.
type authority struct {
	client  *api.Client
	service string
	now     func() time.Time
	log     *slog.Logger
	changes chan struct{} // has one in it when existing connections are to be looked at again

	mu     sync.Mutex // guards what follows
	rules  []*api.Intention
	change uint64 // counts the changes of rules
	live   bool   // the next change will be heard of
	known  map[ca.ServiceID]decision
	asking map[ca.ServiceID]*inquiry
}

// decision is the agent's answer about one source.
type decision struct {
	allowed bool
	reason  string
	at      time.Time
}

// inquiry is a question to the agent that has no answer yet. Its result can be read once done is closed.
type inquiry struct {
	source ca.ServiceID
	serial string
	change uint64
	done   chan struct{}
	result decision
	err    error
}

func newAuthority(client *api.Client, service string, now func() time.Time, log *slog.Logger) *authority {
	return &authority{
		client: client, service: service, now: now, log: log, changes: make(chan struct{}, 1),
		known: map[ca.ServiceID]decision{}, asking: map[ca.ServiceID]*inquiry{},
	}
}

// run follows the intentions about the service until ctx ends.
func (a *authority) run(ctx context.Context) {
	question[map[string][]*api.Intention]{
		what: "intentions", log: a.log, take: a.changed,
		ask: func(o *api.QueryOptions) (map[string][]*api.Intention, *api.QueryMeta, error) {
			match := &api.IntentionMatch{By: api.IntentionMatchDestination, Names: []string{a.service}}
			return a.client.Connect().IntentionMatch(match, o)
		},
		failed: func(error) { a.setLive(false) },
		heard:  func() { a.setLive(true) },
	}.run(ctx)
}

func (a *authority) setLive(live bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live = live
}

// changed forgets what was decided, if other intentions count now.
func (a *authority) changed(match map[string][]*api.Intention) {
	var rules []*api.Intention
	for _, some := range match {
		rules = append(rules, some...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.change > 0 && reflect.DeepEqual(rules, a.rules) {
		return
	}
	a.rules = rules
	a.change++
	clear(a.known)
	select {
	case a.changes <- struct{}{}:
	default:
	}
}

// decide says whether a source may connect now. While the agent cannot be asked, what it decided since the
// last change that was heard of still counts; where it has decided nothing, the error says why.
func (a *authority) decide(ctx context.Context, source ca.ServiceID, serial string) (decision, error) {
	a.mu.Lock()
	d, known := a.known[source]
	if known && a.live && a.now().Sub(d.at) < decisionLife {
		a.mu.Unlock()
		return d, nil
	}
	q := a.asking[source]
	if q == nil || q.change != a.change {
		q = &inquiry{source: source, serial: serial, change: a.change, done: make(chan struct{})}
		a.asking[source] = q
		go a.ask(q) // ends with the agent's answer: the published client takes no context here
	}
	a.mu.Unlock()
	if known {
		return a.orBefore(ctx, q, d)
	}
	select {
	case <-q.done:
		return q.result, q.err
	case <-ctx.Done():
		return decision{}, ctx.Err()
	}
}

// orBefore returns the answer to q, or what was decided before where there is none in time.
func (a *authority) orBefore(ctx context.Context, q *inquiry, before decision) (decision, error) {
	timer := time.NewTimer(decisionWait)
	defer timer.Stop()
	select {
	case <-q.done:
		if q.err == nil || !unreachable(q.err) {
			return q.result, q.err
		}
	case <-timer.C:
	case <-ctx.Done():
		return decision{}, ctx.Err()
	}
	if a.current(q) {
		return before, nil
	}
	return a.decide(ctx, q.source, q.serial)
}

// current reports whether nothing has changed since the agent was asked.
func (a *authority) current(q *inquiry) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return q.change == a.change
}

// ask has the agent decide.
func (a *authority) ask(q *inquiry) {
	answer, err := a.client.Agent().ConnectAuthorize(&api.AgentAuthorizeParams{
		Target: a.service, ClientCertURI: q.source.URI().String(), ClientCertSerial: q.serial,
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.err = err; err == nil {
		q.result = decision{allowed: answer.Authorized, reason: answer.Reason, at: a.now()}
	}
	if err == nil && q.change == a.change {
		if len(a.known) >= maxDecisions {
			clear(a.known)
		}
		a.known[q.source] = q.result
	}
	if a.asking[q.source] == q {
		delete(a.asking, q.source)
	}
	close(q.done)
}

// unreachable reports whether nobody could decide, rather than that a decision was refused.
func unreachable(err error) bool {
	var status api.StatusError
	return !errors.As(err, &status) || status.Code >= http.StatusInternalServerError || status.Code == http.StatusTooManyRequests
}

// enforce closes connections whose source is not allowed any more, after each change of the intentions, until
// ctx ends.
func (a *authority) enforce(ctx context.Context, all *connections) {
	for {
		select {
		case <-a.changes:
		case <-ctx.Done():
			return
		}
		open := all.sources()
		for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, lastWait) {
			if open = a.enforceOn(ctx, all, open); len(open) == 0 {
				break
			}
			timer := time.NewTimer(wait)
			select {
			case <-a.changes:
				open, wait = all.sources(), firstWait
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
		}
	}
}

// enforceOn closes the connections of those sources that are not allowed, and returns those that
// the agent did not decide about.
func (a *authority) enforceOn(ctx context.Context, all *connections, sources map[ca.ServiceID]string) map[ca.ServiceID]string {
	undecided := map[ca.ServiceID]string{}
	var mu sync.Mutex // guards undecided
	var work sync.WaitGroup
	turns := make(chan struct{}, askers)
	for source, serial := range sources {
		turns <- struct{}{}
		work.Go(func() {
			defer func() { <-turns }()
			d, err := a.decide(ctx, source, serial)
			switch {
			case err != nil:
				mu.Lock()
				undecided[source] = serial
				mu.Unlock()
				a.log.Warn("it is not known whether connections may go on", "source", source.URI(), logging.Err, err)
			case !d.allowed:
				n := all.closeFrom(source)
				a.log.Info("connections closed: their source is not allowed any more", "source", source.URI(), "connections", n, "reason", d.reason)
			}
		})
	}
	work.Wait()
	return undecided
}
