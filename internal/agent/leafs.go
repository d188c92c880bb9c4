package agent

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

const (
	// leafSpread bounds the jitter of renewals after a change of the roots, which all
	// agents hear of at once. Servers refuse what is too much for them, and who is
	// refused waits longer.
	leafSpread = 500 * time.Millisecond

	leafHold   = 10 * time.Second // of whoever does not ask to wait, while servers cannot sign
	leafSign   = 10 * time.Second // for one attempt
	leafUnused = 72 * time.Hour   // after which a leaf is forgotten
	maxLeafs   = 4096
)

// Leafs gives the leafs of services to those who may have them. It makes their keys, which never
// leave the agent otherwise, and keeps each leaf for all who ask for the same service. Nothing is
// signed unless somebody asks or waits for it, and always with the token of whoever does. Set
// the fields before the first use.
type Leafs struct {
	// Sign has a server sign with a caller's token.
	Sign func(ctx context.Context, token logging.Secret, req endpoint.LeafRequest) (*endpoint.LeafAnswer, error)
	// Roots tells the roots of the mesh CA, and of their change.
	Roots interface {
		List(ctx context.Context, who acl.Caller, r endpoint.Read) (endpoint.CARootList, endpoint.Meta, error)
	}
	// Resolve returns who presents a token.
	Resolve    func(ctx context.Context, token logging.Secret) (acl.Caller, error)
	Datacenter string
	Now        func() time.Time // nil is time.Now

	mu      sync.Mutex // guards what follows, and the entries
	roots   rootsHeard
	heard   chan struct{} // closed when the roots are heard of for the first time; may be nil
	entries map[ca.ServiceID]*leafEntry
}

// rootsHeard is what was last heard of the roots.
type rootsHeard struct {
	active, trustDomain string
	index               uint64
}

// Run follows the roots until ctx is done. A leaf that another root signed than the one that
// signs now is due soon.
func (l *Leafs) Run(ctx context.Context) error {
	pause := backOff{first: 100 * time.Millisecond, last: 10 * time.Second}
	for index := uint64(0); ctx.Err() == nil; {
		list, meta, err := l.Roots.List(ctx, acl.Caller{}, endpoint.Read{MinIndex: index, Stale: true})
		if err != nil {
			pause.wait(ctx)
			continue
		}
		pause.reset()
		index = meta.Index
		l.hear(list, index)
	}
	return nil
}

func (l *Leafs) hear(list endpoint.CARootList, index uint64) {
	if list.ActiveRootID == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roots = rootsHeard{active: list.ActiveRootID, trustDomain: list.TrustDomain, index: index}
	if l.heard != nil {
		close(l.heard)
		l.heard = nil
	}
	for _, e := range l.entries {
		if e.rootID != list.ActiveRootID {
			l.renewSoon(e)
		}
	}
}

// renewSoon makes a leaf due within the jitter. l.mu is held.
func (l *Leafs) renewSoon(e *leafEntry) {
	if soon := l.now().Add(rand.N(leafSpread)); e.leaf != nil && soon.Before(e.due) {
		e.due, e.retry, e.pause = soon, time.Time{}, 0
		e.tell()
	}
}

// trustDomain returns that of the cluster, once the roots were heard of.
func (l *Leafs) trustDomain(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, leafHold)
	defer cancel()
	for {
		l.mu.Lock()
		domain := l.roots.trustDomain
		if l.heard == nil {
			l.heard = make(chan struct{})
		}
		heard := l.heard
		l.mu.Unlock()
		if domain != "" {
			return domain, nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return "", errs.New(errs.Unavailable, "nothing is known about the mesh CA yet")
		}
	}
}

func (l *Leafs) now() time.Time {
	if l.Now == nil {
		return time.Now().Round(0) // without its monotonic part a jump of the clock shows
	}
	return l.Now()
}
